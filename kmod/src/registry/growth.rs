// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How a shard grows and shrinks: one threshold, no waiting.
//!
//! **Invariant.** An entry of fraction `f` lies in the bucket `layout.home(f)` or,
//! if that was full, within reach of it, with nothing but counted overflow in between. Each
//! step moves all entries of one home and then the layout's split, under one hold
//! of the shard's lock; so every call finds every entry, whatever is on its way.
//!
//! A shard whose places are five eighths in use ([`Table::grows`]) goes on to a
//! quarter more homes. Whoever inserts into a shard that is moving moves the
//! entries of [`STEPS`] homes, more than six, while four for each insertion are
//! enough to be done before the next threshold. Growth goes from the highest
//! fraction down, into segments that it asks for one at a time, just before it
//! writes into them: so memory is needed in small pieces, by everybody a little,
//! and a step for which there is none is taken later. Nothing else depends on it:
//! until then entries are inserted where they would have been, and there is room
//! for six in ten more of them.
//!
//! Shrinking is the same in the other direction, done by the module's task. The
//! direction may turn at any step.

use super::bucket::{Bucket, SLOTS};
use super::entry::Entry;
use super::env::{Directory, Env, SEGMENT};
use super::hash::{Hash, Secret};
use super::layout::{Layout, Move};
use super::table::{At, Home, PAD, Table, within_reach};

/// Homes whose entries an insertion moves.
pub const STEPS: usize = 2;

/// Entries that a step moves at most.
pub const BATCH: usize = 6;

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing has to move.
    Rest,
    /// Something moved.
    Moved,
    /// All has moved to fewer homes: [`Table::release`] gives memory back.
    Shrunk,
    /// The segment of this number is needed first.
    Needs(usize),
    /// There is no place where the entries go, or a sweep is at work.
    Stalled,
}

/// Homes of so many segments.
fn homes(segments: usize) -> u32 {
    (segments * SEGMENT).saturating_sub(PAD) as u32
}

/// With so many entries there should be more homes.
fn threshold(homes: u32) -> u32 {
    homes * SLOTS as u32 / 8 * 5
}

/// Segments that so many entries need without any growth.
pub fn segments_for(entries: usize) -> usize {
    let homes = (entries * 8).div_ceil(SLOTS * 5);
    (homes + PAD).div_ceil(SEGMENT)
}

/// The number of segments after this one, for the shard of this number. A
/// quarter more; once, at sixteen, shards go different ways, so that they do not
/// all grow at the same time afterwards.
fn larger(segments: usize, shard: usize) -> usize {
    match segments {
        0..12 => segments + segments.div_ceil(2),
        12..16 => 16 + shard % 4,
        _ => segments + segments / 4,
    }
}

/// Where an entry belongs. Not inline: it would need the stack of each caller.
#[inline(never)]
fn hash_of(entry: &Entry, secret: &Secret) -> Hash {
    entry.hash(secret)
}

impl<E: Env> Table<E> {
    /// Segments that the present number of homes takes.
    fn segments(&self) -> usize {
        self.end().div_ceil(SEGMENT)
    }

    /// Should [`Table::step`] be called after an insertion?
    #[inline]
    pub fn grows(&self) -> bool {
        self.used() as u32 >= self.grow_at || self.layout.is_moving()
    }

    /// Has anything to move, in a shard with memory?
    pub fn is_due(&self) -> bool {
        self.layout.high() > 0 && self.grows()
    }

    /// Has a shard that is on its way to more homes as many entries as it had places
    /// before? Without memory it gets there, and keeps what else there is for what has to
    /// move.
    #[inline]
    pub fn is_overfull(&self) -> bool {
        self.layout.is_moving() && self.used() >= self.layout.low() as usize * SLOTS
    }

    /// At rest with so many segments, of which the caller brings all.
    pub fn prepare(&mut self, segments: usize) {
        let segments = segments.min(self.directory.places());
        self.layout = Layout::new(homes(segments));
        self.set_threshold();
    }

    fn set_threshold(&mut self) {
        let homes = self.layout.homes();
        let segments = (homes as usize + PAD).div_ceil(SEGMENT);
        self.grow_at = match segments < self.directory.places() {
            true => threshold(homes),
            false => u32::MAX,
        };
    }

    /// Moves the entries of one home, if any have to; starts to grow if it is time.
    #[inline(never)]
    pub fn step(&mut self, secret: &Secret, shard: usize) -> Step {
        if self.layout.high() == 0 {
            return Step::Needs(0);
        }
        if self.swept {
            return Step::Stalled;
        }
        if self.used() as u32 >= self.grow_at {
            self.begin_to_grow(shard);
        }
        let next = match self.next_move(secret) {
            Ok(next) => next,
            Err(Step::Rest) => return self.finish(),
            Err(stalled) => return stalled,
        };
        for number in 0..self.lift(&next, secret) {
            self.put_down(&next, secret, number);
        }
        match self.layout.moved(&next) {
            true => self.finish(),
            false => Step::Moved,
        }
    }

