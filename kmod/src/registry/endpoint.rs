// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Local endpoints of UDP: who is bound, and which entries still count.
//!
//! An endpoint is an entry of the same table. Its 5-tuples carry its generation;
//! when it moves on they are dead, and a sweep drops them.

use super::entry::{Entry, Key, Kind};
use super::env::{Env, Lock, Word};
use super::hash::Hash;
use super::names::Numbered;
use super::shard::Guard;
use super::{Full, ROUNDS, Registry, StackId, Verdict, Via, key, local};
use crate::flow::{Endpoint, FiveTuple, Protocol};

/// What is kept of an endpoint, in the place of an entry's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Sockets bound to it, as far as is known.
    pub binds: u32,
    /// The tick when it was last used.
    pub tick: u8,
    /// Entries of this generation count.
    pub generation: u8,
    /// No entry of a generation before this one is left in the table.
    pub oldest: u8,
    /// The generation at some time ...
    pub mark: u8,
    /// ... and the sweeps begun by then.
    pub pass: u32,
    /// No entry was registered in this generation.
    pub empty: bool,
}

impl Bound {
    /// The entry that keeps it.
    pub fn entry(&self, key: &Key) -> Entry {
        let counts = [
            u64::from(self.binds) | u64::from(self.pass) << 32,
            u64::from(self.tick)
                | u64::from(self.generation) << 8
                | u64::from(self.oldest) << 16
                | u64::from(self.mark) << 24
                | u64::from(self.empty) << 32,
        ];
        Entry::endpoint(key, counts)
    }

    /// `begun` and `done` sweeps of the whole table have been: whatever died before
    /// one began is gone when it is done.
    pub fn swept(&mut self, begun: u32, done: u32) {
        if done.wrapping_sub(self.pass).cast_signed() > 0 {
            self.oldest = self.mark;
            self.mark = self.generation;
            self.pass = begun;
        }
    }

    /// Drops all entries. False: generations have run out until a sweep is
    /// done.
    #[must_use]
    pub fn drop_entries(&mut self) -> bool {
        if self.empty {
            return true;
        }
        let next = self.generation.wrapping_add(1);
        if next == self.oldest {
            return false;
        }
        self.generation = next;
        self.empty = true;
        true
    }

    /// Is no entry of an older generation left?
    pub fn is_settled(&self) -> bool {
        self.oldest == self.generation
    }

    /// Is nothing lost if it is forgotten?
    pub fn is_idle(&self) -> bool {
        self.binds == 0 && self.empty && self.is_settled()
    }
}

impl From<&Entry> for Bound {
    fn from(entry: &Entry) -> Self {
        let [counts, rest] = entry.address;
        Self {
            binds: counts as u32,
            pass: (counts >> 32) as u32,
            tick: rest as u8,
            generation: (rest >> 8) as u8,
            oldest: (rest >> 16) as u8,
            mark: (rest >> 24) as u8,
            empty: rest >> 32 != 0,
        }
    }
}

/// Endpoints that are bound and have no entry, for want of memory or beyond the
/// limit: their binds, so that none of their entries goes with the bind of
/// another socket. If even this is full, a bind is counted nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Uncounted([(u64, u32); 64]);

impl Default for Uncounted {
    fn default() -> Self {
        Self([(0, 0); 64])
    }
}

impl Uncounted {
    /// The binds of an endpoint.
    fn of(&mut self, key: &Key) -> Option<&mut u32> {
        let found = self.0.iter_mut().find(|(of, _)| *of == key.packed);
        found.map(|(_, binds)| binds)
    }

    /// One more. True: it is a new endpoint. `None`: there is no room.
    fn add(&mut self, key: &Key) -> Option<bool> {
        if let Some(binds) = self.of(key) {
            *binds = binds.saturating_add(1);
            return Some(false);
        }
        let free = self.0.iter_mut().find(|(_, binds)| *binds == 0)?;
        *free = (key.packed, 1);
        Some(true)
    }

    /// Takes so many binds of an endpoint away, of those that it has.
    fn take(&mut self, key: &Key, binds: u32) -> u32 {
        let Some(counted) = self.of(key) else {
            return 0;
        };
        let taken = binds.min(*counted);
        *counted -= taken;
        taken
    }
}

