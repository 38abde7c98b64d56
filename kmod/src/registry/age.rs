// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The search for entries that are too old, by the heads of buckets.

use core::ops::Range;

use super::bucket::{Bucket, older};
use super::env::Env;
use super::shard::Shard;
use super::sweep::{Sweep, Why};
use super::table::Table;
use super::{Registry, TableEntry};

/// Buckets whose heads are read while a shard is locked.
const GLANCE: usize = 32;
/// How many buckets ahead of a glance memory is asked for.
const AHEAD: usize = 64;

impl<E: Env> Registry<E> {
    /// Drops what is too old, if the shard has any such entry.
    pub(super) fn age(&self, shard: &Shard<E>, sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>) {
        let end = {
            let mut table = shard.lock();
            let oldest = table.oldest;
            if !oldest.is_some_and(|oldest| self.is_old(oldest, sweep.tick)) {
                return;
            }
            table.swept = true;
            // From here on it is the oldest of what is registered meanwhile, by
            // threads that may have read the time before.
            table.oldest = None;
            table.end()
        };
        let mut oldest = sweep.tick;
        for first in (0..end).step_by(GLANCE) {
            self.glance(shard, first, &mut oldest, sweep);
        }
        let mut table = shard.lock();
        table.swept = false;
        table.oldest = Some(older(table.oldest, oldest));
    }

    /// Looks for old entries in [`GLANCE`] buckets, by their heads.
    fn glance(
        &self,
        shard: &Shard<E>,
        first: usize,
        oldest: &mut u8,
        sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>,
    ) {
        let mut at = first;
        let end = first.saturating_add(GLANCE);
        while at < end {
            let Some(old) = self.first_old(&shard.lock(), at..end, sweep.tick, oldest) else {
                return;
            };
            at = old.saturating_add(1);
            self.look(shard, old..at, sweep);
            if let Some(left) = shard.lock().bucket(old).and_then(Bucket::oldest) {
                *oldest = older(Some(*oldest), left);
            }
        }
    }

    /// The first of these buckets with an old entry; of those before it the
    /// oldest entry is noted.
    fn first_old(
        &self,
        table: &Table<E>,
        range: Range<usize>,
        tick: u8,
        oldest: &mut u8,
    ) -> Option<usize> {
        for ahead in range.clone() {
            table.prefetch(ahead.saturating_add(AHEAD));
        }
        for index in range {
            let Some(of_bucket) = table.bucket(index).and_then(Bucket::oldest) else {
                continue;
            };
            if self.is_old(of_bucket, tick) {
                return Some(index);
            }
            *oldest = older(Some(*oldest), of_bucket);
        }
        None
    }
}
