// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Local endpoints of UDP: who is bound, and which entries still count.
//!
//! An endpoint is an entry of the same table. Its 5-tuples carry its generation;
//! when it moves on they are dead, and a sweep drops them.

use super::connect::Tried;
use super::entry::{Entry, Kind};
use super::env::Env;
use super::key::Key;
use super::names::Numbered;
use super::{Pass, Registry, StackId, Verdict, Via, key, local};
use crate::flow::{Endpoint, FiveTuple, Protocol};

/// Sockets that are bound to an endpoint, as far as is known, by how that was told:
/// ends that ip tells concern those of ip only, and are forgotten with its hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binds {
    ip: u32,
    /// At most [`MOST_BINDS`].
    contract: u32,
}

const MOST_BINDS: u32 = u32::MAX >> 1;

impl Binds {
    fn of(&mut self, via: Via) -> &mut u32 {
        match via {
            Via::Ip => &mut self.ip,
            Via::Contract => &mut self.contract,
        }
    }

    /// Is there none?
    pub fn is_none(&self) -> bool {
        (self.ip, self.contract) == (0, 0)
    }

    /// One more.
    pub fn add(&mut self, via: Via) {
        let binds = self.of(via);
        *binds = binds.saturating_add(1).min(MOST_BINDS);
    }

    /// One less. False: there was none.
    pub fn take(&mut self, via: Via) -> bool {
        let binds = self.of(via);
        let left = binds.checked_sub(1);
        *binds = left.unwrap_or(0);
        left.is_some()
    }

    /// Those that a sweep clears are forgotten.
    pub fn clear(&mut self, pass: Pass) {
        match pass {
            Pass::Clear => self.ip = 0,
            Pass::ClearAll => *self = Self::default(),
            Pass::Age | Pass::Unbound | Pass::Dead | Pass::Audit => {}
        }
    }
}

/// What is kept of an endpoint, in the place of an entry's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Sockets bound to it.
    pub binds: Binds,
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
            u64::from(self.binds.ip)
                | u64::from(self.binds.contract) << 32
                | u64::from(self.empty) << 63,
            u64::from(self.tick)
                | u64::from(self.generation) << 8
                | u64::from(self.oldest) << 16
                | u64::from(self.mark) << 24
                | u64::from(self.pass) << 32,
        ];
        Entry::endpoint(key, counts)
    }

    /// `begun` and `done` sweeps for what is unbound have been: whatever died before one
    /// began is gone when it is done.
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
        self.binds.is_none() && self.empty && self.is_settled()
    }
}

impl From<&Entry> for Bound {
    fn from(entry: &Entry) -> Self {
        let [counts, rest] = entry.address;
        Self {
            binds: Binds {
                ip: counts as u32,
                contract: (counts >> 32) as u32 & MOST_BINDS,
            },
            tick: rest as u8,
            generation: (rest >> 8) as u8,
            oldest: (rest >> 16) as u8,
            mark: (rest >> 24) as u8,
            pass: (rest >> 32) as u32,
            empty: counts >> 63 != 0,
        }
    }
}

/// A question about an entry of UDP that is in the way: the generation that it had,
/// which was not the endpoint's. It is over, and that for good, if the endpoint
/// says so again after that. (What it said before tells nothing: it may have
/// moved on in between, and the entry with it.)
type InTheWay = Option<u8>;

impl<E: Env> Registry<E> {
    /// This node wants the 5-tuple of UDP.
    #[inline(always)]
    pub fn connect_udp(&self, stack: StackId, tuple: &FiveTuple, via: Via, tick: u8) -> Verdict {
        let mut in_the_way = None;
        self.retry_while_late(stack, &tuple.local.addr, |local| {
            match self.use_endpoint(local, tuple, tick) {
                Ok(generation) => {
                    let asked = (via, tick, generation);
                    self.register_udp(local, tuple, asked, &mut in_the_way)
                }
                Err(tried) => self.owned_or(local, tuple, tried),
            }
        })
    }

    /// Registers the entry, or uses the one that is there. `Late` also if its endpoint
    /// has to be asked again.
    #[inline(never)]
    fn register_udp(
        &self,
        local: Numbered<'_, E>,
        tuple: &FiveTuple,
        (via, tick, generation): (Via, u8, u8),
        in_the_way: &mut InTheWay,
    ) -> Tried {
        let key = key(local, tuple);
        let hash = key.hash(&self.secret);
        let new = Entry::udp(&key, via, tick, generation);
        let Some(mut table) = self.lock(hash, local) else {
            return Tried::at_rest(Verdict::Late);
        };
        let home = table.home(hash);
        let verdict = match table.find_mut(home, &key) {
            None => self.add(&mut table, home, new),
            Some((at, entry)) => match entry.kind() {
                Kind::Other(owner, epoch) => match self.owner(owner, epoch) {
                    Some(owner) => Verdict::OwnedBy(owner),
                    None => self.replace(&mut table, home, at, new),
                },
                _ if entry.generation() == new.generation() => {
                    entry.ask_again(new.tick());
                    Verdict::Repeated
                }
                _ => {
                    let generation = Some(entry.generation());
                    match core::mem::replace(in_the_way, generation) == generation {
                        true => self.replace(&mut table, home, at, new),
                        false => Verdict::Late,
                    }
                }
            },
        };
        table.counts.udp().count(verdict);
        let grows = table.grows().then_some(hash);
        Tried { verdict, grows }
    }

