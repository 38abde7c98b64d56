// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where the home buckets of a shard are, also while it grows or shrinks.
//!
//! A home is a fraction of the hash scaled by the number of homes, so that homes
//! are in the order of fractions whatever their number. Growth moves entries in
//! place, from the highest fraction down; shrinking from the lowest up. So there
//! are two numbers of homes at any time: `low` for the fractions below `split`
//! and `high` for the others. A shard at rest has one number twice.

use core::ops::Range;

use super::hash;

/// One more than the highest fraction.
pub const FRACTIONS: u64 = 1 << 32;

/// The homes of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    low: u32,
    high: u32,
    split: u64,
    shrinks: bool,
}

/// What moves next: the entries of these fractions leave their home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Their fractions.
    pub fractions: Range<u64>,
    /// Their home now.
    pub home: usize,
    /// How many homes there are where they go.
    homes: u32,
}

impl Move {
    /// Is an entry of this fraction one of them?
    pub fn has(&self, fraction: u32) -> bool {
        self.fractions.contains(&fraction.into())
    }

    /// Only half of the fractions move, those that have to be next: the lower ones
    /// if the shard shrinks. False: it is one fraction.
    pub fn halve(&mut self, shrinks: bool) -> bool {
        let Range { start, end } = self.fractions;
        let middle = start.midpoint(end);
        if middle == start {
            return false;
        }
        self.fractions = if shrinks { start..middle } else { middle..end };
        true
    }

    /// The home where an entry of this fraction goes.
    pub fn target(&self, fraction: u32) -> usize {
        scale(fraction, self.homes)
    }

    /// The homes of the first and the last fraction where they go.
    pub fn targets(&self) -> (usize, usize) {
        let last = self.fractions.end.saturating_sub(1);
        (
            self.target(self.fractions.start as u32),
            self.target(last as u32),
        )
    }
}

/// The home of a fraction, of so many.
#[inline]
fn scale(fraction: u32, homes: u32) -> usize {
    hash::home(fraction, homes as usize)
}

/// The first fraction whose home is `home` or a later one, of `homes`.
fn first(home: usize, homes: u32) -> u64 {
    ((home as u64) << 32)
        .div_ceil(u64::from(homes).max(1))
        .min(FRACTIONS)
}

impl Layout {
    /// At rest, with so many homes.
    pub const fn new(homes: u32) -> Self {
        Self {
            low: homes,
            high: homes,
            split: 0,
            shrinks: false,
        }
    }

    /// The home bucket of a fraction.
    #[inline]
    pub fn home(&self, fraction: u32) -> usize {
        let is_low = u64::from(fraction) < self.split;
        scale(fraction, if is_low { self.low } else { self.high })
    }

    /// How many homes there are when nothing moves any more.
    pub fn homes(&self) -> u32 {
        if self.shrinks { self.low } else { self.high }
    }

    /// The smaller number of homes.
    #[inline]
    pub fn low(&self) -> u32 {
        self.low
    }

    /// The larger number of homes.
    pub fn high(&self) -> u32 {
        self.high
    }

    /// Does anything have to move?
    #[inline]
    pub fn is_moving(&self) -> bool {
        self.low != self.high
    }

    /// Does it move to fewer homes?
    pub fn is_shrinking(&self) -> bool {
        self.is_moving() && self.shrinks
    }

    /// At rest: from now on it moves to so many homes.
    pub fn resize(&mut self, homes: u32) {
        self.shrinks = homes < self.high;
        if self.shrinks {
            (self.low, self.split) = (homes, 0);
        } else {
            (self.high, self.split) = (homes, FRACTIONS);
        }
    }

    /// Moves the other way from now on.
    pub fn turn(&mut self) {
        self.shrinks = !self.shrinks;
    }

    /// What moves next. `None`: all have moved.
    pub fn next(&self) -> Option<Move> {
        if !self.is_moving() {
            return None;
        }
        if self.shrinks {
            let start = self.split;
            let home = scale(u32::try_from(start).ok()?, self.high);
            let end = first(home.saturating_add(1), self.high);
            let fractions = start..end;
            return Some(Move {
                fractions,
                home,
                homes: self.low,
            });
        }
        let last = u32::try_from(self.split.checked_sub(1)?).ok()?;
        let home = scale(last, self.low);
        Some(Move {
            fractions: first(home, self.low)..self.split,
            home,
            homes: self.high,
        })
    }

    /// It has moved. True: all have.
    pub fn moved(&mut self, moved: &Move) -> bool {
        self.split = if self.shrinks {
            moved.fractions.end
        } else {
            moved.fractions.start
        };
        self.next().is_none()
    }

    /// All have moved: at rest with the new number of homes.
    pub fn finish(&mut self) {
        *self = Self::new(self.homes());
    }

    /// The fractions that have the same home as this one.
    pub fn interval(&self, fraction: u32) -> Range<u64> {
        let home = self.home(fraction);
        let next = home.saturating_add(1);
        if u64::from(fraction) < self.split {
            first(home, self.low)..first(next, self.low).min(self.split)
        } else {
            first(home, self.high).max(self.split)..first(next, self.high)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_shard_without_homes_has_nothing_to_move() {
        let mut layout = Layout::new(0);
        assert_eq!((layout.home(u32::MAX), layout.next()), (0, None));
        layout.resize(56);
        // No fraction has a home yet: the whole range moves at once.
        let whole = layout.next().unwrap();
        assert_eq!((whole.fractions.clone(), whole.home), (0..FRACTIONS, 0));
        assert!(layout.moved(&whole));
        layout.finish();
        assert_eq!(layout, Layout::new(56));
    }

    proptest! {
        /// Every fraction moves exactly once, from the home that it has to the
        /// one it has afterwards, and intervals are what shares a home.
        #[test]
        fn all_fractions_move_once(from in 0u32..200, to in 0u32..200, fractions in proptest::collection::vec(any::<u32>(), 1..40), turn in 0usize..100) {
            let mut layout = Layout::new(from);
            layout.resize(to);
            let mut steps = 0;
            let (mut from, mut to) = (from, to);
            while let Some(step) = layout.next() {
                if steps == turn {
                    layout.turn();
                    (from, to) = (to, from);
                    steps += 1;
                    continue;
                }
                for fraction in &fractions {
                    let has = step.has(*fraction);
                    let before = layout.home(*fraction);
                    prop_assert!(!has || before == step.home);
                    let mut after = layout;
                    after.moved(&step);
                    if has {
                        prop_assert_eq!(after.home(*fraction), step.target(*fraction));
                        let (first, last) = step.targets();
                        prop_assert!((first..=last).contains(&step.target(*fraction)));
                    } else {
                        prop_assert_eq!(after.home(*fraction), before);
                    }
                    let interval = layout.interval(*fraction);
                    prop_assert!(interval.contains(&(*fraction).into()));
                    for edge in [interval.start, interval.end - 1] {
                        prop_assert_eq!(layout.home(edge as u32), before);
                    }
                }
                let done = layout.moved(&step);
                prop_assert_eq!(done, layout.next().is_none());
                steps += 1;
                prop_assert!(steps < 1000);
            }
            layout.finish();
            prop_assert_eq!(layout, Layout::new(to));
            let _was = from;
        }
    }
}
