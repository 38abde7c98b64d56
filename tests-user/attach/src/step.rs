// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One instruction after the other, by the processor's trap flag: what is true
//! between any two of them can be looked at.

use std::arch::asm;
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

type Look<'a> = &'a (dyn Fn() + Sync);

/// What the handler calls, in the one thread that steps.
static LOOK: AtomicPtr<Look<'static>> = AtomicPtr::new(ptr::null_mut());

/// One thread steps at a time.
static TURN: Mutex<()> = Mutex::new(());

extern "C" fn trapped(_: c_int) {
    // SAFETY: only the thread that steps traps, and `each_instruction` leaves
    // the closure there while it does.
    unsafe { (*LOOK.load(Ordering::Relaxed))() };
}

/// Calls `body` and, after each of its instructions in this thread, `look`,
/// which may do no more than a signal handler: read and write atomics.
///
/// # Panics
///
/// If the system gives no signal for traps.
pub fn each_instruction<R>(look: Look<'_>, body: impl FnOnce() -> R) -> R {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    LOOK.store((&raw const look).cast_mut().cast(), Ordering::Relaxed);
    // SAFETY: an all-zero sigaction is a valid one, and the handler takes what
    // a handler without SA_SIGINFO gets.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = trapped as *const () as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigaction(libc::SIGTRAP, &action, ptr::null_mut())
    };
    assert_eq!(installed, 0, "no handler for SIGTRAP");
    // SAFETY: sets the trap flag and nothing else; the stack is as it was.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    let result = body();
    // SAFETY: as above, clears it.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -0x101", "popfq") };
    result
}
