// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Stripes of what many threads share: which one is whose.

use core::arch::asm;

/// One of `count` stripes (a power of two) for the running thread; different
/// threads mostly get different ones, because each has a stack of its own (five
/// pages and a red zone on amd64).
#[inline]
#[must_use]
pub fn stripe(count: usize) -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    // In units of 16 KiB, so that a thread mostly has one.
    spread(pointer >> 14, count.ilog2())
}

/// A number below two to the power of `bits` (1 to 63); numbers in a row are
/// far apart. Fibonacci hashing.
#[inline]
#[must_use]
pub fn spread(number: usize, bits: u32) -> usize {
    let hash = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS.wrapping_sub(bits) & 63)) as usize
}
