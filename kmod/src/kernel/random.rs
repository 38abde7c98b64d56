// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Random bytes of the kernel.

use super::sys;

/// Sixteen random bytes that remote ends cannot guess. May sleep: the first
/// caller loads the provider of random numbers.
pub fn key() -> [u8; 16] {
    let mut key = [0; 16];
    // SAFETY: sixteen writable bytes.
    unsafe { sys::random_get_pseudo_bytes(key.as_mut_ptr(), key.len()) };
    key
}
