// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the stack calls: connect, disconnect, query, prefetch.
//!
//! Each call has a short way and a long one. The short way looks at one bucket,
//! the home of the hash, and does what nearly always can be done there. Where
//! it cannot, it has changed nothing, and the long way looks at everything.

use super::bucket::{AtHome, Left};
use super::entry::{Entry, Key, Kind};
use super::env::Env;
use super::hash::Hash;
use super::names::Numbered;
use super::region::{Found, Place, Region};
use super::register::is_left;
use super::{Answer, Guard, Registry, StackId, Verdict, key, local};
use crate::flow::{Addr, FiveTuple, Protocol};

/// Where a 5-tuple belongs, whose memory was asked for.
pub struct Located<'a, E: Env> {
    pub(super) local: Numbered<'a, E>,
    pub(super) key: Key,
    pub(super) hash: Hash,
    pub(super) region: &'a Region<E>,
}

/// A question that cannot be answered the short way. A region is locked.
pub struct Unclear<'a, E: Env> {
    inner: Guard<'a, E>,
    key: Key,
    hash: Hash,
}

impl<E: Env> Registry<E> {
    /// This node wants the 5-tuple.
    #[inline(always)]
    pub fn connect(&self, stack: StackId, tuple: &FiveTuple, outgoing: bool, tick: u8) -> Answer {
        let at = match self.locate(tuple.protocol, stack, tuple) {
            Ok(at) => at,
            Err(verdict) => return Answer::of(verdict),
        };
        match tuple.protocol {
            Protocol::Tcp => match self.connect_tcp(at, outgoing) {
                Ok(verdict) => Answer::of(verdict),
                Err(unclear) => self.connect_tcp_long(unclear, outgoing),
            },
            Protocol::Udp => self.connect_udp(&at, tick),
        }
    }

