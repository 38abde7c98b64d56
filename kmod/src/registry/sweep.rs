// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sweeps: the aged and the dead are dropped, audits end.
//!
//! A shard's lock is held for a few buckets only. In a shard that is being swept
//! nothing moves, so that each entry is looked at exactly once. So a sweeper that is
//! kept from running holds up the growth of one shard: the six in ten that come
//! meanwhile find room all the same, what is beyond that is late.

use core::ops::Range;

use super::bucket::SLOTS;
use super::endpoint::{Binds, Bound};
use super::entry::{Entry, Kind, TICKS};
use super::env::{Env, Lock, Word};
use super::key::Key;
use super::shard::Shard;
use super::table::{At, Table};
use super::{MOST_TICKS, Registry, TableEntry};

/// Buckets that are looked at while a shard is locked.
const STEP: usize = 4;

/// By so many ticks an entry may seem to be younger than a sweep, which read
/// the time before it began.
const YOUNGER: u8 = 8;

/// What a sweep keeps between two holds of a shard's lock: an entry whose
/// endpoint has to be asked about, and where it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    at: At,
    entry: Entry,
}

/// How many of them a sweep needs.
pub const ASKED: usize = STEP * SLOTS;

/// Another thread sweeps or lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The turn of one thread, until it is dropped.
pub struct Turn<'a, E: Env> {
    busy: &'a E::Word,
}

impl<E: Env> Drop for Turn<'_, E> {
    fn drop(&mut self) {
        self.busy.store(0);
    }
}

/// What a sweep is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Drops what is too old.
    Age,
    /// Drops what is too old, entries of UDP whose endpoint is gone, and endpoints that
    /// nobody uses.
    Unbound,
    /// As `Unbound`, and entries whose address or owner is gone.
    Dead,
    /// As `Dead`, and ends an audit: what came through ip's hooks, and neither it
    /// nor the audit before saw, goes.
    Audit,
    /// Drops all entries of this node that came through ip's hooks, and forgets
    /// the binds that did.
    Clear,
    /// As `Clear`, however they came.
    ClearAll,
}

/// Why a sweep drops an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// UDP that was too old.
    Aged,
    /// Its endpoint, address or owner is gone.
    Dead,
    /// TCP that two audits did not see.
    Unseen,
    /// All of this node were to go.
    Cleared,
    /// It is an endpoint that nobody uses.
    Endpoint,
}

/// How many entries a sweep dropped, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// [`Why::Aged`].
    pub aged: u64,
    /// [`Why::Dead`], those included whose places others took before.
    pub dead: u64,
    /// [`Why::Unseen`].
    pub unseen: u64,
    /// [`Why::Cleared`].
    pub cleared: u64,
}

impl Swept {
    fn count(&mut self, why: Why) {
        let count = match why {
            Why::Aged => &mut self.aged,
            Why::Dead => &mut self.dead,
            Why::Unseen => &mut self.unseen,
            Why::Cleared => &mut self.cleared,
            // No 5-tuple.
            Why::Endpoint => return,
        };
        *count += 1;
    }
}

/// A sweep under way.
pub(super) struct Sweep<E: Env, F> {
    pub(super) pass: Pass,
    pub(super) tick: u8,
    swept: Swept,
    asked: E::Scratch,
    /// Is told of each 5-tuple that goes.
    gone: F,
}

/// What becomes of an entry.
enum Fate {
    Stays,
    Changes(Entry),
    /// Depends on its endpoint.
    Asks,
    Goes(Why),
}

