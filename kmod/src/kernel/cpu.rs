// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What only the processor can do.

use core::arch::asm;

/// Asks for the cache line at an address, which may be any number: nothing
/// happens if there is no memory. The line will be written soon.
#[inline(always)]
pub fn prefetch_to_write(address: usize) {
    // SAFETY: a hint, which reads and writes nothing and never traps.
    unsafe { asm!("prefetchw [{}]", in(reg) address, options(nomem, nostack, preserves_flags)) };
}
