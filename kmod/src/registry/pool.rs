// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How many entries there may be: 5-tuples, those of UDP among them, endpoints.
//!
//! Shards take credit from the common pools in batches, so that they seldom touch
//! what they have in common. With small limits a batch is one, and the limit is
//! exact; otherwise at most three hundredths of it lie idle.

use super::env::{Env, Word};

/// What there is a limit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// All 5-tuples.
    Tuples,
    /// 5-tuples of UDP of this node, which are 5-tuples besides.
    Udp,
    /// Local endpoints of UDP.
    Endpoints,
}

/// What a shard has of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credit([u32; 3]);

/// What no shard has.
pub struct Pools<E: Env> {
    left: [E::Word; 3],
    most: [usize; 3],
    batches: [u32; 3],
}

impl Credit {
    /// What it has of one kind.
    pub fn of(&self, pool: Pool) -> u32 {
        let [tuples, udp, endpoints] = self.0;
        match pool {
            Pool::Tuples => tuples,
            Pool::Udp => udp,
            Pool::Endpoints => endpoints,
        }
    }

    #[inline]
    fn of_mut(&mut self, pool: Pool) -> &mut u32 {
        let [tuples, udp, endpoints] = &mut self.0;
        match pool {
            Pool::Tuples => tuples,
            Pool::Udp => udp,
            Pool::Endpoints => endpoints,
        }
    }
}

impl<E: Env> Pools<E> {
    /// So many 5-tuples at most, and of UDP and endpoints, for two to the power of
    /// `bits` shards.
    pub fn new(most: [usize; 3], bits: u32) -> Self {
        let [tuples, udp, endpoints] = most;
        Self {
            left: [tuples, udp, endpoints].map(|most| E::Word::new(most as u64)),
            most,
            batches: most.map(|most| ((most >> 6 >> bits) as u32).max(1)),
        }
    }

    #[inline]
    fn batch(&self, pool: Pool) -> u32 {
        let [tuples, udp, endpoints] = self.batches;
        match pool {
            Pool::Tuples => tuples,
            Pool::Udp => udp,
            Pool::Endpoints => endpoints,
        }
    }

    pub(super) fn left(&self, pool: Pool) -> &E::Word {
        let [tuples, udp, endpoints] = &self.left;
        match pool {
            Pool::Tuples => tuples,
            Pool::Udp => udp,
            Pool::Endpoints => endpoints,
        }
    }

    /// One more entry, for a shard with this credit. False: that is one too many.
    #[inline]
    pub fn take(&self, credit: &mut Credit, pool: Pool) -> bool {
        let mine = credit.of_mut(pool);
        if *mine == 0 {
            *mine = self.take_batch(pool);
        }
        let taken = mine.checked_sub(1);
        *mine = taken.unwrap_or(0);
        taken.is_some()
    }

    #[inline(never)]
    fn take_batch(&self, pool: Pool) -> u32 {
        let batch = self.batch(pool);
        let left = self.left(pool);
        // Signed: another shard may have taken more than there is, for as long as
        // it takes to give it back.
        if left.add(u64::from(batch).wrapping_neg()).cast_signed() < i64::from(batch) {
            left.add(batch.into());
            return 0;
        }
        batch
    }

    /// One entry less.
    #[inline]
    pub fn give(&self, credit: &mut Credit, pool: Pool) {
        let batch = self.batch(pool);
        let mine = credit.of_mut(pool);
        *mine = mine.saturating_add(1);
        if batch == 1 || *mine >= batch.saturating_mul(2) {
            *mine = mine.saturating_sub(batch);
            self.left(pool).add(batch.into());
        }
    }

    /// Would a shard with this credit get one more?
    pub fn has_room(&self, credit: &Credit, pool: Pool) -> bool {
        let left = self.left(pool).load().cast_signed();
        credit.of(pool) > 0 || left >= i64::from(self.batch(pool))
    }

    /// How many there may be.
    pub fn most(&self, pool: Pool) -> usize {
        let [tuples, udp, endpoints] = self.most;
        match pool {
            Pool::Tuples => tuples,
            Pool::Udp => udp,
            Pool::Endpoints => endpoints,
        }
    }

    /// How many there are, if the shards have this credit in all.
    pub fn used(&self, pool: Pool, credit: usize) -> usize {
        let left = self.left(pool).load().cast_signed().max(0) as usize;
        self.most(pool).saturating_sub(left.saturating_add(credit))
    }
}