/// A question about an entry of UDP that is in the way: the generation that it had,
/// which was not the endpoint's. It is over, and that for good, if the endpoint
/// says so again after that. (What it said before tells nothing: it may have
/// moved on in between, and the entry with it.)
type InTheWay = Option<u8>;

impl<E: Env> Registry<E> {
    /// [`Registry::connect`] for UDP.
    #[inline(never)]
    pub fn connect_udp(&self, stack: StackId, tuple: &FiveTuple, via: Via, tick: u8) -> Verdict {
        let mut in_the_way = None;
        let mut verdict = Verdict::Late;
        for _ in 0..ROUNDS {
            let local = match self.local(stack, &tuple.local.addr) {
                Ok(local) => local,
                Err(verdict) => return verdict,
            };
            let key = key(local, tuple);
            let hash = key.hash(&self.secret);
            let generation = match self.use_endpoint(local, &key, tick) {
                Ok(generation) => generation,
                Err(verdict) => {
                    // Without an endpoint there is no entry of this node.
                    let owner = self.owner_of(local, hash, &key);
                    return owner.map_or(verdict, Verdict::OwnedBy);
                }
            };
            let entry = Entry::udp(&key, via, tick, generation);
            let Some(table) = self.lock(hash, local) else {
                continue;
            };
            verdict = self.register_udp(table, hash, entry, &mut in_the_way);
            if verdict != Verdict::Late {
                return verdict;
            }
        }
        verdict
    }

    /// Registers the entry, or uses the one that is there. `Late`: ask again.
    #[inline(never)]
    fn register_udp(
        &self,
        mut table: Guard<'_, E>,
        hash: Hash,
        new: Entry,
        in_the_way: &mut InTheWay,
    ) -> Verdict {
        let found = table.find(hash, &new.key());
        let verdict = match found.and_then(|at| Some((at, table.get_mut(at)?))) {
            None => self.add(&mut table, hash, new),
            Some((at, entry)) => match entry.kind() {
                Kind::Other(owner, epoch) => match self.owner(owner, epoch) {
                    Some(owner) => Verdict::OwnedBy(owner),
                    None => self.replace(&mut table, hash, at, new),
                },
                _ if entry.generation() == new.generation() => {
                    entry.ask_again(new.tick());
                    Verdict::Repeated
                }
                _ => {
                    let generation = Some(entry.generation());
                    match in_the_way.replace(entry.generation()) == generation {
                        true => self.replace(&mut table, hash, at, new),
                        false => return Verdict::Late,
                    }
                }
            },
        };
        let grows = table.grows();
        drop(table);
        if grows {
            self.grow(hash);
        }
        verdict
    }

    /// A UDP endpoint was bound. What an earlier one left behind goes, unless
    /// another socket is bound to the same address and port. `Some(false)`: there
    /// was no room to count it; `None`: nobody looks at it.
    pub fn bind(&self, stack: StackId, endpoint: &Endpoint, tick: u8) -> Option<bool> {
        if endpoint.protocol != Protocol::Udp {
            return None;
        }
        for _ in 0..ROUNDS {
            let local = match self.local(stack, &endpoint.addr) {
                Ok(local) => local,
                Err(Verdict::Full(_)) => return Some(false),
                Err(_) => return None,
            };
            let key = Key::endpoint(local.number, endpoint.port);
            let bound = self.with_endpoint(local, &key, tick, |bound| {
                if bound.binds == 0 {
                    self.drop_entries(bound);
                }
                bound.binds = bound.binds.saturating_add(1);
                bound.tick = tick;
            });
            match bound {
                Ok(()) => return Some(true),
                Err(Verdict::NotShared) => {}
                Err(_) => return Some(self.count_apart(&key)),
            }
        }
        None
    }

    /// Counts a bind whose endpoint has no entry. False: it is counted nowhere.
    #[cold]
    fn count_apart(&self, key: &Key) -> bool {
        let added = self.uncounted.lock().add(key);
        if added == Some(true) {
            self.any_uncounted.add(1);
        }
        added.is_some()
    }

