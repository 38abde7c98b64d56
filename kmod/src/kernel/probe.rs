// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Statically defined DTrace probes (`sdt:clinet::NAME`).
//!
//! The kernel linker replaces each call by no-operations until somebody
//! enables the probe. So the call must be a call: were it the last thing that
//! a function does, the compiler would make it a jump, and control would run
//! on into the next function. Every wrapper therefore does something the
//! compiler cannot remove after it.

use core::arch::asm;

use crate::flow::FiveTuple;

unsafe extern "C" {
    fn __dtrace_probe_install__conflict(tuple: usize, owner: usize, claimant: usize);
}

/// Keeps the call before it from becoming a tail call.
#[inline(always)]
fn not_last() {
    // SAFETY: no instruction at all.
    unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
}

/// `install-conflict`: node `claimant` wants `tuple`, which `owner` holds.
/// Arguments: address of the 5-tuple, owner, claimant.
#[inline(never)]
pub fn install_conflict(tuple: &FiveTuple, owner: u32, claimant: u32) {
    // SAFETY: never reached as a function; see the module documentation.
    unsafe {
        __dtrace_probe_install__conflict(
            core::ptr::from_ref(tuple).addr(),
            owner as usize,
            claimant as usize,
        );
    }
    not_last();
}
