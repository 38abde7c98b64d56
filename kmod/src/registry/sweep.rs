// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sweeps: the aged and the dead are dropped, audits end.
//!
//! A region's lock is held for a few buckets only.

use super::bucket::{At, Bucket, SLOTS, older};
use super::entry::{Bound, Entry, Key, Kind, TICKS};
use super::env::{Env, Lock, Word};
use super::region::{Place, Region};
use super::{Busy, Listed, Registry};

/// Buckets that are looked at while a region is locked.
const STEP: usize = 4;
/// As `STEP`, where only the heads of buckets are read.
const GLANCE: usize = 32;
/// How many buckets ahead of a glance memory is asked for.
const AHEAD: usize = 64;

/// By so many ticks an entry may seem to be younger than a sweep, which read
/// the time before it began.
const YOUNGER: u8 = 8;

/// What a sweep keeps between two holds of a region's lock: an entry whose
/// endpoint has to be asked about, and where it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    at: At,
    entry: Entry,
}

/// How many of them a sweep needs.
pub const ASKED: usize = STEP * SLOTS;

/// What a sweep is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Drops what is too old.
    Age,
    /// Drops what is too old or dead.
    Dead,
    /// As `Dead`, and ends an audit: what three ends in a row found unseen
    /// goes, which two whole audits have then not seen.
    Audit,
    /// Drops all entries of this node.
    Ours,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// UDP entries that were too old.
    pub aged: u64,
    /// Entries whose endpoint, address or owner is gone, those included whose
    /// places others took before.
    pub dead: u64,
    /// TCP entries that audits did not see.
    pub unseen: u64,
    /// Entries of this node, when all were to go.
    pub ours: u64,
    /// Endpoints that nobody uses.
    pub endpoints: u64,
}

/// Why a sweep drops an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// UDP that was too old.
    Aged,
    /// Its endpoint, address or owner is gone.
    Dead,
    /// TCP that audits did not see.
    Unseen,
    /// All of this node were to go.
    Ours,
    /// It is an endpoint that nobody uses.
    Endpoint,
}

impl Swept {
    fn count(&mut self, why: Why) {
        let count = match why {
            Why::Aged => &mut self.aged,
            Why::Dead => &mut self.dead,
            Why::Unseen => &mut self.unseen,
            Why::Ours => &mut self.ours,
            Why::Endpoint => &mut self.endpoints,
        };
        *count += 1;
    }
}

/// A sweep under way.
struct Sweep<F> {
    pass: Pass,
    tick: u8,
    swept: Swept,
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
    /// Looks at all entries and drops what the pass is for. `gone` is told of
    /// each 5-tuple that goes and why, with a region locked.
    ///
    /// # Errors
    ///
    /// Another thread is at it.
    pub fn sweep(
        &self,
        pass: Pass,
        tick: u8,
        gone: impl FnMut(&Listed, Why),
    ) -> Result<Swept, Busy> {
        let _turn = self.turn()?;
        let mut sweep = Sweep {
            pass,
            tick,
            swept: Swept::default(),
            gone,
        };
        let begun = self.begin(pass);
        for (number, region) in self.regions.iter().enumerate() {
            self.sweep_region(region, &mut sweep);
            let mut inner = region.lock();
            let replaced = core::mem::take(&mut inner.replaced);
            sweep.swept.dead += u64::from(replaced);
            let sparse = !self.settings.fixed && self.is_sparse(&inner);
            drop(inner);
            if sparse {
                self.want(number);
            }
        }
        if let Some(begun) = begun {
            self.done.store(begun);
            self.locals.reuse();
            self.owners.reuse();
        }
        Ok(sweep.swept)
    }

    /// A pass that drops the dead begins; its number.
    fn begin(&self, pass: Pass) -> Option<u64> {
        if pass == Pass::Age {
            return None;
        }
        // Not a store: what was retired before the mark that this takes away
        // has to be seen by what follows.
        self.dirty.swap(0);
        self.locals.leave();
        self.owners.leave();
        Some(self.begun.add(1).wrapping_add(1))
    }

