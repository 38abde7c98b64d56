// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Free segments, so that nobody waits for memory.
//!
//! The module's task keeps [`RESERVED`] of them. Whoever needs one takes it from here,
//! and finds none only if the task is late: then it asks for memory itself,
//! without sleeping. If there is none it is not asked for again until
//! the task comes by, once a second, so that a machine without memory is not kept
//! busy by those who look for some.

use super::env::{Env, Lock, Word};

/// Segments that are kept: 384 KiB, which eight thousand new
/// 5-tuples use up.
pub const RESERVED: usize = 12;

/// The free segments.
pub struct Reserve<E: Env> {
    free: E::Lock<Free<E>>,
    /// There was no memory; nobody looks for more before the task does.
    exhausted: E::Word,
    /// The task was told that few are left.
    told: E::Word,
}

struct Free<E: Env> {
    segments: E::FreeSegments,
    count: usize,
}

impl<E: Env> Reserve<E> {
    /// An empty one, in memory for [`RESERVED`] segments.
    pub fn new(segments: E::FreeSegments) -> Self {
        Self {
            free: E::Lock::new(Free { segments, count: 0 }),
            exhausted: E::Word::new(0),
            told: E::Word::new(0),
        }
    }

    /// A segment. With no shard locked; any context.
    pub fn take(&self) -> Option<E::Segment> {
        let (segment, left) = self.free.lock().take();
        if segment.is_some() {
            if left < RESERVED / 2 && self.told.swap(1) == 0 {
                E::wake();
            }
            return segment;
        }
        if self.is_exhausted() {
            return None;
        }
        let segment = E::segment();
        if segment.is_none() {
            self.exhausted.store(1);
        }
        segment
    }

    /// Is there no memory, as far as is known?
    pub fn is_exhausted(&self) -> bool {
        self.exhausted.load() != 0
    }

    /// Fills it up; for the task. Then those who need memory may look for it
    /// again.
    pub fn refill(&self) {
        self.exhausted.store(0);
        while self.free.lock().count < RESERVED {
            let Some(segment) = E::segment() else {
                self.exhausted.store(1);
                return;
            };
            let left_over = self.free.lock().put(segment);
            drop(left_over);
        }
        self.told.store(0);
    }
}

impl<E: Env> Free<E> {
    fn take(&mut self) -> (Option<E::Segment>, usize) {
        let Some(last) = self.count.checked_sub(1) else {
            return (None, 0);
        };
        self.count = last;
        (self.segments.get_mut(last).and_then(Option::take), last)
    }

    fn put(&mut self, segment: E::Segment) -> Option<E::Segment> {
        match self.segments.get_mut(self.count) {
            Some(place) => {
                self.count += 1;
                place.replace(segment)
            }
            None => Some(segment),
        }
    }
}
