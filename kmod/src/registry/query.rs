// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a question would come to.

use super::entry::{Entry, Kind};
use super::env::Env;
use super::key::Key;
use super::names::{Meaning, Numbered};
use super::pool::Pool;
use super::shard::Guard;
use super::table::Home;
use super::{Full, Registry, StackId, Verdict, key, local};
use crate::flow::{FiveTuple, Protocol};

impl<E: Env> Registry<E> {
    /// What a question would be told now, and how many references there are. Changes nothing.
    #[inline]
    pub fn query(&self, stack: StackId, tuple: &FiveTuple) -> (Verdict, u64) {
        let meaning = local(stack, &tuple.local.addr);
        let told = self.locals.find(&meaning);
        match told.and_then(|local| self.try_query(local, tuple)) {
            Some(told) => told,
            None => self.query_again(&meaning, tuple),
        }
    }

    /// As [`Registry::query`]: there is no name, or it changed a moment ago.
    #[cold]
    #[inline(never)]
    fn query_again(&self, meaning: &Meaning, tuple: &FiveTuple) -> (Verdict, u64) {
        let told = self.with_name(meaning, |local| self.try_query(local, tuple));
        told.unwrap_or_else(|| (self.query_new_address(tuple), 0))
    }

    #[inline(always)]
    fn try_query(&self, local: Numbered<'_, E>, tuple: &FiveTuple) -> Option<(Verdict, u64)> {
        let key = key(local, tuple);
        let hash = key.hash(&self.secret);
        let generation = match tuple.protocol {
            Protocol::Tcp => None,
            Protocol::Udp => self.generation(&key),
        };
        let table = self.lock(hash, local)?;
        let home = table.home(hash);
        Some(self.tell(&table, home, &key, generation))
    }

    #[inline(always)]
    fn tell(
        &self,
        table: &Guard<'_, E>,
        home: Home,
        key: &Key,
        generation: Option<u8>,
    ) -> (Verdict, u64) {
        let found = table.find(home, key);
        match found.map(|entry| (entry, entry.kind())) {
            Some((_, Kind::Other(owner, epoch))) => {
                if let Some(owner) = self.owner(owner, epoch) {
                    return (Verdict::OwnedBy(owner), 0);
                }
            }
            Some((entry, Kind::Udp)) if Some(entry.generation()) != generation => {}
            Some((entry, _)) => return (Verdict::Repeated, entry.references()),
            None => {}
        }
        let dead = found.map(Entry::kind);
        let is_late = dead.is_none() && self.reserve.is_exhausted() && !table.has_place(home);
        match self.room(table, key, dead, generation) {
            Verdict::Registered if is_late => (Verdict::Late, 0),
            verdict => (verdict, 0),
        }
    }

    /// What would become of a 5-tuple without an entry, or with a dead one, whose
    /// credit it gets: in the order of [`Registry::add`].
    #[cold]
    fn room(
        &self,
        table: &Guard<'_, E>,
        key: &Key,
        dead: Option<Kind>,
        generation: Option<u8>,
    ) -> Verdict {
        let has = |pool| self.pools.has_room(&table.credit, pool);
        if key.protocol() == Protocol::Udp {
            let endpoint = generation.is_some() || has(Pool::Endpoints);
            let tuple = dead == Some(Kind::Udp) || has(Pool::Udp);
            if !(endpoint && tuple) {
                return Verdict::Full(Full::Udp);
            }
        }
        match dead.is_some() || has(Pool::Tuples) {
            true => Verdict::Registered,
            false => Verdict::Full(Full::Tuples),
        }
    }

    /// [`Registry::query`] for an address that has no entry yet.
    #[cold]
    fn query_new_address(&self, tuple: &FiveTuple) -> Verdict {
        if tuple.local.addr.is_unspecified() {
            return Verdict::Unspecified;
        }
        if !self.is_shared(&tuple.local.addr) {
            return Verdict::NotShared;
        }
        if !self.locals.has_room() {
            return Verdict::Full(Full::Addresses);
        }
        let used = self.used();
        let is_full = |pool| *used.of(pool) >= self.pools.most(pool);
        let is_udp = tuple.protocol == Protocol::Udp;
        if is_udp && (is_full(Pool::Udp) || is_full(Pool::Endpoints)) {
            Verdict::Full(Full::Udp)
        } else if is_full(Pool::Tuples) {
            Verdict::Full(Full::Tuples)
        } else {
            Verdict::Registered
        }
    }
}
