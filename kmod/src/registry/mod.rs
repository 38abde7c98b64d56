// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who owns which 5-tuple.
//!
//! Safe code that knows neither the kernel nor the contract: locks, memory and
//! prefetching come with an [`Env`], the secret of the hash and the time are
//! arguments.
//!
//! The table has regions, each with a lock of its own and an array of buckets
//! ([`region`], [`bucket`], [`entry`]). A call takes one lock at a time, for a few
//! cache lines, and never allocates: memory is handed in by whoever calls
//! [`Registry::maintain`]. Entries then move from one array to another, a few
//! with each insertion and the rest by that caller.
//!
//! An entry of this node counts references, because the stack may ask twice
//! before it ends once. UDP has no end: its entries age, and hang on their
//! local endpoint. They are not searched for when its last bind goes: the
//! endpoint's generation moves on, and entries of an older one are absent. Local
//! addresses and nodes are entries' names ([`names`]); what goes with a node
//! that left is dead in the same way. A sweep drops the dead.

#![forbid(unsafe_code)]

pub mod bucket;
mod calls;
mod endpoint;
pub mod entry;
pub mod env;
pub mod hash;
mod list;
mod maintain;
pub mod names;
pub mod region;
mod register;
mod remote;
pub mod shared;
mod sweep;

use crate::flow::{Addr, FiveTuple};
pub use calls::{Located, Unclear};
use entry::{Key, Kind};
use env::{Env, Lock, Word};
use hash::Secret;
pub use list::{Cursor, Listed, ROOM};
pub use maintain::{Busy, MARKS};
use names::{Meaning, Names, Numbered};
use region::{Inner, Place, Region};
pub use remote::NotInstalled;
use shared::{NotAList, Shared};
pub use sweep::{ASKED, Asked, Pass, Swept, Why};

/// A node of the cluster; 0 is none.
pub type Node = u32;

/// A stack of this node: an illumos `netstackid_t`; 0 is the global one.
pub type StackId = u32;

/// What an answer rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted and registered.
    Registered,
    /// Accepted: ours already, one more reference.
    Repeated,
    /// Accepted and not registered: there is no local address.
    Unspecified,
    /// Accepted and not registered: the local address is not shared.
    NotShared,
    /// Refused: that node owns it.
    OwnedBy(Node),
    /// The registry holds as many as it may. Whether that refuses is the
    /// caller's policy.
    Full,
    /// Memory is late; the rest as for `Full`.
    Late,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it is.
    pub verdict: Verdict,
    /// [`Registry::maintain`] has something to do.
    pub wake: bool,
}

/// What an audit learns of a 5-tuple of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// It is registered.
    Present,
    /// It is not.
    Absent,
    /// Another node owns it.
    OwnedBy(Node),
    /// Nobody looks at it.
    NotShared,
}

/// How a registry is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// This node.
    pub node: Node,
    /// 5-tuples at most.
    pub most: usize,
    /// Age of UDP entries in ticks; 0 is never. At most [`MOST_TICKS`].
    pub age: u8,
    /// Regions keep the memory they have.
    pub fixed: bool,
}

/// The greatest age in ticks. Two ticks can be told apart by which is the older
/// one if there are fewer than [`entry::TICKS`] / 2 between them; the rest is
/// what a sweep may be late.
pub const MOST_TICKS: u8 = 24;

/// The registry of one node.
pub struct Registry<E: Env> {
    secret: Secret,
    settings: Settings,
    /// The number of regions is two to the power of this.
    bits: u32,
    /// What [`hash::Hash::region`] wants for it.
    shift: u32,
    regions: E::Regions,
    locals: Names<E>,
    owners: Names<E>,
    shared: Shared<E>,
    /// 5-tuples that may still be added, but for the regions' credit.
    pool: E::Word,
    /// How many of them a region takes at once: of all, at most three
    /// hundredths lie idle.
    batch: u64,
    /// As `pool`, for endpoints: as many, since a connected UDP socket is one
    /// of each.
    endpoint_pool: E::Word,
    /// Regions that want memory, that need it now, and whose entries move: a bit
    /// each.
    wanting: E::Words,
    /// Names were retired or generations moved on since the last sweep.
    dirty: E::Word,
    /// Sweeps of the whole table that began, and that are done.
    begun: E::Word,
    done: E::Word,
    /// A bind was not counted for want of room: no count of binds can be
    /// trusted from then on, since nobody knows whose last one it is.
    uncounted: E::Word,
    /// Buckets that each region has at least.
    least: E::Word,
    /// A thread does maintenance.
    busy: E::Word,
    scratch: E::Lock<E::Scratch>,
}

/// The memory of a registry.
pub struct Memory<E: Env> {
    /// Two to the power of something, at most 2^16.
    pub regions: E::Regions,
    /// [`entry::NAMES`], and [`names::WORDS`].
    pub locals: (E::Names, E::Words),
    /// As `locals`.
    pub owners: (E::Names, E::Words),
    /// [`shared::WORDS`].
    pub shared: E::Words,
    /// [`MARKS`] for 64 regions.
    pub wanting: E::Words,
    /// [`ASKED`].
    pub scratch: E::Scratch,
}

impl Answer {
    /// One that leaves nothing to do.
    #[inline]
    #[must_use]
    pub fn of(verdict: Verdict) -> Self {
        Self {
            verdict,
            wake: false,
        }
    }
}

/// A local address with its stack.
#[inline]
fn local(stack: StackId, addr: &Addr) -> Meaning {
    Meaning {
        words: addr.words(),
        tag: stack,
    }
}

