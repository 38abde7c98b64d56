// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is done outside the calls: memory is exchanged and entries are moved.
//!
//! One thread at a time, whose turn a flag marks: nobody waits for it with a
//! lock. A region's lock is held for a few buckets only. Sweeps take turns with
//! it.

use super::Registry;
use super::bucket::SLOTS;
use super::env::{Env, Word};
use super::region::{Load, Moved, Need, Region, SMALLEST, larger, smaller};

/// What is moved while a region is locked.
const MOVES: Load = Load {
    buckets: 4,
    entries: usize::MAX,
};

/// What is marked of a region.
#[derive(Clone, Copy)]
enum Mark {
    /// It wants memory, or less of it.
    Wants,
    /// It needs memory now.
    Urgent,
    /// Its entries are to be moved.
    Moves,
}

/// Words for 64 regions.
pub const MARKS: usize = 3;

/// Who has memory to give.
struct Giver<A> {
    allocate: A,
    /// All that asked got some.
    complete: bool,
}

/// Another thread does maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The turn of one thread to do maintenance, until it is dropped.
pub struct Turn<'a, E: Env> {
    busy: &'a E::Word,
}

impl<E: Env> Drop for Turn<'_, E> {
    fn drop(&mut self) {
        self.busy.store(0);
    }
}

impl<E: Env> Registry<E> {
    /// Gives each region its first memory: for `tuples` in all, at least for a
    /// few. False: there was not enough; [`Registry::maintain`] goes on with it.
    pub fn prepare(
        &self,
        tuples: usize,
        mut allocate: impl FnMut(usize) -> Option<E::Buckets>,
    ) -> bool {
        // 60 % in use on average leaves the fullest of 1024 regions below the
        // mark where it asks for more.
        let places = tuples / 3 * 5;
        let buckets = ((places / SLOTS) >> self.bits)
            .saturating_add(1)
            .max(SMALLEST);
        self.least.store(buckets as u64);
        let mut complete = true;
        for (number, region) in self.regions.iter().enumerate() {
            match allocate(buckets) {
                Some(buckets) => {
                    region.exchange(buckets);
                    drop(region.lock().take_old());
                }
                None => {
                    self.want(number);
                    complete = false;
                }
            }
        }
        complete
    }

