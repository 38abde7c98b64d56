// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sweeps that look at entries that age only, UDP and endpoints: the heads of buckets
//! tell where there are any.

use core::ops::Range;

use super::bucket::{Bucket, older};
use super::env::Env;
use super::shard::Shard;
use super::sweep::{Pass, Sweep, Why};
use super::table::Table;
use super::{Registry, TableEntry};

/// Buckets whose heads are read while a shard is locked.
const GLANCE: usize = 32;

impl<E: Env> Registry<E> {
    /// Sweeps a shard, if it has any such entry.
    pub(super) fn sweep_ageing(
        &self,
        shard: &Shard<E>,
        sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>,
    ) {
        let wanted = self.wanted(sweep.pass, sweep.tick);
        let end = {
            let mut table = shard.lock();
            if !table.oldest.is_some_and(&wanted) {
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

    /// Does a pass look at entries of which the oldest was last used at a tick?
    fn wanted(&self, pass: Pass, now: u8) -> impl Fn(u8) -> bool {
        move |oldest| pass == Pass::Unbound || self.is_old(oldest, now)
    }

    /// Looks at those of [`GLANCE`] buckets that the pass wants, by their heads.
    fn glance(
        &self,
        shard: &Shard<E>,
        first: usize,
        oldest: &mut u8,
        sweep: &mut Sweep<E, impl FnMut(&TableEntry, Why)>,
    ) {
        let wanted = self.wanted(sweep.pass, sweep.tick);
        let mut at = first;
        let end = first.saturating_add(GLANCE);
        while at < end {
            let Some(found) = first_wanted(&shard.lock(), at..end, &wanted, oldest) else {
                return;
            };
            at = found.saturating_add(1);
            self.look(shard, found..at, sweep);
            if let Some(left) = shard.lock().bucket(found).and_then(Bucket::oldest) {
                *oldest = older(Some(*oldest), left);
            }
        }
    }
}

/// The first of these buckets that is wanted; of those before it the oldest entry is
/// noted.
fn first_wanted<E: Env>(
    table: &Table<E>,
    range: Range<usize>,
    wanted: impl Fn(u8) -> bool,
    oldest: &mut u8,
) -> Option<usize> {
    for index in range {
        let Some(of_bucket) = table.bucket(index).and_then(Bucket::oldest) else {
            continue;
        };
        if wanted(of_bucket) {
            return Some(index);
        }
        *oldest = older(Some(*oldest), of_bucket);
    }
    None
}
