// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who owns which 5-tuple.
//!
//! Safe code that knows neither the kernel nor the contract: locks, memory and
//! the wake-up of the task come with an [`Env`], the secret of the hash and the
//! time are arguments.
//!
//! ```text
//! connect    the questions: connect, disconnect; query  what they would come to
//! endpoint   local endpoints of UDP: binds, generations
//! remote     what other nodes own: install, withdraw, purge, resynchronise
//! audit      the comparison with the stack's own list; delete  because somebody says so
//! sweep      drops what is too old or dead, age finds it; list  lists everything
//! maintain   memory comes and goes: growth, the reserve, shrinking
//!   shard      a lock and a table; a call takes one lock at a time
//!     table      buckets in segments, linear probing; growth, layout, reserve
//!       bucket     five entries in two cache lines; entry, hash
//!   names      intern tables of local addresses and nodes; collect, tallies
//!   pool       how many entries there may be
//!   shared     which local addresses are shared
//! ```
//!
//! An entry of this node counts references, because the stack may ask twice
//! before it ends once. UDP has no end: its entries age, and hang on their
//! local endpoint. They are not searched for when its last bind goes: the
//! endpoint's generation moves on, and entries of an older one are dead. What goes
//! with a node that left is dead in the same way. A sweep drops the dead.

#![forbid(unsafe_code)]

mod age;
mod audit;
pub mod bucket;
mod collect;
mod connect;
mod dead;
mod delete;
mod endpoint;
pub mod entry;
pub mod env;
mod growth;
pub mod hash;
mod key;
mod layout;
mod list;
mod maintain;
pub mod names;
mod pool;
mod query;
mod remote;
pub mod reserve;
mod settings;
pub mod shard;
pub mod shared;
mod sweep;
mod table;
pub mod tallies;
pub mod uncounted;
mod verdict;

use crate::flow::{Addr, FiveTuple};
pub use audit::Audit;
pub use connect::Ended;
use dead::Dead;
pub use delete::Deleted;
use env::{Env, Lock, Word};
use hash::{Hash, Secret};
use key::Key;
pub use list::{Cursor, ROOM, TableEntry};
use names::{Meaning, Names, NoName, Numbered};
pub use pool::PerPool;
use pool::Pools;
pub use remote::{NotInstalled, TooMany};
use reserve::Reserve;
pub use settings::{MOST_TICKS, Memory, Settings};
use shard::{Guard, Shard};
use shared::{NotAList, Shared};
pub use sweep::{ASKED, Asked, Busy, Pass, Swept, Why};
use table::Counts;
use uncounted::Uncounted;
pub use verdict::{Full, Verdict};

/// A node of the cluster; 0 is none.
pub type Node = u32;

/// A stack of this node: an illumos `netstackid_t`; 0 is the global one.
pub type StackId = u32;

/// How a call came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Through a hook of ip, or from an audit of ip.
    Ip,
    /// Through the contract, from a stack that calls clinet.
    Contract,
}

/// The registry of one node.
pub struct Registry<E: Env> {
    secret: Secret,
    settings: Settings,
    /// What [`Hash::shard`] wants for the number of shards.
    shift: u32,
    shards: E::Shards,
    locals: Names<E>,
    owners: Names<E>,
    shared: Shared<E>,
    pools: Pools<E>,
    reserve: Reserve<E>,
    uncounted: Uncounted<E>,
    /// Entries whose address or owner is gone.
    nameless: Dead<E>,
    /// Entries of UDP whose endpoint is gone, and endpoints that nobody uses.
    unbound: Dead<E>,
    /// A sweep is under way.
    busy: E::Word,
    scratch: E::Lock<E::Scratch>,
}

/// A local address with its stack.
#[inline]
fn local(stack: StackId, addr: &Addr) -> Meaning {
    Meaning {
        words: addr.words(),
        tag: stack,
    }
}

/// The key of a 5-tuple.
#[inline]
fn key<E: Env>(local: Numbered<'_, E>, tuple: &FiveTuple) -> Key {
    Key::tuple(
        tuple.protocol,
        local.number(),
        tuple.local.port,
        &tuple.foreign.addr,
        tuple.foreign.port,
    )
}

/// How often a call looks again at what others change meanwhile.
const ROUNDS: usize = 4;

impl<E: Env> Registry<E> {
    /// An empty registry, whose memory comes as it is needed.
    #[inline]
    pub fn new(settings: Settings, secret: Secret, memory: Memory<E>) -> Self {
        let bits = memory.shards.len().max(1).ilog2();
        let most_udp = settings.most_udp.min(settings.most);
        let most = PerPool {
            tuples: settings.most,
            udp: most_udp,
            endpoints: most_udp,
        };
        Self {
            secret,
            settings: Settings {
                age: settings.age.min(MOST_TICKS),
                most_udp,
                ..settings
            },
            shift: 63_u32.saturating_sub(bits),
            shards: memory.shards,
            locals: Names::new(memory.locals),
            owners: Names::new(memory.owners),
            shared: Shared::new(memory.shared),
            pools: Pools::new(most, bits),
            reserve: Reserve::new(memory.reserve),
            uncounted: Uncounted::new(memory.uncounted),
            nameless: Dead::new(),
            unbound: Dead::new(),
            busy: E::Word::new(0),
            scratch: E::Lock::new(memory.scratch),
        }
    }

