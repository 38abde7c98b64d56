// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module, beside its peers.

use std::time::{Duration, Instant};

use super::{Contender, Work, check};
use crate::OURS;
use crate::api::EADDRINUSE;
use crate::error::Result;
use crate::keys::Keys;
use crate::module::Module;
use crate::order::is_ours;

impl Contender for Module {
    fn name(&self) -> &'static str {
        OURS
    }

    /// What disconnect did has no answer: whoever runs pairs compares the
    /// counters afterwards.
    fn run(&self, keys: &Keys, work: &Work) -> Result<Duration> {
        let caller = self.caller();
        let mut wrong = 0_u64;
        let (connect, disconnect) = (caller.connect2()?, caller.disconnect()?);
        let time = match work {
            Work::Pairs(swaps) => {
                let start = Instant::now();
                for swap in swaps {
                    disconnect(&keys.get(swap.out));
                    wrong += u64::from(connect(&keys.get(swap.back)) != 0);
                }
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
                    wrong += u64::from(connect(&keys.get(index)) != EADDRINUSE);
                }
                start.elapsed()
            }
        };
        check(OURS, "operations had a wrong answer", wrong)?;
        Ok(time)
    }
}
