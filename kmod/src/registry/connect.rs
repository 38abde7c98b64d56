// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the stack calls: connect, disconnect, query.

use super::entry::{Entry, Kind, Left};
use super::env::Env;
use super::hash::Hash;
use super::key::Key;
use super::names::{Meaning, Numbered};
use super::pool::Pool;
use super::table::{At, Home, Table};
use super::{Full, Node, ROUNDS, Registry, StackId, Verdict, Via, key, local};
use crate::flow::{Addr, Direction, FiveTuple, Protocol};

/// What became of an entry of this node when one of its uses ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There is none, or the address is not shared.
    Unknown,
    /// It has more references.
    Kept,
    /// It is gone.
    Removed,
    /// It stays, and may be one too many: what ended may have been an earlier
    /// connection of the same 5-tuple. An audit decides.
    Doubtful,
}

/// What a try to register came to: the verdict, and the hash of what was tried if its
/// shard grows. `Late`: a name changed, or there is no place yet.
pub(super) struct Tried {
    pub(super) verdict: Verdict,
    pub(super) grows: Option<Hash>,
}

impl Tried {
    /// Nothing grows.
    pub(super) fn at_rest(verdict: Verdict) -> Self {
        Self {
            verdict,
            grows: None,
        }
    }
}

/// The pools that an entry is of.
#[inline(always)]
fn pools(entry: &Entry) -> (Pool, Option<Pool>) {
    match entry.kind() {
        Kind::Endpoint => (Pool::Endpoints, None),
        Kind::Udp => (Pool::Udp, Some(Pool::Tuples)),
        Kind::Tcp | Kind::Other(..) => (Pool::Tuples, None),
    }
}

impl<E: Env> Registry<E> {
    /// This node wants the 5-tuple of TCP: the usual case only. `Late` says that
    /// [`Registry::connect_tcp`] has to be asked; if the shard grows, whoever has stack for
    /// it calls [`Registry::grow_with`] afterwards.
    #[inline(always)]
    pub fn try_connect_tcp(
        &self,
        stack: StackId,
        tuple: &FiveTuple,
        direction: Direction,
        via: Via,
    ) -> (Verdict, bool) {
        match self.locals.find(&local(stack, &tuple.local.addr)) {
            Some(local) => {
                let tried = self.try_tcp(local, tuple, direction, via);
                (tried.verdict, tried.grows.is_some())
            }
            None => (Verdict::Late, false),
        }
    }

    /// This node wants the 5-tuple of TCP.
    pub fn connect_tcp(
        &self,
        stack: StackId,
        tuple: &FiveTuple,
        direction: Direction,
        via: Via,
    ) -> Verdict {
        self.retry_while_late(stack, &tuple.local.addr, |local| {
            self.try_tcp_again(local, tuple, direction, via)
        })
    }

    /// Goes on with the growth of the shard of a 5-tuple.
    #[cold]
    #[inline(never)]
    pub fn grow_with(&self, stack: StackId, tuple: &FiveTuple) {
        if let Some(local) = self.locals.find(&local(stack, &tuple.local.addr)) {
            self.grow(key(local, tuple).hash(&self.secret));
        }
    }

    /// Tries until there is a place, and goes on with the growth of what was tried.
    /// The stack that a try needs is free again by then.
    #[inline(always)]
    pub(super) fn retry_while_late<'a>(
        &'a self,
        stack: StackId,
        addr: &Addr,
        mut attempt: impl FnMut(Numbered<'a, E>) -> Tried,
    ) -> Verdict {
        for round in 0..ROUNDS {
            let local = match self.local(stack, addr) {
                Ok(local) => local,
                Err(Verdict::Late) => continue,
                Err(verdict) => return verdict,
            };
            let Tried { verdict, grows } = attempt(local);
            let goes_on = grows.is_none_or(|hash| self.grow(hash));
            // The first round may only have made an endpoint.
            if verdict != Verdict::Late || (round > 0 && !goes_on) {
                return verdict;
            }
        }
        Verdict::Late
    }

    /// Not inline: its stack is free again when the shard grows.
    #[inline(never)]
    fn try_tcp_again(
        &self,
        local: Numbered<'_, E>,
        tuple: &FiveTuple,
        direction: Direction,
        via: Via,
    ) -> Tried {
        self.try_tcp(local, tuple, direction, via)
    }

