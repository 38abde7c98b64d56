// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A region: one lock, one array of buckets, and a second one while it grows
//! or shrinks.
//!
//! The owner of memory (the module's task) hands in another array. The entries
//! move over in the order of the old one, a few buckets at a time: the task
//! moves them, and so does each call that inserts one, for a task that comes
//! late must not stop those who insert. Everybody searches both meanwhile.
//! Only the task takes the old array away.

mod home;
mod limits;
mod moving;

use super::bucket::{self, At, Bucket};
use super::entry::{Entry, Kind, Packed};
use super::env::{Env, Lock, Word};
use super::hash::{Hash, home};
use limits::most;
pub use limits::{Need, SMALLEST, larger, smaller};
pub use moving::{HELP, Load, Moved};
use moving::{Leaving, ask_for};

/// How many buckets an insertion looks at. With four fifths of the places in
/// use, which is the most, entries end up 49 buckets from home at most (measured
/// over 20 tables of 4096 buckets).
pub const REACH: usize = 64;

/// A part of the table, with a lock of its own.
#[repr(C, align(64))]
pub struct Region<E: Env> {
    /// Address and number of the buckets, to prefetch by. May be out of date.
    address: E::Word,
    len: E::Word,
    inner: E::Lock<Inner<E>>,
}

/// What the lock of a region protects. What every call needs comes first, in
/// one cache line with the lock.
#[repr(C)]
pub struct Inner<E: Env> {
    current: E::Buckets,
    /// Entries.
    used: u32,
    /// With fewer entries than this, one more may be added and nothing else has
    /// to be looked at: there is credit and room, and nothing on its way.
    calm: u32,
    /// With more entries than this, one may go and no credit has to be given
    /// back.
    keep: u32,
    /// How many entries credit is there for: 5-tuples that may be here without
    /// asking the registry, and all endpoints.
    quota: u32,
    /// Credit comes and goes in batches of this size.
    batch: u32,
    /// How many the present array takes.
    most: u32,
    /// Entries are on their way into `current`.
    old: Option<Leaving<E>>,
    /// From so many entries on there should be more memory.
    crowd: u32,
    /// An insertion that leaves more entries than this asks for memory.
    asks: u32,
    /// Entries that are endpoints and not 5-tuples.
    endpoints: u32,
    /// Dead entries whose places others took, since the last sweep.
    pub(super) replaced: u32,
    /// More memory was asked for.
    pub(super) wanting: bool,
    /// No entry that ages was last used before this tick; `None`: none ages.
    oldest: Option<u8>,
}

/// Where a hash belongs: what every operation on a region needs.
#[derive(Clone, Copy)]
pub struct Place {
    pub(super) hash: Hash,
}

/// Where an entry of a region was found, and what it was then.
#[derive(Clone, Copy)]
pub struct Found {
    old: bool,
    at: At,
    pub(super) packed: Packed,
}

impl<E: Env> Region<E> {
    /// Without any room.
    #[must_use]
    pub fn new() -> Self {
        Self {
            address: E::Word::new(0),
            len: E::Word::new(0),
            inner: E::Lock::new(Inner {
                current: E::no_buckets(),
                used: 0,
                calm: 0,
                keep: 0,
                quota: 0,
                batch: 0,
                most: 0,
                old: None,
                crowd: 0,
                asks: 0,
                endpoints: 0,
                replaced: 0,
                wanting: false,
                oldest: None,
            }),
        }
    }

    /// Asks for the cache lines that an operation on this place will need.
    #[inline]
    pub fn prefetch(&self, place: Place) {
        let home = home(place.hash.fraction(), self.len.load() as usize);
        let address =
            (self.address.load() as usize).wrapping_add(home.wrapping_mul(size_of::<Bucket>()));
        E::prefetch_bucket(address);
    }

    /// Waits for the region.
    #[inline]
    pub fn lock(&self) -> <E::Lock<Inner<E>> as Lock<Inner<E>>>::Guard<'_> {
        self.inner.lock()
    }

    /// Exchanges the array; the entries stay in the old one for now. Gives the
    /// new one back if the last exchange is not over, or if more entries came
    /// meanwhile than it takes.
    pub fn exchange(&self, buckets: E::Buckets) -> Option<E::Buckets> {
        let mut inner = self.lock();
        if inner.old.is_some() || inner.used as usize > most(buckets.len()) {
            return Some(buckets);
        }
        self.address.store(buckets.as_ptr().addr() as u64);
        self.len.store(buckets.len() as u64);
        let old = core::mem::replace(&mut inner.current, buckets);
        inner.old = Some(Leaving {
            buckets: old,
            next: 0,
            spills: false,
        });
        inner.set_limits();
        inner.answered();
        None
    }
}

impl<E: Env> Default for Region<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Env> Inner<E> {
    /// Finds an entry that `wanted` accepts.
    #[inline(always)]
    pub fn find(&self, place: Place, wanted: impl Fn(&Entry) -> bool) -> Option<Found> {
        if let Some(old) = &self.old {
            return self.find_in_both(old, place, wanted);
        }
        let (at, packed) = bucket::find(&self.current, place.hash, wanted)?;
        let old = false;
        Some(Found { old, at, packed })
    }