/// What the lock of a region guards.
type Guard<'a, E> = <<E as Env>::Lock<Inner<E>> as Lock<Inner<E>>>::Guard<'a>;

impl<E: Env> Registry<E> {
    /// An empty registry without any room for entries: see
    /// [`Registry::prepare`].
    #[inline]
    pub fn new(settings: Settings, secret: Secret, memory: Memory<E>) -> Self {
        let bits = memory.regions.len().max(1).ilog2();
        Self {
            secret,
            settings: Settings {
                age: settings.age.min(MOST_TICKS),
                ..settings
            },
            bits,
            shift: 63_u32.saturating_sub(bits),
            regions: memory.regions,
            locals: Names::new(memory.locals.0, memory.locals.1),
            owners: Names::new(memory.owners.0, memory.owners.1),
            shared: Shared::new(memory.shared),
            pool: E::Word::new(settings.most as u64),
            batch: ((settings.most >> 6 >> bits) as u64).max(1),
            endpoint_pool: E::Word::new(settings.most as u64),
            wanting: memory.wanting,
            dirty: E::Word::new(0),
            begun: E::Word::new(0),
            done: E::Word::new(0),
            uncounted: E::Word::new(0),
            least: E::Word::new(0),
            busy: E::Word::new(0),
            scratch: E::Lock::new(memory.scratch),
        }
    }

    /// From now on only these local addresses are shared; entries of others go.
    ///
    /// # Errors
    ///
    /// The list is unusable; nothing changed.
    pub fn share(&self, list: &[[u64; 2]]) -> Result<(), NotAList> {
        self.shared.set(list)?;
        self.drop_unshared();
        Ok(())
    }

    /// From now on all local addresses but loopback are shared.
    pub fn share_all(&self) {
        self.shared.set_all();
        self.drop_unshared();
    }

    fn drop_unshared(&self) {
        if self
            .locals
            .retire_all(|local| !self.shared.contains(local.words))
        {
            self.dirty.store(1);
        }
    }

    /// Is this local address surely not shared? Quick, and false for some that
    /// are not.
    #[inline]
    pub fn excludes(&self, addr: &Addr) -> bool {
        self.shared.excludes(addr.words())
    }

    /// Is anything of this local address looked at?
    #[inline]
    pub fn is_shared(&self, addr: &Addr) -> bool {
        self.shared.contains(addr.words())
    }

    /// The number of a local address, a new one if need be.
    fn local(&self, stack: StackId, addr: &Addr) -> Result<Numbered<'_, E>, Verdict> {
        let meaning = local(stack, addr);
        if let Some(local) = self.locals.find(&meaning) {
            return Ok(local);
        }
        if addr.is_unspecified() {
            return Err(Verdict::Unspecified);
        }
        if !self.is_shared(addr) {
            return Err(Verdict::NotShared);
        }
        let local = self.locals.find_or_add(&meaning).ok_or(Verdict::Full)?;
        // Whoever takes the address from the set retires its names after that:
        // either this one too, or it is seen here that the address is gone.
        if !self.is_shared(addr) {
            self.locals.retire(&meaning);
            self.dirty.store(1);
            return Err(Verdict::NotShared);
        }
        Ok(local)
    }

    /// An audit found the 5-tuple in the stack.
    pub fn audit_seen(&self, stack: StackId, tuple: &FiveTuple) -> Audit {
        if !self.is_shared(&tuple.local.addr) {
            return Audit::NotShared;
        }
        let Some(local) = self.locals.find(&local(stack, &tuple.local.addr)) else {
            return Audit::Absent;
        };
        let key = key(local, tuple);
        let Some((place, region, _)) = self.place(&key) else {
            return Audit::Absent;
        };
        let Some(mut inner) = self.lock(region, local) else {
            return Audit::NotShared;
        };
        let found = inner.find(place, |entry| entry.is(&key));
        let Some(entry) = found.and_then(|found| inner.get_mut(found)) else {
            return Audit::Absent;
        };
        match entry.kind() {
            Kind::Other(owner) => match self.owners.meaning(owner) {
                Some(owner) => Audit::OwnedBy(owner.tag),
                None => Audit::Absent,
            },
            Kind::Tcp => {
                entry.set_missed(0);
                Audit::Present
            }
            _ => Audit::Present,
        }
    }

    /// The node whose registry this is.
    pub fn node(&self) -> Node {
        self.settings.node
    }

    #[inline]
    fn place(&self, key: &Key) -> Option<(Place, &Region<E>, usize)> {
        let hash = key.hash(&self.secret);
        let number = hash.region(self.shift);
        let place = Place { hash };
        Some((place, self.region(number)?, number))
    }

    /// Locks a region to look for entries of a number that was looked up. `None`
    /// if the number was retired meanwhile: it may stand for another address.
    #[inline]
    fn lock<'a>(&self, region: &'a Region<E>, local: Numbered<'_, E>) -> Option<Guard<'a, E>> {
        let inner = region.lock();
        // Checked under the lock, so that a sweep that frees the number comes
        // either later and finds what is added now, or earlier and is seen here.
        local.holds().then_some(inner)
    }
}

/// The key of a 5-tuple.
#[inline]
fn key<E: Env>(local: Numbered<'_, E>, tuple: &FiveTuple) -> Key {
    Key::tuple(
        tuple.protocol,
        local.number,
        tuple.local.port,
        &tuple.foreign.addr,
        tuple.foreign.port,
    )
}

#[cfg(test)]
mod tests;
