// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `cv_*`: condition variables in the two bytes of a `kcondvar_t`, known by
//! their addresses. All-zero memory is one without waiters, and stays one that
//! must not be initialised once it was used: whoever waits then would be lost.

use std::sync::atomic::{AtomicU16, Ordering};

use super::clock::{at_tick, in_ticks};
use super::{imports, mutex};
use crate::context::{here, must_be_able_to_wait};
use crate::fault::fault;
use crate::memory::{self, touching};
use crate::sched::Wake;
use crate::stack;
use crate::user;

/// What the two bytes say, if not 0.
const INITIALISED: u16 = 8;
/// Used before that.
const EARLY: u16 = 16;
const DESTROYED: u16 = 6;

/// Waits for `cv` with `lock` given back meanwhile; `what` names the import. The
/// wait can be interrupted if there is a `file` through which a program came.
fn wait(what: &str, cv: u64, lock: u64, deadline: Option<u64>, file: Option<u64>) -> Wake {
    let machine = here().machine;
    check_wait(what, cv, lock);
    let wake = machine
        .sched
        .block(machine, Some(cv), deadline, file, || mutex::exit(lock));
    mutex::enter(lock);
    wake
}

/// Faults unless this thread may wait for `cv` with `lock` held.
fn check_wait(what: &str, cv: u64, lock: u64) {
    must_be_able_to_wait(what, lock);
    use_condvar(what, cv);
    if !mutex::is_owned(lock) {
        let machine = here().machine;
        let name = machine.locks.name(machine, lock);
        fault!("{what}: {name} is not held by this thread");
    }
}

/// The word of a condition variable, which must be one.
fn condvar<'a>(what: &str, cv: u64) -> &'a AtomicU16 {
    if cv == 0 || !cv.is_multiple_of(2) {
        fault!("{what}: {cv:#x} is no condition variable");
    }
    let word: &AtomicU16 = memory::atomic(cv);
    match touching(|| word.load(Ordering::Relaxed)) {
        0 | INITIALISED | EARLY => word,
        DESTROYED => fault!("{what}: {} is destroyed", name(cv)),
        _ => fault!("{what}: {cv:#x} is no condition variable"),
    }
}

/// The same, and notes that it is used.
fn use_condvar(what: &str, cv: u64) {
    let word = condvar(what, cv);
    // The other values stay.
    let _ = touching(|| word.compare_exchange(0, EARLY, Ordering::Relaxed, Ordering::Relaxed));
}

fn name(cv: u64) -> String {
    let variable = here().machine.variable_at(cv);
    variable.unwrap_or_else(|| format!("{cv:#x}"))
}

/// What a timed wait returns: the ticks left, at least 1, or -1.
fn ticks_left(wake: Wake, deadline: u64) -> i64 {
    match wake {
        Wake::TimedOut => -1,
        Wake::Signalled | Wake::Interrupted => {
            let left = deadline.saturating_sub(here().machine.clock.now());
            (left / at_tick(1)).max(1) as i64
        }
    }
}

fn timed_wait(what: &str, cv: u64, lock: u64, deadline: u64) -> i64 {
    if deadline <= here().machine.clock.now() {
        check_wait(what, cv, lock);
        return -1;
    }
    ticks_left(wait(what, cv, lock, Some(deadline), None), deadline)
}

imports! {
    fn cv_init(cv: u64, _name: u64, kind: i32, _argument: u64) {
        if !(0..=1).contains(&kind) {
            fault!("cv_init: type {kind} is neither CV_DEFAULT nor CV_DRIVER");
        }
        if here().machine.sched.is_awaited(&(cv..cv + 1)) {
            fault!("cv_init: threads wait for {}", name(cv));
        }
        let word: &AtomicU16 = memory::atomic(cv);
        let before = touching(|| word.swap(INITIALISED, Ordering::Relaxed));
        // What is on a stack may have been something else before.
        if before == EARLY && !stack::contains(cv) {
            fault!("cv_init: {} was used before it is initialised", name(cv));
        }
    }

    fn cv_destroy(cv: u64) {
        let word = condvar("cv_destroy", cv);
        if here().machine.sched.is_awaited(&(cv..cv + 1)) {
            fault!("cv_destroy: threads wait for {}", name(cv));
        }
        touching(|| word.store(DESTROYED, Ordering::Relaxed));
    }

    fn cv_wait(cv: u64, lock: u64) {
        wait("cv_wait", cv, lock, None, None);
    }

    fn cv_wait_sig(cv: u64, lock: u64) -> i32 {
        let file = user::caller().map(|caller| caller.file);
        let wake = wait("cv_wait_sig", cv, lock, None, file);
        i32::from(wake != Wake::Interrupted)
    }

    fn cv_timedwait(cv: u64, lock: u64, lbolt: i64) -> i64 {
        timed_wait("cv_timedwait", cv, lock, at_tick(lbolt))
    }

    fn cv_reltimedwait(cv: u64, lock: u64, ticks: i64, _resolution: i32) -> i64 {
        timed_wait("cv_reltimedwait", cv, lock, in_ticks(ticks))
    }

    fn cv_signal(cv: u64) {
        use_condvar("cv_signal", cv);
        here().machine.sched.signal(cv, false);
    }

    fn cv_broadcast(cv: u64) {
        use_condvar("cv_broadcast", cv);
        here().machine.sched.signal(cv, true);
    }
}
