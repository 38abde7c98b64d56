// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who waits for work of his own module to end: for a callout, for tasks. He must
//! not hold what the work takes, whether or not it runs at that moment. And nobody
//! who sleeps holds what is taken where nothing may sleep.

use std::time::Duration;

use clinet_kernel::Context;

use crate::common::Machine;

const WAITS: &str = "
    extern void *timeout(void (*)(void *), void *, clock_t);
    extern clock_t untimeout(void *);
    extern void *taskq_create(const char *, int, int, int, int, uint32_t);
    extern uintptr_t taskq_dispatch(void *, void (*)(void *), void *, uint32_t);
    extern void taskq_wait(void *), taskq_destroy(void *);
    extern void *ddi_taskq_create(void *, const char *, int, int, uint32_t);
    extern void *thread_create(char *, size_t, void (*)(void *), void *, size_t, void *, int, int);
    extern clock_t cv_reltimedwait(kcondvar_t *, kmutex_t *, clock_t, int);
    extern void delay(clock_t);
    extern char p0[];
    static kmutex_t lock, other;
    static kcondvar_t cv;
    void hook(void) { mutex_enter(&lock); mutex_exit(&lock); }
    void hook_tries(void) { if (mutex_tryenter(&lock)) mutex_exit(&lock); }
    void allocates(void) { mutex_enter(&lock); kmem_free(kmem_alloc(8, KM_SLEEP), 8); mutex_exit(&lock); }
    void sleeps(void) { mutex_enter(&lock); delay(1); mutex_exit(&lock); }
    void waits_for_cv(void) { mutex_enter(&lock); (void) cv_reltimedwait(&cv, &lock, 1, 0); mutex_exit(&lock); }
    void waits_holding_both(void) {
        mutex_enter(&lock);
        mutex_enter(&other);
        (void) cv_reltimedwait(&cv, &other, 1, 0);
        mutex_exit(&other);
        mutex_exit(&lock);
    }
    static void *last, *queue;
    static void takes(void *arg) { mutex_enter(&lock); mutex_exit(&lock); }
    static void waits(void *arg) { taskq_wait(queue); }
    static void destroys(void *arg) { taskq_destroy(queue); }
    void later(clock_t n) { last = timeout(takes, NULL, n); }
    void cancel(void) { (void) untimeout(last); }
    void cancel_locked(void) { mutex_enter(&lock); cancel(); mutex_exit(&lock); }
    void cancel_other(void) { mutex_enter(&other); cancel(); mutex_exit(&other); }
    void cancel_none(void) { (void) untimeout(NULL); }
    void cancel_what_is_none(void) { (void) untimeout(&last); }
    void make(void) { queue = taskq_create(\"tasks\", 1, 60, 1, 4, 1); }
    void make_flags(uint32_t flags) { queue = taskq_create(\"tasks\", 1, 60, 1, 4, flags); }
    void make_priority(int p) { queue = taskq_create(\"tasks\", 1, p, 1, 4, 0); }
    void make_ddi(void *dip, int p) { queue = ddi_taskq_create(dip, \"tasks\", 1, p, 0); }
    void task(uint32_t flags) { (void) taskq_dispatch(queue, takes, NULL, flags); }
    void waiting_task(void) { (void) taskq_dispatch(queue, waits, NULL, 0); }
    void destroying_task(void) { (void) taskq_dispatch(queue, destroys, NULL, 0); }
    void wait(void) { taskq_wait(queue); }
    void wait_locked(void) { mutex_enter(&lock); taskq_wait(queue); mutex_exit(&lock); }
    void wait_other(void) { mutex_enter(&other); taskq_wait(queue); mutex_exit(&other); }
    void destroy(void) { taskq_destroy(queue); }
    void destroy_locked(void) { mutex_enter(&lock); taskq_destroy(queue); mutex_exit(&lock); }
    void thread(int state, int priority) {
        (void) thread_create(NULL, 0, takes, NULL, 0, p0, state, priority);
    }
    void thread_of_nobody(void) {
        (void) thread_create(NULL, 0, takes, NULL, 0, NULL, 2, 60);
    }";

#[test]
fn untimeout_waits_for_what_takes_the_lock() {
    let machine = Machine::new(WAITS);
    machine.call("later", &[1]);
    machine.kernel.advance(Duration::from_secs(1));
    for function in ["cancel", "cancel_other", "cancel_none"] {
        machine.call(function, &[]);
    }
    machine.call("later", &[100]);
    let message = machine.fault("cancel_locked", &[]);
    let expected = "the end of the callout test`takes";
    assert!(message.contains(expected), "{message}");
    assert!(message.contains("test`lock"), "{message}");
}

/// A hook would wait for the sleeper. The lock that a wait gives back is none.
#[test]
fn what_a_hook_takes_is_held_by_nobody_who_sleeps() {
    for hook in ["hook", "hook_tries"] {
        for sleeper in ["allocates", "sleeps", "waits_holding_both"] {
            let machine = Machine::new(WAITS);
            machine.call(sleeper, &[]);
            machine.call(hook, &[]);
            machine.call(sleeper, &[]);
            let in_hook = machine.call_in(&Context::no_sleep(), hook, &[]);
            in_hook.expect("no fault");
            machine.call("waits_for_cv", &[]);
            let message = machine.fault(sleeper, &[]);
            assert!(
                message.contains("taken where nothing may sleep"),
                "{message}"
            );
            assert!(message.contains("test`lock"), "{message}");
        }
    }
}

#[test]
fn untimeout_takes_what_timeout_gave() {
    let machine = Machine::new(WAITS);
    let message = machine.fault("cancel_what_is_none", &[]);
    assert!(message.contains("is no timeout"), "{message}");
}

#[test]
fn a_wait_for_tasks_is_one_for_what_they_take() {
    for function in ["wait_locked", "destroy_locked"] {
        let machine = Machine::new(WAITS);
        machine.call("make", &[]);
        machine.call("task", &[0]);
        machine.call("wait", &[]);
        machine.call("wait_other", &[]);
        let message = machine.fault(function, &[]);
        let expected = "the end of the tasks of tasks";
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_task_does_not_wait_for_its_own_queue() {
    for function in ["waiting_task", "destroying_task"] {
        let machine = Machine::new(WAITS);
        machine.call("make", &[]);
        machine.call(function, &[]);
        machine.kernel.settle();
        let fault = machine.kernel.fault().expect("a fault");
        assert!(fault.message.contains("by one of its tasks"), "{fault}");
    }
}

#[test]
fn what_is_not_emulated_is_a_fault() {
    let cases: [(&str, &[u64], &str); 8] = [
        ("make_flags", &[4], "only the flag TASKQ_PREPOPULATE"),
        ("make_priority", &[200], "taskq_create: 200 is no priority"),
        (
            "make_priority",
            &[-1_i64 as u64],
            "taskq_create: -1 is no priority",
        ),
        ("make_ddi", &[64, 60], "is no dev_info_t"),
        (
            "make_ddi",
            &[0, -2_i64 as u64],
            "ddi_taskq_create: -2 is no priority",
        ),
        ("thread", &[1, 60], "threads of p0 that run at once"),
        ("thread", &[2, 160], "thread_create: 160 is no priority"),
        ("thread_of_nobody", &[], "threads of p0 that run at once"),
    ];
    for (function, arguments, expected) in cases {
        let machine = Machine::new(WAITS);
        let message = machine.fault(function, arguments);
        assert!(message.contains(expected), "{message}");
    }
    let machine = Machine::new(WAITS);
    machine.call("make_ddi", &[0, -1_i64 as u64]);
    let message = machine.fault("task", &[2]);
    assert!(message.contains("only the flag TQ_NOSLEEP"), "{message}");
}
