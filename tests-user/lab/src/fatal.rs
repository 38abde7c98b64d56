// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Fatal signals: what a damaged module does to this process ends it with a
//! message and the exit status of unusable input.
//!
//! The simulated kernel turns most traps of a module into kernel panics, which
//! are errors here. What is left is a module on the host's own stack, which
//! aborts after its panic is printed, and one that has broken the host's
//! memory.

use libc::{c_int, c_void};

const SIGNALS: [c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGABRT,
];

const MESSAGE: &str = "\
lab: the module has brought this process down, so nothing that it said counts
The module may be damaged: `lab check` it, or build it again with `make`
";

/// Takes the signals over. The simulated kernel puts its own handlers before
/// these when it first calls a module.
pub fn prepare() {
    for signal in SIGNALS {
        // SAFETY: an all-zero sigaction is a valid one with an empty mask, the
        // handler has the signature of one without SA_SIGINFO, and it only
        // makes calls that a signal handler may make. The alternate stack is
        // the one that the standard library gives its threads.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

extern "C" fn handler(_: c_int) {
    // SAFETY: the message is valid for its length, and neither call touches
    // anything that the interrupted code may have left half done.
    unsafe {
        libc::write(
            libc::STDERR_FILENO,
            MESSAGE.as_ptr().cast::<c_void>(),
            MESSAGE.len(),
        );
        libc::_exit(2);
    }
}
