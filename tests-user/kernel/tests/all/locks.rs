// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Mutexes and reader/writer locks: what works, and every misuse.

use crate::common::Machine;
use clinet_kernel::{Context, ModunloadError, together};

const MUTEXES: &str = "
    static kmutex_t a, b;
    static uint64_t shared;
    static struct { char byte; char lock[16]; } odd;
    void init(void) { mutex_init(&a, NULL, MUTEX_DEFAULT, NULL); }
    void spin_cookie(void) { mutex_init(&a, NULL, MUTEX_DEFAULT, (void *)11); }
    void destroy(void) { mutex_destroy(&a); }
    void enter(void) { mutex_enter(&a); }
    void exit(void) { mutex_exit(&a); }
    int tryenter(void) { return (mutex_tryenter(&a)); }
    int owned(void) { return (mutex_owned(&a)); }
    uint64_t owner(void) { return ((uint64_t)mutex_owner(&a)); }
    void twice(void) { mutex_enter(&a); mutex_enter(&a); }
    void ab(void) { mutex_enter(&a); mutex_enter(&b); mutex_exit(&b); mutex_exit(&a); }
    void ba(void) { mutex_enter(&b); mutex_enter(&a); mutex_exit(&a); mutex_exit(&b); }
    void unaligned(void) { mutex_enter((void *)&odd.lock[1]); }
    void null(void) { mutex_enter(NULL); }
    void in_freed(void) {
        kmutex_t *m = kmem_zalloc(sizeof (*m), KM_SLEEP);
        kmem_free(m, sizeof (*m));
        mutex_enter(m);
    }
    void in_uninitialised(void) {
        kmutex_t *m = kmem_alloc(sizeof (*m), KM_SLEEP);
        mutex_enter(m);
    }
    void freed_live(void) {
        kmutex_t *m = kmem_alloc(64, KM_SLEEP);
        mutex_init(m, NULL, MUTEX_DEFAULT, NULL);
        kmem_free(m, 64);
    }
    uint64_t many(uint64_t n) {
        while (n-- > 0) {
            mutex_enter(&a);
            uint64_t before = *(volatile uint64_t *)&shared;
            *(volatile uint64_t *)&shared = before + 1;
            mutex_exit(&a);
        }
        return (shared);
    }";

#[test]
fn a_mutex_is_owned_by_one_thread() {
    let machine = Machine::new(MUTEXES);
    let keeping = Context::thread().returning_locked();
    let call = |name| machine.call_in(&keeping, name, &[]).expect("no fault");
    call("init");
    assert_eq!((call("owned"), call("owner")), (0, 0));
    assert_eq!(call("tryenter"), 1);
    assert_eq!(call("tryenter"), 0);
    assert_eq!(call("owned"), 1);
    assert_ne!(call("owner"), 0);
    together::scope(|threads| {
        let other = threads.spawn(|_| (machine.call("owned", &[]), machine.call("tryenter", &[])));
        assert_eq!(other.join().expect("no panic"), (0, 0));
    });
    call("exit");
    assert_eq!((call("owned"), call("owner")), (0, 0));
    call("destroy");
}

#[test]
fn contending_threads_take_turns() {
    let machine = Machine::new(MUTEXES);
    together::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|_| machine.call("many", &[20_000]));
        }
    });
    assert_eq!(machine.call("many", &[0]), 80_000);
}

#[test]
fn misuses_of_a_mutex_are_faults() {
    let cases: [(&[&str], &str); 14] = [
        (&["twice"], "recursive"),
        (&["exit"], "mutex_exit: test`a"),
        (&["init", "init"], "initialised again"),
        (&["spin_cookie"], "no adaptive mutex"),
        (&["destroy"], "was never initialised"),
        (&["init", "destroy", "enter"], "destroyed"),
        (&["init", "destroy", "destroy"], "destroyed"),
        (&["enter", "destroy"], "mutex_destroy"),
        (&["ab", "ba"], "lock order: test`a"),
        (&["unaligned"], "no address of an aligned"),
        (&["null"], "no address of an aligned"),
        (&["in_freed"], "in freed memory"),
        (&["in_uninitialised"], "never initialised"),
        (&["freed_live"], "hold a mutex at"),
    ];
    for (functions, expected) in cases {
        let machine = Machine::new(MUTEXES);
        let keeping = Context::thread().returning_locked();
        let (last, first) = functions.split_last().expect("a function");
        for function in first {
            machine
                .call_in(&keeping, function, &[])
                .expect("no fault yet");
        }
        let fault = machine.fault_in(&keeping, last, &[]);
        assert!(fault.message.contains(expected), "{functions:?}: {fault}");
        assert!(fault.trace[0].contains(last), "{functions:?}: {fault}");
    }
}

#[test]
fn only_the_owner_may_exit() {
    let machine = Machine::new(MUTEXES);
    let keeping = Context::thread().returning_locked();
    machine.call_in(&keeping, "enter", &[]).expect("no fault");
    let message = together::scope(|threads| {
        let other = threads.spawn(|_| machine.fault("exit", &[]));
        other.join().expect("the thread only reports")
    });
    assert!(message.contains("held by another thread"), "{message}");
}

#[test]
fn returning_with_a_mutex_held_is_a_fault() {
    let machine = Machine::new(MUTEXES);
    let message = machine.fault("enter", &[]);
    assert!(
        message.contains("test`enter returned with test`a"),
        "{message}"
    );
}

#[test]
fn a_fault_frees_the_threads_that_wait() {
    let machine = Machine::new(MUTEXES);
    let keeping = Context::thread().returning_locked();
    machine.call_in(&keeping, "enter", &[]).expect("no fault");
    together::scope(|threads| {
        let waiter = threads.spawn(|_| machine.fault("enter", &[]));
        machine.fault("twice", &[]);
        let message = waiter.join().expect("the thread only reports");
        assert!(message.contains("recursive"), "{message}");
    });
}

#[test]
fn locks_of_modules_are_inside_those_of_the_caller() {
    let machine = Machine::new(MUTEXES);
    // A lock that is never taken inside of one of ip's may be outside.
    let keeping = Context::thread().returning_locked();
    machine.call_in(&keeping, "enter", &[]).expect("no fault");
    machine.kernel.taking("connf_lock");
    machine.call("exit", &[]);
    let in_bucket = Context::thread().holding("uf_lock");
    machine.call_in(&in_bucket, "ab", &[]).expect("no fault");
    let keeping = Context::thread().returning_locked();
    machine.call_in(&keeping, "enter", &[]).expect("no fault");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        machine.kernel.taking("uf_lock");
    }));
    let text = result
        .expect_err("a fault")
        .downcast::<String>()
        .expect("a message");
    assert!(text.contains("uf_lock is taken while test`a"), "{text}");
}

#[test]
fn a_live_mutex_is_reported_at_unload() {
    let machine = Machine::new(MUTEXES);
    machine.call("init", &[]);
    let error = machine.kernel.unload(&machine.module).expect_err("a leak");
    let ModunloadError::Leaks { leaks, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(leaks.0.len(), 1, "{error}");
    assert!(error.to_string().contains("mutex test`a"), "{error}");
}