    #[inline(never)]
    fn find_in_both(
        &self,
        leaving: &Leaving<E>,
        place: Place,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Option<Found> {
        let Place { hash } = place;
        let may_be_old = leaving.may_have(place);
        if may_be_old {
            let home = home(hash.fraction(), leaving.buckets.len());
            ask_for::<E>(leaving.buckets.get(home));
        }
        if let Some((at, packed)) = bucket::find(&self.current, hash, &wanted) {
            let old = false;
            return Some(Found { old, at, packed });
        }
        if !may_be_old {
            return None;
        }
        let (at, packed) = bucket::find(&leaving.buckets, hash, wanted)?;
        let old = true;
        Some(Found { old, at, packed })
    }

    /// An entry that was found.
    #[inline]
    pub fn get_mut(&mut self, found: Found) -> Option<&mut Entry> {
        bucket::get_mut(self.array(found)?, found.at)
    }

    #[inline]
    fn array(&mut self, found: Found) -> Option<&mut [Bucket]> {
        if found.old {
            self.old.as_mut().map(|old| &mut *old.buckets)
        } else {
            Some(&mut self.current)
        }
    }

    /// Puts an entry where no equal one is. False: there is no room.
    #[inline(always)]
    pub fn insert(&mut self, place: Place, entry: Entry, ages: Option<u8>) -> bool {
        if !self.has_room() {
            return false;
        }
        let Some(at) = bucket::insert(&mut self.current, place.hash, entry, REACH) else {
            return false;
        };
        if let (Some(tick), Some(bucket)) = (ages, self.current.get_mut(at.bucket)) {
            bucket.add_oldest(tick);
            self.oldest = bucket::older(self.oldest, tick);
        }
        self.used = self.used.saturating_add(1);
        if entry.kind() == Kind::Endpoint {
            self.endpoints = self.endpoints.saturating_add(1);
            self.quota = self.quota.saturating_add(1);
            self.set_bounds();
        }
        true
    }

    /// Replaces a dead entry by another one of the same key.
    pub fn replace(&mut self, found: Found, entry: Entry, ages: Option<u8>) {
        if let Some(old) = self.get_mut(found) {
            *old = entry;
            self.replaced = self.replaced.saturating_add(1);
        }
        let bucket = self
            .array(found)
            .and_then(|array| array.get_mut(found.at.bucket));
        if let (Some(tick), Some(bucket)) = (ages, bucket) {
            bucket.add_oldest(tick);
            self.oldest = bucket::older(self.oldest, tick);
        }
    }

    /// No entry that ages was last used before this tick.
    pub fn oldest(&self) -> Option<u8> {
        self.oldest
    }

    /// All buckets have been looked at meanwhile: sets what
    /// [`Inner::oldest`] says.
    pub fn set_oldest(&mut self, oldest: Option<u8>) {
        self.oldest = oldest;
    }

    /// Takes an entry away.
    #[inline(always)]
    pub fn remove(&mut self, place: Place, found: Found) {
        let endpoint = found.packed.kind() == Kind::Endpoint;
        if let Some(array) = self.array(found) {
            bucket::remove(array, place.hash, found.at);
        }
        self.used = self.used.saturating_sub(1);
        if endpoint {
            self.endpoints = self.endpoints.saturating_sub(1);
            self.quota = self.quota.saturating_sub(1);
            self.set_bounds();
        }
    }

    /// Takes the entry at a place of the present array away.
    pub fn remove_at(&mut self, place: Place, at: At, packed: Packed) {
        let old = false;
        self.remove(place, Found { old, at, packed });
    }

    /// 5-tuples.
    pub fn count(&self) -> usize {
        self.used.saturating_sub(self.endpoints) as usize
    }

    /// The buckets of the present array.
    pub fn buckets(&self) -> &[Bucket] {
        &self.current
    }

    /// Asks for the head of a bucket of the present array.
    pub fn prefetch(&self, bucket: usize) {
        if let Some(bucket) = self.current.get(bucket) {
            E::prefetch(core::ptr::from_ref(bucket).addr());
        }
    }

    /// The entry at a place of the present array, if it is in use.
    pub fn entry(&self, at: At) -> Option<&Entry> {
        bucket::get(&self.current, at)
    }

    /// Changes the entry at a place of the present array.
    pub fn set(&mut self, at: At, entry: Entry) {
        if let Some(slot) = bucket::get_mut(&mut self.current, at) {
            *slot = entry;
        }
    }

    /// Looks again which entry of a bucket is the oldest.
    pub fn find_oldest(&mut self, bucket: usize) {
        bucket::find_oldest(&mut self.current, bucket);
    }
}

/// For tests that count what is there.
#[cfg(test)]
impl<E: Env> Inner<E> {
    /// Entries and endpoints among them, as they are kept count of.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.used as usize, self.endpoints as usize)
    }

    /// Has all that follows from other members its right value?
    pub(super) fn has_right_bounds(&mut self) -> bool {
        let was = (self.calm, self.keep);
        self.set_bounds();
        was == (self.calm, self.keep)
    }

    /// The buckets whose entries are being moved.
    pub(super) fn old_buckets(&self) -> &[Bucket] {
        self.old.as_ref().map_or(&[], |old| &*old.buckets)
    }
}
