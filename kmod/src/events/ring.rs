// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The last events, in memory of a fixed size.

#![forbid(unsafe_code)]

use core::ops::DerefMut;

/// What is read from a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<'a, T> {
    /// So many were overwritten before they were read.
    Lost(u64),
    /// The next one.
    Event(&'a T),
}

/// The last of all events that were ever put in, by their numbers, from 0.
pub struct Ring<S> {
    slots: S,
    /// The number of the first that is there.
    first: u64,
    /// The number that the next one gets.
    next: u64,
}

impl<T, S: DerefMut<Target = [T]>> Ring<S> {
    /// An empty one in this memory, whose first event gets the number `next`.
    pub fn new(slots: S, next: u64) -> Self {
        Self {
            slots,
            first: next,
            next,
        }
    }

    /// The number that the next event gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    fn place(&self, number: u64) -> usize {
        let places = self.slots.len() as u64;
        number.checked_rem(places).unwrap_or(0) as usize
    }

    /// Puts an event in, in place of the oldest if there is no room.
    pub fn push(&mut self, event: T) {
        let place = self.place(self.next);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = event;
            self.next = self.next.wrapping_add(1);
            let oldest = self.next.saturating_sub(self.slots.len() as u64);
            self.first = self.first.max(oldest);
        }
    }

    /// Hands what there is from the cursor on to `each`, which says whether it took
    /// it; the cursor moves on behind what was taken.
    pub fn read(&self, cursor: &mut u64, mut each: impl FnMut(Read<'_, T>) -> bool) {
        // Nobody has a cursor beyond the end but by mistake.
        *cursor = (*cursor).min(self.next);
        if *cursor < self.first {
            if !each(Read::Lost(self.first.wrapping_sub(*cursor))) {
                return;
            }
            *cursor = self.first;
        }
        while *cursor < self.next {
            let Some(event) = self.slots.get(self.place(*cursor)) else {
                return;
            };
            if !each(Read::Event(event)) {
                return;
            }
            *cursor = cursor.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec;
    use std::vec::Vec;

    fn all(ring: &Ring<Vec<u64>>, cursor: &mut u64) -> (u64, Vec<u64>) {
        let (mut lost, mut events) = (0, vec![]);
        ring.read(cursor, |read| {
            match read {
                Read::Lost(count) => lost += count,
                Read::Event(event) => events.push(*event),
            }
            true
        });
        (lost, events)
    }

    #[test]
    fn what_is_overwritten_is_told() {
        let mut ring = Ring::new(vec![0; 4], 7);
        let mut cursor = ring.next();
        assert_eq!(all(&ring, &mut cursor), (0, vec![]));
        for event in 0..4 {
            ring.push(event);
        }
        let mut late = cursor;
        assert_eq!(all(&ring, &mut cursor), (0, vec![0, 1, 2, 3]));
        ring.push(4);
        ring.push(5);
        assert_eq!(all(&ring, &mut late), (2, vec![2, 3, 4, 5]));
        assert_eq!(all(&ring, &mut cursor), (0, vec![4, 5]));
        assert_eq!((cursor, late), (13, 13));
        let mut beyond = 99;
        assert_eq!(all(&ring, &mut beyond), (0, vec![]));
        ring.push(6);
        assert_eq!(all(&ring, &mut beyond), (0, vec![6]));
    }

    #[test]
    fn what_is_not_taken_comes_again() {
        let mut ring = Ring::new(vec![0; 2], 0);
        for event in 0..3 {
            ring.push(event);
        }
        let mut cursor = 0;
        ring.read(&mut cursor, |_| false);
        assert_eq!(cursor, 0);
        let mut seen = vec![];
        ring.read(&mut cursor, |read| {
            let room = seen.len() < 2;
            if room {
                seen.push(match read {
                    Read::Lost(count) => (true, count),
                    Read::Event(event) => (false, *event),
                });
            }
            room
        });
        assert_eq!(seen, [(true, 1), (false, 1)]);
        assert_eq!(all(&ring, &mut cursor), (0, vec![2]));
    }

    #[test]
    fn without_memory_there_is_nothing() {
        let mut ring = Ring::new(vec![], 0);
        ring.push(1);
        assert_eq!(all(&ring, &mut 0), (0, vec![]));
    }

    proptest! {
        /// Each event is read once, or counted as lost once, in order.
        #[test]
        fn readers_miss_nothing_silently(
            size in 1..9_usize,
            steps in proptest::collection::vec((0..12_u64, 0..6_usize), 0..60),
        ) {
            let mut ring = Ring::new(vec![0; size], 0);
            let (mut cursor, mut expected, mut last) = (0, VecDeque::new(), 0);
            for (pushed, room) in steps {
                for _ in 0..pushed {
                    ring.push(last);
                    expected.push_back(last);
                    last += 1;
                }
                let mut taken = 0;
                ring.read(&mut cursor, |read| {
                    if taken == room {
                        return false;
                    }
                    taken += 1;
                    match read {
                        Read::Lost(count) => drop(expected.drain(..count as usize)),
                        Read::Event(event) => assert_eq!(expected.pop_front(), Some(*event)),
                    }
                    true
                });
                prop_assert!(taken == room || expected.is_empty());
            }
        }
    }
}
