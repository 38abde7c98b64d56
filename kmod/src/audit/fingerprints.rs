// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which connections the last audit missed in the registry.

#![forbid(unsafe_code)]

use core::ops::DerefMut;

/// Slots of the first memory.
const FIRST: usize = 1024;
/// Most slots: eight megabytes, for three quarters as many connections.
const LAST: usize = 1 << 20;

/// A set of non-zero fingerprints: open addressing with linear probing, in memory
/// that doubles as it is needed, up to a limit, and whose growth may fail.
pub struct Fingerprints<M> {
    slots: Option<M>,
    len: usize,
}

/// Memory for so many slots, all zero.
pub type Allocate<M> = fn(usize) -> Option<M>;

impl<M: DerefMut<Target = [u64]>> Fingerprints<M> {
    /// An empty one without memory.
    pub const fn empty() -> Self {
        Self {
            slots: None,
            len: 0,
        }
    }

    /// Forgets everything, and the memory too.
    pub fn clear(&mut self) {
        self.slots = None;
        self.len = 0;
    }

    /// Is it in the set?
    pub fn contains(&self, fingerprint: u64) -> bool {
        let Some(slots) = &self.slots else {
            return false;
        };
        probe(slots.len(), fingerprint)
            .find_map(|index| match slots.get(index) {
                Some(0) | None => Some(false),
                Some(found) if *found == fingerprint => Some(true),
                Some(_) => None,
            })
            .unwrap_or(false)
    }

    /// Adds one. False: there was no memory for it.
    pub fn insert(&mut self, fingerprint: u64, allocate: Allocate<M>) -> bool {
        if !self.has_room() && !self.grow(allocate) {
            return false;
        }
        let Some(slots) = &mut self.slots else {
            return false;
        };
        self.len += usize::from(put(slots, fingerprint));
        true
    }

    /// At most three quarters are in use, so that probes stay short.
    fn has_room(&self) -> bool {
        let slots = self.slots.as_ref().map_or(0, |slots| slots.len());
        self.len < slots / 4 * 3
    }

    fn grow(&mut self, allocate: Allocate<M>) -> bool {
        let size = match &self.slots {
            Some(slots) if slots.len() >= LAST => return false,
            Some(slots) => slots.len() * 2,
            None => FIRST,
        };
        let Some(mut larger) = allocate(size) else {
            return false;
        };
        if let Some(slots) = &self.slots {
            for fingerprint in slots.iter().filter(|slot| **slot != 0) {
                put(&mut larger, *fingerprint);
            }
        }
        self.slots = Some(larger);
        true
    }
}

/// The slots where a fingerprint may be, its home first; `size` is a power of
/// two.
fn probe(size: usize, fingerprint: u64) -> impl Iterator<Item = usize> {
    let mask = size.wrapping_sub(1);
    (0..size).map(move |step| (fingerprint as usize).wrapping_add(step) & mask)
}

/// Puts it where it belongs; false if it is there already.
fn put(slots: &mut [u64], fingerprint: u64) -> bool {
    for index in probe(slots.len(), fingerprint) {
        match slots.get_mut(index) {
            Some(slot) if *slot == 0 => {
                *slot = fingerprint;
                return true;
            }
            Some(slot) if *slot == fingerprint => return false,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::vec;
    use std::vec::Vec;

    fn memory(size: usize) -> Option<Vec<u64>> {
        Some(vec![0; size])
    }

    #[test]
    fn it_grows_to_its_limit_and_no_further() {
        let mut set = Fingerprints::empty();
        let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let most = LAST / 4 * 3;
        let mut inserted = 0;
        for number in 1..LAST as u64 {
            if set.insert(spread(number), memory) {
                inserted += 1;
            }
        }
        assert_eq!(set.len, most);
        assert!(inserted >= most);
        assert_eq!(set.slots.as_ref().map(Vec::len), Some(LAST));
        set.clear();
        assert!(!set.contains(spread(1)) && set.slots.is_none());
    }

    #[test]
    fn what_finds_no_memory_is_not_there_and_the_rest_stays() {
        let mut set = Fingerprints::<Vec<u64>>::empty();
        assert!(!set.insert(7, |_| None));
        assert!(!set.contains(7));
        let most = FIRST as u64 / 4 * 3;
        assert!((1..=most).all(|number| set.insert(number, memory)));
        assert!(!set.insert(most + 1, |_| None));
        assert!((1..=most).all(|number| set.contains(number)));
        assert!(!set.contains(most + 1));
    }

    proptest! {
        #[test]
        fn it_is_a_set(numbers in proptest::collection::vec(1u64..5000, 0..3000), other in 1u64..5000) {
            let mut set = Fingerprints::empty();
            let model: HashSet<u64> = numbers.iter().copied().collect();
            for number in &numbers {
                prop_assert!(set.insert(*number, memory));
            }
            prop_assert!(numbers.iter().all(|number| set.contains(*number)));
            prop_assert_eq!(set.contains(other), model.contains(&other));
            prop_assert_eq!(set.len, model.len());
        }
    }
}
