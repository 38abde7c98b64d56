// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A shard: a part of the table with a lock of its own.

use super::bucket::Bucket;
use super::env::{Env, Lock, Peek, SEGMENT, Word};
use super::hash::{Hash, home};
use super::table::Table;

/// A shard. On cache lines of its own, so that the lock and what every call needs
/// come together and nobody else's with them. What memory is asked for by is on another
/// line than the lock, which the processor that had it last has to hand over.
#[repr(C, align(64))]
pub struct Shard<E: Env> {
    /// How many homes there are, to prefetch by; may be out of date.
    homes: E::Word,
    peek: E::Peek,
    table: Aligned<E::Lock<Table<E>>>,
}

/// Begins with a cache line.
#[repr(align(64))]
struct Aligned<T>(T);

/// What a locked shard is reached by.
pub type Guard<'a, E> = <<E as Env>::Lock<Table<E>> as Lock<Table<E>>>::Guard<'a>;

impl<E: Env> Shard<E> {
    /// An empty one, with places for the segments that it may ever have, and what
    /// tells where those are.
    pub fn new((directory, peek): (E::Directory, E::Peek)) -> Self {
        Self {
            homes: E::Word::new(0),
            peek,
            table: Aligned(E::Lock::new(Table::new(directory))),
        }
    }

    /// Waits for it. No holder sleeps.
    #[inline]
    pub fn lock(&self) -> Guard<'_, E> {
        self.table.0.lock()
    }

    /// Asks for the memory of the home bucket of a hash, before the lock is taken: a
    /// lock lets nothing behind it begin early.
    #[inline(always)]
    pub fn prefetch(&self, hash: Hash) {
        let home = home(hash.fraction(), self.homes.load() as usize);
        let segment = self.peek.address(home / SEGMENT);
        let offset = (home % SEGMENT).wrapping_mul(size_of::<Bucket>());
        E::prefetch(segment.wrapping_add(offset));
    }

    /// The number of homes has changed, or may have.
    pub fn note_homes(&self, table: &Table<E>) {
        self.homes.store(table.layout.homes().into());
    }

    /// Takes a segment away that the shard needs no more. True: it has none left.
    pub fn release(&self) -> Option<(E::Segment, bool)> {
        let mut table = self.lock();
        let segment = table.release()?;
        Some((segment, table.layout.high() == 0))
    }
}
