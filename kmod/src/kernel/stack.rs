// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which thread this is, roughly.

use core::arch::asm;

/// Log2 of the size of a page.
const PAGE: u32 = 12;

#[inline]
fn pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// The number of the page of memory that the running thread's stack has come
/// to. No other thread runs on it before this one has gone: stacks are whole
/// pages, and an interrupt thread has one of its own. Never 0.
#[inline]
#[must_use]
pub fn page() -> usize {
    pointer() >> PAGE
}

/// One of `count` stripes (a power of two) for the running thread; different
/// threads mostly get different ones, because each has a stack of its own (five
/// pages and a red zone on amd64).
#[inline]
#[must_use]
pub fn stripe(count: usize) -> usize {
    // In units of 16 KiB, so that a thread mostly has one.
    spread(pointer() >> 14, count.ilog2())
}

/// A number below two to the power of `bits` (1 to 63); numbers in a row are
/// far apart. Fibonacci hashing.
#[inline]
#[must_use]
pub fn spread(number: usize, bits: u32) -> usize {
    let hash = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> (u64::BITS.wrapping_sub(bits) & 63)) as usize
}