    #[inline(always)]
    fn try_tcp(
        &self,
        local: Numbered<'_, E>,
        tuple: &FiveTuple,
        direction: Direction,
        via: Via,
    ) -> Tried {
        let key = key(local, tuple);
        let hash = key.hash(&self.secret);
        let Some(mut table) = self.lock(hash, local) else {
            return Tried::at_rest(Verdict::Late);
        };
        let home = table.home(hash);
        let verdict = self.register_tcp(&mut table, home, &key, direction, via);
        if matches!(verdict, Verdict::OwnedBy(_)) {
            // Nothing came: nothing has to grow.
            return Tried::at_rest(verdict);
        }
        let grows = table.grows().then_some(hash);
        Tried { verdict, grows }
    }

    #[inline(always)]
    fn register_tcp(
        &self,
        table: &mut Table<E>,
        home: Home,
        key: &Key,
        direction: Direction,
        via: Via,
    ) -> Verdict {
        let audited = table.audited;
        let may_end_twice = (direction, via) == (Direction::Incoming, Via::Ip);
        let Some((at, entry)) = table.find_mut(home, key) else {
            let new = Entry::tcp(key, direction, via, audited);
            let ghost = || table.ghost(home, key);
            let verdict = match may_end_twice && ghost().is_some_and(Entry::is_incoming_via_ip) {
                true => self.add_doubtful(table, home, new),
                false => self.add(table, home, new),
            };
            return table.counts.tcp(direction).count(verdict);
        };
        // There is an entry of this 5-tuple already.
        match entry.kind() {
            Kind::Other(owner, epoch) => match self.owner(owner, epoch) {
                Some(owner) => table.counts.tcp(direction).count(Verdict::OwnedBy(owner)),
                None => {
                    let new = Entry::tcp(key, direction, via, audited);
                    let verdict = self.replace(table, home, at, new);
                    table.counts.tcp(direction).count(verdict)
                }
            },
            _ => {
                entry.retain(audited);
                if may_end_twice {
                    entry.set_doubtful();
                }
                table.counts.tcp(direction).count(Verdict::Repeated)
            }
        }
    }

    /// A 5-tuple of which a connection ended a moment ago. If that was reset before
    /// accept(), ip will tell its end once more: the second reference is for that. Where
    /// nothing is left of the first connection's entry ([`Table::ghost`]), that end takes
    /// the entry of the second one, until two audits register it again.
    #[cold]
    fn add_doubtful(&self, table: &mut Table<E>, home: Home, mut entry: Entry) -> Verdict {
        entry.retain(false);
        entry.set_doubtful();
        self.add(table, home, entry)
    }

    /// Adds an entry whose key has none.
    #[inline(always)]
    pub(super) fn add(&self, table: &mut Table<E>, home: Home, entry: Entry) -> Verdict {
        let (one, other) = pools(&entry);
        let has = |pool| *table.credit.of(pool) > 0;
        match has(one) && other.is_none_or(has) {
            true => self.add_with_credit(table, home, entry),
            false => self.add_with_new_credit(table, home, entry),
        }
    }

    /// As [`Registry::add`], in a shard whose credit is spent.
    #[inline(never)]
    fn add_with_new_credit(&self, table: &mut Table<E>, home: Home, entry: Entry) -> Verdict {
        let (one, other) = pools(&entry);
        if !self.pools.refill(&mut table.credit, one) {
            return Verdict::Full(match one {
                Pool::Tuples => Full::Tuples,
                Pool::Udp | Pool::Endpoints => Full::Udp,
            });
        }
        if other.is_some_and(|pool| !self.pools.refill(&mut table.credit, pool)) {
            // Others may have what this shard cannot use.
            self.pools.spend(&mut table.credit, one);
            self.pools.give(&mut table.credit, one);
            return Verdict::Full(Full::Tuples);
        }
        self.add_with_credit(table, home, entry)
    }

    #[inline(always)]
    fn add_with_credit(&self, table: &mut Table<E>, home: Home, entry: Entry) -> Verdict {
        let inserted = table.insert(home, entry);
        let (one, other) = pools(&entry);
        self.pools.spend(&mut table.credit, one);
        if let Some(pool) = other {
            self.pools.spend(&mut table.credit, pool);
        }
        if !inserted {
            self.give_credit(table, &entry);
            return Verdict::Late;
        }
        table.locals.count(&self.locals, entry.local(), 1);
        if let Kind::Other(owner, _) = entry.kind() {
            table.owners.count(&self.owners, owner, 1);
        }
        Verdict::Registered
    }

