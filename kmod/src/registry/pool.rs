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

/// Something for each pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerPool<T> {
    /// For all 5-tuples.
    pub tuples: T,
    /// For those of UDP of this node.
    pub udp: T,
    /// For local endpoints of UDP.
    pub endpoints: T,
}

impl<T> PerPool<T> {
    /// What is for one of them.
    #[inline]
    pub fn of(&self, pool: Pool) -> &T {
        match pool {
            Pool::Tuples => &self.tuples,
            Pool::Udp => &self.udp,
            Pool::Endpoints => &self.endpoints,
        }
    }

    /// As [`PerPool::of`].
    #[inline]
    pub fn of_mut(&mut self, pool: Pool) -> &mut T {
        match pool {
            Pool::Tuples => &mut self.tuples,
            Pool::Udp => &mut self.udp,
            Pool::Endpoints => &mut self.endpoints,
        }
    }

    /// Something made for each.
    pub fn make(mut make: impl FnMut(Pool) -> T) -> Self {
        Self {
            tuples: make(Pool::Tuples),
            udp: make(Pool::Udp),
            endpoints: make(Pool::Endpoints),
        }
    }
}

/// What a shard has of each.
pub type Credit = PerPool<u32>;

/// What no shard has.
pub struct Pools<E: Env> {
    left: PerPool<E::Word>,
    most: PerPool<usize>,
    batches: PerPool<u32>,
}

impl<E: Env> Pools<E> {
    /// So many at most, for two to the power of `bits` shards.
    pub fn new(most: PerPool<usize>, bits: u32) -> Self {
        Self {
            left: PerPool::make(|pool| E::Word::new(*most.of(pool) as u64)),
            most,
            batches: PerPool::make(|pool| ((most.of(pool) >> 6 >> bits) as u32).max(1)),
        }
    }

    /// Gives a shard more credit if it has none. False: there is no more.
    pub fn refill(&self, credit: &mut Credit, pool: Pool) -> bool {
        let mine = credit.of_mut(pool);
        if *mine == 0 {
            *mine = self.take_batch(pool);
        }
        *mine != 0
    }

    /// One more entry in a shard with credit for it.
    #[inline]
    pub fn spend(&self, credit: &mut Credit, pool: Pool) {
        let mine = credit.of_mut(pool);
        *mine = mine.saturating_sub(1);
    }

    fn take_batch(&self, pool: Pool) -> u32 {
        let batch = *self.batches.of(pool);
        let left = self.left.of(pool);
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
        let batch = *self.batches.of(pool);
        let mine = credit.of_mut(pool);
        *mine = mine.saturating_add(1);
        if batch == 1 || *mine >= batch.saturating_mul(2) {
            *mine = mine.saturating_sub(batch);
            self.left.of(pool).add(batch.into());
        }
    }

    /// What no shard has of a pool.
    pub(super) fn left(&self, pool: Pool) -> i64 {
        self.left.of(pool).load().cast_signed()
    }

    /// Would a shard with this credit get one more?
    pub fn has_room(&self, credit: &Credit, pool: Pool) -> bool {
        *credit.of(pool) > 0 || self.left(pool) >= i64::from(*self.batches.of(pool))
    }

    /// How many there may be.
    pub fn most(&self, pool: Pool) -> usize {
        *self.most.of(pool)
    }

    /// How many there are, if the shards have this credit in all.
    pub fn used(&self, credit: &PerPool<usize>) -> PerPool<usize> {
        PerPool::make(|pool| {
            let left = self.left(pool).max(0) as usize;
            let free = left.saturating_add(*credit.of(pool));
            self.most(pool).saturating_sub(free)
        })
    }
}