    /// The first half of [`Registry::connect`]: where the 5-tuple belongs. For
    /// callers that know its protocol when they are compiled.
    ///
    /// # Errors
    ///
    /// The answer, if nobody looks at the 5-tuple.
    #[inline(always)]
    pub fn locate(
        &self,
        protocol: Protocol,
        stack: StackId,
        tuple: &FiveTuple,
    ) -> Result<Located<'_, E>, Verdict> {
        // An address that has a name is shared, or was a moment ago.
        let meaning = local(stack, &tuple.local.addr);
        let local = match self.locals.find_at_once(&meaning) {
            Some(local) => local,
            None => self.local_or_not(stack, &tuple.local.addr)?,
        };
        self.belongs(protocol, local, tuple).ok_or(Verdict::Late)
    }

    #[inline(always)]
    fn belongs<'a>(
        &'a self,
        protocol: Protocol,
        local: Numbered<'a, E>,
        tuple: &FiveTuple,
    ) -> Option<Located<'a, E>> {
        let (lport, foreign) = (tuple.local.port, &tuple.foreign);
        let key = Key::tuple(protocol, local.number, lport, &foreign.addr, foreign.port);
        let hash = key.hash(&self.secret);
        let region = self.region(hash.region(self.shift))?;
        region.prefetch(Place { hash });
        Some(Located {
            local,
            key,
            hash,
            region,
        })
    }

    /// As `local`, where most addresses are expected not to be shared.
    #[inline(never)]
    fn local_or_not(&self, stack: StackId, addr: &Addr) -> Result<Numbered<'_, E>, Verdict> {
        if self.is_shared(addr) {
            self.local(stack, addr)
        } else if addr.is_unspecified() {
            Err(Verdict::Unspecified)
        } else {
            Err(Verdict::NotShared)
        }
    }

    /// The second half of [`Registry::connect`] for TCP.
    ///
    /// # Errors
    ///
    /// Ask [`Registry::connect_tcp_long`].
    #[inline(always)]
    pub fn connect_tcp<'a>(
        &self,
        at: Located<'a, E>,
        outgoing: bool,
    ) -> Result<Verdict, Unclear<'a, E>> {
        let Some(mut inner) = self.lock(at.region, at.local) else {
            return Ok(Verdict::NotShared);
        };
        let (key, hash) = (at.key, at.hash);
        // Unlocked in each arm, so that what was found needs no memory.
        match inner.register_at_home(hash, &key, outgoing) {
            AtHome::Added => {
                drop(inner);
                Ok(Verdict::Registered)
            }
            AtHome::Ours => {
                drop(inner);
                Ok(Verdict::Repeated)
            }
            AtHome::Others(owner) => match self.owners.tag(owner) {
                Some(owner) => {
                    drop(inner);
                    Ok(Verdict::OwnedBy(owner))
                }
                None => Err(Unclear { inner, key, hash }),
            },
            AtHome::Unclear => Err(Unclear { inner, key, hash }),
        }
    }

    /// Goes on where [`Registry::connect_tcp`] did not know.
    pub fn connect_tcp_long(&self, unclear: Unclear<'_, E>, outgoing: bool) -> Answer {
        let Unclear { inner, key, hash } = unclear;
        let entry = Entry::tcp(&key, outgoing);
        let answer = self.register_locked(inner, (Place { hash }, &key), entry, None);
        self.help_after(answer, hash);
        answer
    }

    /// One use of the 5-tuple ended. True if it was the last one of an entry
    /// of this node; another node's entry is left alone. `None`: unknown, or
    /// not shared.
    #[inline(always)]
    pub fn disconnect(&self, stack: StackId, tuple: &FiveTuple) -> Option<bool> {
        if tuple.protocol == Protocol::Tcp
            && let Some(local) = self.locals.find_at_once(&local(stack, &tuple.local.addr))
            && let Some(at) = self.belongs(Protocol::Tcp, local, tuple)
            && let Some(mut inner) = self.lock(at.region, at.local)
        {
            // Unlocked in each arm, as in `connect_tcp`.
            match inner.release_at_home(at.hash, &at.key) {
                Left::Some => {
                    drop(inner);
                    return Some(false);
                }
                Left::None => {
                    drop(inner);
                    return Some(true);
                }
                Left::Unclear => drop(inner),
            }
        }
        self.disconnect_long(stack, tuple)
    }

    #[inline(never)]
    fn disconnect_long(&self, stack: StackId, tuple: &FiveTuple) -> Option<bool> {
        let local = self.locals.find(&local(stack, &tuple.local.addr))?;
        let generation = self.generation(local, tuple);
        let at = self.belongs(tuple.protocol, local, tuple)?;
        let place = Place { hash: at.hash };
        let mut inner = self.lock(at.region, local)?;
        let found = inner.find(place, |entry| entry.is(&at.key))?;
        match found.packed.kind() {
            Kind::Tcp => {}
            Kind::Udp if Some(found.packed.generation()) == generation => {}
            _ => return None,
        }
        if !inner.get_mut(found)?.release() {
            return Some(false);
        }
        self.remove(&mut inner, place, found);
        Some(true)
    }

    /// What [`Registry::connect`] would say now, and how many references there
    /// are. Changes nothing.
    #[inline(always)]
    pub fn query(&self, stack: StackId, tuple: &FiveTuple) -> (Verdict, u64) {
        if tuple.protocol == Protocol::Tcp
            && let Some(local) = self.locals.find_at_once(&local(stack, &tuple.local.addr))
            && let Some(at) = self.belongs(Protocol::Tcp, local, tuple)
            && let Some(inner) = self.lock(at.region, local)
            && let Some(packed) = inner.look_at_home(at.hash, &at.key)
        {
            match packed.owner() {
                None => return (Verdict::Repeated, packed.tcp_references()),
                Some(owner) => {
                    if let Some(owner) = self.owners.tag(owner) {
                        return (Verdict::OwnedBy(owner), 0);
                    }
                }
            }
        }
        self.query_long(stack, tuple)
    }

    #[inline(never)]
    fn query_long(&self, stack: StackId, tuple: &FiveTuple) -> (Verdict, u64) {
        if let Some(local) = self.locals.find(&local(stack, &tuple.local.addr)) {
            let key = key(local, tuple);
            let generation = self.generation(local, tuple);
            let Some((place, region, _)) = self.place(&key) else {
                return (Verdict::Late, 0);
            };
            region.prefetch(place);
            let Some(inner) = self.lock(region, local) else {
                return (Verdict::NotShared, 0);
            };
            let found = inner.find(place, |entry| entry.is(&key));
            if let Some(Found { packed: entry, .. }) = found {
                match entry.kind() {
                    Kind::Other(owner) => {
                        if let Some(owner) = self.owners.meaning(owner) {
                            return (Verdict::OwnedBy(owner.tag), 0);
                        }
                    }
                    Kind::Udp if Some(entry.generation()) != generation => {}
                    _ => return (Verdict::Repeated, entry.references()),
                }
            }
            let credit = found.is_some() || inner.credit() > 0 || self.is_batch_left();
            let endpoint = tuple.protocol == Protocol::Tcp
                || generation.is_some()
                || is_left(&self.endpoint_pool);
            if !credit || !endpoint {
                return (Verdict::Full, 0);
            }
            if found.is_none() && !inner.has_room() {
                return (Verdict::Late, 0);
            }
        } else if tuple.local.addr.is_unspecified() {
            return (Verdict::Unspecified, 0);
        } else if !self.is_shared(&tuple.local.addr) {
            return (Verdict::NotShared, 0);
        } else if !self.has_room_for_an_address(tuple.protocol) {
            return (Verdict::Full, 0);
        }
        (Verdict::Registered, 0)
    }

    /// May an address that was not seen before have entries?
    #[cold]
    fn has_room_for_an_address(&self, protocol: Protocol) -> bool {
        self.is_batch_left()
            && (protocol == Protocol::Tcp || is_left(&self.endpoint_pool))
            && self.locals.has_room()
    }

    /// A call about this 5-tuple will come soon: fetches what it will touch.
    #[inline]
    pub fn prefetch(&self, stack: StackId, tuple: &FiveTuple) {
        if let Some(local) = self.locals.find_at_once(&local(stack, &tuple.local.addr)) {
            let _asked_for = self.belongs(tuple.protocol, local, tuple);
        }
    }
}
