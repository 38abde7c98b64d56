// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `random_*`: the same bytes in each load, so that equal growths are equal.

use std::sync::Mutex;

use fastrand::Rng;

use super::imports;

static RNG: Mutex<Option<Rng>> = Mutex::new(None);
const SEED: u64 = 0x636c_696e_6574;

/// Begins again.
pub fn reset() {
    if let Ok(mut rng) = RNG.lock() {
        *rng = None;
    }
}

/// # Safety
/// `buffer` has room for `len` bytes.
unsafe extern "C" fn random_get_bytes(buffer: *mut u8, len: usize) -> i32 {
    let mut bytes = vec![0; len];
    if let Ok(mut rng) = RNG.lock() {
        rng.get_or_insert_with(|| Rng::with_seed(SEED))
            .fill(&mut bytes);
    }
    // SAFETY: by the caller's promise; a new vector overlaps nothing.
    unsafe { buffer.copy_from_nonoverlapping(bytes.as_ptr(), len) };
    0
}

imports! {
    random_get_bytes => "random_get_bytes",
    random_get_bytes => "random_get_pseudo_bytes",
}
