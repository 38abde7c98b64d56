// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel threads: what %gs points at on amd64.

use std::arch::asm;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// The beginning of the processor's structure: the id at 0, the sequence
/// number at 4, its own address at 16, the current thread at 24.
#[repr(C, align(64))]
struct Processor {
    id: u32,
    sequence: u32,
    flags: u64,
    own: *const Processor,
    thread: *const Processor,
    /// What else code may read behind it: zeros.
    rest: [u64; 60],
}

const ARCH_SET_GS: libc::c_long = 0x1001;

thread_local! {
    static SELF: Cell<u64> = const { Cell::new(0) };
}

/// Makes the current thread a kernel thread, unless it is one. It has a
/// processor of its own, whose structure is its address too.
///
/// # Panics
/// If the system does not let it.
pub fn attach() {
    static THREADS: AtomicU32 = AtomicU32::new(0);
    if SELF.get() != 0 {
        return;
    }
    let number = THREADS.fetch_add(1, Ordering::Relaxed);
    // Lives for ever: a thread may leave its address in a mutex.
    let processor = Box::leak(Box::new(Processor {
        id: number,
        sequence: number,
        flags: 0,
        own: std::ptr::null(),
        thread: std::ptr::null(),
        rest: [0; 60],
    }));
    let address = &raw const *processor;
    processor.own = address;
    processor.thread = address;
    // SAFETY: sets the base of %gs of this thread, which nothing on Linux
    // amd64 uses in user mode.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, address.addr()) };
    assert_eq!(result, 0, "arch_prctl(ARCH_SET_GS) failed");
    SELF.set(address.expose_provenance() as u64);
}

/// The current kernel thread, as the mutexes know it; 0 is none.
#[must_use]
pub fn current() -> u64 {
    SELF.get()
}

/// What the fast functions take for the current thread.
///
/// # Safety
/// The thread is attached.
#[must_use]
pub unsafe fn behind_gs() -> u64 {
    let thread;
    // SAFETY: reads the processor's structure, which %gs points at.
    unsafe { asm!("mov {}, qword ptr gs:[0x18]", out(reg) thread, options(nostack, readonly)) };
    thread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own() {
        let see = || {
            attach();
            attach();
            // SAFETY: attached in the line above.
            assert_eq!(unsafe { behind_gs() }, current());
            current()
        };
        let other = std::thread::spawn(see).join().expect("ends");
        assert_ne!(other, see());
    }
}
