// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A bucket: five entries in two cache lines.
//!
//! Its head has a fingerprint for each entry, so that a search compares few
//! keys and branches seldom, and an overflow count: how many entries whose home
//! is here or before lie behind it for want of room, so that a search knows
//! when to stop.

use super::entry::{Entry, TICKS};
use super::key::Key;

/// Entries in a bucket.
pub const SLOTS: usize = 5;

const FINGERPRINTS: u64 = 0xff_ffff_ffff;
const ONES: u64 = 0x01_0101_0101;
const OVERFLOW: u32 = 40;
const OLDEST: u32 = 48;
const BYTE: u64 = 0xff;

/// What the overflow count has room for.
pub const MOST_OVERFLOW: usize = BYTE as usize;

/// Five places for entries.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Bucket {
    /// From the lowest byte: five fingerprints (0 is a free place), the overflow
    /// count, and the oldest tick of an entry that ages plus one (0: none ages).
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
    /// Without any entry.
    pub const EMPTY: Self = Self {
        head: 0,
        entries: [Entry::EMPTY; SLOTS],
    };

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

    /// The place of a key's entry.
    #[inline(always)]
    pub fn find(&self, fingerprint: u8, key: &Key) -> Option<usize> {
        self.places(fingerprint)
            .find(|place| self.entries.get(*place).is_some_and(|entry| entry.is(key)))
    }

    /// A free place.
    #[inline]
    pub fn free(&self) -> Option<usize> {
        self.places(0).next()
    }

    /// How many places are free.
    pub fn count_free(&self) -> usize {
        SLOTS - self.used().count()
    }

    /// Puts an entry into a free place.
    #[inline]
    pub fn put(&mut self, place: usize, fingerprint: u8, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
            self.head |= u64::from(fingerprint) << (8 * place);
        }
    }

    /// Frees a place. What was there can still be read by [`Bucket::ghost`] until
    /// another entry takes the place.
    #[inline]
    pub fn clear(&mut self, place: usize) {
        self.head &= !(BYTE << ((8 * place) & 63));
    }

    #[inline]
    fn is_used(&self, place: usize) -> bool {
        (self.head >> ((8 * place) & 63)) & BYTE != 0
    }

    /// The entry at a place, if it is in use.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&Entry> {
        let used = self.is_used(place);
        self.entries.get(place).filter(|_| used)
    }

    /// As [`Bucket::get`].
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut Entry> {
        let used = self.is_used(place);
        self.entries.get_mut(place).filter(|_| used)
    }

    /// The entry at a place that [`Bucket::find`] told.
    #[inline]
    pub fn found(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// As [`Bucket::found`].
    #[inline]
    pub fn found_mut(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries.get_mut(place)
    }

    /// The entries in use, with their places.
    pub fn used(&self) -> impl Iterator<Item = (usize, &Entry)> {
        (0..SLOTS).filter_map(|place| Some((place, self.get(place)?)))
    }

    /// An entry of this key that was here, whose place nobody has taken yet.
    pub fn ghost(&self, key: &Key) -> Option<&Entry> {
        self.places(0)
            .filter_map(|place| self.entries.get(place))
            .find(|entry| entry.is(key))
    }

    /// Entries that lie behind this bucket for want of room.
    #[inline]
    pub fn overflow(&self) -> u64 {
        (self.head >> OVERFLOW) & BYTE
    }

    /// One more went past; [`MOST_OVERFLOW`] at most do.
    pub fn add_overflow(&mut self) {
        self.head = self.head.wrapping_add(1 << OVERFLOW);
    }

    /// One that went past is gone.
    pub fn subtract_overflow(&mut self) {
        self.head = self.head.wrapping_sub(1 << OVERFLOW);
    }

    /// The oldest tick of an entry that ages, at least.
    pub fn oldest(&self) -> Option<u8> {
        (((self.head >> OLDEST) & BYTE) as u8).checked_sub(1)
    }

    /// An entry that ages came, last used at this tick.
    pub fn add_tick(&mut self, tick: u8) {
        self.set_oldest(Some(older(self.oldest(), tick)));
    }

    /// Looks again which entry is the oldest.
    pub fn find_oldest(&mut self) {
        let ticks = self.used().filter_map(|(_, entry)| entry.ages());
        let oldest = ticks.fold(None, |oldest, tick| Some(older(oldest, tick)));
        self.set_oldest(oldest);
    }

    fn set_oldest(&mut self, tick: Option<u8>) {
        let byte = tick.map_or(0, |tick| u64::from(tick % TICKS) + 1);
        self.head = self.head & !(BYTE << OLDEST) | byte << OLDEST;
    }
}

/// The older one of two ticks, which are less than half a turn apart.
pub fn older(oldest: Option<u8>, tick: u8) -> u8 {
    match oldest {
        Some(oldest) if tick.wrapping_sub(oldest) % TICKS < TICKS / 2 => oldest,
        _ => tick,
    }
}
