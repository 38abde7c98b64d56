// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Buckets of five entries, and arrays of them.
//!
//! A bucket is two cache lines. Its head has a fingerprint for each entry, so
//! that a search compares few keys and branches seldom, and knows how many
//! entries that belong here or before went past it for want of room, so that a
//! search knows when to stop.

use super::entry::{Entry, Key, Packed, TICKS};
use super::hash::{Hash, home};

/// Entries in a bucket.
pub const SLOTS: usize = 5;

const FINGERPRINTS: u64 = 0xff_ffff_ffff;
const ONES: u64 = 0x01_0101_0101;
const PASSED: u32 = 40;
const OLDEST: u32 = 48;
const BYTE: u64 = 0xff;

/// Five places for entries.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Bucket {
    /// From the lowest byte: five fingerprints (0 is a free place), how
    /// many entries went past, and the oldest tick of an entry that ages
    /// plus one (0: there is none).
    head: u64,
    entries: [Entry; SLOTS],
}

const _: () = assert!(size_of::<Bucket>() == 128);

/// Places of a bucket, as the highest bits of their bytes; lowest first.
struct Places(u64);

impl Iterator for Places {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let place = self.0.trailing_zeros() >> 3;
        self.0 &= self.0.wrapping_sub(1);
        Some(place as usize)
    }
}

impl Bucket {
    /// Places whose fingerprint is this one. The first one is right; the
    /// subtraction borrows, so that a later one may hold a fingerprint that
    /// differs in the lowest bit. That is never a free place, since no
    /// fingerprint is 1, and never the key that is looked for.
    #[inline]
    fn places(&self, fingerprint: u8) -> Places {
        let different =
            (self.head ^ (u64::from(fingerprint) * ONES)) & FINGERPRINTS | !FINGERPRINTS;
        Places(different.wrapping_sub(ONES) & !different & (ONES << 7))
    }

    /// Finds an entry with this fingerprint that `wanted` accepts.
    #[inline(always)]
    fn find(&self, fingerprint: u8, wanted: impl Fn(&Entry) -> bool) -> Option<(usize, Packed)> {
        self.places(fingerprint).find_map(|place| {
            let entry = self.entries.get(place).filter(|entry| wanted(entry))?;
            Some((place, entry.packed()))
        })
    }

    /// The entry of a 5-tuple, if it is here.
    #[inline(always)]
    fn position(&self, hash: Hash, key: &Key) -> Option<usize> {
        self.places(hash.fingerprint())
            .find(|place| self.entries.get(*place).is_some_and(|entry| entry.is(key)))
    }

    /// The entry of a 5-tuple, if it is here.
    #[inline(always)]
    pub fn look(&self, hash: Hash, key: &Key) -> Option<Packed> {
        let place = self.position(hash, key)?;
        self.entries.get(place).map(Entry::packed)
    }

    /// This node wants a 5-tuple that belongs here: what comes of an entry that
    /// is here. `use_again` gives a reference to one that is ours; false: it
    /// may be dead.
    #[inline(always)]
    pub fn meet(
        &mut self,
        hash: Hash,
        key: &Key,
        use_again: impl FnOnce(&mut Entry) -> bool,
    ) -> Option<AtHome> {
        let place = self.position(hash, key)?;
        let entry = self.entries.get_mut(place)?;
        Some(match entry.packed().owner() {
            Some(owner) => AtHome::Others(owner),
            None if use_again(entry) => AtHome::Ours,
            None => AtHome::Unclear,
        })
    }

    /// Adds an entry that belongs here and is not here. False: it may be
    /// elsewhere, or there is no room.
    #[inline(always)]
    pub fn add(&mut self, hash: Hash, entry: impl FnOnce() -> Entry) -> bool {
        let free = self.places(0).next().filter(|_| self.passed() == 0);
        if let Some(place) = free {
            self.put(place, hash.fingerprint(), entry());
        }
        free.is_some()
    }

    /// Takes a reference from a TCP 5-tuple of this node that belongs here, and
    /// the entry away if that `may` be and it was the last one.
    #[inline(always)]
    pub fn release_tcp(&mut self, hash: Hash, key: &Key, may: bool) -> Left {
        let Some(place) = self.position(hash, key) else {
            return Left::Unclear;
        };
        let Some(entry) = self.entries.get_mut(place) else {
            return Left::Unclear;
        };
        if entry.packed().owner().is_some() {
            return Left::Unclear;
        }
        if !entry.is_last_tcp() {
            entry.release_tcp();
            return Left::Some;
        }
        if !may {
            return Left::Unclear;
        }
        self.clear(place);
        Left::None
    }

