// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who owns which 5-tuple.
//!
//! Safe code that knows neither the kernel nor the contract: memory and the
//! secret of the hash are handed in, locking is the caller's. A call follows
//! chains, which the keyed hash keeps short, and looks at a bounded number of
//! other slots; only [`Registry::purge`] walks the table.
//!
//! Entries of this node count references, because the stack may ask twice
//! before it ends once. UDP has no end: its entries hang on their local
//! endpoint and go when its last bind does. They are not searched for then.
//! The endpoint's generation moves on, and entries of an older generation
//! count as absent; their slots are reclaimed when slots run out.

#![forbid(unsafe_code)]

pub mod table;

use core::ops::DerefMut;

use crate::flow::{Endpoint, FiveTuple, Protocol};
use table::{Index, Slot, Table};

/// A node of the cluster; 0 is none.
pub type Node = u32;

/// An IP stack of this node.
pub type StackId = u32;

/// What the registry knows of a connection that the stack has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// This node owns it.
    Present,
    /// Nobody does.
    Absent,
    /// Another node does.
    OwnedBy(Node),
    /// Its local address is not shared.
    NotShared,
}

/// A 5-tuple in the form that is compared: addresses in IPv6 form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TupleKey {
    local: LocalKey,
    foreign_addr: [u8; 16],
    foreign_port: u16,
}

/// A local endpoint in the form that is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LocalKey {
    protocol: u8,
    port: u16,
    addr: [u8; 16],
}

impl From<&FiveTuple> for TupleKey {
    fn from(tuple: &FiveTuple) -> Self {
        Self {
            local: LocalKey::from(&tuple.endpoint()),
            foreign_addr: tuple.foreign.addr.v6_form(),
            foreign_port: tuple.foreign.port,
        }
    }
}

impl From<&Endpoint> for LocalKey {
    fn from(endpoint: &Endpoint) -> Self {
        Self {
            protocol: endpoint.protocol.number(),
            port: endpoint.port,
            addr: endpoint.addr.v6_form(),
        }
    }
}

/// What is kept of a 5-tuple.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    owner: Node,
    references: u32,
    /// UDP: the endpoint's slot and its generation when this was registered.
    endpoint: Option<(Index, u32)>,
}

/// What is kept of a local UDP endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bound {
    binds: u32,
    /// Entries of the present generation.
    entries: u32,
    generation: u32,
}

/// What an answer rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted and registered.
    Registered,
    /// Accepted: ours already, one more reference.
    Repeated,
    /// Accepted and not registered: UDP without a local address.
    Unspecified,
    /// Refused: that node owns it.
    OwnedBy(Node),
    /// No room. Whether that refuses is the caller's policy.
    Full,
}

/// Why an entry of another node was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInstalled {
    /// The 5-tuple belongs to this node: a conflict.
    OwnedBy(Node),
    /// No other node has this number, or there is no local address.
    Invalid,
    /// No room.
    Full,
}

/// How many slots one call looks at to find one that can be reclaimed.
const RECLAIM_STEPS: usize = 32;

/// The slots that hold 5-tuples.
pub type TupleSlot = Slot<TupleKey, Entry>;
/// The slots that hold local endpoints.
pub type LocalSlot = Slot<LocalKey, Bound>;

/// The registry of one node. The parameters are the memory of its tables.
#[derive(Debug)]
pub struct Registry<T, L, H> {
    node: Node,
    tuples: Table<TupleKey, Entry, T, H>,
    endpoints: Table<LocalKey, Bound, L, H>,
    /// Slots of `tuples` whose entries went with their endpoint.
    stale: usize,
    /// Where the search for a slot to reclaim goes on.
    hand: usize,
    /// A bind was not counted for want of room. No count of binds can be
    /// trusted from then on: nobody knows whose last one it is.
    uncounted: bool,
}

