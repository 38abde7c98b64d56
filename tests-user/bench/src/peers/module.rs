// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module, beside its peers.

use std::time::{Duration, Instant};

use super::{AHEAD, Contender, Work, check};
use crate::api::EADDRINUSE;
use crate::error::Result;
use crate::keys::{Keys, Tuple};
use crate::module::Module;
use crate::order::{Swap, is_ours};

/// Removes and registers: how many were refused. `announce` is called for the
/// pair [`AHEAD`] of it.
#[inline]
fn pairs(
    keys: &Keys,
    swaps: &[Swap],
    (connect, disconnect): (impl Fn(&Tuple) -> i32, impl Fn(&Tuple)),
    announce: impl Fn(&Swap),
) -> u64 {
    let mut wrong = 0;
    let ahead = swaps.iter().skip(AHEAD);
    // The last ones announce themselves once more, which changes nothing.
    for (swap, later) in swaps.iter().zip(ahead.chain(swaps.iter().rev())) {
        announce(later);
        disconnect(&keys.get(swap.out));
        wrong += u64::from(connect(&keys.get(swap.back)) != 0);
    }
    wrong
}

impl Contender for Module {
    fn name(&self) -> &'static str {
        "clinet"
    }

    /// What disconnect did has no answer: whoever runs pairs compares the
    /// counters afterwards.
    fn run(&self, keys: &Keys, work: &Work) -> Result<Duration> {
        let caller = self.caller();
        let mut wrong = 0_u64;
        let calls = (caller.connect2()?, caller.disconnect()?);
        let time = match work {
            Work::Pairs(swaps) => {
                let start = Instant::now();
                wrong += pairs(keys, swaps, calls, |_| ());
                start.elapsed()
            }
            Work::Announced(swaps) => {
                let prefetch = caller.prefetch()?;
                let start = Instant::now();
                wrong += pairs(keys, swaps, calls, |later| {
                    prefetch(&keys.get(later.out));
                    prefetch(&keys.get(later.back));
                });
                start.elapsed()
            }
            Work::Hits(indices) => {
                let query = caller.query()?;
                let start = Instant::now();
                for &index in indices {
                    let expected = if is_ours(index) { 0 } else { EADDRINUSE };
                    wrong += u64::from(query(&keys.get(index)) != expected);
                }
                start.elapsed()
            }
            Work::Duplicates(indices) => {
                let start = Instant::now();
                for &index in indices {
                    wrong += u64::from(calls.0(&keys.get(index)) != EADDRINUSE);
                }
                start.elapsed()
            }
        };
        check("clinet", "operations had a wrong answer", wrong)?;
        Ok(time)
    }
}
