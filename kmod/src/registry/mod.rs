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
//! [`Registry::maintain`], who also moves the entries when a region grows.
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
pub mod shared;

use core::cell::Cell;

use crate::flow::{Addr, FiveTuple, Protocol};
pub use calls::{Located, Unclear};
use entry::{Entry, Key, Kind};
use env::{Env, Lock, Word};
use hash::Secret;
pub use list::{Cursor, Listed, ROOM};
pub use maintain::{ASKED, Asked, Busy, MARKS, Pass, Swept, Why};
use names::{Meaning, Names, Numbered};
use region::{Found, Inner, Need, Place, Region};
use shared::{NotAList, Shared};

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

fn owner(node: Node) -> Meaning {
    Meaning {
        words: [0; 2],
        tag: node,
    }
}

/// What registering a 5-tuple of UDP takes beside the entry.
struct Asking {
    tick: u8,
    /// The generation of an entry in the way that is not the endpoint's, as far
    /// as was known. It is over, and that for good, if the endpoint says so
    /// again after that. (What it said before tells nothing: it may have moved
    /// on in between, and the entry with it.)
    seen: Cell<Option<u8>>,
}

/// How often an endpoint is asked for a generation while others move it on.
const ROUNDS: usize = 4;

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

    /// The second half of [`Registry::connect`] for UDP.
    pub fn connect_udp(&self, at: &Located<'_, E>, tick: u8) -> Answer {
        let (local, key) = (at.local, &at.key);
        let asking = Asking {
            tick,
            seen: Cell::new(None),
        };
        let mut answer = Answer::of(Verdict::Late);
        let mut wake = false;
        for _ in 0..ROUNDS {
            let seen = asking.seen.get();
            let generation = match self.use_endpoint(local, key.lport(), tick) {
                Ok((generation, crowded)) => {
                    wake |= crowded;
                    generation
                }
                // Without an endpoint there is no entry of this node.
                Err(answer) => {
                    return match self.owner_of(local, key) {
                        Some(owner) => Answer {
                            verdict: Verdict::OwnedBy(owner),
                            ..answer
                        },
                        None => answer,
                    };
                }
            };
            let entry = Entry::udp(key, tick, generation);
            answer = self.register(local, key, entry, Some(&asking));
            wake |= answer.wake;
            if asking.seen.get() == seen {
                break;
            }
        }
        Answer { wake, ..answer }
    }

    /// The generation of the UDP entry of a key.
    #[cold]
    fn generation_in_the_way(&self, local: Numbered<'_, E>, key: &Key) -> Option<u8> {
        let (place, region, _) = self.place(key)?;
        let found = self
            .lock(region, local)?
            .find(place, |entry| entry.is(key))?;
        (found.packed.kind() == Kind::Udp).then(|| found.packed.generation())
    }

    /// The other node that owns a 5-tuple.
    #[cold]
    fn owner_of(&self, local: Numbered<'_, E>, key: &Key) -> Option<Node> {
        let (place, region, _) = self.place(key)?;
        let found = self
            .lock(region, local)?
            .find(place, |entry| entry.is(key))?;
        match found.packed.kind() {
            Kind::Other(owner) => Some(self.owners.meaning(owner)?.tag),
            _ => None,
        }
    }

    fn register(
        &self,
        local: Numbered<'_, E>,
        key: &Key,
        entry: Entry,
        udp: Option<&Asking>,
    ) -> Answer {
        let Some((place, region, _)) = self.place(key) else {
            return Answer::of(Verdict::Late);
        };
        region.prefetch(place);
        match self.lock(region, local) {
            Some(inner) => self.register_locked(inner, (place, key), entry, udp),
            None => Answer::of(Verdict::NotShared),
        }
    }

    fn register_locked(
        &self,
        mut inner: Guard<'_, E>,
        (place, key): (Place, &Key),
        entry: Entry,
        udp: Option<&Asking>,
    ) -> Answer {
        let found = inner.find(place, |entry| entry.is(key));
        if let Some(found) = found
            && let Some(verdict) = self.meet(&mut inner, found, &entry, udp)
        {
            return Answer::of(verdict);
        }
        self.add(inner, place, entry, udp.map(|udp| udp.tick), found)
    }

    /// What an entry in the way means; `None`: it is dead. `Late`: its endpoint
    /// has to be asked again.
    fn meet(
        &self,
        inner: &mut Inner<E>,
        found: Found,
        new: &Entry,
        udp: Option<&Asking>,
    ) -> Option<Verdict> {
        match found.packed.kind() {
            Kind::Other(owner) => {
                return self
                    .owners
                    .meaning(owner)
                    .map(|owner| Verdict::OwnedBy(owner.tag));
            }
            Kind::Udp if found.packed.generation() != new.generation() => {
                let seen = Some(found.packed.generation());
                let before = udp.and_then(|udp| udp.seen.replace(seen));
                return (before != seen).then_some(Verdict::Late);
            }
            _ => {}
        }
        let entry = inner.get_mut(found)?;
        entry.retain();
        if let Some(udp) = udp {
            entry.touch(udp.tick);
        }
        Some(Verdict::Repeated)
    }

    /// Adds an entry, or puts it in the place of a dead one.
    fn add(
        &self,
        mut inner: Guard<'_, E>,
        place: Place,
        entry: Entry,
        tick: Option<u8>,
        dead: Option<Found>,
    ) -> Answer {
        let verdict = if let Some(dead) = dead {
            inner.replace(dead, entry, tick);
            Verdict::Registered
        } else if !self.credit(&mut inner) {
            Verdict::Full
        } else if inner.insert(place, entry, tick) {
            Verdict::Registered
        } else {
            Verdict::Late
        };
        inner.help(&self.secret);
        let need = match verdict {
            Verdict::Late => inner.need_now(),
            Verdict::Full if self.dirty.load() != 0 => inner.need_now(),
            Verdict::Full => Need::Nothing,
            _ => inner.need(),
        };
        drop(inner);
        let wake = self.note(place.hash.region(self.shift), need);
        Answer { verdict, wake }
    }

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

    fn is_other(&self, node: Node) -> bool {
        node != 0 && node != self.settings.node
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

    /// Takes an entry away and gives its credit back.
    fn remove(&self, inner: &mut Inner<E>, place: Place, found: Found) {
        inner.remove(place, found);
        self.give_credit(inner);
    }

    /// May one more 5-tuple be added here? Regions take credit in batches, so
    /// that they seldom touch what they have in common.
    fn credit(&self, inner: &mut Inner<E>) -> bool {
        if inner.credit() > 0 {
            return true;
        }
        let batch = self.batch;
        // Signed: another region may have taken more than there is, for as
        // long as it takes to give it back.
        if self.pool.add(batch.wrapping_neg()).cast_signed() < batch.cast_signed() {
            self.pool.add(batch);
            return false;
        }
        inner.add_credit(batch as u32);
        true
    }

    /// Would a region without credit get some?
    fn is_batch_left(&self) -> bool {
        self.pool.load().cast_signed() >= self.batch.cast_signed()
    }

    /// A 5-tuple went from a region: the region keeps less than two batches of
    /// credit, and with batches of one nothing.
    fn give_credit(&self, inner: &mut Inner<E>) {
        let batch = self.batch;
        if u64::from(inner.credit()) >= 2 * batch || batch == 1 {
            self.pool.add(batch);
            inner.take_credit(batch as u32);
        }
    }
}

/// Is anything left of this credit? It is below nothing for a moment when many
/// want the last of it.
fn is_left(pool: &impl Word) -> bool {
    pool.load().cast_signed() > 0
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
