// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is done outside the calls: memory is exchanged and entries are moved,
//! the aged and the dead are dropped, audits end.
//!
//! One thread at a time, whose turn a flag marks: nobody waits for it with a
//! lock. A region's lock is held for a few buckets only.

use super::Registry;
use super::bucket::{At, Bucket, SLOTS, older};
use super::entry::{Bound, Entry, Key, Kind, TICKS};
use super::env::{Env, Lock, Word};
use super::region::{Place, Region, SMALLEST, larger, smaller};

/// Buckets that are moved from while a region is locked.
const MOVES: usize = 4;
/// Buckets that are looked at while a region is locked.
const STEP: usize = 4;
/// As `STEP`, where only the heads of buckets are read.
const GLANCE: usize = 32;
/// How many buckets ahead of a glance memory is asked for.
const AHEAD: usize = 64;

/// What a sweep keeps between two holds of a region's lock: an entry whose
/// endpoint has to be asked about, and where it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    at: At,
    entry: Entry,
}

/// How many of them a sweep needs.
pub const ASKED: usize = STEP * SLOTS;

/// Another thread does maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// The turn of one thread to do maintenance, until it is dropped.
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
    /// Entries whose endpoint, address or owner is gone.
    pub dead: u64,
    /// TCP entries that audits did not see.
    pub unseen: u64,
    /// Entries of this node, when all were to go.
    pub ours: u64,
    /// Endpoints that nobody uses.
    pub endpoints: u64,
}

/// What becomes of an entry.
enum Fate {
    Stays,
    Changes(Entry),
    /// Depends on its endpoint.
    Asks,
    Goes(fn(&mut Swept) -> &mut u64),
}

impl<E: Env> Registry<E> {
    /// Gives each region its first memory: for `tuples` in all, at least for a
    /// few. False: there was not enough; [`Registry::maintain`] goes on with it.
    pub fn prepare(
        &self,
        tuples: usize,
        mut allocate: impl FnMut(usize) -> Option<E::Buckets>,
    ) -> bool {
        // 60 % in use on average leaves the fullest of 1024 regions below the
        // mark where it asks for more.
        let places = tuples / 3 * 5;
        let buckets = (places / SLOTS >> self.bits)
            .saturating_add(1)
            .max(SMALLEST);
        let mut complete = true;
        for (number, region) in self.regions.iter().enumerate() {
            match allocate(buckets) {
                Some(buckets) => {
                    region.exchange(buckets);
                    drop(region.lock().take_old());
                }
                None => {
                    self.want(number);
                    complete = false;
                }
            }
        }
        complete
    }

    /// Gives memory to the regions that want it. False: there was not enough.
    ///
    /// # Errors
    ///
    /// Another thread is at it.
    pub fn maintain(
        &self,
        mut allocate: impl FnMut(usize) -> Option<E::Buckets>,
    ) -> Result<bool, Busy> {
        let _turn = self.turn()?;
        let mut complete = true;
        for word in 0..self.wanting.len() {
            let mut bits = self.wanting.get(word).map_or(0, |word| word.swap(0));
            while bits != 0 {
                let number = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                if !self.resize(number, &mut allocate) {
                    self.want(number);
                    complete = false;
                }
            }
        }
        Ok(complete)
    }