    fn sweep_region(&self, region: &Region<E>, sweep: &mut Sweep<impl FnMut(&Listed, Why)>) {
        let pass = sweep.pass;
        self.finish_moving(region);
        if pass == Pass::Age {
            return self.age_region(region, sweep);
        }
        let len = region.lock().buckets().len();
        for first in (0..len).step_by(STEP) {
            self.look(region, first..first.saturating_add(STEP), sweep);
        }
    }

    /// Drops what is too old, if the region has any such entry.
    fn age_region(&self, region: &Region<E>, sweep: &mut Sweep<impl FnMut(&Listed, Why)>) {
        let len = {
            let mut inner = region.lock();
            let oldest = inner.oldest();
            if !oldest.is_some_and(|oldest| self.is_old(oldest, sweep.tick)) {
                return;
            }
            // From here on it is the oldest of what is registered meanwhile, by
            // threads that may have read the time before.
            inner.set_oldest(None);
            inner.buckets().len()
        };
        let mut oldest = Some(sweep.tick);
        for first in (0..len).step_by(GLANCE) {
            self.glance(region, first, &mut oldest, sweep);
        }
        let mut inner = region.lock();
        if let Some(meanwhile) = inner.oldest() {
            oldest = older(oldest, meanwhile);
        }
        inner.set_oldest(oldest);
    }

    /// Looks for old entries in [`GLANCE`] buckets, by their heads.
    fn glance(
        &self,
        region: &Region<E>,
        first: usize,
        oldest: &mut Option<u8>,
        sweep: &mut Sweep<impl FnMut(&Listed, Why)>,
    ) {
        let mut at = first;
        let end = first.saturating_add(GLANCE);
        while at < end {
            let Some(old) = self.first_old(region, at..end, sweep.tick, oldest) else {
                return;
            };
            at = old.saturating_add(1);
            self.look(region, old..at, sweep);
            if let Some(left) = region.lock().buckets().get(old).and_then(Bucket::oldest) {
                *oldest = older(*oldest, left);
            }
        }
    }

    /// The first of these buckets with an old entry; of those before it the
    /// oldest entry is noted.
    fn first_old(
        &self,
        region: &Region<E>,
        range: core::ops::Range<usize>,
        tick: u8,
        oldest: &mut Option<u8>,
    ) -> Option<usize> {
        let inner = region.lock();
        for ahead in range.clone() {
            inner.prefetch(ahead.saturating_add(AHEAD));
        }
        let end = range.end.min(inner.buckets().len());
        let buckets = inner.buckets().get(range.start..end)?;
        for (bucket, index) in buckets.iter().zip(range) {
            if self.has_old(bucket, tick) {
                return Some(index);
            }
            if let Some(tick) = bucket.oldest() {
                *oldest = older(*oldest, tick);
            }
        }
        None
    }

    fn has_old(&self, bucket: &Bucket, tick: u8) -> bool {
        bucket
            .oldest()
            .is_some_and(|oldest| self.is_old(oldest, tick))
    }

    /// Is an entry that was last asked about at `then` too old now?
    fn is_old(&self, then: u8, now: u8) -> bool {
        let age = self.settings.age;
        let past = now.wrapping_sub(then) % TICKS;
        age != 0 && past > age && past < TICKS - YOUNGER
    }

    /// Looks at each entry of at most [`STEP`] buckets.
    fn look(
        &self,
        region: &Region<E>,
        buckets: core::ops::Range<usize>,
        sweep: &mut Sweep<impl FnMut(&Listed, Why)>,
    ) {
        let mut asked = self.scratch.lock();
        let mut unknown = 0;
        {
            let mut inner = region.lock();
            let mut index = buckets.start;
            while index < buckets.end && index < inner.buckets().len() {
                for place in 0..SLOTS {
                    let at = At::new(index, place);
                    let Some(entry) = inner.entry(at).copied() else {
                        continue;
                    };
                    match self.fate(&entry, sweep.pass, sweep.tick) {
                        Fate::Stays => {}
                        Fate::Changes(entry) => inner.set(at, entry),
                        Fate::Goes(why) => self.go(&mut inner, (at, &entry), why, sweep),
                        Fate::Asks => {
                            if let Some(slot) = asked.get_mut(unknown) {
                                *slot = Asked { at, entry };
                                unknown += 1;
                            }
                        }
                    }
                }
                inner.find_oldest(index);
                index += 1;
            }
        }
        self.ask(region, asked.get(..unknown).unwrap_or(&[]), sweep);
    }