    /// What a step moves: the entries of a home or, if they are more than [`BATCH`] or not
    /// all find a place, those of the half of its fractions that is next.
    ///
    /// # Errors
    ///
    /// `Rest`: nothing has to move. `Needs`: memory. `Stalled`: there is no place, or more
    /// than [`BATCH`] share a fraction, which chance does not bring about.
    #[inline(never)]
    fn next_move(&self, secret: &Secret) -> Result<Move, Step> {
        let mut next = self.layout.next().ok_or(Step::Rest)?;
        loop {
            let run = self.run(next.home);
            let moves = |entry: &Entry| next.has(hash_of(entry, secret).fraction());
            let moving = run.filter(|(_, entry)| moves(entry)).count();
            let (first, last) = next.targets();
            if moving <= BATCH {
                let missing = |home: &usize| self.bucket(*home).is_none();
                if let Some(home) = [last, first].into_iter().find(missing) {
                    return Err(Step::Needs(home / SEGMENT));
                }
                if self.has_room_for(moving, first, last) {
                    return Ok(next);
                }
            }
            let can_be_less = moving > BATCH || first != last;
            if !(can_be_less && next.halve(self.layout.is_shrinking())) {
                return Err(Step::Stalled);
            }
        }
    }

    fn begin_to_grow(&mut self, shard: usize) {
        if self.layout.is_shrinking() {
            self.layout.turn();
        } else if !self.layout.is_moving() {
            let segments = larger(self.segments(), shard).min(self.directory.places());
            self.layout.resize(homes(segments));
        }
        self.set_threshold();
    }

    /// Nothing is left to be moved.
    fn finish(&mut self) -> Step {
        if !self.layout.is_moving() {
            return Step::Rest;
        }
        if !self.layout.is_shrinking() {
            self.layout.finish();
            return Step::Rest;
        }
        let last = (self.layout.homes() as usize + PAD).saturating_sub(1);
        if self.bucket(last).is_none_or(|last| last.overflow() > 0) {
            self.layout.turn();
            self.set_threshold();
            return Step::Stalled;
        }
        self.layout.finish();
        self.set_threshold();
        Step::Shrunk
    }

    /// Do so many entries find a place within reach of the homes from `first` to `last`,
    /// where they go? Not always: where memory came late, all is full.
    fn has_room_for(&self, moving: usize, first: usize, last: usize) -> bool {
        let mut free = 0;
        let mut places = within_reach(first)
            .skip_while(|index| *index < last)
            .map_while(|index| self.bucket(index))
            .map(Bucket::count_free);
        places.any(|more| {
            free += more;
            free >= moving
        })
    }

    /// Takes the entries that move, all before the first one is put where it goes,
    /// since nothing tells one that was moved from one that is not yet. How many.
    #[inline(never)]
    fn lift(&mut self, next: &Move, secret: &Secret) -> usize {
        let mut lifted = 0;
        for index in within_reach(next.home) {
            let Some(overflow) = self.bucket(index).map(Bucket::overflow) else {
                break;
            };
            for at in (0..SLOTS).map(|place| At::new(index, place)) {
                let entry = self.get(at).copied();
                let moves = |entry: &Entry| next.has(hash_of(entry, secret).fraction());
                if let Some(entry) = entry.filter(moves)
                    && let Some(slot) = self.moving.get_mut(lifted)
                {
                    *slot = entry;
                    lifted += 1;
                    self.take(next.home, at);
                }
            }
            if overflow == 0 {
                break;
            }
        }
        lifted
    }

    /// Puts an entry that moves where it goes.
    #[inline(never)]
    fn put_down(&mut self, next: &Move, secret: &Secret, number: usize) {
        let Some(entry) = self.moving.get(number).copied() else {
            return;
        };
        let hash = hash_of(&entry, secret);
        let home = Home {
            bucket: next.target(hash.fraction()),
            fingerprint: hash.fingerprint(),
        };
        let to = self.put(home, entry);
        if let (Some(to), Some(tick)) = (to, entry.ages())
            && let Some(bucket) = self.bucket_mut(to)
        {
            bucket.add_tick(tick);
        }
    }

    /// Takes a segment that [`Step::Needs`] asked for; gives it back if another
    /// caller has brought it. The first one comes with its homes: entries of a shard
    /// without any would all be put into the first bucket, and not be found there.
    pub fn give(&mut self, number: usize, segment: E::Segment) -> Option<E::Segment> {
        if number == 0 && self.layout.high() == 0 {
            self.prepare(1);
        }
        // Others may have changed the layout since.
        match number < self.segments() {
            true => self.directory.put(number, segment),
            false => Some(segment),
        }
    }

    /// Takes a segment away that is behind the last bucket; of an empty shard the
    /// first one too, with its homes.
    pub fn release(&mut self) -> Option<E::Segment> {
        let segments = self.segments();
        let mut behind = (segments..self.directory.places()).rev();
        let released = behind.find_map(|place| self.directory.take(place));
        if released.is_some() || segments != 1 || self.used() > 0 {
            return released;
        }
        self.prepare(0);
        self.directory.take(0)
    }

    /// At rest with far fewer entries than there is room for, it starts to shrink; true
    /// also if it is shrinking already. Once nothing moves any more
    /// [`Table::release`] gives memory back.
    pub fn shrink(&mut self) -> bool {
        if self.layout.is_moving() || self.layout.high() == 0 {
            return self.layout.is_shrinking();
        }
        let segments = match self.used() {
            0 => 0,
            used => segments_for(used.saturating_mul(5) / 4),
        };
        if segments.saturating_mul(2) > self.segments() {
            return false;
        }
        match segments {
            0 => self.prepare(1),
            _ => self.layout.resize(homes(segments)),
        }
        self.set_threshold();
        true
    }
}
