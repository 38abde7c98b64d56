// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ctrl-C is a request.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::c_int;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C is only noted; a second one ends the process.
pub fn note_interrupts() {
    // SAFETY: an all-zero sigaction is a valid one with an empty mask, and the
    // handler has the signature of one without SA_SIGINFO; it only stores.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupted as *const () as usize;
        action.sa_flags = libc::SA_RESETHAND;
        libc::sigaction(libc::SIGINT, &action, ptr::null_mut());
    }
}

/// Has there been a Ctrl-C?
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn interrupted(_signal: c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}
