// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How large an array of a region should be, when to ask for another one, and
//! how many entries may come before anything has to be looked at.

use super::super::bucket::SLOTS;
use super::super::env::Env;
use super::Inner;

/// Buckets of an array at least.
pub const SMALLEST: usize = 4;

/// Buckets of a small array, and of a very small one.
const SMALL: usize = 128;
const VERY_SMALL: usize = 8;

/// Buckets of a large one: with a thousand regions, five million entries.
const LARGE: usize = 1536;

/// Whether an insertion asks for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It does not, or somebody has asked.
    Nothing,
    /// There is time until the next look at the regions.
    Soon,
    /// There may be none.
    Now,
}

impl<E: Env> Inner<E> {
    /// How many 5-tuples may be added without asking the registry.
    pub fn credit(&self) -> u32 {
        self.quota.saturating_sub(self.used)
    }

    /// A batch of credit came.
    pub fn add_credit(&mut self, batch: u32) {
        self.batch = batch;
        self.quota = self.quota.saturating_add(batch);
        self.set_bounds();
    }

    /// A batch of credit went back.
    pub fn take_credit(&mut self, batch: u32) {
        self.batch = batch;
        self.quota = self.quota.saturating_sub(batch);
        self.set_bounds();
    }

    /// Sets `calm` and `keep`, which follow from other members.
    pub(super) fn set_bounds(&mut self) {
        self.calm = match self.old {
            Some(_) => 0,
            None => self.quota.min(self.most).min(self.asks),
        };
        // Credit is given back from two batches on, and a batch of one always.
        self.keep = match self.batch {
            0 | 1 => u32::MAX,
            batch => self
                .quota
                .saturating_add(1)
                .saturating_sub(batch.saturating_mul(2)),
        };
    }

    /// There should be more memory from 65 % on: with steps of a third the
    /// places are then 49 to 65 % in use, 46 bytes an entry at ten million. A smaller
    /// array asks earlier, since it fills up faster than memory comes: entries
    /// are registered faster while the table fits into caches, and all regions
    /// are of about the same size then.
    pub(super) fn set_limits(&mut self) {
        let places = self.current.len() * SLOTS;
        let crowd = match self.current.len() {
            len if len <= VERY_SMALL => places / 5,
            len if len <= SMALL => places / 5 * 2,
            len if len < LARGE => places / 20 * 9,
            _ => places / 20 * 13,
        };
        self.most = most(self.current.len()) as u32;
        self.crowd = crowd as u32;
    }

    /// Should it have more memory? Not before the last exchange is over.
    pub fn is_crowded(&self) -> bool {
        self.used > self.crowd && self.left() == 0
    }

    /// After an insertion: does it ask for memory?
    #[inline]
    pub fn need(&mut self) -> Need {
        if self.used <= self.asks {
            return Need::Nothing;
        }
        self.need_more()
    }

    #[cold]
    fn need_more(&mut self) -> Need {
        if self.left() > 0 {
            return Need::Nothing;
        }
        // A very small array is full before a tick of the clock is over.
        if self.asks > self.crowd || self.current.len() <= VERY_SMALL {
            return self.need_now();
        }
        // Asks again, for itself, after a quarter of what is left.
        self.asks = self
            .crowd
            .saturating_add(self.most.saturating_sub(self.crowd) / 4);
        self.set_bounds();
        if core::mem::replace(&mut self.wanting, true) {
            Need::Nothing
        } else {
            Need::Soon
        }
    }

    /// Nothing can be inserted: asks once.
    pub fn need_now(&mut self) -> Need {
        self.wanting = true;
        let asked = core::mem::replace(&mut self.asks, u32::MAX) == u32::MAX;
        self.set_bounds();
        if asked { Need::Nothing } else { Need::Now }
    }

    /// Somebody looks at what the region needs.
    pub fn answered(&mut self) {
        self.wanting = false;
        self.asks = self.crowd;
        self.set_bounds();
    }

    /// Would a quarter of the memory do?
    pub fn is_sparse(&self) -> bool {
        self.current.len() > SMALLEST && (self.used as usize) < self.current.len() * SLOTS / 12
    }

    /// Is there room for one more?
    #[inline]
    pub fn has_room(&self) -> bool {
        self.used < self.most
    }
}

/// Entries that an array takes: four fifths of its places, and all of them in
/// a small one, which is searched quickly.
#[inline]
pub(super) fn most(len: usize) -> usize {
    if len <= SMALL { len * SLOTS } else { len * 4 }
}

/// The size after this one, for the region with this number. Small ones grow in
/// large steps, since each entry is moved in each; later a step is a third.
/// Regions take different steps once, so that they do not all grow at the same
/// time.
pub fn larger(len: usize, region: usize) -> usize {
    match len {
        0..24 => 24,
        24..96 => 96 + region % 16,
        96..256 => len + len / 2,
        256..384 => len + len / 2 + region % 128,
        384..LARGE => len + len / 2,
        _ => len + len / 3,
    }
}

/// The size before this one.
pub fn smaller(len: usize) -> usize {
    (len / 4).max(SMALLEST)
}