    /// Gives memory to the regions that want it, first to those that need it
    /// now, and moves their entries. False: there was not enough.
    ///
    /// # Errors
    ///
    /// Another thread is at it.
    pub fn maintain(
        &self,
        allocate: impl FnMut(usize) -> Option<E::Buckets>,
    ) -> Result<bool, Busy> {
        let _turn = self.turn()?;
        let mut giver = Giver {
            allocate,
            complete: true,
        };
        self.settle(&mut giver);
        for word in 0..self.words() {
            let mut bits = self.marks(Mark::Wants, word).map_or(0, |word| word.swap(0));
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                self.give(number, &mut giver);
                self.settle(&mut giver);
            }
        }
        Ok(giver.complete)
    }

    /// The turn to do maintenance.
    pub(super) fn turn(&self) -> Result<Turn<'_, E>, Busy> {
        if self.busy.swap(1) != 0 {
            return Err(Busy);
        }
        Ok(Turn { busy: &self.busy })
    }

    /// Marks a region for [`Registry::maintain`].
    pub(super) fn want(&self, number: usize) {
        self.mark(Mark::Wants, number);
    }

    /// Marks a region as an insertion wishes; true if it does.
    #[inline]
    pub(super) fn note(&self, number: usize, need: Need) -> bool {
        if need == Need::Nothing {
            return false;
        }
        if need == Need::Now {
            self.mark(Mark::Urgent, number);
        }
        self.mark(Mark::Wants, number);
        true
    }

    /// Words of a kind of mark.
    fn words(&self) -> usize {
        self.wanting.len() / MARKS
    }

    /// The marks of 64 regions.
    fn marks(&self, mark: Mark, word: usize) -> Option<&E::Word> {
        self.wanting.get(word * MARKS + mark as usize)
    }

    fn mark(&self, mark: Mark, number: usize) {
        if let Some(word) = self.marks(mark, number / 64) {
            word.or(1 << (number % 64));
        }
    }

    fn is_marked(&self, mark: Mark) -> bool {
        (0..self.words()).any(|word| self.marks(mark, word).is_some_and(|word| word.load() != 0))
    }

    /// Takes the mark of a region away, whose number it is.
    fn take(&self, mark: Mark) -> Option<usize> {
        (0..self.words()).find_map(|number| {
            let word = self.marks(mark, number)?;
            let first = match word.load() {
                0 => return None,
                bits => bits.trailing_zeros(),
            };
            // Nobody else takes marks away: the bit is still there.
            word.add((1_u64 << first).wrapping_neg());
            Some(number * 64 + first as usize)
        })
    }

    /// Does a region want memory?
    pub fn wants(&self) -> bool {
        self.is_marked(Mark::Wants)
    }

    /// Does a region need it now?
    pub fn hurries(&self) -> bool {
        self.is_marked(Mark::Urgent)
    }

    /// Is anything dead that a sweep would drop?
    pub fn is_dirty(&self) -> bool {
        self.dirty.load() != 0
    }

    /// Gives a region the memory that it wants, if there is any.
    fn give(&self, number: usize, giver: &mut Giver<impl FnMut(usize) -> Option<E::Buckets>>) {
        if !self.resize(number, &mut giver.allocate) {
            self.want(number);
            giver.complete = false;
        }
    }

    /// Exchanges the array of a region, whose entries then have to move. False:
    /// there is no memory.
    fn resize(
        &self,
        number: usize,
        allocate: &mut impl FnMut(usize) -> Option<E::Buckets>,
    ) -> bool {
        let Some(region) = self.region(number) else {
            return true;
        };
        let (size, old) = {
            let mut inner = region.lock();
            inner.answered();
            let old = inner.take_old();
            let len = inner.buckets().len();
            let size = if inner.left() > 0 {
                // Soon over: the task moves, and whoever inserts.
                None
            } else if len == 0 {
                Some(SMALLEST)
            } else if inner.is_crowded() {
                Some(larger(len, number))
            } else if self.is_sparse(&inner) {
                Some(smaller(len).max(self.least()))
            } else {
                return true;
            };
            (size, old)
        };
        drop(old);
        if let Some(size) = size {
            let Some(buckets) = allocate(size) else {
                return false;
            };
            region.exchange(buckets);
        }
        self.mark(Mark::Moves, number);
        true
    }

    /// Moves all entries that have to; regions that need memory now come first
    /// between two steps, as long as there is any.
    fn settle(&self, giver: &mut Giver<impl FnMut(usize) -> Option<E::Buckets>>) {
        loop {
            self.hurry(giver);
            let Some(number) = self.take(Mark::Moves) else {
                return;
            };
            let Some(region) = self.region(number) else {
                continue;
            };
            let mut moved = Moved::Some;
            while moved == Moved::Some {
                moved = self.step(region);
                self.hurry(giver);
            }
            if moved == Moved::NoRoom {
                self.want(number);
                giver.complete = false;
            }
        }
    }

    /// Gives memory to the regions that need it now.
    fn hurry(&self, giver: &mut Giver<impl FnMut(usize) -> Option<E::Buckets>>) {
        while giver.complete
            && let Some(number) = self.take(Mark::Urgent)
        {
            self.give(number, giver);
        }
    }

    /// Moves entries of a region, for one hold of its lock; gives the old array
    /// back after the last one.
    fn step(&self, region: &Region<E>) -> Moved {
        let mut inner = region.lock();
        let moved = inner.advance(MOVES, &self.secret);
        let old = inner.take_old();
        drop(inner);
        drop(old);
        moved
    }

    /// Moves what is in the old array of a region, and gives it back.
    pub(super) fn finish_moving(&self, region: &Region<E>) {
        while self.step(region) == Moved::Some {}
    }

    /// Would less memory do, and does the region have more than at first?
    pub(super) fn is_sparse(&self, inner: &super::Inner<E>) -> bool {
        inner.is_sparse() && inner.buckets().len() > self.least()
    }

    /// Buckets that each region had at first.
    fn least(&self) -> usize {
        self.least.load() as usize
    }

    pub(super) fn region(&self, number: usize) -> Option<&Region<E>> {
        self.regions.get(number)
    }

    /// 5-tuples in the table, those included that a sweep will drop.
    pub fn len(&self) -> usize {
        self.regions
            .iter()
            .map(|region| region.lock().count())
            .sum()
    }

    /// Is there no 5-tuple?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// 5-tuples at most.
    pub fn capacity(&self) -> usize {
        self.settings.most
    }
}
