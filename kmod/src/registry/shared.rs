// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which local addresses are shared. Only their flows are looked at.
//!
//! Read on every call, without a lock and without a write; changed seldom. Two
//! tables take turns: a change fills the idle one and then moves the version
//! on, whose lowest bit names the table in use. A reader that is overtaken by
//! changes sees the version move, and looks again.
//!
//! Before the tables comes a filter: a bit for each place where the search for
//! no address that is shared starts.

use super::env::{Env, Lock, Word};

/// Addresses at most.
pub const ADDRESSES: usize = 256;

const PLACES: usize = 2 * ADDRESSES;
/// Words of the filter.
const FILTER: usize = PLACES / 64;
/// Words of memory for the set: a filter, and two tables with two words an
/// address.
pub const WORDS: usize = FILTER + 2 * 2 * PLACES;

/// `::ffff:0.0.0.0`.
const UNSPECIFIED: [u64; 2] = [0, u64::from_be(0xffff_0000_0000)];

/// In the version: there is no list, all unicast addresses but loopback are
/// shared.
const ALL: u64 = 1 << 63;

/// A list has more than [`ADDRESSES`] addresses, or one that is never shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAList;

/// The set. Addresses are in IPv6 form, as two words in native byte order.
pub struct Shared<E: Env> {
    version: E::Word,
    words: E::Words,
    change: E::Lock<()>,
}

impl<E: Env> Shared<E> {
    /// All local unicast addresses but loopback, in memory of [`WORDS`] zeros.
    #[inline]
    pub fn new(words: E::Words) -> Self {
        Self {
            version: E::Word::new(ALL),
            words,
            change: E::Lock::new(()),
        }
    }

    /// Is the address surely not shared? One look, for most. It never is of an
    /// unspecified one.
    #[inline]
    pub fn excludes(&self, address: [u64; 2]) -> bool {
        let place = first(address);
        self.words
            .get(place / 64)
            .is_some_and(|word| word.load() >> (place % 64) & 1 != 0)
    }

    /// Is the address shared?
    pub fn contains(&self, address: [u64; 2]) -> bool {
        // A reader that is overtaken twice takes the safe answer.
        for _ in 0..2 {
            let version = self.version.load();
            let found = if version & ALL == 0 {
                self.search(version, address)
            } else {
                is_unicast(address) && !is_loopback(address)
            };
            if self.version.load() == version {
                return found;
            }
        }
        true
    }

    #[inline]
    fn search(&self, version: u64, [a, b]: [u64; 2]) -> bool {
        let mut place = first([a, b]);
        for _ in 0..PLACES {
            let Some([high, low]) = self.place(version, place) else {
                return false;
            };
            match (high.load(), low.load()) {
                (0, 0) => return false,
                found if found == (a, b) => return true,
                _ => place = (place + 1) % PLACES,
            }
        }
        false
    }

    #[inline]
    fn place(&self, version: u64, place: usize) -> Option<&[E::Word; 2]> {
        let table = (version & 1) as usize * PLACES;
        let (_, tables) = self.words.split_at_checked(FILTER)?;
        tables.as_chunks::<2>().0.get(table + place)
    }

    /// Hands each address of the list to `each`, if there is a list.
    pub fn each(&self, mut each: impl FnMut([u64; 2])) {
        let _change = self.change.lock();
        let version = self.version.load();
        if version & ALL != 0 {
            return;
        }
        for place in 0..PLACES {
            if let Some([high, low]) = self.place(version, place) {
                match [high.load(), low.load()] {
                    [0, 0] => {}
                    address => each(address),
                }
            }
        }
    }

    /// From now on these are shared and no others. The filter never excludes
    /// one of them, nor one of those before while they are still shared.
    ///
    /// # Errors
    ///
    /// The list is unusable; nothing changed.
    pub fn set(&self, list: &[[u64; 2]]) -> Result<(), NotAList> {
        if list.len() > ADDRESSES || !list.iter().all(|address| is_unicast(*address)) {
            return Err(NotAList);
        }
        let _change = self.change.lock();
        let next = (self.version.load() & !ALL).wrapping_add(1) & !ALL;
        for place in 0..PLACES {
            if let Some([high, low]) = self.place(next, place) {
                high.store(0);
                low.store(0);
            }
        }
        for address in list {
            self.add(next, *address);
        }
        self.filter(list, |word, absent| word.store(word.load() & absent));
        self.version.store(next);
        self.filter(list, E::Word::store);
        Ok(())
    }

    /// Calls `change` with each word of the filter and its bits for a list.
    fn filter(&self, list: &[[u64; 2]], change: impl Fn(&E::Word, u64)) {
        for (number, word) in self.words.iter().take(FILTER).enumerate() {
            let unspecified = [[0, 0], UNSPECIFIED];
            let places = list
                .iter()
                .chain(&unspecified)
                .map(|address| first(*address));
            let mine = places.filter(|place| place / 64 == number);
            change(word, !mine.fold(0, |bits, place| bits | 1 << (place % 64)));
        }
    }

    fn add(&self, version: u64, [a, b]: [u64; 2]) {
        let mut place = first([a, b]);
        for _ in 0..PLACES {
            let Some([high, low]) = self.place(version, place) else {
                return;
            };
            match (high.load(), low.load()) {
                (0, 0) => {
                    high.store(a);
                    low.store(b);
                    return;
                }
                found if found == (a, b) => return,
                _ => place = (place + 1) % PLACES,
            }
        }
    }

    /// From now on all local unicast addresses but loopback are shared.
    pub fn set_all(&self) {
        let _change = self.change.lock();
        for word in self.words.iter().take(FILTER) {
            word.store(0);
        }
        let next = (self.version.load() & !ALL).wrapping_add(1);
        self.version.store(next | ALL);
    }
}

/// Is it one that may be shared? Never are unspecified, multicast and limited
/// broadcast addresses. (A subnet's broadcast address looks like any other.)
#[must_use]
pub fn is_unicast([a, b]: [u64; 2]) -> bool {
    let (high, low) = (u64::from_be(a), u64::from_be(b));
    if high == 0 && low >> 32 == 0xffff {
        // Unspecified 0.0.0.0, multicast 224/4, 255.255.255.255.
        let v4 = low as u32;
        return v4 != 0 && v4 >> 28 != 0xe && v4 != u32::MAX;
    }
    // Multicast ff00::/8, unspecified ::.
    high >> 56 != 0xff && (high, low) != (0, 0)
}

/// `::1` and `127.0.0.0/8`: shared only if a list names them, for machines that
/// have no other addresses.
fn is_loopback([a, b]: [u64; 2]) -> bool {
    let (high, low) = (u64::from_be(a), u64::from_be(b));
    high == 0 && (low == 1 || low >> 24 == 0x00ff_ff7f)
}

/// Where a search starts. Nobody remote chooses local addresses.
#[inline]
fn first([a, b]: [u64; 2]) -> usize {
    // 2^64 divided by the golden ratio, made odd.
    let hash = (a ^ b.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 55) as usize % PLACES
}
