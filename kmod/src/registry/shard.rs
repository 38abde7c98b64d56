// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A shard: a part of the table with a lock of its own.

use super::env::{Env, Lock};
use super::table::Table;

/// A shard. On cache lines of its own, so that the lock and what every call needs
/// come together and nobody else's with them.
#[repr(C, align(64))]
pub struct Shard<E: Env>(E::Lock<Table<E>>);

/// What a locked shard is reached by.
pub type Guard<'a, E> = <<E as Env>::Lock<Table<E>> as Lock<Table<E>>>::Guard<'a>;

impl<E: Env> Shard<E> {
    /// An empty one, with places for the segments that it may ever have.
    pub fn new(directory: E::Directory) -> Self {
        Self(E::Lock::new(Table::new(directory)))
    }

    /// Waits for it. No holder sleeps.
    #[inline]
    pub fn lock(&self) -> Guard<'_, E> {
        self.0.lock()
    }

    /// Takes a segment away that the shard needs no more.
    pub fn release(&self) -> Option<E::Segment> {
        self.lock().release()
    }
}
