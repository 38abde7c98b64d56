// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What only the processor can do.

use core::arch::asm;

/// Asks for the cache line at an address and the one behind it, which will be written
/// soon. The address may be any number: nothing happens if there is no memory.
#[inline(always)]
pub fn prefetch_bucket(address: usize) {
    // SAFETY: hints, which read and write nothing and never trap.
    unsafe {
        asm!(
            "prefetchw [{0}]",
            "prefetchw [{0} + 64]",
            in(reg) address,
            options(nomem, nostack, preserves_flags),
        );
    };
}
