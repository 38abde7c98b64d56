// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which thread this is, roughly.

use core::arch::asm;

/// One of `count` stripes (a power of two) for the running thread. A thread
/// always gets the same one; different threads mostly different ones, because
/// each has a stack of its own (five pages and a red zone on amd64).
#[inline]
#[must_use]
pub fn stripe(count: usize) -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    // Fibonacci hashing of the address in units of 16 KiB.
    let hash = ((pointer >> 14) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as usize & count.wrapping_sub(1)
}
