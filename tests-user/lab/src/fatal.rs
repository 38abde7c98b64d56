// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a damaged module does to this process, a crash or a loop without end,
//! ends it with a message and the exit status of unusable input.
//!
//! The simulated kernel turns most traps of a module into kernel panics, which
//! are errors here. What is left is a module on the host's own stack, which
//! aborts after its panic is printed, one that has broken the host's memory,
//! and one that keeps the processor.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::c_int;

const CRASHES: [c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
    libc::SIGABRT,
];

/// Seconds of processor time in which every command gets on with its work.
const PATIENCE: libc::time_t = 10;

static PROGRESS: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Takes the signals over and begins to watch. The simulated kernel puts its
/// own handlers before these when it first calls a module.
pub fn prepare() {
    for signal in CRASHES {
        handle(signal, crashed);
    }
    handle(libc::SIGPROF, ticked);
    watch_every(PATIENCE);
}

/// This command runs no module in its own process: how long it takes says nothing.
pub fn no_module_here() {
    watch_every(0);
}

/// Looks so often, in seconds of processor time; 0: never.
fn watch_every(seconds: libc::time_t) {
    let period = libc::timeval {
        tv_sec: seconds,
        tv_usec: 0,
    };
    let timer = libc::itimerval {
        it_interval: period,
        it_value: period,
    };
    // SAFETY: setitimer only reads the structure.
    unsafe { libc::setitimer(libc::ITIMER_PROF, &timer, ptr::null_mut()) };
}

/// A command got on with its work: the module has come back.
pub fn progress() {
    PROGRESS.fetch_add(1, Ordering::Relaxed);
}

fn handle(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: an all-zero sigaction is a valid one with an empty mask, and both
    // handlers have the signature of one without SA_SIGINFO and only make
    // calls that a signal handler may make. The alternate stack is the one that
    // the standard library gives its threads.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

extern "C" fn crashed(_: c_int) {
    end(b"lab: the module has brought this process down\n");
}

extern "C" fn ticked(_: c_int) {
    let progress = PROGRESS.load(Ordering::Relaxed);
    if SEEN.swap(progress, Ordering::Relaxed) == progress {
        end(b"lab: the module does not come back\n");
    }
}

fn end(what: &[u8]) -> ! {
    let advice = b"The module may be damaged: `lab check` it, or build it again with `make`\n";
    for text in [what, advice] {
        // SAFETY: the text is valid for its length; write may be called in a
        // signal handler.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
    // SAFETY: _exit runs nothing that the interrupted code may have left half
    // done.
    unsafe { libc::_exit(2) }
}
