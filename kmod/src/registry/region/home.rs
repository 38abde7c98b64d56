// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The short way of a call: what can be done in the bucket where a hash belongs.

use super::super::bucket::{self, AtHome, Left};
use super::super::entry::{Entry, Key, Packed};
use super::super::env::Env;
use super::super::hash::Hash;
use super::Inner;

impl<E: Env> Inner<E> {
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
}
