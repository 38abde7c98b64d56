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

use super::bucket::{self, At, AtHome, Bucket, Left, SLOTS};
use super::entry::{Entry, Key, Kind, Packed};
use super::env::{Env, Lock, Word};
use super::hash::{Hash, Secret, home};

/// Buckets of an array at least.
pub const SMALLEST: usize = 4;

/// Buckets of a small array, and of a very small one.
const SMALL: usize = 128;
const VERY_SMALL: usize = 8;

/// Buckets of a large one: with a thousand regions, five million entries.
const LARGE: usize = 1536;

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

/// An array whose entries move into another one.
struct Leaving<E: Env> {
    buckets: E::Buckets,
    /// The first bucket that was not moved from. Those before it are empty,
    /// but for what they know of the entries that went past.
    next: usize,
    /// An entry that belongs before `next` may be there or behind it.
    spills: bool,
}

/// How much is moved at once.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Old buckets that are looked at, at most.
    pub buckets: usize,
    /// No further bucket after so many entries.
    pub entries: usize,
}

/// What an insertion moves. A step of a third from two thirds full moves three
/// entries for each that comes until the next one; an array that came late moves
/// four. Buckets that were emptied meanwhile go by faster.
pub const HELP: Load = Load {
    buckets: 4,
    entries: 4,
};

/// How far moving came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// There is more to move.
    Some,
    /// Nothing is left in the old array, if there is one.
    All,
    /// There is no room in the new one, which can only be if it is smaller.
    NoRoom,
}

