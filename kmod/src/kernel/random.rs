// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Random bytes of the kernel.

use super::sys;

/// Random bytes, as hard to guess for remote ends as the kernel's pool
/// is at this time. May sleep: the first caller loads misc/kcf. `None` if that
/// cannot be loaded.
pub fn bytes<const N: usize>() -> Option<[u8; N]> {
    let mut key = [0; N];
    // SAFETY: so many writable bytes.
    let error = unsafe { sys::random_get_pseudo_bytes(key.as_mut_ptr(), key.len()) };
    (error == 0).then_some(key)
}
