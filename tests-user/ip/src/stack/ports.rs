// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The ports that a stack gives to whoever names none.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::error::Errno;

/// The first of them that a system comes with.
pub(crate) const FIRST_EPHEMERAL: u16 = 32768;
/// No range begins below.
const LEAST: u16 = 1024;

/// `smallest_anon_port` and `largest_anon_port` of one protocol.
#[derive(Debug)]
pub(crate) struct AnonPorts {
    smallest: AtomicU16,
    largest: AtomicU16,
    next: AtomicU16,
}

impl AnonPorts {
    /// The range that a system comes with, of which this one is the first.
    pub fn beginning_at(next: u16) -> Self {
        Self {
            smallest: AtomicU16::new(FIRST_EPHEMERAL),
            largest: AtomicU16::new(u16::MAX),
            next: AtomicU16::new(next),
        }
    }

    pub fn range(&self) -> RangeInclusive<u16> {
        self.smallest.load(Ordering::SeqCst)..=self.largest.load(Ordering::SeqCst)
    }

    /// The setters look at the other end, each by itself.
    pub fn set_smallest(&self, port: u16) -> Result<(), Errno> {
        if port < LEAST || port > *self.range().end() {
            return Err(Errno::ERANGE);
        }
        self.smallest.store(port, Ordering::SeqCst);
        Ok(())
    }

    pub fn set_largest(&self, port: u16) -> Result<(), Errno> {
        if port < *self.range().start() {
            return Err(Errno::ERANGE);
        }
        self.largest.store(port, Ordering::SeqCst);
        Ok(())
    }

    /// The next port that is free.
    pub fn next(&self, is_free: impl Fn(u16) -> bool) -> Option<u16> {
        let range = self.range();
        let advance = |port: u16| {
            let next = port.checked_add(1).filter(|next| range.contains(next));
            Some(next.unwrap_or(*range.start()))
        };
        // One more, should the range have moved away from the next.
        (0..=range.len()).find_map(|_| {
            let port = self
                .next
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance);
            let port = port.unwrap_or_else(|port| port);
            (range.contains(&port) && is_free(port)).then_some(port)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disjoint_range_is_reached_through_the_union() {
        let ports = AnonPorts::beginning_at(FIRST_EPHEMERAL);
        assert_eq!(ports.range(), 32768..=65535);
        assert_eq!(ports.set_largest(20000), Err(Errno::ERANGE));
        assert_eq!(ports.set_smallest(1023), Err(Errno::ERANGE));
        ports.set_smallest(10000).expect("in the range of ports");
        ports.set_largest(20000).expect("above the smallest");
        assert_eq!(ports.set_smallest(20001), Err(Errno::ERANGE));
        assert_eq!(ports.range(), 10000..=20000);
    }

    #[test]
    fn ports_come_in_turn_until_none_is_free() {
        let ports = AnonPorts::beginning_at(FIRST_EPHEMERAL);
        ports.set_largest(32770).expect("above the smallest");
        let got: Vec<_> = (0..4).map(|_| ports.next(|_| true)).collect();
        assert_eq!(got, [Some(32768), Some(32769), Some(32770), Some(32768)]);
        assert_eq!(ports.next(|port| port == 32768), Some(32768));
        assert_eq!(ports.next(|_| false), None);
        ports.set_largest(40010).expect("above the smallest");
        ports.set_smallest(40000).expect("below the largest");
        assert!(ports.next(|_| true).is_some_and(|port| port >= 40000));
    }
}