    /// Entries that went past for want of room, at least.
    #[inline]
    pub fn passed(&self) -> u64 {
        (self.head >> PASSED) & BYTE
    }

    /// One more went past. A count that reached its end stays there.
    fn pass(&mut self) {
        if self.passed() < BYTE {
            self.head += 1 << PASSED;
        }
    }

    fn unpass(&mut self) {
        if (1..BYTE).contains(&self.passed()) {
            self.head -= 1 << PASSED;
        }
    }

    #[inline]
    fn put(&mut self, place: usize, fingerprint: u8, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
            self.head |= u64::from(fingerprint) << (8 * place);
        }
    }

    /// Frees a place.
    #[inline]
    pub fn clear(&mut self, place: usize) {
        self.head &= !(BYTE << ((8 * place) & 63));
    }

    /// The entries in use, with their places.
    pub fn used(&self) -> impl Iterator<Item = (usize, &Entry)> {
        let head = self.head;
        self.entries
            .iter()
            .enumerate()
            .filter(move |(place, _)| (head >> (8 * place)) & BYTE != 0)
    }

    /// The entry at a place, if it is in use.
    #[inline]
    pub fn get(&self, place: usize) -> Option<Entry> {
        let used = (self.head >> ((8 * place) & 63)) & BYTE != 0;
        self.entries.get(place).filter(|_| used).copied()
    }

    /// The oldest tick of an entry that ages, at least.
    pub fn oldest(&self) -> Option<u8> {
        (((self.head >> OLDEST) & BYTE) as u8).checked_sub(1)
    }

    /// An entry that ages came, last used at this tick.
    pub fn add_oldest(&mut self, tick: u8) {
        self.set_oldest(older(self.oldest(), tick));
    }

    /// Sets what [`Bucket::oldest`] says.
    pub fn set_oldest(&mut self, tick: Option<u8>) {
        let byte = tick.map_or(0, |tick| u64::from(tick % TICKS) + 1);
        self.head = self.head & !(BYTE << OLDEST) | byte << OLDEST;
    }
}

/// The older one of two ticks, which are less than half a turn apart.
pub fn older(oldest: Option<u8>, tick: u8) -> Option<u8> {
    match oldest {
        Some(oldest) if tick.wrapping_sub(oldest) % TICKS < TICKS / 2 => Some(oldest),
        _ => Some(tick),
    }
}

/// What came of registering a 5-tuple in the bucket where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtHome {
    /// It was added.
    Added,
    /// It was there and this node's: one more reference.
    Ours,
    /// It was there and another node's; the number of its name.
    Others(u16),
    /// Nothing was changed: more has to be looked at.
    Unclear,
}

/// What is left of a 5-tuple after a reference was taken from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// There are references.
    Some,
    /// The entry is gone.
    None,
    /// Nothing was changed: more has to be looked at.
    Unclear,
}

/// The bucket where a hash belongs.
#[inline(always)]
pub fn at_home(buckets: &[Bucket], hash: Hash) -> Option<&Bucket> {
    buckets.get(home(hash.fraction(), buckets.len()))
}

/// As [`at_home`].
#[inline(always)]
pub fn home_mut(buckets: &mut [Bucket], hash: Hash) -> Option<&mut Bucket> {
    buckets.get_mut(home(hash.fraction(), buckets.len()))
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// The bucket's number.
    pub bucket: usize,
    place: usize,
}

impl At {
    /// A place in a bucket.
    pub fn new(bucket: usize, place: usize) -> Self {
        Self { bucket, place }
    }
}

fn after(index: usize, len: usize) -> usize {
    let next = index.wrapping_add(1);
    if next < len { next } else { 0 }
}

/// Finds an entry of this hash that `wanted` accepts.
#[inline(always)]
pub fn find(
    buckets: &[Bucket],
    hash: Hash,
    wanted: impl Fn(&Entry) -> bool,
) -> Option<(At, Packed)> {
    let first = home(hash.fraction(), buckets.len());
    let bucket = buckets.get(first)?;
    match bucket.find(hash.fingerprint(), &wanted) {
        Some((place, packed)) => Some((At::new(first, place), packed)),
        None if bucket.passed() == 0 => None,
        None => find_after(buckets, hash, first, wanted),
    }
}

