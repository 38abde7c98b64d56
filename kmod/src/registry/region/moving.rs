// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How entries move from one array of a region into another.

use super::super::bucket::{self, Bucket, SLOTS};
use super::super::env::Env;
use super::super::hash::{Secret, home};
use super::{Inner, Place};

/// An array whose entries move into another one.
pub(super) struct Leaving<E: Env> {
    pub(super) buckets: E::Buckets,
    /// The first bucket that was not moved from. Those before it are empty,
    /// but for what they know of the entries that went past.
    pub(super) next: usize,
    /// An entry that belongs before `next` may be there or behind it.
    pub(super) spills: bool,
}

/// How much is moved at once.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Old buckets that are looked at, at most.
    pub buckets: usize,
    /// No further bucket after so many entries.
    pub entries: usize,
}

/// What an insertion moves. A step of a third from two thirds full moves three
/// entries for each that comes until the next one; an array that came late moves
/// four. Buckets that were emptied meanwhile go by faster.
pub const HELP: Load = Load {
    buckets: 4,
    entries: 4,
};

/// How far moving came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// There is more to move.
    Some,
    /// Nothing is left in the old array, if there is one.
    All,
    /// There is no room in the new one, which can only be if it is smaller.
    NoRoom,
}

impl<E: Env> Inner<E> {
    /// After an insertion, or when there is no room for one: moves a few
    /// entries if the region grows or shrinks.
    #[inline]
    pub fn help(&mut self, secret: &Secret) {
        if self.old.is_some() {
            self.help_to_move(secret);
        }
    }

    #[inline(never)]
    fn help_to_move(&mut self, secret: &Secret) {
        // Without room the entries stay where they are, and are found there.
        let _how_far = self.advance(HELP, secret);
    }

    /// Moves the entries of the next old buckets into the new array.
    pub fn advance(&mut self, load: Load, secret: &Secret) -> Moved {
        let Some(old) = &mut self.old else {
            return Moved::All;
        };
        let len = old.buckets.len();
        let mut moved = 0;
        for _ in 0..load.buckets {
            let next = old.next;
            ask_ahead::<E>(&old.buckets, &self.current, next.saturating_add(AHEAD));
            let Some(bucket) = old.buckets.get_mut(next) else {
                break;
            };
            let oldest = bucket.oldest();
            for place in 0..SLOTS {
                let Some(entry) = bucket.get(place) else {
                    continue;
                };
                let (hash, reach) = (entry.hash(secret), self.current.len());
                let Some(at) = bucket::insert(&mut self.current, hash, entry, reach) else {
                    return Moved::NoRoom;
                };
                bucket.clear(place);
                moved += 1;
                if let (Some(tick), Some(new)) = (oldest, self.current.get_mut(at.bucket)) {
                    new.add_oldest(tick);
                }
            }
            old.spills = bucket.passed() > 0;
            old.next = next.saturating_add(1);
            if moved >= load.entries {
                break;
            }
        }
        if old.next < len {
            Moved::Some
        } else {
            Moved::All
        }
    }

    /// How many old buckets are left to be moved from.
    pub fn left(&self) -> usize {
        self.old.as_ref().map_or(0, Leaving::left)
    }

    /// Takes the old array, once all of its entries have been moved.
    pub fn take_old(&mut self) -> Option<E::Buckets> {
        if self.left() > 0 {
            return None;
        }
        let old = self.old.take().map(|old| old.buckets);
        self.set_bounds();
        old
    }
}

impl<E: Env> Leaving<E> {
    pub(super) fn left(&self) -> usize {
        self.buckets.len().saturating_sub(self.next)
    }

    /// May an entry of this place be left here? One that belongs to a bucket
    /// that was moved from is, if it went past all up to `next`.
    #[inline]
    pub(super) fn may_have(&self, place: Place) -> bool {
        let home = home(place.hash.fraction(), self.buckets.len());
        self.left() > 0 && (home >= self.next || self.spills)
    }
}

/// Buckets between one that is moved from and one whose memory is asked for.
const AHEAD: usize = 12;

/// Asks for the memory of a bucket of an old array and for that of the new one
/// where its entries go: both are in the order of the hashes.
#[inline]
fn ask_ahead<E: Env>(old: &[Bucket], new: &[Bucket], bucket: usize) {
    let there = bucket
        .saturating_mul(new.len())
        .checked_div(old.len())
        .unwrap_or(0);
    ask_for::<E>(old.get(bucket));
    ask_for::<E>(new.get(there));
}

/// Asks for the memory of a bucket.
#[inline]
pub(super) fn ask_for<E: Env>(bucket: Option<&Bucket>) {
    if let Some(bucket) = bucket {
        let address = core::ptr::from_ref(bucket).addr();
        E::prefetch_bucket(address);
    }
}
