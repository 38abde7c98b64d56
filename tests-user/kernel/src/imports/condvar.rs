// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `cv_*`: condition variables in the two bytes of a `kcondvar_t`, known by
//! their addresses. All-zero memory is one without waiters.

use super::clock::{at_tick, in_ticks};
use super::{imports, mutex};
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::fault;
use crate::memory;
use crate::sched::Wake;
use crate::user;

/// Waits for `cv` with `lock` given back meanwhile; `what` names the import. The
/// wait can be interrupted if there is a `file` through which a program came.
fn wait(what: &str, cv: u64, lock: u64, deadline: Option<u64>, file: Option<u64>) -> Wake {
    must_be_able_to_sleep(what);
    must_be_condvar(what, cv);
    let machine = here().machine;
    if !mutex::is_owned(lock) {
        fault!(
            "{what}: {} is not held by this thread",
            machine.locks.name(machine, lock)
        );
    }
    let wake = machine
        .sched
        .block(machine, Some(cv), deadline, file, || mutex::exit(lock));
    mutex::enter(lock);
    wake
}

fn must_be_condvar(what: &str, cv: u64) {
    if cv == 0 || !cv.is_multiple_of(2) || memory::read::<u16>(cv) != 0 {
        fault!("{what}: {cv:#x} is no condition variable");
    }
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
        must_be_able_to_sleep(what);
        return -1;
    }
    ticks_left(wait(what, cv, lock, Some(deadline), None), deadline)
}

imports! {
    fn cv_init(cv: u64, _name: u64, kind: i32, _argument: u64) {
        if !(0..=1).contains(&kind) {
            fault!("cv_init: type {kind} is neither CV_DEFAULT nor CV_DRIVER");
        }
        memory::write(cv, 0u16);
    }

    fn cv_destroy(cv: u64) {
        must_be_condvar("cv_destroy", cv);
        if here().machine.sched.is_awaited(cv) {
            fault!("cv_destroy: threads wait for {cv:#x}");
        }
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
        must_be_condvar("cv_signal", cv);
        here().machine.sched.signal(cv, false);
    }

    fn cv_broadcast(cv: u64) {
        must_be_condvar("cv_broadcast", cv);
        here().machine.sched.signal(cv, true);
    }
}