    #[inline(always)]
    fn give_credit(&self, table: &mut Table<E>, entry: &Entry) {
        let (one, other) = pools(entry);
        self.pools.give(&mut table.credit, one);
        if let Some(pool) = other {
            self.pools.give(&mut table.credit, pool);
        }
    }

    /// Takes an entry away.
    #[inline(always)]
    pub(super) fn remove(&self, table: &mut Table<E>, home: Home, at: At, entry: &Entry) {
        table.remove(home, at);
        self.give_credit(table, entry);
        table.locals.count(&self.locals, entry.local(), -1);
        if let Kind::Other(owner, _) = entry.kind() {
            table.owners.count(&self.owners, owner, -1);
        }
    }

    /// A new entry takes the place of a dead one of the same key.
    #[cold]
    pub(super) fn replace(&self, table: &mut Table<E>, home: Home, at: At, new: Entry) -> Verdict {
        if let Some(dead) = table.get(at).copied() {
            self.remove(table, home, at, &dead);
            table.replaced = table.replaced.saturating_add(1);
        }
        self.add(table, home, new)
    }

    /// One use of the 5-tuple ended.
    #[inline(always)]
    pub fn disconnect(&self, stack: StackId, tuple: &FiveTuple) -> Ended {
        let meaning = local(stack, &tuple.local.addr);
        let Some(local) = self.locals.find(&meaning) else {
            return Ended::Unknown;
        };
        match self.try_disconnect(local, tuple) {
            Some(ended) => ended,
            None => self.disconnect_again(&meaning, tuple),
        }
    }

    /// As [`Registry::disconnect`]: the name changed a moment ago.
    #[cold]
    #[inline(never)]
    fn disconnect_again(&self, meaning: &Meaning, tuple: &FiveTuple) -> Ended {
        let ended = self.with_name(meaning, |local| self.try_disconnect(local, tuple));
        ended.unwrap_or(Ended::Unknown)
    }

    #[inline(always)]
    fn try_disconnect(&self, local: Numbered<'_, E>, tuple: &FiveTuple) -> Option<Ended> {
        let key = key(local, tuple);
        let hash = key.hash(&self.secret);
        let generation = match tuple.protocol {
            Protocol::Tcp => None,
            Protocol::Udp => self.generation(&key),
        };
        let mut table = self.lock(hash, local)?;
        let home = table.home(hash);
        Some(self.release(&mut table, home, &key, generation))
    }

    #[inline(always)]
    fn release(
        &self,
        table: &mut Table<E>,
        home: Home,
        key: &Key,
        generation: Option<u8>,
    ) -> Ended {
        let Some((at, entry)) = table.find_mut(home, key) else {
            return Ended::Unknown;
        };
        match entry.kind() {
            Kind::Tcp => {}
            Kind::Udp if Some(entry.generation()) == generation => {}
            _ => return Ended::Unknown,
        }
        match entry.release() {
            Left::Some => Ended::Kept,
            Left::Doubtful => Ended::Doubtful,
            Left::Nothing => {
                let entry = *entry;
                self.remove(table, home, at, &entry);
                table.counts.removed += 1;
                Ended::Removed
            }
        }
    }

    /// The node that a number of an owner's name stands for, if what was named in
    /// this epoch is alive.
    #[inline(always)]
    pub(super) fn owner(&self, number: u16, epoch: u8) -> Option<Node> {
        let (node, note) = self.owners.tag_and_note(number)?;
        super::remote::Epochs::from(note)
            .is_alive(epoch)
            .then_some(node)
    }

    /// The generation of the endpoint of a 5-tuple of UDP.
    #[inline(never)]
    pub(super) fn generation(&self, key: &Key) -> Option<u8> {
        self.endpoint_generation(&Key::endpoint(key.local(), key.lport()))
    }

    /// Another node that owns a 5-tuple of UDP, for a question, which is counted.
    pub(super) fn owner_of(&self, local: Numbered<'_, E>, hash: Hash, key: &Key) -> Option<Node> {
        let mut table = self.lock(hash, local)?;
        let owner = match table.find(table.home(hash), key)?.kind() {
            Kind::Other(owner, epoch) => self.owner(owner, epoch),
            _ => None,
        };
        if let Some(owner) = owner {
            table.counts.udp().count(Verdict::OwnedBy(owner));
        }
        owner
    }
}
