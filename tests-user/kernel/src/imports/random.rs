// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `random_get_bytes`: a reproducible stream for each machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::locks::lock;
use crate::memory;

/// A splitmix64 generator: tests need a stream that repeats, not one that
/// cannot be guessed.
pub(crate) struct Random {
    state: Mutex<u64>,
    /// The functions are stubs, and the first call loads their module.
    loaded: AtomicBool,
}

impl Default for Random {
    fn default() -> Self {
        Self {
            state: Mutex::new(1),
            loaded: AtomicBool::new(false),
        }
    }
}

impl Random {
    /// Starts the stream again from `seed`.
    pub fn seed(&self, seed: u64) {
        *lock(&self.state) = seed;
    }

    fn fill(&self, bytes: &mut [u8]) {
        let mut state = lock(&self.state);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
    }
}

fn write_random(what: &str, to: u64, length: usize) {
    let random = &here().machine.random;
    if !random.loaded.load(Ordering::Relaxed) {
        must_be_able_to_sleep(&format!("the first {what}"));
        random.loaded.store(true, Ordering::Relaxed);
    }
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    memory::write_bytes(to, &bytes);
}

imports! {
    fn random_get_bytes(to: u64, length: usize) -> i32 {
        write_random("random_get_bytes", to, length);
        0
    }

    fn random_get_pseudo_bytes(to: u64, length: usize) -> i32 {
        write_random("random_get_pseudo_bytes", to, length);
        0
    }
}
