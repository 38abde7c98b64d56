// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The table of one shard: buckets in segments, and linear probing from the home
//! bucket on.
//!
//! An entry lies in its home bucket or, if that was full, in the next one with a
//! free place, of [`REACH`] from its home on: no search goes further, however full the
//! shard is. Every bucket that it went past counts it. There is no wrapping around:
//! behind the last home there are [`PAD`] buckets more.

use super::Verdict;
use super::bucket::{Bucket, MOST_OVERFLOW, SLOTS, older};
use super::entry::Entry;
use super::env::{Directory, Env, SEGMENT};
use super::growth::BATCH;
use super::hash::Hash;
use super::key::Key;
use super::layout::Layout;
use super::pool::Credit;
use super::tallies::Tallies;
use crate::flow::Direction;

/// Buckets behind the last home. With five eighths of the places in use the chance
/// that an entry of a shard would need one more is 1e-12 (a queue of five
/// servers per bucket, with Poisson arrivals).
pub const PAD: usize = 8;

/// In how many buckets an entry may be, its home included. Counts of overflow have
/// room for all that can go past a bucket then.
pub const REACH: usize = 51;

const _: () = assert!((REACH - 1) * SLOTS <= MOST_OVERFLOW);

/// What the lock of a shard protects. What every call needs comes first.
#[repr(C)]
pub struct Table<E: Env> {
    pub(super) layout: Layout,
    pub(super) directory: E::Directory,
    /// Entries, endpoints included.
    used: u32,
    /// With so many entries the shard grows.
    pub(super) grow_at: u32,
    pub(super) credit: Credit,
    /// An audit is under way: what is registered counts as seen.
    pub(super) audited: bool,
    /// A sweep is at it: nothing moves.
    pub(super) swept: bool,
    /// No entry that ages was last used before this tick; `None`: none ages.
    pub(super) oldest: Option<u8>,
    pub(super) counts: Counts,
    pub(super) locals: Tallies,
    pub(super) owners: Tallies,
    /// Dead entries whose places others took, since the last sweep.
    pub(super) replaced: u32,
    /// The entries that a step of growth moves; not on the stack of a hook.
    pub(super) moving: [Entry; BATCH],
}

/// What became of calls: counted under the lock that they take anyway, and told
/// by [`super::Registry::take_counts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries whose last reference ended.
    pub removed: u64,
    /// Of outgoing TCP, incoming TCP, and UDP.
    pub flows: [FlowCounts; 3],
}

/// What became of the questions of one protocol and direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounts {
    /// New entries.
    pub registered: u64,
    /// Ours already.
    pub repeated: u64,
    /// Another node's.
    pub owned: u64,
}

impl Counts {
    /// Those of TCP.
    #[inline(always)]
    pub(super) fn tcp(&mut self, direction: Direction) -> &mut FlowCounts {
        let [outgoing, incoming, _] = &mut self.flows;
        match direction {
            Direction::Outgoing => outgoing,
            Direction::Incoming => incoming,
        }
    }

    /// Those of UDP.
    #[inline(always)]
    pub(super) fn udp(&mut self) -> &mut FlowCounts {
        let [.., udp] = &mut self.flows;
        udp
    }
}

impl FlowCounts {
    /// Counts a verdict, if it is one of these three, and gives it back.
    #[inline(always)]
    pub(super) fn count(&mut self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Registered => self.registered += 1,
            Verdict::Repeated => self.repeated += 1,
            Verdict::OwnedBy(_) => self.owned += 1,
            _ => {}
        }
        verdict
    }
}

/// Where an entry is: bucket and place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The number of the bucket in the shard.
    pub bucket: usize,
    place: usize,
}

impl At {
    /// A place of a bucket.
    pub fn new(bucket: usize, place: usize) -> Self {
        Self { bucket, place }
    }
}

/// Where a hash belongs, as long as its shard is locked and does not grow.
#[derive(Clone, Copy, Debug)]
pub struct Home {
    /// The number of its home bucket in the shard.
    pub bucket: usize,
    pub(super) fingerprint: u8,
}

/// The buckets that entries of a home may be in.
#[inline]
pub fn within_reach(home: usize) -> core::ops::Range<usize> {
    home..home.saturating_add(REACH)
}

impl<E: Env> Table<E> {
    /// Without any memory yet, and with places for as many segments as it may
    /// ever have.
    pub fn new(directory: E::Directory) -> Self {
        Self {
            layout: Layout::new(0),
            directory,
            used: 0,
            grow_at: 0,
            credit: Credit::default(),
            locals: Tallies::default(),
            owners: Tallies::default(),
            counts: Counts::default(),
            audited: false,
            swept: false,
            oldest: None,
            replaced: 0,
            moving: [Entry::EMPTY; BATCH],
        }
    }

    /// Entries, endpoints included.
    #[inline]
    pub fn used(&self) -> usize {
        self.used as usize
    }

    /// A bucket, if its segment is there.
    #[inline]
    pub fn bucket(&self, index: usize) -> Option<&Bucket> {
        let segment = self.directory.get(index / SEGMENT)?;
        segment.get(index % SEGMENT)
    }

    /// As [`Table::bucket`].
    #[inline]
    pub fn bucket_mut(&mut self, index: usize) -> Option<&mut Bucket> {
        let segment = self.directory.get_mut(index / SEGMENT)?;
        segment.get_mut(index % SEGMENT)
    }

    /// One more than the last bucket that there may be.
    pub fn end(&self) -> usize {
        match self.layout.high() {
            0 => 0,
            homes => (homes as usize).saturating_add(PAD),
        }
    }