impl<T, L, H> Registry<T, L, H>
where
    T: DerefMut<Target = [TupleSlot]>,
    L: DerefMut<Target = [LocalSlot]>,
    H: DerefMut<Target = [u32]>,
{
    /// An empty registry of `node`.
    pub fn new(
        node: Node,
        secret: [u8; 16],
        (tuple_slots, tuple_heads): (T, H),
        (local_slots, local_heads): (L, H),
    ) -> Self {
        Self {
            node,
            tuples: Table::new(tuple_slots, tuple_heads, secret),
            endpoints: Table::new(local_slots, local_heads, secret),
            stale: 0,
            hand: 0,
            uncounted: false,
        }
    }

    /// Entries that count, of all nodes.
    pub fn len(&self) -> usize {
        self.tuples.used().saturating_sub(self.stale)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries at most.
    pub fn capacity(&self) -> usize {
        self.tuples.capacity()
    }

    /// This node wants the 5-tuple.
    pub fn connect(&mut self, tuple: &FiveTuple) -> Verdict {
        if tuple.local.addr.is_unspecified() {
            return Verdict::Unspecified;
        }
        let key = TupleKey::from(tuple);
        let node = self.node;
        if let Some(entry) = self.live(&key) {
            if entry.owner != node {
                return Verdict::OwnedBy(entry.owner);
            }
            entry.references = entry.references.saturating_add(1);
            return Verdict::Repeated;
        }
        // An entry of UDP needs an endpoint: nothing else ever ends it.
        let endpoint = match tuple.protocol {
            Protocol::Tcp => None,
            Protocol::Udp => match self.join(&key.local) {
                Some(joined) => Some(joined),
                None => return Verdict::Full,
            },
        };
        let entry = Entry {
            owner: self.node,
            references: 1,
            endpoint,
        };
        if self.insert(&key, entry) {
            Verdict::Registered
        } else {
            self.leave(&entry);
            Verdict::Full
        }
    }

    /// One use of the 5-tuple ended. True if it was the last one of an entry
    /// of this node; another node's entry is left alone. `None`: unknown.
    pub fn disconnect(&mut self, tuple: &FiveTuple) -> Option<bool> {
        let key = TupleKey::from(tuple);
        let node = self.node;
        let entry = self.live(&key).filter(|entry| entry.owner == node)?;
        entry.references = entry.references.saturating_sub(1);
        if entry.references > 0 {
            return Some(false);
        }
        self.remove(&key);
        Some(true)
    }

    /// A UDP endpoint was bound. What an earlier one left behind goes, unless
    /// another socket is bound to the same address and port. False: there was
    /// no room to count it, and entries of UDP stay from now on.
    pub fn bind(&mut self, endpoint: &Endpoint) -> bool {
        if endpoint.protocol != Protocol::Udp || endpoint.addr.is_unspecified() {
            return true;
        }
        let key = LocalKey::from(endpoint);
        let Some(index) = self.find_or_insert_endpoint(&key) else {
            self.uncounted = true;
            return false;
        };
        if self
            .endpoints
            .get(index)
            .is_some_and(|bound| bound.binds == 0)
        {
            self.drop_entries(index);
        }
        if let Some(bound) = self.endpoints.get_mut(index) {
            bound.binds = bound.binds.saturating_add(1);
        }
        true
    }

    /// A UDP endpoint was unbound; with the last one its entries go. Nothing
    /// of a specific address goes with an unspecified one. False: unknown.
    pub fn unbind(&mut self, endpoint: &Endpoint) -> bool {
        let key = LocalKey::from(endpoint);
        let Some(index) = self.endpoints.find(&key) else {
            return false;
        };
        let Some(bound) = self.endpoints.get_mut(index) else {
            return false;
        };
        bound.binds = bound.binds.saturating_sub(1);
        if bound.binds > 0 {
            return true;
        }
        self.drop_entries(index);
        if self
            .endpoints
            .get(index)
            .is_some_and(|bound| bound.entries == 0)
        {
            self.endpoints.remove(index);
        }
        true
    }

    /// Another node says that it owns the 5-tuple. Ok if it did already.
    ///
    /// # Errors
    ///
    /// Why not; then nothing changed.
    pub fn install(&mut self, owner: Node, tuple: &FiveTuple) -> Result<(), NotInstalled> {
        if owner == 0 || owner == self.node || tuple.local.addr.is_unspecified() {
            return Err(NotInstalled::Invalid);
        }
        let key = TupleKey::from(tuple);
        if let Some(entry) = self.live(&key) {
            return if entry.owner == owner {
                Ok(())
            } else {
                Err(NotInstalled::OwnedBy(entry.owner))
            };
        }
        let entry = Entry {
            owner,
            references: 1,
            endpoint: None,
        };
        if self.insert(&key, entry) {
            Ok(())
        } else {
            Err(NotInstalled::Full)
        }
    }

    /// Another node gives the 5-tuple up. False if it did not own it. `None`:
    /// no other node has this number.
    pub fn withdraw(&mut self, owner: Node, tuple: &FiveTuple) -> Option<bool> {
        if owner == 0 || owner == self.node {
            return None;
        }
        let key = TupleKey::from(tuple);
        let owned = self.live(&key).is_some_and(|entry| entry.owner == owner);
        if owned {
            self.remove(&key);
        }
        Some(owned)
    }

    /// Another node left: all that it owned goes. False for 0 and this node.
    pub fn purge(&mut self, owner: Node) -> bool {
        if owner == 0 || owner == self.node {
            return false;
        }
        for number in 0..self.tuples.capacity() {
            let Some(index) = self.tuples.nth(number) else {
                continue;
            };
            if self
                .tuples
                .get(index)
                .is_some_and(|entry| entry.owner == owner)
            {
                self.tuples.remove(index);
            }
        }
        true
    }

    /// The entry of a key, if it counts.
    fn live(&mut self, key: &TupleKey) -> Option<&mut Entry> {
        let index = self.tuples.find(key)?;
        if self.is_stale(index) {
            return None;
        }
        self.tuples.get_mut(index)
    }

    fn is_stale(&self, index: Index) -> bool {
        let Some((endpoint, generation)) = self.tuples.get(index).and_then(|entry| entry.endpoint)
        else {
            return false;
        };
        self.endpoints
            .get(endpoint)
            .is_none_or(|bound| bound.generation != generation)
    }

    /// Puts an entry where no live one is. False: no room.
    fn insert(&mut self, key: &TupleKey, entry: Entry) -> bool {
        if let Some(index) = self.tuples.find(key) {
            self.reclaim(index);
        } else if self.tuples.used() == self.tuples.capacity() {
            self.reclaim_some();
        }
        self.tuples.insert(key, |_| entry).is_some()
    }

    fn remove(&mut self, key: &TupleKey) {
        if let Some(index) = self.tuples.find(key) {
            if let Some(entry) = self.tuples.get(index).copied() {
                self.leave(&entry);
            }
            self.tuples.remove(index);
        }
    }

    /// Frees the slot of an entry that went with its endpoint.
    fn reclaim(&mut self, index: Index) {
        self.tuples.remove(index);
        self.stale = self.stale.saturating_sub(1);
    }

    fn reclaim_some(&mut self) {
        for _ in 0..RECLAIM_STEPS {
            if self.stale == 0 {
                return;
            }
            self.hand = self.hand.wrapping_add(1);
            if let Some(index) = self.tuples.nth(self.hand)
                && self.is_stale(index)
            {
                return self.reclaim(index);
            }
        }
    }

    fn find_or_insert_endpoint(&mut self, key: &LocalKey) -> Option<Index> {
        if let Some(index) = self.endpoints.find(key) {
            return Some(index);
        }
        // The generation goes on where the slot's last user left it, so that
        // no entry of that one counts for this one.
        self.endpoints.insert(key, |last| Bound {
            binds: 0,
            entries: 0,
            generation: last.generation.wrapping_add(1),
        })
    }

    /// Counts an entry for its endpoint. `None`: no room for the endpoint.
    fn join(&mut self, key: &LocalKey) -> Option<(Index, u32)> {
        let index = self.find_or_insert_endpoint(key)?;
        let bound = self.endpoints.get_mut(index)?;
        bound.entries = bound.entries.saturating_add(1);
        Some((index, bound.generation))
    }

    /// Takes an entry that counts from its endpoint.
    fn leave(&mut self, entry: &Entry) {
        let Some((index, _)) = entry.endpoint else {
            return;
        };
        let Some(bound) = self.endpoints.get_mut(index) else {
            return;
        };
        bound.entries = bound.entries.saturating_sub(1);
        if bound.entries == 0 && bound.binds == 0 {
            self.endpoints.remove(index);
        }
    }

    /// All entries of an endpoint go, without looking at any; none does if
    /// one of them may belong to a bind that was not counted.
    fn drop_entries(&mut self, index: Index) {
        if self.uncounted {
            return;
        }
        if let Some(bound) = self.endpoints.get_mut(index) {
            bound.generation = bound.generation.wrapping_add(1);
            self.stale = self.stale.saturating_add(bound.entries as usize);
            bound.entries = 0;
        }
    }
}

#[cfg(test)]
mod tests;
