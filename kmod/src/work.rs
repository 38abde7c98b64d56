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

/// A tunable that may be written while the module runs.
struct Live {
    variable: fn() -> &'static AtomicU32,
    /// What is in force. A change is what counts, so that a C call and a tunable
    /// do not undo each other.
    seen: AtomicU32,
}

/// A variable of the C half.
macro_rules! variable {
    ($name:ident) => {
        // SAFETY: four aligned bytes that are always there. An administrator
        // writes them whole, and all of Rust goes through the atomic.
        || unsafe { AtomicU32::from_ptr(&raw mut sys::$name) }
    };
}

static MODE: Live = Live::new(variable!(clinet_mode));
static DETACH: Live = Live::new(variable!(clinet_detach));
const AUDIT_NOW: fn() -> &'static AtomicU32 = variable!(clinet_audit_now);

impl Live {
    const fn new(variable: fn() -> &'static AtomicU32) -> Self {
        Self {
            variable,
            seen: AtomicU32::new(0),
        }
    }

    /// The variable holds this, and it is in force.
    fn begin(&self, value: u32) {
        (self.variable)().store(value, Ordering::Relaxed);
        self.seen.store(value, Ordering::Relaxed);
    }

    /// Has `apply` do what a new value asks for. If that cannot be, what is in force
    /// is written back, with the warning that `apply` gives.
    fn follow(&self, apply: impl FnOnce(u32) -> Result<(), &'static CStr>) {
        let variable = (self.variable)();
        let (value, seen) = (
            variable.load(Ordering::Relaxed),
            self.seen.load(Ordering::Relaxed),
        );
        if value == seen {
            return;
        }
        let Err(warning) = apply(value) else {
            self.seen.store(value, Ordering::Relaxed);
            return;
        };
        log::warn(warning);
        // Unless it was written again meanwhile.
        let _ = variable.compare_exchange(value, seen, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Remembers what the tunables were at load, those out of range replaced.
pub fn init(settings: &Settings) {
    MODE.begin(settings.mode as u32);
    DETACH.begin(settings.detach.into());
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
    // Not whenever the thread was woken, since that may be as often as something is
    // refused.
    let is_due = MAINTAINED.swap(now, Ordering::Relaxed) != now;
    if SHORT.swap(false, Ordering::AcqRel) || is_due {
        builtin::maintain(now);
    }
    watch::notice();
    match events::tell() {
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
    MODE.follow(|number| {
        let mode = Mode::from_number(number).ok_or(
            c"clinet: clinet_mode is not 0 (off), 1 (observe) or 2 (enforce); not changed",
        )?;
        let change = || {
            change_mode(mode);
            Ok(())
        };
        let changed = match mode {
            Mode::Enforce => change(),
            Mode::Off | Mode::Observe => watch::disarm(false, change),
        };
        changed.map_err(|_| c"clinet: clinet_mode stays 2 while ports are granted to this node")
    });
    DETACH.follow(|number| {
        match number {
            // It has said in the log what is wrong.
            0 => drop(attach::attach()),
            1 => {
                if watch::disarm(false, attach::detach) == Err(Errno::BUSY) {
                    return Err(
                        c"clinet: clinet_detach stays 0 while ports are granted to this node",
                    );
                }
            }
            _ => return Err(c"clinet: clinet_detach is not 0 or 1; not changed"),
        }
        Ok(())
    });
    if AUDIT_NOW().swap(0, Ordering::Relaxed) != 0 {
        // If there is nothing to compare, the kstat says why.
        let _ = attach::audit();
    }
}

/// Changes the mode, as if `clinet_mode` had been written. Sleeps.
pub fn set_mode(mode: Mode) {
    change_mode(mode);
    MODE.begin(mode as u32);
}

fn change_mode(mode: Mode) {
    let before = settings::mode();
    if before == Mode::Off {
        // Nothing was heard meanwhile: what the registry has may be wrong.
        attach::start_anew();
    }
    settings::set_mode(mode);
    if mode != before {
        events::happened(sys::CLINETCTL_EVENT_MODE, mode as u64);
    }
}
