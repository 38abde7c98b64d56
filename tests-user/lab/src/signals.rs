// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ctrl-C and SIGTERM are requests.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use libc::c_int;

/// The number of the signal that came; 0: none.
static CAME: AtomicI32 = AtomicI32::new(0);

/// From now on the first Ctrl-C is only noted; a second one ends the process.
pub fn note_interrupts() {
    note(libc::SIGINT);
}

/// From now on Ctrl-C, SIGTERM and SIGHUP have something done before they end the process.
/// A second one of the same kind ends it at once.
///
/// # Errors
///
/// There is no thread to be had.
pub fn before_the_end(act: fn()) -> io::Result<()> {
    note(libc::SIGINT);
    note(libc::SIGTERM);
    note(libc::SIGHUP);
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let signal = loop {
                match CAME.load(Ordering::Relaxed) {
                    0 => thread::sleep(Duration::from_millis(20)),
                    signal => break signal,
                }
            };
            // What others have to say of what ends now is of no interest.
            let _quiet = (io::stdout().lock(), io::stderr().lock());
            act();
            // SAFETY: the call has no memory to harm. The signal has its first
            // meaning again, so that this process ends by it.
            unsafe { libc::raise(signal) };
        })
        .map(drop)
}

fn note(signal: c_int) {
    // SAFETY: an all-zero sigaction is a valid one with an empty mask, and the
    // handler has the signature of one without SA_SIGINFO; it only stores.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = came as *const () as usize;
        action.sa_flags = libc::SA_RESETHAND;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}

/// Has there been a Ctrl-C?
pub fn is_interrupted() -> bool {
    CAME.load(Ordering::Relaxed) != 0
}

extern "C" fn came(signal: c_int) {
    CAME.store(signal, Ordering::Relaxed);
}

/// SIGTERM and SIGINT, which from now on wait until somebody asks for them.
pub struct Ending {
    signals: libc::sigset_t,
}

impl Ending {
    /// Makes them wait, in this thread and those that it will make.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wait_for_later() -> io::Result<Self> {
        let mut signals = MaybeUninit::uninit();
        // SAFETY: sigemptyset makes the set a whole one, which the other calls
        // only change and read.
        let (result, signals) = unsafe {
            libc::sigemptyset(signals.as_mut_ptr());
            libc::sigaddset(signals.as_mut_ptr(), libc::SIGTERM);
            libc::sigaddset(signals.as_mut_ptr(), libc::SIGINT);
            let signals = signals.assume_init();
            let result = libc::pthread_sigmask(libc::SIG_BLOCK, &signals, ptr::null_mut());
            (result, signals)
        };
        match result {
            0 => Ok(Self { signals }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Waits for one of them, at most so long.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn came_within(&self, time: Duration) -> io::Result<bool> {
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: both structures are whole and only read.
        let result = unsafe { libc::sigtimedwait(&self.signals, ptr::null_mut(), &time) };
        if result > 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(false),
            _ => Err(error),
        }
    }
}