/// As [`find`], for an entry that went past its home.
#[inline(never)]
fn find_after(
    buckets: &[Bucket],
    hash: Hash,
    first: usize,
    wanted: impl Fn(&Entry) -> bool,
) -> Option<(At, Packed)> {
    let mut index = first;
    for _ in 1..buckets.len() {
        index = after(index, buckets.len());
        let bucket = buckets.get(index)?;
        if let Some((place, packed)) = bucket.find(hash.fingerprint(), &wanted) {
            return Some((At::new(index, place), packed));
        }
        if bucket.passed() == 0 {
            return None;
        }
    }
    None
}

/// Puts an entry into the first bucket with room from its home on, of which it
/// looks at `limit`, one at least.
#[inline(always)]
pub fn insert(buckets: &mut [Bucket], hash: Hash, entry: Entry, limit: usize) -> Option<At> {
    let first = home(hash.fraction(), buckets.len());
    let bucket = buckets.get_mut(first)?;
    match bucket.places(0).next() {
        Some(place) => {
            bucket.put(place, hash.fingerprint(), entry);
            Some(At::new(first, place))
        }
        None => insert_after(buckets, hash, first, entry, limit),
    }
}

/// As [`insert`], with the home full.
#[inline(never)]
fn insert_after(
    buckets: &mut [Bucket],
    hash: Hash,
    first: usize,
    entry: Entry,
    limit: usize,
) -> Option<At> {
    let len = buckets.len();
    let mut index = first;
    for _ in 1..limit.min(len) {
        index = after(index, len);
        let bucket = buckets.get_mut(index)?;
        if let Some(place) = bucket.places(0).next() {
            bucket.put(place, hash.fingerprint(), entry);
            between(buckets, first, index, Bucket::pass);
            return Some(At::new(index, place));
        }
    }
    None
}

/// Takes an entry of this hash away.
#[inline(always)]
pub fn remove(buckets: &mut [Bucket], hash: Hash, at: At) {
    let first = home(hash.fraction(), buckets.len());
    if let Some(bucket) = buckets.get_mut(at.bucket) {
        bucket.clear(at.place);
    }
    if at.bucket != first {
        between(buckets, first, at.bucket, Bucket::unpass);
    }
}

/// Changes the buckets from `first` on that come before `end`.
#[inline(never)]
fn between(buckets: &mut [Bucket], first: usize, end: usize, change: fn(&mut Bucket)) {
    let len = buckets.len();
    let mut index = first;
    while index != end {
        let Some(bucket) = buckets.get_mut(index) else {
            return;
        };
        change(bucket);
        index = after(index, len);
    }
}

/// The entry at a place.
#[inline]
pub fn get_mut(buckets: &mut [Bucket], at: At) -> Option<&mut Entry> {
    buckets.get_mut(at.bucket)?.entries.get_mut(at.place)
}

/// All entries of the buckets from one on, as far as an entry that belongs to
/// it may be.
pub fn run(buckets: &[Bucket], first: usize) -> impl Iterator<Item = &Entry> {
    let (before, from) = buckets.split_at_checked(first).unwrap_or((&[], &[]));
    from.iter()
        .chain(before)
        .scan(true, |more, bucket| {
            let listed = more.then_some(bucket);
            *more = bucket.passed() != 0;
            listed
        })
        .flat_map(|bucket| bucket.used().map(|(_, entry)| entry))
}

/// The entry at a place, if it is in use.
pub fn get(buckets: &[Bucket], at: At) -> Option<&Entry> {
    let bucket = buckets.get(at.bucket)?;
    let used = (bucket.head >> ((8 * at.place) & 63)) & BYTE != 0;
    bucket.entries.get(at.place).filter(|_| used)
}

/// The oldest tick of the entries of a bucket that age is looked up again.
pub fn find_oldest(buckets: &mut [Bucket], index: usize) {
    let Some(bucket) = buckets.get_mut(index) else {
        return;
    };
    bucket.set_oldest(None);
    for place in 0..SLOTS {
        let at = At::new(index, place);
        if let Some(tick) = get(buckets, at).and_then(Entry::ages)
            && let Some(bucket) = buckets.get_mut(index)
        {
            bucket.add_oldest(tick);
        }
    }
}

/// For tests that count what is there.
#[cfg(test)]
impl Bucket {
    /// Entries that went past; `None` if the count reached its end.
    pub(super) fn passes(&self) -> Option<u64> {
        (self.passed() < BYTE).then(|| self.passed())
    }
}
