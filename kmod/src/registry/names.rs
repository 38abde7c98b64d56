// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Small numbers for long names: local addresses with their stack, and nodes.
//!
//! Entries hold the number. A name is looked up without a lock; a new one is
//! added under one. A name that is retired is not found any more, so that all
//! entries with its number are dead at once; its number is free again after
//! a sweep of the whole table has dropped them.

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

const FREE: u64 = 0;
const LIVE: u64 = 1;
const RETIRED: u64 = 2;
/// Free again; a search goes on behind it.
const LEFT: u64 = 3;

const STATE: u64 = 3;
/// Counts how often a number changed hands.
const TURN: u64 = 1 << 2;
const TURNS: u64 = (1 << 32) - TURN;

/// One name.
pub struct Name<E: Env> {
    words: [E::Word; 2],
    /// State 2, turn 30, tag 32.
    state: E::Word,
}

impl<E: Env> Name<E> {
    /// A free one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            words: [E::Word::new(0), E::Word::new(0)],
            state: E::Word::new(FREE),
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
    /// The number.
    pub number: u16,
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
    /// Does the number still mean what it meant when it was looked up?
    #[inline]
    #[must_use]
    pub fn holds(&self) -> bool {
        self.name.state.load() == self.state
    }
}

/// The names of one kind.
pub struct Names<E: Env> {
    names: E::Names,
    used: E::Lock<usize>,
    /// Names that the sweep under way makes free again, a bit each.
    leaving: E::Words,
}

/// Words of memory for the names of one kind.
pub const WORDS: usize = NAMES / 64;

/// Three quarters of [`NAMES`]: searches stay short.
const MOST: usize = NAMES / 4 * 3;

impl<E: Env> Names<E> {
    /// None yet, in memory for [`NAMES`], and [`WORDS`] zeros.
    pub fn new(names: E::Names, leaving: E::Words) -> Self {
        Self {
            names,
            used: E::Lock::new(0),
            leaving,
        }
    }

    /// The number of a name.
    #[inline]
    pub fn find(&self, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let number = first(meaning);
        self.at(number, meaning)
            .or_else(|| self.find_after(number, meaning))
    }

    /// As [`Names::find`]; but only a name in its first place is found, as most
    /// are.
    #[inline]
    pub fn find_at_once(&self, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        self.at(first(meaning), meaning)
    }

    /// The number, if that is its meaning.
    #[inline]
    fn at(&self, number: usize, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let name = self.names.get(number)?;
        let state = name.state.load();
        let different = state ^ (u64::from(meaning.tag) << 32 | LIVE);
        let ([a, b], [c, d]) = (&name.words, meaning.words);
        let different = (different & !TURNS) | (a.load() ^ c) | (b.load() ^ d);
        // The words may have changed while they were read.
        (different == 0 && name.state.load() == state).then_some(Numbered {
            number: number as u16,
            state,
            name,
        })
    }

    /// As [`Names::find`], for what is not in its first place.
    #[inline(never)]
    fn find_after(&self, first: usize, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let mut number = first;
        for _ in 0..self.names.len() {
            if self.names.get(number)?.state.load() & STATE == FREE {
                return None;
            }
            number = (number + 1) % NAMES;
            if let Some(found) = self.at(number, meaning) {
                return Some(found);
            }
        }
        None
    }

    /// The number of a name, a new one if need be. `None`: there are too many.
    pub fn find_or_add(&self, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        self.find(meaning).or_else(|| self.add(meaning))
    }

    #[cold]
    fn add(&self, meaning: &Meaning) -> Option<Numbered<'_, E>> {
        let mut used = self.used.lock();
        if let Some(found) = self.find(meaning) {
            return Some(found);
        }
        if *used >= MOST {
            return None;
        }
        let mut number = first(meaning);
        for _ in 0..self.names.len() {
            let name = self.names.get(number)?;
            let state = name.state.load();
            if matches!(state & STATE, FREE | LEFT) {
                *used += 1;
                let [a, b] = &name.words;
                a.store(meaning.words[0]);
                b.store(meaning.words[1]);
                let turn = state.wrapping_add(TURN) & TURNS;
                let state = u64::from(meaning.tag) << 32 | turn | LIVE;
                name.state.store(state);
                return Some(Numbered {
                    number: number as u16,
                    state,
                    name,
                });
            }
            number = (number + 1) % NAMES;
        }
        None
    }

    /// Is the number in use, and not retired?
    #[inline]
    pub fn is_live(&self, number: u16) -> bool {
        self.names
            .get(usize::from(number))
            .is_some_and(|name| name.state.load() & STATE == LIVE)
    }

    /// What a number means, if it is in use.
    pub fn meaning(&self, number: u16) -> Option<Meaning> {
        self.meaning_if(number, |state| state == LIVE)
    }

    /// The tag of what a number means, if it is in use.
    #[inline]
    pub fn tag(&self, number: u16) -> Option<u32> {
        let state = self.names.get(usize::from(number))?.state.load();
        (state & STATE == LIVE).then_some((state >> 32) as u32)
    }

    /// What a number means, or meant until its name was retired.
    pub fn last_meaning(&self, number: u16) -> Option<Meaning> {
        self.meaning_if(number, |state| matches!(state, LIVE | RETIRED))
    }

    #[inline]
    fn meaning_if(&self, number: u16, wanted: impl Fn(u64) -> bool) -> Option<Meaning> {
        let name = self.names.get(usize::from(number))?;
        let state = name.state.load();
        let [a, b] = &name.words;
        wanted(state & STATE).then(|| Meaning {
            words: [a.load(), b.load()],
            tag: (state >> 32) as u32,
        })
    }

    /// Retires a name; false if it is not there.
    pub fn retire(&self, meaning: &Meaning) -> bool {
        let _used = self.used.lock();
        let found = self.find(meaning);
        if let Some(name) = found.and_then(|found| self.names.get(usize::from(found.number))) {
            let state = name.state.load();
            name.state.store(state & !STATE | RETIRED);
        }
        found.is_some()
    }

    /// Retires all names that `dead` says so of.
    pub fn retire_all(&self, dead: impl Fn(&Meaning) -> bool) -> bool {
        // Whoever adds a name looks again afterwards whether it is wanted. The lock
        // orders the two: that look comes after what was changed before this
        // call, or the name is seen below.
        drop(self.used.lock());
        let mut any = false;
        for number in 0..self.names.len() {
            if let Some(meaning) = self.meaning(number as u16)
                && dead(&meaning)
            {
                any |= self.retire(&meaning);
            }
        }
        any
    }

    /// A sweep begins: the names that are retired now leave.
    pub fn leave(&self) {
        for word in self.leaving.iter() {
            word.store(0);
        }
        for (number, name) in self.names.iter().enumerate() {
            if name.state.load() & STATE == RETIRED
                && let Some(word) = self.leaving.get(number / 64)
            {
                word.or(1 << (number % 64));
            }
        }
    }

    /// Does the name leave with the sweep under way?
    pub fn is_leaving(&self, number: u16) -> bool {
        self.leaving
            .get(usize::from(number / 64))
            .is_some_and(|word| word.load() >> (number % 64) & 1 != 0)
    }

    /// The sweep is over, no entry has a number that left: they are free again.
    pub fn reuse(&self) {
        let mut used = self.used.lock();
        for (number, name) in self.names.iter().enumerate() {
            if self.is_leaving(number as u16) {
                name.state.or(LEFT);
                *used = used.saturating_sub(1);
            }
        }
    }

    /// May one more be added?
    pub fn has_room(&self) -> bool {
        self.used() < MOST
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
