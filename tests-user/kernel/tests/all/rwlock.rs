// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reader/writer locks.

use crate::common::Machine;
use clinet_kernel::{Context, together};

const RW: &str = "
    extern void rw_init(krwlock_t *, char *, int, void *), rw_destroy(krwlock_t *);
    extern void rw_enter(krwlock_t *, int), rw_exit(krwlock_t *), rw_downgrade(krwlock_t *);
    extern int rw_tryenter(krwlock_t *, int), rw_tryupgrade(krwlock_t *);
    extern int rw_read_held(krwlock_t *), rw_write_held(krwlock_t *), rw_lock_held(krwlock_t *);
    static krwlock_t l;
    static uint64_t shared;
    void init(void) { rw_init(&l, NULL, 4, NULL); }
    void destroy(void) { rw_destroy(&l); }
    void enter(int how) { rw_enter(&l, how); }
    int tryenter(int how) { return (rw_tryenter(&l, how)); }
    void exit(void) { rw_exit(&l); }
    void downgrade(void) { rw_downgrade(&l); }
    int upgrade(void) { return (rw_tryupgrade(&l)); }
    int held(void) {
        return (rw_read_held(&l) + 10 * rw_write_held(&l) + 100 * rw_lock_held(&l));
    }
    uint64_t many(uint64_t n) {
        while (n-- > 0) {
            rw_enter(&l, RW_WRITER);
            uint64_t before = *(volatile uint64_t *)&shared;
            *(volatile uint64_t *)&shared = before + 1;
            rw_exit(&l);
            rw_enter(&l, RW_READER);
            rw_exit(&l);
        }
        return (shared);
    }";
const WRITER: u64 = 0;
const READER: u64 = 1;

fn keeping() -> Context {
    Context::thread().returning_locked()
}

#[test]
fn readers_share_and_writers_do_not() {
    let machine = Machine::new(RW);
    let call =
        |name: &str, args: &[u64]| machine.call_in(&keeping(), name, args).expect("no fault");
    call("init", &[]);
    assert_eq!(call("held", &[]), 0);
    call("enter", &[READER]);
    assert_eq!(call("held", &[]), 101);
    together::scope(|threads| {
        threads.spawn(|_| {
            assert_eq!(call("tryenter", &[WRITER]), 0);
            assert_eq!(call("tryenter", &[READER]), 1);
            call("exit", &[]);
        });
    });
    assert_eq!(call("upgrade", &[]), 1);
    assert_eq!(call("held", &[]), 110);
    together::scope(|threads| {
        threads.spawn(|_| assert_eq!(call("tryenter", &[READER]), 0));
    });
    call("downgrade", &[]);
    assert_eq!(call("held", &[]), 101);
    call("exit", &[]);
    call("destroy", &[]);
}

#[test]
fn contending_writers_take_turns() {
    let machine = Machine::new(RW);
    together::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|_| machine.call("many", &[2000]));
        }
    });
    assert_eq!(machine.call("many", &[0]), 8000);
}

#[test]
fn misuses_are_faults() {
    type Call = (&'static str, &'static [u64]);
    let cases: [(&[Call], &str); 7] = [
        (&[("enter", &[READER]), ("enter", &[READER])], "recursive"),
        (&[("exit", &[])], "not held by this thread"),
        (
            &[("enter", &[READER]), ("downgrade", &[])],
            "not written by this thread",
        ),
        (&[("upgrade", &[])], "not read by this thread"),
        (&[("enter", &[WRITER]), ("destroy", &[])], "rw_destroy"),
        (&[("destroy", &[])], "never initialised"),
        (
            &[("init", &[]), ("destroy", &[]), ("enter", &[READER])],
            "destroyed",
        ),
    ];
    for (calls, expected) in cases {
        let machine = Machine::new(RW);
        let (last, first) = calls.split_last().expect("a call");
        for (function, args) in first {
            machine
                .call_in(&keeping(), function, args)
                .expect("no fault yet");
        }
        let fault = machine.fault_in(&keeping(), last.0, last.1);
        assert!(fault.message.contains(expected), "{calls:?}: {fault}");
    }
}
