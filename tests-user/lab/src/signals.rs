// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Signals: Ctrl-C is a request, and a module that crashes is an error.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::c_int;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What a module can do to this process that its simulated kernel does not
/// catch.
const CRASHES: [c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGABRT,
];

const CRASHED: &[u8] =
    b"lab: the module crashed this tool. It may be damaged: `lab check` it, or build it again with `make`\n";

/// From now on a crash ends the process with status 2 and says why.
pub fn catch_crashes() {
    for signal in CRASHES {
        handle(signal, libc::SA_ONSTACK, crashed);
    }
}

/// From now on the first Ctrl-C is only noted; a second one ends the process.
pub fn note_interrupts() {
    handle(libc::SIGINT, libc::SA_RESETHAND, interrupted);
}

/// Has there been a Ctrl-C?
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

fn handle(signal: c_int, flags: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: an all-zero sigaction is a valid one with an empty mask, and both
    // handlers have the signature of one without SA_SIGINFO; they call nothing
    // but what is safe in a handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

extern "C" fn crashed(_signal: c_int) {
    // SAFETY: both are async-signal-safe, and the buffer is a constant.
    unsafe {
        libc::write(libc::STDERR_FILENO, CRASHED.as_ptr().cast(), CRASHED.len());
        libc::_exit(2);
    }
}

extern "C" fn interrupted(_signal: c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}
