// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Intern tables: small numbers for local addresses with their stack, and for
//! nodes.
//!
//! Entries hold the number. A name is looked up without a lock; a new one is
//! added under one. Entries are counted by name, so that a number comes back when
//! the last entry that has it is gone. The counts are kept by shards
//! ([`super::tallies::Tallies`]) and added up only when numbers are looked for
//! ([`Names::collect`]), since a count that every call writes would be the only
//! thing that all processors have in common.

use super::entry::NAMES;
use super::env::{Env, Lock, Word};

/// What a number stands for: two words and a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// Two words.
    pub words: [u64; 2],
    /// And a tag.
    pub tag: u32,
}

/// The number means nothing, and a search ends here.
pub(super) const FREE: u64 = 0;
pub(super) const LIVE: u64 = 1;
/// Entries of this number are dead; it comes back when all of them are gone.
pub(super) const RETIRED: u64 = 2;
/// The number means nothing; a search goes on behind it.
pub(super) const TOMBSTONE: u64 = 3;
/// [`Names::collect`] found no entry. Gone soon, unless somebody wants it.
pub(super) const LEAVING: u64 = 4;
/// As `LEAVING`, of a name that is retired.
pub(super) const RETIRED_LEAVING: u64 = 5;

pub(super) const STATE: u64 = 7;
/// The number itself, so that whoever has the state has it.
const NUMBER: u32 = 3;
const NUMBERS: u64 = (NAMES as u64 - 1) << NUMBER;
/// Counts how often a number changed hands.
const TURN: u64 = (NAMES as u64) << NUMBER;
const TURNS: u64 = (1 << 32) - TURN;

/// One name.
pub struct Name<E: Env> {
    words: [E::Word; 2],
    /// State 3, number 10, turn 19, tag 32.
    pub(super) state: E::Word,
    /// Entries, but for what shards have not told yet.
    pub(super) entries: E::Word,
    /// For whoever keeps something beside the name; 0 when it is new.
    note: E::Word,
}

impl<E: Env> Name<E> {
    /// A free one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            words: [E::Word::new(0), E::Word::new(0)],
            state: E::Word::new(FREE),
            entries: E::Word::new(0),
            note: E::Word::new(0),
        }
    }

    fn meaning(&self, state: u64) -> Meaning {
        let [a, b] = &self.words;
        Meaning {
            words: [a.load(), b.load()],
            tag: (state >> 32) as u32,
        }
    }
}

impl<E: Env> Default for Name<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// A number whose meaning was looked up.
pub struct Numbered<'a, E: Env> {
    state: u64,
    name: &'a Name<E>,
}

impl<E: Env> Clone for Numbered<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Env> Copy for Numbered<'_, E> {}

impl<E: Env> Numbered<'_, E> {
    /// The number.
    #[inline]
    #[must_use]
    pub fn number(&self) -> u16 {
        (self.state >> NUMBER) as u16 % NAMES as u16
    }

    /// Does the number still mean what it meant when it was looked up? Asked with
    /// a shard locked: as long as it is, the answer holds for entries of it.
    #[inline]
    #[must_use]
    pub fn holds(&self) -> bool {
        self.name.state.load() == self.state
    }

    /// What the number means, as long as it holds.
    pub fn meaning(&self) -> Meaning {
        let [a, b] = &self.name.words;
        Meaning {
            words: [a.load(), b.load()],
            tag: (self.state >> 32) as u32,
        }
    }

    /// The note of the name.
    pub fn note(&self) -> &E::Word {
        &self.name.note
    }
}

/// The names of one kind.
pub struct Names<E: Env> {
    pub(super) names: E::Names,
    pub(super) used: E::Lock<usize>,
    /// There was no room for a name; nobody looks for some before
    /// [`Names::collect`].
    pub(super) exhausted: E::Word,
    /// A thread looks which names are not needed any more.
    pub(super) collecting: E::Word,
}

/// Why there is no number for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoName {
    /// All are in use.
    TooMany,
    /// Another thread looks which are not needed any more: soon.
    Busy,
}

