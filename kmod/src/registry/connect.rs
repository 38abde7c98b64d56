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
use super::table::{At, Table};
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
        let verdict = self.register_tcp(&mut table, hash, &key, direction, via);
        let [outgoing, incoming, _] = &mut table.counts.flows;
        match direction {
            Direction::Outgoing => outgoing.count(verdict),
            Direction::Incoming => incoming.count(verdict),
        }
        let grows = table.grows().then_some(hash);
        Tried { verdict, grows }
    }

    #[inline(always)]
    fn register_tcp(
        &self,
        table: &mut Table<E>,
        hash: Hash,
        key: &Key,
        direction: Direction,
        via: Via,
    ) -> Verdict {
        let audited = table.audited;
        let may_end_twice = (direction, via) == (Direction::Incoming, Via::Ip);
        let Some((at, entry)) = table.find_mut(hash, key) else {
            let new = Entry::tcp(key, direction, via, audited);
            let ghost = || table.ghost(hash, key);
            return match may_end_twice && ghost().is_some_and(Entry::is_incoming_via_ip) {
                true => self.add_doubtful(table, hash, new),
                false => self.add(table, hash, new),
            };
        };
        // There is an entry of this 5-tuple already.
        match entry.kind() {
            Kind::Other(owner, epoch) => match self.owner(owner, epoch) {
                Some(owner) => Verdict::OwnedBy(owner),
                None => {
                    let new = Entry::tcp(key, direction, via, audited);
                    self.replace(table, hash, at, new)
                }
            },
            _ => {
                entry.retain(audited);
                if may_end_twice {
                    entry.set_doubtful();
                }
                Verdict::Repeated
            }
        }
    }

    /// A 5-tuple of which a connection ended a moment ago. If that was reset before
    /// accept(), ip will tell its end once more: the second reference is for that. Where
    /// nothing is left of the first connection's entry ([`Table::ghost`]), that end takes
    /// the entry of the second one, until two audits register it again.
    #[cold]
    fn add_doubtful(&self, table: &mut Table<E>, hash: Hash, mut entry: Entry) -> Verdict {
        entry.retain(false);
        entry.set_doubtful();
        self.add(table, hash, entry)
    }

    /// Adds an entry whose key has none.
    #[inline(always)]
    pub(super) fn add(&self, table: &mut Table<E>, hash: Hash, entry: Entry) -> Verdict {
        if let Some(full) = self.take_credit(table, &entry) {
            return Verdict::Full(full);
        }
        if !table.insert(hash, entry) {
            self.give_credit(table, &entry);
            return Verdict::Late;
        }
        table.locals.count(&self.locals, entry.local(), 1);
        if let Kind::Other(owner, _) = entry.kind() {
            table.owners.count(&self.owners, owner, 1);
        }
        Verdict::Registered
    }

    /// What there is no room for, if anything.
    #[inline(always)]
    fn take_credit(&self, table: &mut Table<E>, entry: &Entry) -> Option<Full> {
        let (pools, credit) = (&self.pools, &mut table.credit);
        match entry.kind() {
            Kind::Endpoint => (!pools.take(credit, Pool::Endpoints)).then_some(Full::Udp),
            Kind::Udp if !pools.take(credit, Pool::Udp) => Some(Full::Udp),
            kind => {
                let taken = pools.take(credit, Pool::Tuples);
                if !taken && kind == Kind::Udp {
                    pools.give(credit, Pool::Udp);
                }
                (!taken).then_some(Full::Tuples)
            }
        }
    }

    #[inline(always)]
    fn give_credit(&self, table: &mut Table<E>, entry: &Entry) {
        let (pools, credit) = (&self.pools, &mut table.credit);
        match entry.kind() {
            Kind::Endpoint => pools.give(credit, Pool::Endpoints),
            Kind::Udp => {
                pools.give(credit, Pool::Udp);
                pools.give(credit, Pool::Tuples);
            }
            Kind::Tcp | Kind::Other(..) => pools.give(credit, Pool::Tuples),
        }
    }

    /// Takes an entry away.
    #[inline(always)]
    pub(super) fn remove(&self, table: &mut Table<E>, hash: Hash, at: At, entry: &Entry) {
        table.remove(hash, at);
        self.give_credit(table, entry);
        table.locals.count(&self.locals, entry.local(), -1);
        if let Kind::Other(owner, _) = entry.kind() {
            table.owners.count(&self.owners, owner, -1);
        }
    }

    /// A new entry takes the place of a dead one of the same key.
    #[cold]
    pub(super) fn replace(&self, table: &mut Table<E>, hash: Hash, at: At, new: Entry) -> Verdict {
        if let Some(dead) = table.get(at).copied() {
            self.remove(table, hash, at, &dead);
            table.replaced = table.replaced.saturating_add(1);
        }
        self.add(table, hash, new)
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
        Some(self.release(&mut table, hash, &key, generation))
    }

    #[inline(always)]
    fn release(
        &self,
        table: &mut Table<E>,
        hash: Hash,
        key: &Key,
        generation: Option<u8>,
    ) -> Ended {
        let Some((at, entry)) = table.find_mut(hash, key) else {
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
                self.remove(table, hash, at, &entry);
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
        let owner = match table.find(hash, key)?.kind() {
            Kind::Other(owner, epoch) => self.owner(owner, epoch),
            _ => None,
        };
        if let Some(owner) = owner {
            let [.., udp] = &mut table.counts.flows;
            udp.count(Verdict::OwnedBy(owner));
        }
        owner
    }
}