    /// Takes binds that were counted apart.
    #[inline]
    fn take_apart(&self, key: &Key, binds: u32) -> u32 {
        if self.any_uncounted.load() == 0 {
            return 0;
        }
        let mut uncounted = self.uncounted.lock();
        let taken = uncounted.take(key, binds);
        if taken > 0 && uncounted.of(key).is_some_and(|left| *left == 0) {
            self.any_uncounted.add(u64::MAX);
        }
        taken
    }

    /// A UDP endpoint was unbound; with the last one its entries go. Nothing
    /// of a specific address goes with an unspecified one. False: unknown.
    pub fn unbind(&self, stack: StackId, endpoint: &Endpoint) -> bool {
        for _ in 0..ROUNDS {
            let Some(local) = self.locals.find(&local(stack, &endpoint.addr)) else {
                return false;
            };
            let key = Key::endpoint(local.number, endpoint.port);
            let hash = key.hash(&self.secret);
            let Some(mut table) = self.lock(hash, local) else {
                continue;
            };
            let Some(at) = table.find(hash, &key) else {
                drop(table);
                return self.take_apart(&key, 1) > 0;
            };
            let Some(entry) = table.get_mut(at) else {
                return false;
            };
            let mut bound = Bound::from(&*entry);
            bound.binds = bound.binds.saturating_sub(1);
            if bound.binds == 0 {
                self.drop_entries(&mut bound);
            }
            *entry = bound.entry(&key);
            if bound.is_idle() {
                let entry = *entry;
                self.remove(&mut table, hash, at, &entry);
            }
            return true;
        }
        false
    }

    /// The generation for an entry that is about to be registered; the endpoint is
    /// added if it was never bound as far as is known.
    #[inline(never)]
    fn use_endpoint(&self, local: Numbered<'_, E>, tuple: &Key, tick: u8) -> Result<u8, Verdict> {
        let key = Key::endpoint(local.number, tuple.lport());
        self.with_endpoint(local, &key, tick, |bound| {
            bound.empty = false;
            bound.tick = tick;
            bound.generation
        })
    }

    /// The generation of an endpoint.
    pub(super) fn endpoint_generation(&self, key: &Key) -> Option<u8> {
        let hash = key.hash(&self.secret);
        let table = self.shard(hash)?.lock();
        let entry = table.get(table.find(hash, key)?)?;
        Some(Bound::from(entry).generation)
    }

    /// Changes what is kept of an endpoint, which is added if it is not there.
    ///
    /// # Errors
    ///
    /// `NotShared`: the name changed; or what there was no room for.
    fn with_endpoint<R>(
        &self,
        local: Numbered<'_, E>,
        key: &Key,
        tick: u8,
        change: impl Fn(&mut Bound) -> R,
    ) -> Result<R, Verdict> {
        let hash = key.hash(&self.secret);
        let mut missing = Verdict::Late;
        for _ in 0..ROUNDS {
            let Some(mut table) = self.lock(hash, local) else {
                return Err(Verdict::NotShared);
            };
            if let Some(entry) = table.find(hash, key).and_then(|at| table.get_mut(at)) {
                let mut bound = Bound::from(&*entry);
                let result = change(&mut bound);
                *entry = bound.entry(key);
                return Ok(result);
            }
            let begun = self.begun.load() as u32;
            let mut bound = Bound {
                tick,
                empty: true,
                pass: begun,
                ..Bound::default()
            };
            missing = self.add(&mut table, hash, bound.entry(key));
            if missing == Verdict::Registered {
                // Now that there is room, it has the binds that were counted apart.
                bound.binds = self.take_apart(key, u32::MAX);
                let result = change(&mut bound);
                if let Some(entry) = table.find(hash, key).and_then(|at| table.get_mut(at)) {
                    *entry = bound.entry(key);
                }
                let grows = table.grows();
                drop(table);
                if grows {
                    self.grow(hash);
                }
                return Ok(result);
            }
            drop(table);
            if let Verdict::Full(Full::Udp) = missing {
                break;
            }
            self.grow(hash);
        }
        Err(missing)
    }

    /// All entries of an endpoint go, without looking at any.
    pub(super) fn drop_entries(&self, bound: &mut Bound) {
        if !bound.empty {
            self.dirty.store(1);
        }
        bound.swept(self.begun.load() as u32, self.done.load() as u32);
        // Without a free generation the entries stay: they can only be ours.
        let _dropped = bound.drop_entries();
    }
}