/// Names that are looked at in one hold of the lock.
pub(super) const CHUNK: usize = 64;

/// Names at most: three quarters of [`NAMES`], so that searches stay short.
pub const MOST: usize = NAMES / 4 * 3;

impl<E: Env> Names<E> {
    /// None yet, in memory for [`NAMES`].
    pub fn new(names: E::Names) -> Self {
        Self {
            names,
            used: E::Lock::new(0),
            exhausted: E::Word::new(0),
            collecting: E::Word::new(0),
        }
    }

    /// The number of a name.
    #[inline(always)]
    pub fn find(&self, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let number = first(meaning);
        self.at(number, meaning)
            .or_else(|| self.find_after(number, meaning))
    }

    /// The number, if that is its meaning.
    #[inline(always)]
    fn at(&self, number: usize, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let name = self.names.get(number)?;
        let state = name.state.load();
        let wanted = u64::from(meaning.tag) << 32 | LIVE;
        let ([a, b], [c, d]) = (&name.words, meaning.words);
        let different = ((state ^ wanted) & !(NUMBERS | TURNS)) | (a.load() ^ c) | (b.load() ^ d);
        // The words may have changed while they were read.
        (different == 0 && name.state.load() == state).then_some(Numbered { state, name })
    }

    /// As [`Names::find`], for what is not in its first place.
    #[inline(never)]
    fn find_after(&self, first: usize, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let mut number = first;
        for _ in 0..self.names.len() {
            let name = self.names.get(number)?;
            let state = name.state.load();
            match state & STATE {
                FREE => return None,
                LIVE | LEAVING if name.meaning(state) == *meaning => {
                    if state & STATE == LEAVING {
                        self.keep(name);
                    }
                    if let Some(found) = self.at(number, meaning) {
                        return Some(found);
                    }
                    // It began to leave in between, or is gone: another look.
                }
                _ => number = (number + 1) % NAMES,
            }
        }
        None
    }

    /// A name is wanted again, or may be, before it is gone.
    fn keep(&self, name: &Name<E>) {
        let _used = self.used.lock();
        let state = name.state.load();
        if state & STATE == LEAVING {
            name.state.store(state & !STATE | LIVE);
        }
    }

