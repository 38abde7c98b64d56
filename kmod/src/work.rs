// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module's thread does, once a second and when it is woken.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::kernel::task::Task;
use crate::kernel::{log, sys, time};
use crate::settings::{self, Mode};
use crate::{attach, builtin};

/// The thread.
pub static TASK: Task = Task::new(work);

/// The settings as they were a second ago: a change is what counts, so that a
/// C call and a tunable do not undo each other.
static SEEN_MODE: AtomicU32 = AtomicU32::new(Mode::Enforce as u32);
static SEEN_DETACH: AtomicU32 = AtomicU32::new(0);
/// The module is loaded: attaching is allowed.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Remembers what the tunables were at load.
pub fn init(tunables: &sys::clinet_tunables_t) {
    SEEN_MODE.store(tunables.ct_mode, Ordering::Relaxed);
    SEEN_DETACH.store(tunables.ct_detach, Ordering::Relaxed);
}

/// From now on the tunables that may change are looked at.
pub fn open() {
    OPEN.store(true, Ordering::Release);
}

fn work() {
    if OPEN.load(Ordering::Acquire) {
        follow_tunables();
    }
    let now = time::seconds();
    attach::work(now);
    builtin::maintain(now);
}

#[inline(never)]
fn follow_tunables() {
    follow_mode();
    follow_detach();
    // SAFETY: a variable of the C half that an administrator may write; a
    // request that comes between the two is a request for the same.
    unsafe {
        let audit_now = &raw mut sys::clinet_audit_now;
        if ptr::read_volatile(audit_now) != 0 {
            ptr::write_volatile(audit_now, 0);
            // If there is nothing to compare, the kstat says why.
            let _ = attach::audit();
        }
    }
}

fn follow_mode() {
    // SAFETY: a variable of the C half that an administrator may write.
    let number = unsafe { ptr::read_volatile(&raw const sys::clinet_mode) };
    if SEEN_MODE.swap(number, Ordering::Relaxed) == number {
        return;
    }
    let Some(mode) = Mode::from_number(number) else {
        log::warn(c"clinet: clinet_mode is not 0 (off), 1 (observe) or 2 (enforce); not changed");
        return;
    };
    builtin::set_mode(number);
    if settings::set_mode(mode) == Mode::Off {
        // Nothing was registered meanwhile.
        let _ = attach::audit();
    }
}

fn follow_detach() {
    // SAFETY: a variable of the C half that an administrator may write.
    let number = unsafe { ptr::read_volatile(&raw const sys::clinet_detach) };
    if SEEN_DETACH.swap(number, Ordering::Relaxed) == number {
        return;
    }
    // Each has said in the log what is wrong.
    let _ = match number {
        0 => attach::attach(),
        _ => attach::detach(),
    };
}
