// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What other nodes own, as far as this one is told.

use super::entry::{Entry, Kind};
use super::env::{Env, Word};
use super::names::Meaning;
use super::region::Found;
use super::{Node, Registry, Verdict, key, local};
use crate::flow::{FiveTuple, Protocol};

/// Why an entry of another node was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInstalled {
    /// The 5-tuple belongs to this or a third node: a conflict.
    OwnedBy(Node),
    /// No other node has this number, or there is no local address.
    Invalid,
    /// The local address is not shared.
    NotShared,
    /// No room.
    Full,
}

pub(super) fn owner(node: Node) -> Meaning {
    Meaning {
        words: [0; 2],
        tag: node,
    }
}

impl<E: Env> Registry<E> {
    /// Another node says that it owns the 5-tuple (of the global stack). Ok if
    /// it did already.
    ///
    /// # Errors
    ///
    /// Why not; then nothing changed.
    pub fn install(&self, owner: Node, tuple: &FiveTuple) -> Result<bool, NotInstalled> {
        if !self.is_other(owner) {
            return Err(NotInstalled::Invalid);
        }
        let local = self
            .local(0, &tuple.local.addr)
            .map_err(|verdict| match verdict {
                Verdict::Unspecified => NotInstalled::Invalid,
                Verdict::NotShared => NotInstalled::NotShared,
                _ => NotInstalled::Full,
            })?;
        let name = self
            .owners
            .find_or_add(&self::owner(owner))
            .ok_or(NotInstalled::Full)?;
        let key = key(local, tuple);
        let seen = match tuple.protocol {
            Protocol::Tcp => None,
            Protocol::Udp => self.generation_in_the_way(local, &key),
        };
        // Asked in this order, as for `Asking`.
        let over = seen.filter(|seen| self.generation(local, tuple) != Some(*seen));
        let (place, region, _) = self.place(&key).ok_or(NotInstalled::Full)?;
        region.prefetch(place);
        let inner = self.lock(region, local).ok_or(NotInstalled::NotShared)?;
        let found = inner.find(place, |entry| entry.is(&key));
        if let Some(Found { packed: entry, .. }) = found {
            let holder = match entry.kind() {
                Kind::Other(holder) => self.owners.meaning(holder).map(|holder| holder.tag),
                Kind::Udp if over == Some(entry.generation()) => None,
                _ => Some(self.settings.node),
            };
            match holder {
                Some(holder) if holder == owner => return Ok(false),
                Some(holder) => return Err(NotInstalled::OwnedBy(holder)),
                None => {}
            }
        }
        if !name.holds() {
            return Ok(false);
        }
        let entry = Entry::other(&key, name.number);
        let answer = self.add(inner, place, entry, None, found);
        self.help(place.hash);
        match answer.verdict {
            Verdict::Registered => Ok(answer.wake),
            _ => Err(NotInstalled::Full),
        }
    }

    /// Another node gives the 5-tuple up. False if it did not own it. `None`:
    /// no other node has this number.
    pub fn withdraw(&self, owner: Node, tuple: &FiveTuple) -> Option<bool> {
        if !self.is_other(owner) {
            return None;
        }
        Some(self.withdraw_found(owner, tuple).is_some())
    }

    fn withdraw_found(&self, owner: Node, tuple: &FiveTuple) -> Option<()> {
        let local = self.locals.find(&local(0, &tuple.local.addr))?;
        let name = self.owners.find(&self::owner(owner))?;
        let key = key(local, tuple);
        let (place, region, _) = self.place(&key)?;
        let mut inner = self.lock(region, local)?;
        let found = inner.find(place, |entry| entry.is(&key))?;
        // The name is looked at under the lock, too: its number may be another
        // node's by now.
        if found.packed.kind() != Kind::Other(name.number) || !name.holds() {
            return None;
        }
        self.remove(&mut inner, place, found);
        Some(())
    }

    /// Another node left: all that it owned is gone, and swept later. False for
    /// 0 and this node.
    pub fn purge(&self, owner: Node) -> bool {
        if !self.is_other(owner) {
            return false;
        }
        if self.owners.retire(&self::owner(owner)) {
            self.dirty.or(1);
        }
        true
    }

    fn is_other(&self, node: Node) -> bool {
        node != 0 && node != self.settings.node
    }
}
