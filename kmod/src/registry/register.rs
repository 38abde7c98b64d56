// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How an entry of this node comes and goes the long way, whatever is in its
//! way, and the credit for it.

use core::cell::Cell;

use super::bucket::AtHome;
use super::entry::{Entry, Key, Kind};
use super::env::{Env, Word};
use super::hash::Hash;
use super::names::Numbered;
use super::region::{Found, Inner, Need, Place};
use super::{Answer, Guard, Located, Node, Registry, Verdict};

/// What registering a 5-tuple of UDP takes beside the entry.
pub(super) struct Asking {
    tick: u8,
    /// The generation of an entry in the way that is not the endpoint's, as far
    /// as was known. It is over, and that for good, if the endpoint says so
    /// again after that. (What it said before tells nothing: it may have moved
    /// on in between, and the entry with it.)
    seen: Cell<Option<u8>>,
}

/// How often an endpoint is asked for a generation while others move it on.
const ROUNDS: usize = 4;

impl<E: Env> Registry<E> {
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
            answer = match self.lock(at.region, local) {
                Some(inner) => self.register_udp(inner, at, entry, &asking),
                None => return Answer::of(Verdict::NotShared),
            };
            wake |= answer.wake;
            if asking.seen.get() == seen {
                break;
            }
        }
        self.help_after(answer, at.hash);
        Answer { wake, ..answer }
    }

    #[inline(never)]
    fn register_udp(
        &self,
        mut inner: Guard<'_, E>,
        at: &Located<'_, E>,
        entry: Entry,
        asking: &Asking,
    ) -> Answer {
        match inner.register_udp_at_home(at.hash, &at.key, entry, asking.tick) {
            AtHome::Added => return Answer::of(Verdict::Registered),
            AtHome::Ours => return Answer::of(Verdict::Repeated),
            AtHome::Others(_) | AtHome::Unclear => {}
        }
        let place = Place { hash: at.hash };
        self.register_locked(inner, (place, &at.key), entry, Some(asking))
    }

    /// [`Registry::help`] after this answer, if something was to be added.
    pub(super) fn help_after(&self, answer: Answer, hash: Hash) {
        if let Verdict::Registered | Verdict::Late | Verdict::Full = answer.verdict {
            self.help(hash);
        }
    }

    /// Moves a few entries of the region that something was added to, if they are
    /// moving. Apart, with the region locked once more, since adding takes enough
    /// of the stack.
    #[inline(never)]
    pub(super) fn help(&self, hash: Hash) {
        if let Some(region) = self.region(hash.region(self.shift)) {
            region.lock().help(&self.secret);
        }
    }

    /// The generation of the UDP entry of a key.
    #[cold]
    pub(super) fn generation_in_the_way(&self, local: Numbered<'_, E>, key: &Key) -> Option<u8> {
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

    pub(super) fn register_locked(
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
    pub(super) fn add(
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

    /// Takes an entry away and gives its credit back.
    pub(super) fn remove(&self, inner: &mut Inner<E>, place: Place, found: Found) {
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
    pub(super) fn is_batch_left(&self) -> bool {
        self.pool.load().cast_signed() >= self.batch.cast_signed()
    }

    /// A 5-tuple went from a region: the region keeps less than two batches of
    /// credit, and with batches of one nothing.
    pub(super) fn give_credit(&self, inner: &mut Inner<E>) {
        let batch = self.batch;
        if u64::from(inner.credit()) >= 2 * batch || batch == 1 {
            self.pool.add(batch);
            inner.take_credit(batch as u32);
        }
    }
}

/// Is anything left of this credit? It is below nothing for a moment when many
/// want the last of it.
pub(super) fn is_left(pool: &impl Word) -> bool {
    pool.load().cast_signed() > 0
}