    /// Where a hash belongs now.
    #[inline(always)]
    pub fn home(&self, hash: Hash) -> Home {
        Home {
            bucket: self.layout.home(hash.fraction()),
            fingerprint: hash.fingerprint(),
        }
    }

    /// Finds the entry of a key.
    #[inline(always)]
    pub fn find(&self, home: Home, key: &Key) -> Option<&Entry> {
        let bucket = self.bucket(home.bucket)?;
        match bucket.find(home.fingerprint, key) {
            Some(place) => bucket.found(place),
            None if bucket.overflow() == 0 => None,
            None => self.get(self.find_overflown(home, key)?),
        }
    }

    /// As [`Table::find`], to change it.
    #[inline(always)]
    pub fn find_mut(&mut self, home: Home, key: &Key) -> Option<(At, &mut Entry)> {
        let bucket = self.bucket(home.bucket)?;
        let at = match bucket.find(home.fingerprint, key) {
            Some(place) => {
                let entry = self.bucket_mut(home.bucket)?.found_mut(place)?;
                return Some((At::new(home.bucket, place), entry));
            }
            None if bucket.overflow() == 0 => return None,
            None => self.find_overflown(home, key)?,
        };
        Some((at, self.get_mut(at)?))
    }

    /// As [`Table::find`], for an entry that lies behind its home.
    #[inline(never)]
    fn find_overflown(&self, home: Home, key: &Key) -> Option<At> {
        for index in within_reach(home.bucket).skip(1) {
            let bucket = self.bucket(index)?;
            if let Some(place) = bucket.find(home.fingerprint, key) {
                return Some(At::new(index, place));
            }
            if bucket.overflow() == 0 {
                break;
            }
        }
        None
    }

    /// The entry at a place.
    #[inline]
    pub fn get(&self, at: At) -> Option<&Entry> {
        self.bucket(at.bucket)?.get(at.place)
    }

    /// As [`Table::get`].
    #[inline]
    pub fn get_mut(&mut self, at: At) -> Option<&mut Entry> {
        self.bucket_mut(at.bucket)?.get_mut(at.place)
    }

    /// Was there an entry of this key, whose place nobody has taken yet? Looks at the
    /// home bucket only, where one entry in twenty or fewer is not. With `n` entries the
    /// next `n / 4` or so that come leave a place as it is, on average.
    pub fn ghost(&self, home: Home, key: &Key) -> Option<&Entry> {
        self.bucket(home.bucket)?.ghost(key)
    }

    /// Adds an entry whose key has none. False: there is no place for it.
    #[inline(always)]
    pub fn insert(&mut self, home: Home, entry: Entry) -> bool {
        if self.is_overfull() {
            return false;
        }
        let Some(index) = self.put(home, entry) else {
            return false;
        };
        self.used = self.used.saturating_add(1);
        if let Some(tick) = entry.ages() {
            self.add_tick(index, tick);
        }
        true
    }

    /// Puts an entry into the first bucket with room.
    #[inline(always)]
    pub(super) fn put(&mut self, home: Home, entry: Entry) -> Option<usize> {
        let bucket = self.bucket_mut(home.bucket)?;
        if let Some(place) = bucket.free() {
            bucket.put(place, home.fingerprint, entry);
            return Some(home.bucket);
        }
        self.put_behind(home, entry)
    }

    #[inline(never)]
    fn put_behind(&mut self, home: Home, entry: Entry) -> Option<usize> {
        let end = self.end();
        let near = within_reach(home.bucket);
        for index in near.take_while(|index| *index < end).skip(1) {
            let bucket = self.bucket_mut(index)?;
            if let Some(place) = bucket.free() {
                bucket.put(place, home.fingerprint, entry);
                self.change(home.bucket..index, Bucket::add_overflow);
                return Some(index);
            }
        }
        None
    }

    /// Would an entry with this home find a place?
    pub fn has_place(&self, home: Home) -> bool {
        let mut near = within_reach(home.bucket).map_while(|index| self.bucket(index));
        !self.is_overfull() && near.any(|bucket| bucket.free().is_some())
    }

    #[inline(never)]
    fn change(&mut self, buckets: core::ops::Range<usize>, change: fn(&mut Bucket)) {
        for index in buckets {
            if let Some(bucket) = self.bucket_mut(index) {
                change(bucket);
            }
        }
    }

    /// Takes an entry away.
    #[inline(always)]
    pub fn remove(&mut self, home: Home, at: At) {
        self.take(home.bucket, at);
        self.used = self.used.saturating_sub(1);
    }

    /// Frees the place of an entry with this home.
    #[inline(always)]
    pub(super) fn take(&mut self, home: usize, at: At) {
        if let Some(bucket) = self.bucket_mut(at.bucket) {
            bucket.clear(at.place);
        }
        if at.bucket != home {
            self.change(home..at.bucket, Bucket::subtract_overflow);
        }
    }

    /// An entry that ages was put into a bucket.
    #[inline(never)]
    pub(super) fn add_tick(&mut self, bucket: usize, tick: u8) {
        self.oldest = Some(older(self.oldest, tick));
        if let Some(bucket) = self.bucket_mut(bucket) {
            bucket.add_tick(tick);
        }
    }

    /// All entries from a home bucket on, as far as one that belongs there may be.
    pub fn run(&self, home: usize) -> impl Iterator<Item = (At, &Entry)> {
        let mut is_last = false;
        let buckets = within_reach(home).map_while(move |index| {
            let bucket = self.bucket(index).filter(|_| !is_last)?;
            is_last = bucket.overflow() == 0;
            Some((index, bucket))
        });
        buckets.flat_map(|(index, bucket)| {
            let used = bucket.used();
            used.map(move |(place, entry)| (At::new(index, place), entry))
        })
    }
}
