// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module's thread does, once a second and when it is woken.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::time::Duration;

use crate::kernel::errno::Errno;
use crate::kernel::task::Task;
use crate::kernel::{log, sys, time};
use crate::settings::{self, Mode, Settings};
use crate::{attach, builtin, events, watch};

/// The thread.
pub static TASK: Task = Task::new(work);

/// How soon readers of events are told of those that came after the last ones.
const EVENTS_PAUSE: Duration = Duration::from_millis(10);

/// The registry needs memory before the second is over.
static SHORT: AtomicBool = AtomicBool::new(false);

/// When the registry was maintained last, in seconds since boot.
static MAINTAINED: AtomicU32 = AtomicU32::new(u32::MAX);

/// The module is loaded: attaching is allowed.
static OPEN: AtomicBool = AtomicBool::new(false);

/// A tunable of the C half that may be written while the module runs.
macro_rules! tunable {
    ($name:ident) => {
        // SAFETY: four aligned bytes that are always there. An administrator
        // writes them whole, and all of Rust goes through the atomic.
        unsafe { AtomicU32::from_ptr(&raw mut sys::$name) }
    };
}

/// What `clinet_detach` was when it was looked at last: only a change counts, so that
/// a C call and the tunable do not undo each other.
static DETACH: AtomicU32 = AtomicU32::new(0);

/// Puts the value that is in force back into a tunable, unless it was written again
/// meanwhile, and warns.
fn put_back(tunable: &AtomicU32, [from, to]: [u32; 2], warning: &CStr) {
    log::warn(warning);
    let _ = tunable.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
}

/// Puts back what was out of range at load.
pub fn init(settings: &Settings) {
    tunable!(clinet_mode).store(settings.mode as u32, Ordering::Relaxed);
    tunable!(clinet_detach).store(settings.detach.into(), Ordering::Relaxed);
    DETACH.store(settings.detach.into(), Ordering::Relaxed);
}

/// From now on the tunables that may change are looked at.
pub fn open() {
    OPEN.store(true, Ordering::Release);
}

fn work() -> Duration {
    if OPEN.load(Ordering::Acquire) {
        follow_tunables();
    }
    let now = time::seconds();
    attach::work(now);
    let is_short = SHORT.swap(false, Ordering::AcqRel);
    // Not whenever the thread was woken, since that may be as often as something is
    // refused.
    if MAINTAINED.swap(now, Ordering::Relaxed) != now {
        builtin::maintain(now);
    } else if is_short {
        builtin::bring_memory();
    }
    watch::notice();
    match events::notify_readers() {
        true => EVENTS_PAUSE,
        false => Duration::from_secs(1),
    }
}

/// Has the registry's memory seen to. Any context; see [`Task::wake`].
pub fn bring_memory() {
    SHORT.store(true, Ordering::Release);
    TASK.wake();
}

#[inline(never)]
fn follow_tunables() {
    follow_mode();
    follow_detach();
    if tunable!(clinet_audit_now).swap(0, Ordering::Relaxed) != 0 {
        // If there is nothing to compare, the kstat says why.
        let _ = attach::audit();
    }
}

fn follow_mode() {
    let tunable = tunable!(clinet_mode);
    // In this order: who changes the mode changes the tunable first.
    let (mode, number) = (settings::mode() as u32, tunable.load(Ordering::Acquire));
    if number == mode {
        return;
    }
    let warning = match Mode::from_number(number).map(|mode| set_mode(mode, false)) {
        Some(Ok(())) => return,
        Some(Err(_)) => c"clinet: clinet_mode stays 2 while ports are granted to this node",
        None => c"clinet: clinet_mode is not 0 (off), 1 (observe) or 2 (enforce); not changed",
    };
    put_back(tunable, [number, mode], warning);
}

fn follow_detach() {
    let tunable = tunable!(clinet_detach);
    let (number, seen) = (
        tunable.load(Ordering::Relaxed),
        DETACH.load(Ordering::Relaxed),
    );
    let warning = match number {
        _ if number == seen => return,
        1 if watch::disarm(false, attach::detach) == Err(Errno::BUSY) => {
            c"clinet: clinet_detach stays 0 while ports are granted to this node"
        }
        0 | 1 => {
            if number == 0 {
                // The log says what is wrong.
                let _ = attach::attach();
            }
            DETACH.store(number, Ordering::Relaxed);
            return;
        }
        _ => c"clinet: clinet_detach is not 0 or 1; not changed",
    };
    put_back(tunable, [number, seen], warning);
}

/// Changes the mode, and `clinet_mode` with it; with `force` even while ports are
/// granted. Sleeps.
///
/// # Errors
///
/// Those of [`watch::disarm`].
pub fn set_mode(mode: Mode, force: bool) -> Result<(), Errno> {
    let change = || {
        let before = settings::mode();
        if before == Mode::Off {
            // Nothing was heard meanwhile: what the registry has may be wrong.
            attach::start_anew();
        }
        // Unless somebody has written what is to be followed.
        let (from, to) = (before as u32, mode as u32);
        let _ =
            tunable!(clinet_mode).compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        settings::set_mode(mode);
        if mode != before {
            events::happened(sys::CLINETCTL_EVENT_MODE, mode as u64);
        }
        Ok(())
    };
    match mode {
        Mode::Enforce => change(),
        Mode::Off | Mode::Observe => watch::disarm(force, change),
    }
}
