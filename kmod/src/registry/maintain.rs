// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory comes and goes: what insertions do for the growth of their shard, and what
//! the module's task does for all of them.

use super::Registry;
use super::env::Env;
use super::growth::{STEPS, Step, segments_for};
use super::hash::Hash;
use super::shard::Shard;

impl<E: Env> Registry<E> {
    /// Allocates the memory of all 5-tuples that there may be. False: there is not
    /// that much.
    pub fn preallocate(&self) -> bool {
        let mean = self.settings.most / self.shards.len().max(1);
        let segments = segments_for(mean + 6 * (mean.isqrt() + 1));
        for shard in self.shards.iter() {
            let mut table = shard.lock();
            table.prepare(segments);
            shard.note_homes(&table);
            drop(table);
            for number in 0..segments {
                let Some(segment) = E::segment() else {
                    return false;
                };
                let left_over = shard.lock().give(number, segment);
                drop(left_over);
            }
        }
        true
    }

    /// Goes on with the growth of the shard of this hash. Not a part of an
    /// insertion, since that takes enough of the stack. False: it cannot now.
    #[inline(never)]
    pub(super) fn grow(&self, hash: Hash) -> bool {
        let last = self.advance(self.shard_number(hash), STEPS);
        !matches!(last, Step::Needs(_) | Step::Stalled)
    }

    /// Moves the entries of a few homes of a shard that grows or shrinks, and brings
    /// the memory that this needs.
    pub(super) fn advance(&self, number: usize, steps: usize) -> Step {
        let mut last = Step::Rest;
        for _ in 0..steps {
            let Some(shard) = self.shards.get(number) else {
                break;
            };
            last = {
                let mut table = shard.lock();
                let step = table.step(&self.secret, number);
                shard.note_homes(&table);
                step
            };
            match last {
                Step::Moved => {}
                Step::Needs(needed) => {
                    let Some(segment) = self.reserve.take() else {
                        break;
                    };
                    let left_over = shard.lock().give(needed, segment);
                    drop(left_over);
                    last = Step::Moved;
                }
                Step::Rest | Step::Shrunk | Step::Stalled => break,
            }
        }
        last
    }

    /// Fills the reserve up and finishes what grows; for the module's task, when it was
    /// woken. Gives nothing back: where one connection opens and closes after another,
    /// each would find its shard without memory and wake the task again.
    pub fn bring_memory(&self) {
        self.reserve.refill();
        for (number, shard) in self.shards.iter().enumerate() {
            self.finish_moving(number, shard);
        }
    }

    /// As [`Registry::bring_memory`], and gives back what is not needed any more; for the
    /// module's task, once a second.
    pub fn maintain(&self) {
        self.bring_memory();
        self.collect();
        if self.settings.fixed {
            return;
        }
        for (number, shard) in self.shards.iter().enumerate() {
            if shard.lock().shrink() {
                self.finish_moving(number, shard);
            }
            while let Some((segment, was_last)) = shard.release() {
                drop(segment);
                // One that is brought from now on is for an entry, which finds no
                // room if it is taken away again and again.
                if was_last {
                    break;
                }
            }
        }
    }

    /// Moves what has to move; a shard that memory came late for may have to grow more
    /// than once.
    fn finish_moving(&self, number: usize, shard: &Shard<E>) {
        while shard.lock().is_due()
            && matches!(self.advance(number, STEPS), Step::Moved | Step::Rest)
        {}
    }
}
