// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which local addresses are shared. Only their flows are looked at.
//!
//! Read on every call, without a lock and without a write; changed seldom. Two
//! tables take turns: a change fills the idle one and then moves the version
//! on, whose lowest bit names the table in use. A reader that is overtaken by
//! changes sees the version move, and looks again.

use super::env::{Env, Lock, Word};

/// Addresses at most.
pub const ADDRESSES: usize = 256;

const PLACES: usize = 2 * ADDRESSES;
/// Words of memory for the set: two tables, two words an address.
pub const WORDS: usize = 2 * 2 * PLACES;

/// In the version: there is no list, all addresses but loopback are shared.
const ALL: u64 = 1 << 63;

/// A list has more than [`ADDRESSES`] addresses, or an unspecified one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAList;

/// The set. Addresses are in IPv6 form, as two words in native byte order.
pub struct Shared<E: Env> {
    version: E::Word,
    words: E::Words,
    change: E::Lock<()>,
}

impl<E: Env> Shared<E> {
    /// All local addresses but loopback, in memory of [`WORDS`] zeros.
    pub fn new(words: E::Words) -> Self {
        Self {
            version: E::Word::new(ALL),
            words,
            change: E::Lock::new(()),
        }
    }

    /// Is the address shared?
    #[inline]
    pub fn contains(&self, address: [u64; 2]) -> bool {
        // A reader that is overtaken twice takes the safe answer.
        for _ in 0..2 {
            let version = self.version.load();
            let found = if version & ALL == 0 {
                self.search(version, address)
            } else {
                !is_loopback(address)
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
        self.words.as_chunks::<2>().0.get(table + place)
    }

    /// From now on these are shared and no others.
    ///
    /// # Errors
    ///
    /// The list is unusable; nothing changed.
    pub fn set(&self, list: &[[u64; 2]]) -> Result<(), NotAList> {
        if list.len() > ADDRESSES || list.contains(&[0, 0]) {
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
        self.version.store(next);
        Ok(())
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

    /// From now on all local addresses but loopback are shared.
    pub fn set_all(&self) {
        let _change = self.change.lock();
        let next = (self.version.load() & !ALL).wrapping_add(1);
        self.version.store(next | ALL);
    }
}

/// `::1` and `127.0.0.0/8`.
fn is_loopback([a, b]: [u64; 2]) -> bool {
    let (high, low) = (u64::from_be(a), u64::from_be(b));
    high == 0 && (low == 1 || low >> 24 == 0xffff_7f)
}

/// Where a search starts. Nobody remote chooses local addresses.
#[inline]
fn first([a, b]: [u64; 2]) -> usize {
    // 2^64 divided by the golden ratio, made odd.
    let hash = (a ^ b.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 55) as usize % PLACES
}