    /// A UDP endpoint was bound. What an earlier one left behind goes, unless
    /// another socket is bound to the same address and port. `Some(false)`: there
    /// was no room to count it; `None`: nobody looks at it.
    pub fn bind(&self, stack: StackId, endpoint: &Endpoint, via: Via, tick: u8) -> Option<bool> {
        if endpoint.protocol != Protocol::Udp {
            return None;
        }
        let apart = (local(stack, &endpoint.addr), endpoint.port);
        let verdict = self.retry_while_late(stack, &endpoint.addr, |local| {
            let key = Key::endpoint(local.number(), endpoint.port);
            let (bound, grows) = self.with_endpoint(local, &key, tick, |bound| {
                if bound.binds.is_none() {
                    self.drop_entries(bound);
                }
                bound.binds.add(via);
                bound.tick = tick;
            });
            Tried {
                verdict: bound.err().unwrap_or(Verdict::Registered),
                grows: grows.then(|| key.hash(&self.secret)),
            }
        });
        match verdict {
            Verdict::Registered => Some(true),
            Verdict::Full(_) | Verdict::Late => Some(self.uncounted.add(apart, via, tick)),
            _ => None,
        }
    }

    /// A UDP endpoint was unbound; with the last one its entries go. Nothing
    /// of a specific address goes with an unspecified one. False: unknown.
    pub fn unbind(&self, stack: StackId, endpoint: &Endpoint, via: Via) -> bool {
        let meaning = local(stack, &endpoint.addr);
        // First, so that none stays behind beside an endpoint that is there.
        if self.uncounted.end(|| (meaning, endpoint.port), via) {
            return true;
        }
        let known = self.with_name(&meaning, |local| {
            let key = Key::endpoint(local.number(), endpoint.port);
            let hash = key.hash(&self.secret);
            let mut table = self.lock(hash, local)?;
            let home = table.home(hash);
            let Some((at, entry)) = table.find_mut(home, &key) else {
                return Some(false);
            };
            let mut bound = Bound::from(&*entry);
            bound.binds.take(via);
            if bound.binds.is_none() {
                self.drop_entries(&mut bound);
            }
            *entry = bound.entry(&key);
            if bound.is_idle() {
                let entry = *entry;
                self.remove(&mut table, home, at, &entry);
            }
            Some(true)
        });
        known.unwrap_or(false)
    }

    /// The generation for an entry that is about to be registered; the endpoint is
    /// added if it was never bound as far as is known.
    ///
    /// # Errors
    ///
    /// There is no endpoint, or its shard has to grow first: one after the other.
    #[inline(never)]
    fn use_endpoint(
        &self,
        local: Numbered<'_, E>,
        tuple: &FiveTuple,
        tick: u8,
    ) -> Result<u8, Tried> {
        let key = Key::endpoint(local.number(), tuple.local.port);
        let (used, grows) = self.with_endpoint(local, &key, tick, |bound| {
            bound.empty = false;
            bound.tick = tick;
            bound.generation
        });
        let grows = grows.then(|| key.hash(&self.secret));
        match used {
            Ok(generation) if grows.is_none() => Ok(generation),
            Ok(_) => Err(Tried {
                verdict: Verdict::Late,
                grows,
            }),
            Err(verdict) => Err(Tried { verdict, grows }),
        }
    }

    /// Without an endpoint there is no entry of this node, but there may be another
    /// one's.
    #[inline(never)]
    fn owned_or(&self, local: Numbered<'_, E>, tuple: &FiveTuple, tried: Tried) -> Tried {
        let key = key(local, tuple);
        match self.owner_of(local, key.hash(&self.secret), &key) {
            Some(owner) => Tried {
                verdict: Verdict::OwnedBy(owner),
                ..tried
            },
            None => tried,
        }
    }

    /// The generation of an endpoint.
    pub(super) fn endpoint_generation(&self, key: &Key) -> Option<u8> {
        let hash = key.hash(&self.secret);
        let table = self.shard(hash)?.lock();
        let home = table.home(hash);
        let entry = table.find(home, key)?;
        Some(Bound::from(entry).generation)
    }

    /// Changes what is kept of an endpoint, which is added if it is not there; and
    /// whether the shard grows. `Late`: the name changed, or there is no place now.
    #[inline(always)]
    fn with_endpoint<R>(
        &self,
        local: Numbered<'_, E>,
        key: &Key,
        tick: u8,
        change: impl Fn(&mut Bound) -> R,
    ) -> (Result<R, Verdict>, bool) {
        let hash = key.hash(&self.secret);
        let Some(mut table) = self.lock(hash, local) else {
            return (Err(Verdict::Late), false);
        };
        let home = table.home(hash);
        if let Some((_, entry)) = table.find_mut(home, key) {
            let mut bound = Bound::from(&*entry);
            let result = change(&mut bound);
            *entry = bound.entry(key);
            return (Ok(result), false);
        }
        let mut bound = Bound {
            tick,
            empty: true,
            pass: self.unbound.begun(),
            ..Bound::default()
        };
        let verdict = self.add(&mut table, home, bound.entry(key));
        let grows = table.grows();
        if verdict != Verdict::Registered {
            return (Err(verdict), grows);
        }
        // Now that there is room, it has the binds that were counted apart.
        bound.binds = self.uncounted.take(|| (local.meaning(), key.lport()));
        let result = change(&mut bound);
        if let Some((_, entry)) = table.find_mut(home, key) {
            *entry = bound.entry(key);
        }
        (Ok(result), grows)
    }

    /// All entries of an endpoint go, without looking at any.
    pub(super) fn drop_entries(&self, bound: &mut Bound) {
        if !bound.empty {
            self.unbound.mark();
        }
        bound.swept(self.unbound.begun(), self.unbound.done());
        // Without a free generation the entries stay: they can only be ours.
        let _dropped = bound.drop_entries();
    }
}
