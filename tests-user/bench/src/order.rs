// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! In which order tuples are used: drawn beforehand, read in sequence.

use fastrand::Rng;

/// How many removals later a tuple comes back, at most.
const AWAY: usize = 100_000;

/// A tuple that is removed, and the one that is registered then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Live before.
    pub out: u32,
    /// Removed a hundred thousand steps before, so that its memory is cold too.
    pub back: u32,
}

/// The tuples of this node that one thread registers and removes. Those of
/// other nodes have the odd indices.
#[derive(Clone, Debug)]
pub struct Live {
    live: Vec<u32>,
    /// A ring of those that are away.
    away: Vec<u32>,
    oldest: usize,
    rng: Rng,
}

impl Live {
    /// The share of thread `part` of `parts` in the even indices below
    /// `tuples`; a few above are away.
    #[must_use]
    pub fn new(tuples: u32, part: u32, parts: u32) -> Self {
        let even = |index: &u32| index.is_multiple_of(2) && (index / 2) % parts == part;
        let live: Vec<u32> = (0..tuples).filter(even).collect();
        let count = (live.len() / 4).clamp(1, AWAY);
        let away = (tuples..).filter(even).take(count).collect();
        Self {
            live,
            away,
            oldest: 0,
            rng: Rng::with_seed(u64::from(part) + 1),
        }
    }

    /// The next `count` swaps.
    pub fn swaps(&mut self, count: usize) -> Vec<Swap> {
        let mut swaps = Vec::with_capacity(count);
        for _ in 0..count {
            let chosen = self.rng.usize(..self.live.len());
            let slot = &mut self.live[chosen];
            let away = &mut self.away[self.oldest];
            std::mem::swap(slot, away);
            swaps.push(Swap {
                out: *away,
                back: *slot,
            });
            self.oldest = (self.oldest + 1) % self.away.len();
        }
        swaps
    }

    /// `count` tuples that are there, of this node (even) and of others.
    pub fn present(&mut self, count: usize, tuples: u32) -> Vec<u32> {
        (0..count)
            .map(|_| {
                if self.rng.bool() {
                    self.foreign(tuples)
                } else {
                    self.live[self.rng.usize(..self.live.len())]
                }
            })
            .collect()
    }

    /// `count` tuples that another node owns.
    pub fn foreign_ones(&mut self, count: usize, tuples: u32) -> Vec<u32> {
        (0..count).map(|_| self.foreign(tuples)).collect()
    }

    fn foreign(&mut self, tuples: u32) -> u32 {
        self.rng.u32(..tuples / 2) * 2 + 1
    }

    /// All that are there now.
    #[must_use]
    pub fn all(&self) -> &[u32] {
        &self.live
    }
}

/// Does this node own the tuple with this index?
#[must_use]
#[inline]
pub fn is_ours(index: u32) -> bool {
    index.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn swaps_take_out_what_is_there_and_bring_back_what_is_not() {
        let mut live = Live::new(1000, 0, 2);
        let mut there: HashSet<u32> = live.all().iter().copied().collect();
        let size = there.len();
        for swap in live.swaps(5000) {
            assert!(there.remove(&swap.out), "{swap:?}");
            assert!(there.insert(swap.back), "{swap:?}");
        }
        assert_eq!(there.len(), size);
        assert_eq!(there, live.all().iter().copied().collect());
        assert!(
            live.present(1000, 1000)
                .iter()
                .all(|index| !is_ours(*index) || there.contains(index))
        );
    }

    #[test]
    fn parts_have_nothing_in_common_and_none_is_missing() {
        let parts: Vec<u32> = (0..2)
            .flat_map(|part| Live::new(1000, part, 2).live)
            .collect();
        assert_eq!(parts.iter().collect::<HashSet<_>>().len(), 500);
    }

    #[test]
    fn what_comes_back_was_away_for_long() {
        let mut live = Live::new(4000, 0, 1);
        let swaps = live.swaps(2000);
        for (step, swap) in swaps.iter().enumerate().skip(500) {
            assert_eq!(swap.back, swaps[step - 500].out);
        }
    }
}
