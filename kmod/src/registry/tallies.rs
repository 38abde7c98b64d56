// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a shard knows of the entries of names and has not told yet.

use super::env::{Env, Word};
use super::names::Names;

/// What a shard has added to and taken from the entries of a few names, and not
/// told yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tallies([Tally; 4]);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    number: u16,
    entries: i32,
}

impl Tallies {
    /// One entry of this number more, or less.
    #[inline]
    pub fn count<E: Env>(&mut self, names: &Names<E>, number: u16, change: i32) {
        let [a, b, c, d] = &mut self.0;
        let tally = match number % 4 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        if tally.number != number {
            names.add_entries(tally);
            tally.number = number;
        }
        tally.entries = tally.entries.wrapping_add(change);
    }

    /// Tells everything.
    pub fn tell<E: Env>(&mut self, names: &Names<E>) {
        for tally in &mut self.0 {
            names.add_entries(tally);
        }
    }
}

impl<E: Env> Names<E> {
    #[inline(never)]
    fn add_entries(&self, tally: &mut Tally) {
        let change = core::mem::take(&mut tally.entries);
        if let Some(name) = self.names.get(usize::from(tally.number))
            && change != 0
        {
            name.entries.add(i64::from(change).cast_unsigned());
        }
    }
}