/// Whether an insertion asks for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It does not, or somebody has asked.
    Nothing,
    /// There is time until the next look at the regions.
    Soon,
    /// There may be none.
    Now,
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

    /// Registers a TCP 5-tuple of this node, if it is enough for that to look at
    /// the bucket where it belongs; that of an entry here gets a reference.
    #[inline(always)]
    pub fn register_at_home(&mut self, hash: Hash, key: &Key, outgoing: bool) -> AtHome {
        let Some(home) = bucket::home_mut(&mut self.current, hash) else {
            return AtHome::Unclear;
        };
        if let Some(met) = home.meet(hash, key, |found| {
            found.retain_tcp();
            true
        }) {
            return met;
        }
        if self.used < self.calm && home.add(hash, || Entry::tcp(key, outgoing)) {
            self.used = self.used.wrapping_add(1);
            AtHome::Added
        } else {
            AtHome::Unclear
        }
    }

    /// As [`Inner::register_at_home`] for UDP. `tick` is the entry's.
    #[inline]
    pub fn register_udp_at_home(
        &mut self,
        hash: Hash,
        key: &Key,
        entry: Entry,
        tick: u8,
    ) -> AtHome {
        let Some(home) = bucket::home_mut(&mut self.current, hash) else {
            return AtHome::Unclear;
        };
        if let Some(met) = home.meet(hash, key, |found| found.use_again(&entry, tick)) {
            return met;
        }
        if self.used < self.calm && home.add(hash, || entry) {
            home.add_oldest(tick);
            self.oldest = bucket::older(self.oldest, tick);
            self.used = self.used.wrapping_add(1);
            AtHome::Added
        } else {
            AtHome::Unclear
        }
    }

    /// Takes a reference from a TCP 5-tuple of this node, and with the last one
    /// the entry away, if it is enough for that to look at the bucket where it
    /// belongs.
    #[inline(always)]
    pub fn release_at_home(&mut self, hash: Hash, key: &Key) -> Left {
        let poor = self.used > self.keep;
        let Some(home) = bucket::home_mut(&mut self.current, hash) else {
            return Left::Unclear;
        };
        let left = home.release_tcp(hash, key, poor);
        if left == Left::None {
            self.used = self.used.wrapping_sub(1);
        }
        left
    }

    /// The entry of a 5-tuple, if it is where it belongs.
    #[inline(always)]
    pub fn look_at_home(&self, hash: Hash, key: &Key) -> Option<Packed> {
        bucket::at_home(&self.current, hash)?.look(hash, key)
    }

    /// How many 5-tuples may be added without asking the registry.
    pub fn credit(&self) -> u32 {
        self.quota.saturating_sub(self.used)
    }

    /// A batch of credit came.
    pub fn add_credit(&mut self, batch: u32) {
        self.batch = batch;
        self.quota = self.quota.saturating_add(batch);
        self.set_bounds();
    }

    /// A batch of credit went back.
    pub fn take_credit(&mut self, batch: u32) {
        self.batch = batch;
        self.quota = self.quota.saturating_sub(batch);
        self.set_bounds();
    }

    /// Sets `calm` and `keep`, which follow from other members.
    fn set_bounds(&mut self) {
        self.calm = match self.old {
            Some(_) => 0,
            None => self.quota.min(self.most).min(self.asks),
        };
        // Credit is given back from two batches on, and a batch of one always.
        self.keep = match self.batch {
            0 | 1 => u32::MAX,
            batch => self
                .quota
                .saturating_add(1)
                .saturating_sub(batch.saturating_mul(2)),
        };
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

    /// There should be more memory from 65 % on: with steps of a third the
    /// places are then 49 to 65 % in use, 46 bytes an entry at ten million. A smaller
    /// array asks earlier, since it fills up faster than memory comes: entries
    /// are registered faster while the table fits into caches, and all regions
    /// are of about the same size then.
    fn set_limits(&mut self) {
        let places = self.current.len() * SLOTS;
        let crowd = match self.current.len() {
            len if len <= VERY_SMALL => places / 5,
            len if len <= SMALL => places / 5 * 2,
            len if len < LARGE => places / 20 * 9,
            _ => places / 20 * 13,
        };
        self.most = most(self.current.len()) as u32;
        self.crowd = crowd as u32;
    }

    /// Should it have more memory? Not before the last exchange is over.
    pub fn is_crowded(&self) -> bool {
        self.used > self.crowd && self.left() == 0
    }

    /// After an insertion: does it ask for memory?
    #[inline]
    pub fn need(&mut self) -> Need {
        if self.used <= self.asks {
            return Need::Nothing;
        }
        self.need_more()
    }

    #[cold]
    fn need_more(&mut self) -> Need {
        if self.left() > 0 {
            return Need::Nothing;
        }
        // A very small array is full before a tick of the clock is over.
        if self.asks > self.crowd || self.current.len() <= VERY_SMALL {
            return self.need_now();
        }
        // Asks again, for itself, after a quarter of what is left.
        self.asks = self
            .crowd
            .saturating_add(self.most.saturating_sub(self.crowd) / 4);
        self.set_bounds();
        if core::mem::replace(&mut self.wanting, true) {
            Need::Nothing
        } else {
            Need::Soon
        }
    }

    /// Nothing can be inserted: asks once.
    pub fn need_now(&mut self) -> Need {
        self.wanting = true;
        let asked = core::mem::replace(&mut self.asks, u32::MAX) == u32::MAX;
        self.set_bounds();
        if asked { Need::Nothing } else { Need::Now }
    }

    /// Somebody looks at what the region needs.
    pub fn answered(&mut self) {
        self.wanting = false;
        self.asks = self.crowd;
        self.set_bounds();
    }

    /// Would a quarter of the memory do?
    pub fn is_sparse(&self) -> bool {
        self.current.len() > SMALLEST && (self.used as usize) < self.current.len() * SLOTS / 12
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

    /// Is there room for one more?
    #[inline]
    pub fn has_room(&self) -> bool {
        self.used < self.most
    }

    /// After an insertion, or when there is no room for one: moves a few
    /// entries if the region grows or shrinks.
    #[inline]
    pub fn help(&mut self, secret: &Secret) {
        if self.old.is_some() {
            self.help_to_move(secret);
        }
    }

    #[inline(never)]
    fn help_to_move(&mut self, secret: &Secret) {
        // Without room the entries stay where they are, and are found there.
        let _how_far = self.advance(HELP, secret);
    }

    /// Moves the entries of the next old buckets into the new array.
    pub fn advance(&mut self, load: Load, secret: &Secret) -> Moved {
        let Some(old) = &mut self.old else {
            return Moved::All;
        };
        let len = old.buckets.len();
        let mut moved = 0;
        for _ in 0..load.buckets {
            let next = old.next;
            ask_ahead::<E>(&old.buckets, &self.current, next.saturating_add(AHEAD));
            let Some(bucket) = old.buckets.get_mut(next) else {
                break;
            };
            let oldest = bucket.oldest();
            for place in 0..SLOTS {
                let Some(entry) = bucket.get(place) else {
                    continue;
                };
                let (hash, reach) = (entry.hash(secret), self.current.len());
                let Some(at) = bucket::insert(&mut self.current, hash, entry, reach) else {
                    return Moved::NoRoom;
                };
                bucket.clear(place);
                moved += 1;
                if let (Some(tick), Some(new)) = (oldest, self.current.get_mut(at.bucket)) {
                    new.add_oldest(tick);
                }
            }
            old.spills = bucket.passed() > 0;
            old.next = next.saturating_add(1);
            if moved >= load.entries {
                break;
            }
        }
        if old.next < len {
            Moved::Some
        } else {
            Moved::All
        }
    }

    /// How many old buckets are left to be moved from.
    pub fn left(&self) -> usize {
        self.old.as_ref().map_or(0, Leaving::left)
    }

    /// Takes the old array, once all of its entries have been moved.
    pub fn take_old(&mut self) -> Option<E::Buckets> {
        if self.left() > 0 {
            return None;
        }
        let old = self.old.take().map(|old| old.buckets);
        self.set_bounds();
        old
    }
}

impl<E: Env> Leaving<E> {
    fn left(&self) -> usize {
        self.buckets.len().saturating_sub(self.next)
    }

    /// May an entry of this place be left here? One that belongs to a bucket
    /// that was moved from is, if it went past all up to `next`.
    #[inline]
    fn may_have(&self, place: Place) -> bool {
        let home = home(place.hash.fraction(), self.buckets.len());
        self.left() > 0 && (home >= self.next || self.spills)
    }
}

/// Buckets between one that is moved from and one whose memory is asked for.
const AHEAD: usize = 12;

/// Asks for the memory of a bucket of an old array and for that of the new one
/// where its entries go: both are in the order of the hashes.
#[inline]
fn ask_ahead<E: Env>(old: &[Bucket], new: &[Bucket], bucket: usize) {
    let there = bucket
        .saturating_mul(new.len())
        .checked_div(old.len())
        .unwrap_or(0);
    ask_for::<E>(old.get(bucket));
    ask_for::<E>(new.get(there));
}

/// Asks for the memory of a bucket.
#[inline]
fn ask_for<E: Env>(bucket: Option<&Bucket>) {
    if let Some(bucket) = bucket {
        let address = core::ptr::from_ref(bucket).addr();
        E::prefetch_bucket(address);
    }
}

/// Entries that an array takes: four fifths of its places, and all of them in
/// a small one, which is searched quickly.
#[inline]
fn most(len: usize) -> usize {
    if len <= SMALL { len * SLOTS } else { len * 4 }
}

/// The size after this one, for the region with this number. Small ones grow in
/// large steps, since each entry is moved in each; later a step is a third.
/// Regions take different steps once, so that they do not all grow at the same
/// time.
pub fn larger(len: usize, region: usize) -> usize {
    match len {
        0..24 => 24,
        24..96 => 96 + region % 16,
        96..256 => len + len / 2,
        256..384 => len + len / 2 + region % 128,
        384..LARGE => len + len / 2,
        _ => len + len / 3,
    }
}

/// The size before this one.
pub fn smaller(len: usize) -> usize {
    (len / 4).max(SMALLEST)
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