    /// Drops entries whose endpoint moved on. Endpoints are in other regions, so
    /// they are asked about with this one unlocked.
    fn ask(
        &self,
        region: &Region<E>,
        asked: &[Asked],
        sweep: &mut Sweep<impl FnMut(&Listed, Why)>,
    ) {
        let mut known: Option<(Key, Option<u8>)> = None;
        for Asked { at, entry } in asked {
            let key = Key::endpoint(entry.protocol(), entry.local(), entry.ports().0);
            let generation = match known {
                Some((endpoint, generation)) if endpoint == key => generation,
                _ => self.endpoint_generation(&key),
            };
            known = Some((key, generation));
            if generation == Some(entry.generation()) {
                continue;
            }
            let mut inner = region.lock();
            if inner.entry(*at) == Some(entry) {
                self.go(&mut inner, (*at, entry), Why::Dead, sweep);
            }
        }
    }

    /// Drops an entry, counts it and tells of it.
    fn go(
        &self,
        inner: &mut super::Inner<E>,
        (at, entry): (At, &Entry),
        why: Why,
        sweep: &mut Sweep<impl FnMut(&Listed, Why)>,
    ) {
        self.drop_entry(inner, at, entry);
        let why = match entry.kind() {
            Kind::Endpoint => Why::Endpoint,
            _ => why,
        };
        sweep.swept.count(why);
        if let Some(listed) = self.last_listed(entry, sweep.tick) {
            (sweep.gone)(&listed, why);
        }
    }

    fn fate(&self, entry: &Entry, pass: Pass, tick: u8) -> Fate {
        let kind = entry.kind();
        let dead = pass != Pass::Age
            && (self.locals.is_leaving(entry.local())
                || matches!(kind, Kind::Other(owner) if self.owners.is_leaving(owner)));
        if dead {
            return Fate::Goes(Why::Dead);
        }
        match (kind, pass) {
            (Kind::Other(_), _) => Fate::Stays,
            (_, Pass::Ours) => Fate::Goes(Why::Ours),
            (Kind::Tcp, Pass::Audit) => match entry.missed() {
                0 | 1 => {
                    let mut entry = *entry;
                    entry.set_missed(entry.missed() + 1);
                    Fate::Changes(entry)
                }
                _ => Fate::Goes(Why::Unseen),
            },
            (Kind::Tcp, _) => Fate::Stays,
            (Kind::Udp, _) if self.is_old(entry.tick(), tick) => Fate::Goes(Why::Aged),
            (Kind::Udp, Pass::Age) => Fate::Stays,
            (Kind::Udp, _) => Fate::Asks,
            (Kind::Endpoint, _) => self.endpoint_fate(entry, tick),
        }
    }

    fn endpoint_fate(&self, entry: &Entry, tick: u8) -> Fate {
        let mut bound = Bound::from(entry);
        bound.swept(self.begun.load() as u32, self.done.load() as u32);
        let old = self.is_old(bound.tick, tick);
        if old {
            bound.binds = 0;
        }
        if bound.empty && bound.binds == 0 {
            if bound.is_settled() {
                return Fate::Goes(Why::Endpoint);
            }
            // It can go after another sweep.
            self.dirty.store(1);
        } else if old {
            // Or they go after another sweep, when generations are free again.
            let _dropped = bound.drop_entries();
            self.dirty.store(1);
        }
        Fate::Changes(bound.entry(&entry.key()))
    }

    fn drop_entry(&self, inner: &mut super::Inner<E>, at: At, entry: &Entry) {
        let place = Place {
            hash: entry.hash(&self.secret),
        };
        inner.remove_at(place, at, entry.packed());
        if entry.kind() == Kind::Endpoint {
            self.endpoint_pool.add(1);
        } else {
            self.give_credit(inner);
        }
    }
}
