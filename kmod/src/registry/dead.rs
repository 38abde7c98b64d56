// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is dead and still in the table: whether there is any, and which sweeps that
//! drop it have been.

use super::env::{Env, Word};

/// Entries of one kind that are dead.
pub struct Dead<E: Env> {
    /// Some died since the last sweep for them began.
    left: E::Word,
    /// Sweeps for them that began, and that are done.
    begun: E::Word,
    done: E::Word,
}

impl<E: Env> Dead<E> {
    /// None, and no sweep yet.
    pub fn new() -> Self {
        Self {
            left: E::Word::new(0),
            begun: E::Word::new(0),
            done: E::Word::new(0),
        }
    }

    /// Some died. Not a store: a sweep that takes this mark away has to see what they
    /// died of.
    pub fn mark(&self) {
        self.left.swap(1);
    }

    /// Are there any that no sweep has looked for?
    pub fn is_any(&self) -> bool {
        self.left.load() != 0
    }

    /// A sweep for them begins; its number.
    pub fn begin(&self) -> u64 {
        // Not a store: what died before the mark that this takes away has to be seen by
        // what follows.
        self.left.swap(0);
        self.begun.add(1).wrapping_add(1)
    }

    /// The sweep of this number is done.
    pub fn end(&self, number: u64) {
        self.done.store(number);
    }

    /// How many sweeps for them began.
    pub fn begun(&self) -> u32 {
        self.begun.load() as u32
    }

    /// How many are done.
    pub fn done(&self) -> u32 {
        self.done.load() as u32
    }
}