    /// The turn to do maintenance.
    pub(super) fn turn(&self) -> Result<Turn<'_, E>, Busy> {
        if self.busy.swap(1) != 0 {
            return Err(Busy);
        }
        Ok(Turn { busy: &self.busy })
    }

    /// Marks a region for [`Registry::maintain`].
    pub(super) fn want(&self, number: usize) {
        if let Some(word) = self.wanting.get(number / 64) {
            word.or(1 << (number % 64));
        }
    }

    /// Does a region want memory?
    pub fn wants(&self) -> bool {
        self.wanting.iter().any(|word| word.load() != 0)
    }

    /// Is anything dead that a sweep would drop?
    pub fn is_dirty(&self) -> bool {
        self.dirty.load() != 0
    }

    fn resize(
        &self,
        number: usize,
        allocate: &mut impl FnMut(usize) -> Option<E::Buckets>,
    ) -> bool {
        let Some(region) = self.region(number) else {
            return true;
        };
        let size = {
            let mut inner = region.lock();
            inner.wanting = false;
            let len = inner.buckets().len();
            if inner.old_len() > 0 {
                None
            } else if len == 0 {
                Some(SMALLEST)
            } else if inner.is_crowded() {
                Some(larger(len, number))
            } else if inner.is_sparse() {
                Some(smaller(len))
            } else {
                return true;
            }
        };
        if let Some(size) = size {
            let Some(buckets) = allocate(size) else {
                return false;
            };
            region.exchange(buckets);
        }
        self.advance(region)
    }

    /// Moves what is in the old array of a region, and gives it back.
    fn advance(&self, region: &Region<E>) -> bool {
        let len = region.lock().old_len();
        for first in (0..len).step_by(MOVES) {
            let end = first.saturating_add(MOVES).min(len);
            if !region.lock().advance(first..end, &self.secret, self.bits) {
                return false;
            }
        }
        let old = region.lock().take_old();
        drop(old);
        true
    }

    /// Looks at all entries and drops what the pass is for.
    ///
    /// # Errors
    ///
    /// Another thread is at it.
    pub fn sweep(&self, pass: Pass, tick: u8) -> Result<Swept, Busy> {
        let _turn = self.turn()?;
        let mut swept = Swept::default();
        let begun = self.begin(pass);
        for (number, region) in self.regions.iter().enumerate() {
            self.sweep_region(region, pass, tick, &mut swept);
            let inner = region.lock();
            let sparse = !self.settings.fixed && inner.is_sparse();
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
        Ok(swept)
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

    fn sweep_region(&self, region: &Region<E>, pass: Pass, tick: u8, swept: &mut Swept) {
        if region.lock().old_len() > 0 {
            self.advance(region);
        }
        if pass == Pass::Age {
            return self.age_region(region, tick, swept);
        }
        let len = region.lock().buckets().len();
        for first in (0..len).step_by(STEP) {
            self.look(region, first..first.saturating_add(STEP), pass, tick, swept);
        }
    }

    /// Drops what is too old, if the region has any such entry.
    fn age_region(&self, region: &Region<E>, tick: u8, swept: &mut Swept) {
        let (oldest, len) = {
            let inner = region.lock();
            (inner.oldest(), inner.buckets().len())
        };
        if !oldest.is_some_and(|oldest| self.is_old(oldest, tick)) {
            return;
        }
        // What is registered meanwhile is not older than now.
        let mut oldest = Some(tick);
        for first in (0..len).step_by(GLANCE) {
            self.glance(region, first, tick, &mut oldest, swept);
        }
        region.lock().set_oldest(oldest);
    }

    /// Looks for old entries in [`GLANCE`] buckets, by their heads.
    fn glance(
        &self,
        region: &Region<E>,
        first: usize,
        tick: u8,
        oldest: &mut Option<u8>,
        swept: &mut Swept,
    ) {
        let mut at = first;
        let end = first.saturating_add(GLANCE);
        while at < end {
            let Some(old) = self.first_old(region, at..end, tick, oldest) else {
                return;
            };
            at = old.saturating_add(1);
            self.look(region, old..at, Pass::Age, tick, swept);
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
        age != 0 && now.wrapping_sub(then) % TICKS > age
    }

    /// Looks at each entry of at most [`STEP`] buckets.
    fn look(
        &self,
        region: &Region<E>,
        buckets: core::ops::Range<usize>,
        pass: Pass,
        tick: u8,
        swept: &mut Swept,
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
                    match self.fate(&entry, pass, tick) {
                        Fate::Stays => {}
                        Fate::Changes(entry) => inner.set(at, entry),
                        Fate::Goes(count) => {
                            self.drop_entry(&mut inner, at, &entry);
                            *count(swept) += 1;
                        }
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
        self.ask(region, asked.get(..unknown).unwrap_or(&[]), swept);
    }

    /// Drops entries whose endpoint moved on. Endpoints are in other regions, so
    /// they are asked about with this one unlocked.
    fn ask(&self, region: &Region<E>, asked: &[Asked], swept: &mut Swept) {
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
                self.drop_entry(&mut inner, *at, entry);
                swept.dead += 1;
            }
        }
    }

    fn fate(&self, entry: &Entry, pass: Pass, tick: u8) -> Fate {
        let kind = entry.kind();
        let dead = pass != Pass::Age
            && (self.locals.is_leaving(entry.local())
                || matches!(kind, Kind::Other(owner) if self.owners.is_leaving(owner)));
        if dead {
            return Fate::Goes(|swept| &mut swept.dead);
        }
        match (kind, pass) {
            (Kind::Other(_), _) => Fate::Stays,
            (_, Pass::Ours) => Fate::Goes(|swept| &mut swept.ours),
            (Kind::Tcp, Pass::Audit) => match entry.missed() {
                0 | 1 => {
                    let mut entry = *entry;
                    entry.set_missed(entry.missed() + 1);
                    Fate::Changes(entry)
                }
                _ => Fate::Goes(|swept| &mut swept.unseen),
            },
            (Kind::Tcp, _) => Fate::Stays,
            (Kind::Udp, _) if self.is_old(entry.tick(), tick) => {
                Fate::Goes(|swept| &mut swept.aged)
            }
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
                return Fate::Goes(|swept| &mut swept.endpoints);
            }
        } else if old && bound.drop_entries() {
            self.dirty.store(1);
        }
        Fate::Changes(bound.entry(&entry.key()))
    }

    fn drop_entry(&self, inner: &mut super::Inner<E>, at: At, entry: &Entry) {
        let place = Place {
            hash: entry.hash(&self.secret),
            bits: self.bits,
        };
        inner.remove_at(place, at, entry.packed());
        if entry.kind() == Kind::Endpoint {
            self.endpoint_pool.add(1);
        } else {
            inner.credit = inner.credit.saturating_add(1);
            self.give_credit(inner);
        }
    }

    pub(super) fn region(&self, number: usize) -> Option<&Region<E>> {
        self.regions.get(number)
    }

    /// 5-tuples in the table, those included that a sweep will drop.
    pub fn len(&self) -> usize {
        self.regions
            .iter()
            .map(|region| region.lock().count())
            .sum()
    }

    /// Is there no 5-tuple?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// 5-tuples at most.
    pub fn capacity(&self) -> usize {
        self.settings.most
    }
}
