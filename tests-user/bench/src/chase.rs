// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! c: what one dependent access to memory costs this process, now.

use std::hint::black_box;
use std::io;
use std::time::Instant;

use crate::keys::scramble;
use crate::pages::Pages;

/// Bytes of a cache line.
const LINE: usize = 64;

/// A cycle through all lines of a large block in an order that no prefetcher
/// guesses: each line holds the number of the next.
#[derive(Debug)]
pub struct Chase {
    pages: Pages,
    at: u32,
}

impl Chase {
    /// A chase through `bytes`, rounded up to a power of two of lines.
    ///
    /// # Errors
    /// No memory.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let bits = (bytes / LINE).max(2).next_power_of_two().trailing_zeros();
        let pages = Pages::new(LINE << bits)?;
        let mut chase = Self { pages, at: 0 };
        let last = scramble((1 << bits) - 1, bits);
        let mut from = last;
        for step in 0..1 << bits {
            let to = scramble(step, bits);
            *chase.line(from) = to;
            from = to;
        }
        Ok(chase)
    }

    fn line(&mut self, number: u32) -> &mut u32 {
        let offset = number as usize * LINE;
        assert!(offset < self.pages.len());
        // SAFETY: the offset is inside the pages, which are readable and
        // writable, belong to self, and start at a multiple of LINE; a zeroed
        // u32 is a value.
        unsafe { self.pages.start().add(offset).cast::<u32>().as_mut() }
    }

    /// Follows the cycle for `steps`: nanoseconds a step.
    pub fn run(&mut self, steps: usize) -> f64 {
        let mut at = self.at;
        let start = Instant::now();
        for _ in 0..steps {
            at = *self.line(at);
        }
        let elapsed = start.elapsed();
        self.at = black_box(at);
        elapsed.as_nanos() as f64 / steps.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_visits_every_line() {
        let mut chase = Chase::new(LINE << 10).expect("memory");
        let mut seen = vec![false; 1 << 10];
        let mut at = 0;
        for _ in 0..1 << 10 {
            seen[at as usize] = true;
            at = *chase.line(at);
        }
        assert_eq!(at, 0);
        assert!(seen.iter().all(|&seen| seen));
    }
}