    /// Adds a name, or finds it. `tell` has all shards tell their tallies; no shard is
    /// locked.
    ///
    /// # Errors
    ///
    /// There are too many, or another thread looks which are not needed any more.
    #[cold]
    pub fn add(&self, meaning: &Meaning, tell: impl Fn()) -> Result<Numbered<'_, E>, NoName> {
        if self.exhausted.load() != 0 {
            return Err(NoName::TooMany);
        }
        if let Some(added) = self.try_add(meaning) {
            return Ok(added);
        }
        if !self.collect(tell) {
            return Err(NoName::Busy);
        }
        self.try_add(meaning).ok_or_else(|| {
            self.exhausted.store(1);
            NoName::TooMany
        })
    }

    fn try_add(&self, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let mut used = self.used.lock();
        let mut number = first(meaning);
        let mut free = None;
        for _ in 0..self.names.len() {
            let name = self.names.get(number)?;
            let state = name.state.load();
            if state & STATE == LEAVING {
                name.state.store(state & !STATE | LIVE);
            }
            if let Some(found) = self.at(number, meaning) {
                return Some(found);
            }
            if matches!(state & STATE, FREE | TOMBSTONE) {
                free = free.or(Some((number, name, state)));
            }
            if state & STATE == FREE {
                break;
            }
            number = (number + 1) % NAMES;
        }
        let (number, name, state) = free.filter(|_| *used < MOST)?;
        *used += 1;
        let [a, b] = &name.words;
        a.store(meaning.words[0]);
        b.store(meaning.words[1]);
        name.note.store(0);
        let turn = state.wrapping_add(TURN) & TURNS;
        let number = (number as u64) << NUMBER;
        let state = u64::from(meaning.tag) << 32 | turn | number | LIVE;
        name.state.store(state);
        Some(Numbered { state, name })
    }

    /// As [`Names::find`], with the lock held.
    fn find_locked(&self, meaning: &Meaning) -> Option<&Name<E>> {
        let first = first(meaning);
        let names = (0..self.names.len()).map(|step| self.names.get((first + step) % NAMES));
        let names = names.map_while(|name| name.filter(|name| name.state.load() & STATE != FREE));
        let [a, b] = meaning.words;
        let mut names = names.filter(|name| matches!(name.state.load() & STATE, LIVE | LEAVING));
        names.find(|name| {
            let [c, d] = &name.words;
            let tag = (name.state.load() >> 32) as u32;
            (c.load(), d.load(), tag) == (a, b, meaning.tag)
        })
    }

    /// Hands all names to `change`, with the lock held for a few at a time.
    pub(super) fn change_all(&self, mut change: impl FnMut(&mut usize, &Name<E>)) {
        for names in self.names.chunks(CHUNK) {
            let mut used = self.used.lock();
            names.iter().for_each(|name| change(&mut used, name));
        }
    }

    /// Is the number in use, and not retired?
    #[inline]
    pub fn is_live(&self, number: u16) -> bool {
        self.meaning(number).is_some()
    }

    /// What a number means, if it is in use.
    #[inline]
    pub fn meaning(&self, number: u16) -> Option<Meaning> {
        self.meaning_if(number, |state| matches!(state, LIVE | LEAVING))
    }

    /// What a number means, or meant until its name was retired.
    pub fn last_meaning(&self, number: u16) -> Option<Meaning> {
        self.meaning_if(number, |state| {
            matches!(state, LIVE | LEAVING | RETIRED | RETIRED_LEAVING)
        })
    }

    #[inline]
    fn meaning_if(&self, number: u16, wanted: impl Fn(u64) -> bool) -> Option<Meaning> {
        let name = self.names.get(usize::from(number))?;
        let state = name.state.load();
        wanted(state & STATE).then(|| name.meaning(state))
    }

    /// Tag and note of a number that is in use.
    #[inline]
    pub fn tag_and_note(&self, number: u16) -> Option<(u32, u64)> {
        let name = self.names.get(usize::from(number))?;
        let state = name.state.load();
        matches!(state & STATE, LIVE | LEAVING).then(|| ((state >> 32) as u32, name.note.load()))
    }

    /// Calls `change` with the note of a name, with nobody else doing so. `None`:
    /// it is not there.
    pub fn change_note(&self, meaning: &Meaning, change: impl FnOnce(u64) -> u64) -> Option<()> {
        let _used = self.used.lock();
        let note = &self.find_locked(meaning)?.note;
        note.store(change(note.load()));
        Some(())
    }

    /// Retires all names that `dead` says so of; their entries are dead from now on.
    /// Was there any?
    pub fn retire(&self, dead: impl Fn(&Meaning) -> bool) -> bool {
        // Whoever adds a name looks again afterwards whether it is wanted. The lock
        // orders the two: that look comes after what was changed before this
        // call, or the name is seen below.
        let mut any = false;
        self.change_all(|_, name| {
            let state = name.state.load();
            let meaning = name.meaning(state);
            if matches!(state & STATE, LIVE | LEAVING) && dead(&meaning) {
                name.state.store(state & !STATE | RETIRED);
                any = true;
            }
        });
        any
    }

    /// May one more be added, as far as is known?
    pub fn has_room(&self) -> bool {
        self.used() < MOST || self.exhausted.load() == 0
    }

    /// How many are in use or retired.
    pub fn used(&self) -> usize {
        *self.used.lock()
    }
}

/// Where the search for a name starts. Nobody remote chooses names.
#[inline]
fn first(meaning: &Meaning) -> usize {
    let [a, b] = meaning.words;
    // 2^64 divided by the golden ratio, made odd.
    let hash = (a ^ b.rotate_left(29) ^ u64::from(meaning.tag)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 54) as usize % NAMES
}

#[cfg(test)]
impl<E: Env> Names<E> {
    /// Entries of a number, once all shards have told.
    pub(super) fn entries(&self, number: u16) -> u64 {
        self.names[usize::from(number)].entries.load()
    }
}