    /// From now on only these local addresses are shared; entries of others are
    /// dead.
    ///
    /// # Errors
    ///
    /// The list is unusable; nothing changed.
    pub fn share(&self, list: &[[u64; 2]]) -> Result<(), NotAList> {
        self.shared.set(list)?;
        self.drop_unshared();
        Ok(())
    }

    /// From now on all local unicast addresses but loopback are shared.
    pub fn share_all(&self) {
        self.shared.set_all();
        self.drop_unshared();
    }

    fn drop_unshared(&self) {
        if self
            .locals
            .retire(|local| !self.shared.contains(local.words))
        {
            self.nameless.mark();
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

    /// Hands each shared address to `each`; none if all but loopback are shared. What
    /// changes them waits meanwhile.
    pub fn each_shared(&self, each: impl FnMut([u64; 2])) {
        self.shared.each(each);
    }

    /// The number of a local address, a new one if need be.
    #[inline(always)]
    fn local(&self, stack: StackId, addr: &Addr) -> Result<Numbered<'_, E>, Verdict> {
        match self.locals.find(&local(stack, addr)) {
            // An address that has a name is shared, or was a moment ago.
            Some(local) => Ok(local),
            None => self.new_local(stack, addr),
        }
    }

    #[inline(never)]
    fn new_local(&self, stack: StackId, addr: &Addr) -> Result<Numbered<'_, E>, Verdict> {
        if addr.is_unspecified() {
            return Err(Verdict::Unspecified);
        }
        if !self.is_shared(addr) {
            return Err(Verdict::NotShared);
        }
        let meaning = local(stack, addr);
        let added = self.locals.add(&meaning, || self.tell_tallies());
        let local = added.map_err(|none| match none {
            NoName::TooMany => Verdict::Full(Full::Addresses),
            NoName::Busy => Verdict::Late,
        })?;
        // Whoever takes the address from the set retires its names after that:
        // either this one too, or it is seen here that the address is gone.
        if !self.is_shared(addr) {
            self.locals.retire(|name| *name == meaning);
            self.nameless.mark();
            return Err(Verdict::NotShared);
        }
        Ok(local)
    }

    /// Calls `attempt` with the name of a local address, again if that says `None`: the
    /// name changed meanwhile. `None`: there is no name.
    #[inline(always)]
    fn with_name<'a, R>(
        &'a self,
        meaning: &Meaning,
        mut attempt: impl FnMut(Numbered<'a, E>) -> Option<R>,
    ) -> Option<R> {
        for _ in 0..ROUNDS {
            let result = attempt(self.locals.find(meaning)?);
            if result.is_some() {
                return result;
            }
        }
        None
    }

    /// Has all shards tell how many entries names have.
    fn tell_tallies(&self) {
        for shard in self.shards.iter() {
            let mut table = shard.lock();
            table.locals.tell(&self.locals);
            table.owners.tell(&self.owners);
        }
    }

    /// Local addresses that have a number, one for each stack.
    pub fn addresses(&self) -> usize {
        self.locals.used()
    }

    /// Other nodes that have a number.
    pub fn nodes(&self) -> usize {
        self.owners.used()
    }

    /// The node whose registry this is.
    pub fn node(&self) -> Node {
        self.settings.node
    }

    /// 5-tuples at most.
    pub fn capacity(&self) -> usize {
        self.settings.most
    }

    /// How many entries there are, those included that a sweep will drop. Takes each
    /// shard's lock in turn.
    pub fn used(&self) -> PerPool<usize> {
        self.count(|_| ())
    }

    /// As [`Registry::used`]; hands what was counted since the last time to `each`, for one
    /// shard after the other.
    pub fn take_counts(&self, mut each: impl FnMut(&Counts)) -> PerPool<usize> {
        self.count(|counts| each(&core::mem::take(counts)))
    }

    fn count(&self, mut each: impl FnMut(&mut Counts)) -> PerPool<usize> {
        let mut credit = PerPool::default();
        for shard in self.shards.iter() {
            let mut table = shard.lock();
            each(&mut table.counts);
            credit = PerPool::make(|pool| credit.of(pool) + *table.credit.of(pool) as usize);
        }
        self.pools.used(&credit)
    }

    #[inline]
    fn shard_number(&self, hash: Hash) -> usize {
        hash.shard(self.shift)
    }

    #[inline]
    fn shard(&self, hash: Hash) -> Option<&Shard<E>> {
        self.shards.get(self.shard_number(hash))
    }

    /// Locks the shard of a key of this local name. `None`: the name changed
    /// since it was looked up, and may stand for another address.
    #[inline]
    fn lock(&self, hash: Hash, local: Numbered<'_, E>) -> Option<Guard<'_, E>> {
        let shard = self.shard(hash)?;
        shard.prefetch(hash);
        let table = shard.lock();
        local.holds().then_some(table)
    }

    /// Gives numbers of names back that no entry has.
    pub fn collect(&self) {
        for names in [&self.locals, &self.owners] {
            let _others_turn = names.collect(|| self.tell_tallies());
        }
    }

    /// The sweep that drops what is dead, if anything is.
    pub fn pending(&self) -> Option<Pass> {
        if self.nameless.is_any() {
            return Some(Pass::Dead);
        }
        self.unbound.is_any().then_some(Pass::Unbound)
    }
}

#[cfg(test)]
mod tests;
