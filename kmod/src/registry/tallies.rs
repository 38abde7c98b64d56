// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a shard knows of the entries of names and has not told yet.

use super::entry::NAMES;
use super::env::{Env, Word};
use super::names::Names;

/// Names whose entries a shard counts at a time: more than a cluster shares
/// addresses. Where two names have one place, each call for the other one tells
/// first, with a locked addition to what all processors have in common.
const TALLIES: usize = 32;

/// What a shard has added to and taken from the entries of a few names, and not
/// told yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tallies([Tally; TALLIES]);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    number: u16,
    entries: i16,
}

impl Tallies {
    /// One entry of this number more, or less.
    #[inline(always)]
    pub fn count<E: Env>(&mut self, names: &Names<E>, number: u16, change: i16) {
        // By the upper bits: the numbers of addresses that follow each other are spread
        // over all of them.
        let place = usize::from(number) / (NAMES / TALLIES) % TALLIES;
        let Some(tally) = self.0.get_mut(place) else {
            return;
        };
        match tally.entries.checked_add(change) {
            Some(entries) if tally.number == number => tally.entries = entries,
            _ => {
                names.add_entries(tally);
                *tally = Tally {
                    number,
                    entries: change,
                };
            }
        }
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