impl<E: Env> Registry<E> {
    /// The turn to sweep or to list.
    ///
    /// # Errors
    ///
    /// Another thread has it.
    pub(super) fn turn(&self) -> Result<Turn<'_, E>, Busy> {
        match self.busy.swap(1) {
            0 => Ok(Turn { busy: &self.busy }),
            _ => Err(Busy),
        }
    }

    /// Looks at all entries and drops what the pass is for. `gone` is told of
    /// each 5-tuple that goes and why, with a shard locked.
    ///
    /// # Errors
    ///
    /// Another thread is at it.
    pub fn sweep(
        &self,
        pass: Pass,
        tick: u8,
        gone: impl FnMut(&TableEntry, Why),
    ) -> Result<Swept, Busy> {
        let _turn = self.turn()?;
        let mut sweep = Sweep {
            pass,
            tick,
            swept: Swept::default(),
            asked: core::mem::replace(&mut *self.scratch.lock(), E::no_scratch()),
            gone,
        };
        self.uncounted.change_all(|binds, then| {
            let is_old = self.settings.age != 0 && self.is_old(then, tick);
            binds.clear(if is_old { Pass::ClearAll } else { pass });
        });
        let unbound = (pass != Pass::Age).then(|| self.unbound.begin());
        let looks_at_all = !matches!(pass, Pass::Age | Pass::Unbound);
        let nameless = looks_at_all.then(|| self.nameless.begin());
        for shard in self.shards.iter() {
            match looks_at_all {
                true => self.sweep_all(shard, &mut sweep),
                false => self.sweep_ageing(shard, &mut sweep),
            }
            let mut table = shard.lock();
            sweep.swept.dead += u64::from(core::mem::take(&mut table.replaced));
        }
        for (dead, number) in [(&self.unbound, unbound), (&self.nameless, nameless)] {
            number.inspect(|number| dead.end(*number));
        }
        *self.scratch.lock() = sweep.asked;
        Ok(sweep.swept)
    }

    fn sweep_all(&self, shard: &Shard<E>, sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>) {
        let end = {
            let mut table = shard.lock();
            table.swept = true;
            table.end()
        };
        for first in (0..end).step_by(STEP) {
            self.look(shard, first..first.saturating_add(STEP), sweep);
        }
        let mut table = shard.lock();
        table.swept = false;
        table.audited &= sweep.pass != Pass::Audit;
    }

    /// Is an entry that was last asked about at `then` too old now or, if none ever
    /// is, older than can be told?
    pub(super) fn is_old(&self, then: u8, now: u8) -> bool {
        let most = match self.settings.age {
            0 => MOST_TICKS,
            age => age,
        };
        let past = now.wrapping_sub(then) % TICKS;
        past > most && past < TICKS - YOUNGER
    }

    /// If entries never are too old, one that is older than can be told is as old as
    /// can be told.
    fn keep_age(&self, entry: &mut Entry, now: u8) {
        let never = self.settings.age == 0;
        if never && entry.ages().is_some_and(|then| self.is_old(then, now)) {
            entry.set_tick(now.wrapping_sub(MOST_TICKS) % TICKS);
        }
    }

    /// Looks at each entry of at most [`STEP`] buckets.
    pub(super) fn look(
        &self,
        shard: &Shard<E>,
        buckets: Range<usize>,
        sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>,
    ) {
        let mut unknown = 0;
        let mut table = shard.lock();
        for index in buckets {
            for place in 0..SLOTS {
                let at = At::new(index, place);
                let Some(entry) = table.get_mut(at) else {
                    continue;
                };
                self.keep_age(entry, sweep.tick);
                let entry = *entry;
                match self.fate(&entry, sweep.pass, sweep.tick) {
                    Fate::Stays => {}
                    Fate::Changes(changed) => {
                        if let Some(entry) = table.get_mut(at) {
                            *entry = changed;
                        }
                    }
                    Fate::Goes(why) => self.drop_entry(&mut table, (at, &entry), why, sweep),
                    Fate::Asks => {
                        if let Some(slot) = sweep.asked.get_mut(unknown) {
                            *slot = Asked { at, entry };
                            unknown += 1;
                        }
                    }
                }
            }
            if let Some(bucket) = table.bucket_mut(index) {
                bucket.find_oldest();
            }
        }
        drop(table);
        self.ask(shard, unknown, sweep);
    }

    /// Drops entries whose endpoint moved on. Endpoints are in other shards, so
    /// they are asked about with this one unlocked.
    fn ask(
        &self,
        shard: &Shard<E>,
        asked: usize,
        sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>,
    ) {
        let mut known: Option<(Key, Option<u8>)> = None;
        for number in 0..asked {
            let Some(Asked { at, entry }) = sweep.asked.get(number).copied() else {
                return;
            };
            let key = Key::endpoint(entry.local(), entry.ports().0);
            let generation = match known {
                Some((endpoint, generation)) if endpoint == key => generation,
                _ => self.endpoint_generation(&key),
            };
            known = Some((key, generation));
            if generation == Some(entry.generation()) {
                continue;
            }
            let mut table = shard.lock();
            if table.get(at) == Some(&entry) {
                self.drop_entry(&mut table, (at, &entry), Why::Dead, sweep);
            }
        }
    }

    /// Drops an entry, counts it and tells of it.
    fn drop_entry(
        &self,
        table: &mut Table<E>,
        (at, entry): (At, &Entry),
        why: Why,
        sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>,
    ) {
        let home = table.home(entry.hash(&self.secret));
        self.remove(table, home, at, entry);
        let why = match entry.kind() {
            Kind::Endpoint => Why::Endpoint,
            _ => why,
        };
        sweep.swept.count(why);
        if let Some(entry) = self.last_of(entry, sweep.tick) {
            (sweep.gone)(&entry, why);
        }
    }

    fn fate(&self, entry: &Entry, pass: Pass, tick: u8) -> Fate {
        let kind = entry.kind();
        let dead = pass != Pass::Age
            && (!self.locals.is_live(entry.local())
                || matches!(kind, Kind::Other(owner, epoch) if self.owner(owner, epoch).is_none()));
        if dead {
            return Fate::Goes(Why::Dead);
        }
        match (kind, pass) {
            (Kind::Other(..), _) => Fate::Stays,
            (Kind::Tcp | Kind::Udp, Pass::Clear) if entry.via_ip() => Fate::Goes(Why::Cleared),
            (Kind::Tcp | Kind::Udp, Pass::ClearAll) => Fate::Goes(Why::Cleared),
            (Kind::Tcp, Pass::Audit) if entry.via_ip() => {
                let mut entry = *entry;
                match entry.end_audit() {
                    true => Fate::Goes(Why::Unseen),
                    false => Fate::Changes(entry),
                }
            }
            (Kind::Tcp, _) => Fate::Stays,
            (Kind::Udp, _) if self.is_old(entry.tick(), tick) => Fate::Goes(Why::Aged),
            (Kind::Udp, Pass::Age) => Fate::Stays,
            (Kind::Udp, _) => Fate::Asks,
            (Kind::Endpoint, _) => self.endpoint_fate(entry, pass, tick),
        }
    }

    fn endpoint_fate(&self, entry: &Entry, pass: Pass, tick: u8) -> Fate {
        let mut bound = Bound::from(entry);
        bound.swept(self.unbound.begun(), self.unbound.done());
        bound.binds.clear(pass);
        if pass == Pass::ClearAll || self.is_old(bound.tick, tick) {
            bound.binds = Binds::default();
            if !bound.drop_entries() {
                // Generations have run out: its entries go after another sweep.
                self.unbound.mark();
            }
        }
        if bound.is_idle() {
            return Fate::Goes(Why::Endpoint);
        }
        if bound.binds.is_none() && bound.empty {
            // It can go after another sweep.
            self.unbound.mark();
        }
        Fate::Changes(bound.entry(&entry.key()))
    }
}
