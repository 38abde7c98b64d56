// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Mutexes and condition variables that are used before they are initialised, and
//! after they are destroyed.

use clinet_kernel::{Context, together};

use crate::common::Machine;

const EARLY: &str = "
    extern void cv_init(kcondvar_t *, char *, int, void *);
    extern void cv_destroy(kcondvar_t *);
    extern void cv_wait(kcondvar_t *, kmutex_t *);
    extern clock_t cv_timedwait(kcondvar_t *, kmutex_t *, clock_t);
    extern void cv_signal(kcondvar_t *), cv_broadcast(kcondvar_t *);
    static kmutex_t lock;
    static kcondvar_t cv;
    void init_lock(void) { mutex_init(&lock, NULL, MUTEX_DEFAULT, NULL); }
    void destroy_lock(void) { mutex_destroy(&lock); }
    void use_lock(void) { mutex_enter(&lock); mutex_exit(&lock); }
    void try_lock(void) { if (mutex_tryenter(&lock)) mutex_exit(&lock); }
    void enter(void) { mutex_enter(&lock); }
    void leave(void) { mutex_exit(&lock); }
    void init_cv(void) { cv_init(&cv, NULL, 0, NULL); }
    void destroy_cv(void) { cv_destroy(&cv); }
    void signal(void) { cv_signal(&cv); }
    void broadcast(void) { cv_broadcast(&cv); }
    void waits(void) { mutex_enter(&lock); cv_wait(&cv, &lock); mutex_exit(&lock); }
    clock_t late(void) { return (cv_timedwait(&cv, &lock, 0)); }
    void on_the_stack(int early) {
        kmutex_t mine = { NULL };
        kcondvar_t mine_too = { 0 };
        if (early) {
            mutex_enter(&mine);
            mutex_exit(&mine);
            cv_signal(&mine_too);
        }
        mutex_init(&mine, NULL, MUTEX_DEFAULT, NULL);
        cv_init(&mine_too, NULL, 0, NULL);
        cv_destroy(&mine_too);
        mutex_destroy(&mine);
    }";

fn calls(machine: &Machine, functions: &[&str]) {
    for function in functions {
        machine.call(function, &[]);
    }
}

#[test]
fn each_is_used_between_its_init_and_its_destroy() {
    let machine = Machine::new(EARLY);
    for _ in 0..3 {
        calls(
            &machine,
            &["init_lock", "use_lock", "try_lock", "destroy_lock"],
        );
        calls(&machine, &["init_cv", "signal", "broadcast", "destroy_cv"]);
    }
    // What a stack held before is not known.
    machine.call("on_the_stack", &[1]);
    machine.call("on_the_stack", &[0]);
    machine
        .kernel
        .unload(&machine.module)
        .expect("nothing is left");
}

/// Zeros are a free mutex and a condition variable; but who has one while it is
/// initialised loses it.
#[test]
fn what_was_used_is_not_initialised() {
    let cases: [(&[&str], &str, &str); 6] = [
        (&["use_lock"], "init_lock", "was taken before"),
        (&["try_lock"], "init_lock", "was taken before"),
        (&["use_lock"], "destroy_lock", "was never initialised"),
        (&["init_lock"], "init_lock", "is initialised again"),
        (&["signal"], "init_cv", "was used before"),
        (&["broadcast"], "init_cv", "was used before"),
    ];
    for (before, function, expected) in cases {
        let machine = Machine::new(EARLY);
        calls(&machine, before);
        let message = machine.fault(function, &[]);
        assert!(message.contains(expected), "{function}: {message}");
    }
}

#[test]
fn what_was_destroyed_is_not_used() {
    let cases = ["signal", "broadcast", "waits", "destroy_cv"];
    for function in cases {
        let machine = Machine::new(EARLY);
        calls(&machine, &["init_cv", "destroy_cv"]);
        let message = machine.fault(function, &[]);
        assert!(message.contains("test`cv is destroyed"), "{message}");
    }
    for function in ["use_lock", "try_lock", "destroy_lock"] {
        let machine = Machine::new(EARLY);
        calls(&machine, &["init_lock", "destroy_lock"]);
        let message = machine.fault(function, &[]);
        assert!(message.contains("is destroyed"), "{message}");
    }
}

#[test]
fn a_condition_variable_is_not_initialised_while_somebody_waits() {
    let machine = Machine::new(EARLY);
    calls(&machine, &["init_lock", "init_cv"]);
    together::scope(|threads| {
        let waits = threads.spawn(|_| machine.fault("waits", &[]));
        // It waits once the lock is to be had and somebody is there to be lost.
        let faulted = loop {
            let before = machine.call_in(&Context::thread(), "use_lock", &[]);
            let init = before.and_then(|_| machine.call_in(&Context::thread(), "init_cv", &[]));
            if let Err(fault) = init {
                break fault;
            }
            std::thread::yield_now();
        };
        assert!(
            faulted.message.contains("threads wait for test`cv"),
            "{faulted}"
        );
        waits.join().expect("it reports the fault");
    });
}

#[test]
fn a_wait_that_is_over_at_once_needs_its_mutex_too() {
    let machine = Machine::new(EARLY);
    let message = machine.fault("late", &[]);
    assert!(message.contains("is not held by this thread"), "{message}");
}

/// Whoever waits keeps the lock marked, and how it began.
#[test]
fn a_mutex_that_is_fought_for_stays_initialised() {
    let machine = Machine::new(EARLY);
    machine.call("init_lock", &[]);
    together::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|_| {
                for _ in 0..200 {
                    let keeping = Context::thread().returning_locked();
                    machine.call_in(&keeping, "enter", &[]).expect("no fault");
                    machine.call("leave", &[]);
                }
            });
        }
    });
    machine.call("destroy_lock", &[]);
    machine.call("init_lock", &[]);
}
