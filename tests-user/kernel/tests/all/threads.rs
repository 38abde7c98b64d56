// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Condition variables, time, timeouts, task queues and threads.

use std::time::Duration;

use crate::common::Machine;
use clinet_kernel::{Context, Leak, ModunloadError};

const THREADS: &str = "
    extern void cv_init(kcondvar_t *, char *, int, void *);
    extern void cv_destroy(kcondvar_t *);
    extern void cv_wait(kcondvar_t *, kmutex_t *);
    extern clock_t cv_timedwait(kcondvar_t *, kmutex_t *, clock_t);
    extern clock_t cv_reltimedwait(kcondvar_t *, kmutex_t *, clock_t, int);
    extern void cv_signal(kcondvar_t *), cv_broadcast(kcondvar_t *);
    extern clock_t ddi_get_lbolt(void), drv_usectohz(clock_t);
    extern long ddi_get_lbolt64(void), gethrtime(void), gethrestime_sec(void);
    extern void delay(clock_t);
    extern void *timeout(void (*)(void *), void *, clock_t);
    extern clock_t untimeout(void *);
    extern void *realtime_timeout(void (*)(void *), void *, clock_t);
    extern void gethrestime(long *);
    extern int servicing_interrupt(void);
    extern void *taskq_create(const char *, int, short, int, int, uint32_t);
    extern uintptr_t taskq_dispatch(void *, void (*)(void *), void *, uint32_t);
    extern void taskq_wait(void *), taskq_destroy(void *);
    extern void *thread_create(char *, size_t, void (*)(void *), void *, size_t,
        void *, int, short);
    extern void thread_exit(void) __attribute__((noreturn));
    extern char p0[];
    extern short minclsyspri;

    static kmutex_t lock;
    static kcondvar_t cv;
    static uint64_t stop, rounds, fired, in_interrupt, done, sum;
    static void *queue;

    uint64_t get_rounds(void) { return (rounds); }
    uint64_t get_fired(void) { return (fired + 1000 * in_interrupt); }
    uint64_t get_done(void) { return (done); }
    uint64_t get_sum(void) { return (sum); }
    clock_t lbolt(void) { return (ddi_get_lbolt()); }
    long hrtime(void) { return (gethrtime() - ddi_get_lbolt64() * 10000000); }
    long seconds(void) { return (gethrestime_sec()); }
    clock_t ticks(clock_t usec) { return (drv_usectohz(usec)); }
    void pause(clock_t n) { delay(n); }
    int interrupted(void) { return (servicing_interrupt()); }

    static void worker(void *arg) {
        mutex_enter(&lock);
        while (!stop) {
            rounds += (uint64_t)arg;
            (void) cv_reltimedwait(&cv, &lock, 100, 0);
        }
        done = 1;
        cv_broadcast(&cv);
        mutex_exit(&lock);
        thread_exit();
    }
    void start(void) {
        (void) thread_create(NULL, 0, worker, (void *)2, 0, p0, 2, minclsyspri);
    }
    void finish(void) {
        mutex_enter(&lock);
        stop = 1;
        cv_broadcast(&cv);
        while (!done) cv_wait(&cv, &lock);
        mutex_exit(&lock);
    }
    clock_t waits(clock_t n) {
        mutex_enter(&lock);
        clock_t left = cv_timedwait(&cv, &lock, ddi_get_lbolt() + n);
        mutex_exit(&lock);
        return (left);
    }
    void waits_unlocked(void) { cv_wait(&cv, &lock); }
    void exits(void) { thread_exit(); }

    static void fire(void *arg) {
        fired += (uint64_t)arg;
        in_interrupt = servicing_interrupt();
    }
    static void *last;
    void later(clock_t n) { last = timeout(fire, (void *)3, n); }
    clock_t cancel(void) { return (untimeout(last)); }
    void soon(clock_t n) { last = realtime_timeout(fire, (void *)3, n); }
    static void canceller(void *arg) { (void) untimeout(last); }
    void cancel_in_interrupt(void) {
        last = timeout(fire, (void *)3, 100);
        (void) realtime_timeout(canceller, NULL, 1);
    }
    long wall(long part) {
        long now[2];
        gethrestime(now);
        return (now[part]);
    }
    static void sleeper(void *arg) { (void) kmem_alloc(8, KM_SLEEP); }
    void bad_timeout(void) { (void) timeout(sleeper, NULL, 1); }

    static void task(void *arg) {
        delay(5);
        mutex_enter(&lock);
        sum += (uint64_t)arg;
        mutex_exit(&lock);
    }
    static void sleeping_owner(void *arg) {
        mutex_enter(&lock);
        rounds = 1;
        delay(50);
        mutex_exit(&lock);
        thread_exit();
    }
    void start_owner(void) {
        (void) thread_create(NULL, 0, sleeping_owner, NULL, 0, p0, 2, minclsyspri);
        while (__atomic_load_n(&rounds, __ATOMIC_SEQ_CST) == 0) delay(1);
    }
    void sleep_as_owner(void) {
        mutex_enter(&lock);
        (void) thread_create(NULL, 0, sleeping_owner, NULL, 0, p0, 2, minclsyspri);
        delay(50);
        mutex_exit(&lock);
    }
    void enter_and_exit(void) {
        mutex_enter(&lock);
        mutex_exit(&lock);
    }
    void make_queue(void) { queue = taskq_create(\"test_queue\", 2, minclsyspri, 1, 4, 0); }
    int dispatch(uint64_t n, uint32_t flags) {
        return (taskq_dispatch(queue, task, (void *)n, flags) != 0);
    }
    void wait_queue(void) { taskq_wait(queue); }
    void drop_queue(void) { taskq_destroy(queue); }";

#[test]
fn the_clock_moves_when_told() {
    let machine = Machine::new(THREADS);
    let (before, second) = (machine.call("lbolt", &[]), machine.call("seconds", &[]));
    assert_eq!(machine.call("lbolt", &[]), before);
    machine.kernel.advance(Duration::from_millis(2500));
    assert_eq!(machine.call("lbolt", &[]), before + 250);
    assert_eq!(machine.call("seconds", &[]), second + 2);
    assert_eq!(machine.call("hrtime", &[]), 0);
    assert_eq!(machine.call("ticks", &[10_001]), 2);
    machine.call("pause", &[7]);
    assert_eq!(machine.call("lbolt", &[]), before + 257);
}

#[test]
fn a_thread_of_a_module_runs_once_for_each_second() {
    let machine = Machine::new(THREADS);
    machine.call("start", &[]);
    machine.kernel.settle();
    assert_eq!(machine.call("get_rounds", &[]), 2);
    machine.kernel.advance(Duration::from_millis(999));
    assert_eq!(machine.call("get_rounds", &[]), 2);
    machine.kernel.advance(Duration::from_secs(10));
    assert_eq!(machine.call("get_rounds", &[]), 22);
    machine.call("finish", &[]);
    // What thread_join waits for: its text must not go before it has left it.
    machine.kernel.settle();
    machine
        .kernel
        .unload(&machine.module)
        .expect("nothing is left");
}

#[test]
fn a_thread_that_still_runs_is_reported_and_its_text_stays() {
    let machine = Machine::new(THREADS);
    machine.call("start", &[]);
    let error = machine
        .kernel
        .unload(&machine.module)
        .expect_err("a thread");
    let ModunloadError::Leaks { leaks, .. } = &error else {
        panic!("{error}");
    };
    assert!(leaks.0.contains(&Leak::Inside(1)), "{error}");
    assert!(
        leaks.0.contains(&Leak::Thread {
            function: "test`worker".to_owned()
        }),
        "{error}"
    );
    // Its next round is in the text.
    machine.kernel.advance(Duration::from_secs(3));
}

/// Time passes when everybody waits, for a mutex too.
#[test]
fn the_owner_of_a_mutex_may_sleep_while_others_wait_for_it() {
    let machine = Machine::new(THREADS);
    machine.call("start_owner", &[]);
    machine.call("enter_and_exit", &[]);
    machine.call("sleep_as_owner", &[]);
    machine.kernel.advance(Duration::from_secs(1));
    machine.kernel.settle();
}

#[test]
fn a_timed_wait_ends_at_its_time() {
    let machine = Machine::new(THREADS);
    let before = machine.call("lbolt", &[]);
    assert_eq!(machine.call("waits", &[30]) as i64, -1);
    assert_eq!(machine.call("lbolt", &[]), before + 30);
    assert_eq!(machine.call("waits", &[0]) as i64, -1);
}

/// Somebody keeps the clock: who sleeps waits for it.
#[test]
fn a_kept_clock_is_not_moved_by_who_sleeps() {
    let machine = Machine::new(THREADS);
    machine.kernel.keep_time();
    let before = machine.call("lbolt", &[]);
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| machine.call("pause", &[7]));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(machine.call("lbolt", &[]), before);
        while !sleeper.is_finished() {
            machine.kernel.advance(Duration::from_millis(10));
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(machine.call("lbolt", &[]) >= before + 7);
}

#[test]
fn timeouts_fire_in_time_as_interrupts() {
    let machine = Machine::new(THREADS);
    machine.call("later", &[10]);
    machine.kernel.advance(Duration::from_millis(99));
    assert_eq!(machine.call("get_fired", &[]), 0);
    machine.kernel.advance(Duration::from_millis(1));
    assert_eq!(machine.call("get_fired", &[]), 1003);
    assert_eq!(machine.call("cancel", &[]) as i64, -1);
    machine.call("later", &[10]);
    assert_eq!(machine.call("cancel", &[]), 10);
    machine.kernel.advance(Duration::from_secs(1));
    assert_eq!(machine.call("get_fired", &[]), 1003);
    machine.call("later", &[10]);
    let error = machine
        .kernel
        .unload(&machine.module)
        .expect_err("a timeout");
    assert!(
        error.to_string().contains("timeout of test`fire"),
        "{error}"
    );
}

#[test]
fn a_fault_in_a_timeout_comes_out_of_advance() {
    let machine = Machine::new(THREADS);
    machine.call("bad_timeout", &[]);
    let advance = std::panic::AssertUnwindSafe(|| machine.kernel.advance(Duration::from_secs(1)));
    assert!(std::panic::catch_unwind(advance).is_err());
    let fault = machine.kernel.fault().expect("a fault");
    assert!(fault.message.contains("KM_SLEEP"), "{fault}");
    assert!(fault.trace[0].contains("test`sleeper"), "{fault}");
}

#[test]
fn task_queues_run_every_task() {
    let machine = Machine::new(THREADS);
    machine.call("make_queue", &[]);
    for n in 1..=10 {
        assert_eq!(machine.call("dispatch", &[n, 0]), 1);
    }
    machine.call("wait_queue", &[]);
    assert_eq!(machine.call("get_sum", &[]), 55);
    machine.kernel.fail_nth_allocation(1);
    let interrupt = Context::interrupt();
    let dispatch = |n| {
        machine
            .call_in(&interrupt, "dispatch", &[n, 1])
            .expect("no fault")
    };
    assert_eq!((dispatch(100), dispatch(100)), (0, 1));
    machine.call("drop_queue", &[]);
    assert_eq!(machine.call("get_sum", &[]), 155);
    machine.call("make_queue", &[]);
    let error = machine.kernel.unload(&machine.module).expect_err("a queue");
    assert!(
        error.to_string().contains("task queue test_queue"),
        "{error}"
    );
}

#[test]
fn what_sleeps_faults_where_nothing_may() {
    let cases: [(&str, &[u64], &str); 6] = [
        ("pause", &[1], "delay"),
        ("waits", &[1], "cv_timedwait"),
        ("start", &[], "thread_create"),
        ("make_queue", &[], "taskq_create"),
        ("waits_unlocked", &[], "cv_wait"),
        ("dispatch", &[1, 0], "taskq_dispatch"),
    ];
    for (function, args, expected) in cases {
        let machine = Machine::new(THREADS);
        if function == "dispatch" {
            machine.call("make_queue", &[]);
        }
        let fault = machine.fault_in(&Context::interrupt(), function, args);
        assert!(fault.message.starts_with(expected), "{fault}");
        assert!(fault.message.contains("interrupt thread"), "{fault}");
    }
}

#[test]
fn misuses_are_faults() {
    let cases = [
        ("waits_unlocked", "is not held by this thread"),
        ("exits", "thread_create did not make"),
        ("wait_queue", "is no task queue"),
    ];
    for (function, expected) in cases {
        let machine = Machine::new(THREADS);
        let message = machine.fault(function, &[]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_context_says_whether_it_is_an_interrupt() {
    let machine = Machine::new(THREADS);
    assert_eq!(machine.call("interrupted", &[]), 0);
    let interrupt = machine.call_in(&Context::interrupt(), "interrupted", &[]);
    assert_eq!(interrupt.expect("no fault"), 1);
}

#[test]
fn the_time_of_day_jumps_when_told_and_the_time_since_boot_does_not() {
    let machine = Machine::new(THREADS);
    let wall = || machine.call("wall", &[0]) as i64;
    let (before, ticks) = (wall(), machine.call("lbolt", &[]));
    assert_eq!(machine.call("seconds", &[]) as i64, before);
    machine.kernel.jump(2_500_000_000);
    assert_eq!(wall(), before + 2);
    assert_eq!(machine.call("wall", &[1]), 500_000_000);
    machine.kernel.jump(-3_500_000_000);
    assert_eq!(wall(), before - 1);
    assert_eq!(machine.call("lbolt", &[]), ticks);
    machine.kernel.advance(Duration::from_secs(3));
    assert_eq!(wall(), before + 2);
}

#[test]
fn a_callout_comes_in_an_interrupt_and_is_taken_back_in_a_thread() {
    let machine = Machine::new(THREADS);
    machine.call("soon", &[3]);
    machine.kernel.advance(Duration::from_millis(29));
    assert_eq!(machine.call("get_fired", &[]), 0);
    machine.kernel.advance(Duration::from_millis(1));
    assert_eq!(machine.call("get_fired", &[]), 1003);
    assert_eq!(machine.call("cancel", &[]) as i64, -1);
    machine.call("soon", &[3]);
    assert_eq!(machine.call("cancel", &[]), 3);
    machine.kernel.advance(Duration::from_secs(1));
    assert_eq!(machine.call("get_fired", &[]), 1003);
    machine.call("cancel_in_interrupt", &[]);
    let late = std::panic::AssertUnwindSafe(|| machine.kernel.advance(Duration::from_secs(1)));
    std::panic::catch_unwind(late).expect_err("untimeout may wait");
    let fault = machine.kernel.fault().expect("the machine halted");
    assert!(fault.message.contains("untimeout may sleep"), "{fault}");
}

/// What a machine that is too busy does; callouts come all the same.
#[test]
fn threads_that_are_held_do_not_go_on_until_they_are_let() {
    let machine = Machine::new(THREADS);
    machine.call("start", &[]);
    machine.kernel.settle();
    let before = machine.call("get_rounds", &[]);
    machine.kernel.hold_threads(true);
    machine.call("soon", &[3]);
    machine.kernel.advance(Duration::from_secs(5));
    assert_eq!(machine.call("get_rounds", &[]), before);
    assert_eq!(machine.call("get_fired", &[]), 1003);
    machine.kernel.hold_threads(false);
    machine.kernel.advance(Duration::from_millis(1));
    assert!(machine.call("get_rounds", &[]) > before);
    machine.call("finish", &[]);
}
