// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Clocks, and how long to wait by them.
//!
//! Times are nanoseconds. No two clocks are ever compared: a node measures durations by its own
//! clock, and a deadline is a value of the clock of that node's module.

use serde::{Deserialize, Serialize};

/// What this node's clocks say at one step. Both only go forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Now {
    /// The agent's own monotonic clock, for waiting. It need not count time spent suspended: a wait
    /// gets longer then, and that is safe.
    pub own: u64,
    /// The module's clock, read before anything is sent that this step asks for.
    pub module: u64,
}

/// The durations that a promise depends on. They are in `conf`, and in each record, since a record
/// has to be waited for by what its owner went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// T: a grant holds so long after the clock was read that its request was sent with.
    #[serde(rename = "lifetime_ns")]
    pub lifetime: u64,
    /// F: so long after the deadline the shared addresses are away at the latest.
    #[serde(rename = "fence_ns")]
    pub fence: u64,
    /// L: so long a packet that was sent may still be on its way.
    #[serde(rename = "linger_ns")]
    pub linger: u64,
    /// e: no clock is faster or slower than real time by more than this, in millionths.
    pub rate_ppm: u32,
    /// What a reading of a clock may be behind: one tick.
    #[serde(rename = "tick_ns")]
    pub tick: u64,
}

impl Default for Timing {
    /// T 300 s, F 5 s, L 60 s, e 0.1 %, a tick of 10 ms.
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Timing {
            lifetime: 300 * SECOND,
            fence: 5 * SECOND,
            linger: 60 * SECOND,
            rate_ppm: 1000,
            tick: SECOND / 100,
        }
    }
}

/// Why a [`Timing`] is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unsafe {
    /// A grant could not be renewed before its deadline.
    #[error("the lifetime of a grant must be two ticks at least")]
    Lifetime,
    /// Taking an address away takes time.
    #[error("the time for the fence must not be 0")]
    Fence,
    /// Readings are never exact.
    #[error("a tick must not be 0")]
    Tick,
    /// Nothing could be concluded from such a clock.
    #[error("the rate error must be at most half (500000 millionths)")]
    Rate,
    /// Longer than this protocol was made for.
    #[error("lifetime, fence and linger must be a year at most, each")]
    Long,
}

impl Timing {
    const MOST: u64 = 365 * 24 * 3600 * 1_000_000_000;

    /// Refuses durations with which the promise would not hold.
    pub fn check(&self) -> Result<(), Unsafe> {
        if self.tick == 0 {
            return Err(Unsafe::Tick);
        }
        if [self.lifetime, self.fence, self.linger, self.tick]
            .iter()
            .any(|duration| *duration > Self::MOST)
        {
            return Err(Unsafe::Long);
        }
        if self.lifetime < 2 * self.tick {
            return Err(Unsafe::Lifetime);
        }
        if self.fence == 0 {
            return Err(Unsafe::Fence);
        }
        if self.rate_ppm > 500_000 {
            return Err(Unsafe::Rate);
        }
        Ok(())
    }

    /// Q: after so long by one's own clock nothing is left of a grant that was not renewed since:
    /// (T + F + L) (1 + e) / (1 - e) and one tick of each clock. The owner's clock may be slow and
    /// one's own fast, and each reading may be a tick behind.
    pub fn quarantine(&self) -> u64 {
        self.stretched(self.lifetime + self.fence + self.linger)
    }

    /// After so long by one's own clock the last packet has arrived that was sent before.
    pub fn lingered(&self) -> u64 {
        self.stretched(self.linger)
    }

    /// Renewals are sent so often, by the module's clock: twice in vain, and the third is in time.
    pub fn renewal(&self) -> u64 {
        (self.lifetime / 3).max(self.tick)
    }

    /// After a request that failed the next one waits so long.
    pub fn retry(&self) -> u64 {
        self.lifetime / 100
    }

    fn stretched(&self, duration: u64) -> u64 {
        const MILLION: u128 = 1_000_000;
        let (duration, rate) = (u128::from(duration), u128::from(self.rate_ppm));
        let stretched = (duration * (MILLION + rate)).div_ceil(MILLION - rate);
        u64::try_from(stretched)
            .unwrap_or(u64::MAX)
            .saturating_add(2 * self.tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_is_the_bound() {
        let timing = Timing::default();
        // 365 s * 1.001 / 0.999 is 365.730730..., and 20 ms of ticks.
        assert_eq!(timing.quarantine() / 1_000_000, 365_750);
        let tiny = Timing {
            lifetime: 2,
            fence: 1,
            linger: 0,
            rate_ppm: 333_333,
            tick: 1,
        };
        assert_eq!(tiny.quarantine(), 8);
        assert_eq!(tiny.lingered(), 2);
    }

    #[test]
    fn unsafe_parameters_are_refused() {
        let good = Timing::default();
        assert_eq!(good.check(), Ok(()));
        let bad = |change: fn(&mut Timing)| {
            let mut timing = good;
            change(&mut timing);
            timing.check().unwrap_err()
        };
        assert_eq!(bad(|t| t.tick = 0), Unsafe::Tick);
        assert_eq!(bad(|t| t.fence = 0), Unsafe::Fence);
        assert_eq!(bad(|t| t.rate_ppm = 500_001), Unsafe::Rate);
        assert_eq!(bad(|t| t.lifetime = t.tick), Unsafe::Lifetime);
        assert_eq!(bad(|t| t.linger = u64::MAX), Unsafe::Long);
    }
}
