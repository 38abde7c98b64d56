// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Exported constants that hold pointers.

use core::ffi::c_char;

use super::sys;

/// A value with pointers that never change.
#[repr(transparent)]
pub struct Constant<T>(T);

impl Constant<*const c_char> {
    /// A pointer to a string that is a constant itself.
    pub const fn version(version: *const c_char) -> Self {
        Self(version)
    }
}

impl Constant<sys::clinet_contract_t> {
    /// Pointers to such a string and to the slots.
    pub const fn contract(contract: sys::clinet_contract_t) -> Self {
        Self(contract)
    }
}

// SAFETY: neither the pointer nor the string is ever written.
unsafe impl Sync for Constant<*const c_char> {}

// SAFETY: it is never written; what it points at is a string that is not
// either, and slots, which are made of atomics.
unsafe impl Sync for Constant<sys::clinet_contract_t> {}
