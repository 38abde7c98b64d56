// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The worst single insert from empty to full: three equal growths, of each
//! insert the fastest, of those the slowest.

use std::hash::RandomState;

use crate::NODE;
use crate::api::Stat;
use crate::bench::Bench;
use crate::cpu;
use crate::error::{Error, Result};
use crate::kernel::{condvar, kmem};
use crate::keys::{Keys, TCP, Tuple};
use crate::marks::Measured;
use crate::module::Load;
use crate::peers::{Dash, Table};

pub const GROWING: &str = "insert-growing";
pub const PREALLOCATED: &str = "insert-preallocated";

const GROWTHS: usize = 3;
/// So many tuples come and go before.
const WARM: u32 = 100;
/// The kernel's memory for each tuple: a machine that has it free. An old array
/// goes when its entries are in the new one.
const RESERVED: usize = 96;

pub fn growing(bench: &mut Bench) -> Result<()> {
    let measured = measure(bench, false)?;
    let dashmap = worst_of_dashmap(bench)?;
    let measured = Measured {
        dashmap: Some(dashmap),
        note: format!("{}; dashmap's worst {:.1} ms", measured.note, dashmap / 1e6),
        ..measured
    };
    bench.measured(GROWING, measured);
    Ok(())
}

pub fn preallocated(bench: &mut Bench) -> Result<()> {
    let measured = measure(bench, true)?;
    bench.measured(PREALLOCATED, measured);
    Ok(())
}

/// Cycles of each insert, the fewest so far.
struct Fewest(Vec<u32>);

impl Fewest {
    /// Touches all of its memory.
    fn new(inserts: u32) -> Self {
        Self(vec![u32::MAX; inserts as usize])
    }

    /// Calls `insert` with each index and its tuple.
    #[inline]
    fn grow(&mut self, keys: &Keys, mut insert: impl FnMut(&Tuple)) {
        for (index, fewest) in (0..).zip(&mut self.0) {
            let tuple = keys.get(index);
            let start = cpu::cycles();
            insert(&tuple);
            let cycles = cpu::cycles().wrapping_sub(start);
            *fewest = (*fewest).min(u32::try_from(cycles).unwrap_or(u32::MAX));
        }
    }

    /// Nanoseconds of the worst, and of the worst but one in ten thousand.
    fn worst(mut self) -> (f64, f64) {
        let ns = |cycles: u32| f64::from(cycles) * cpu::cycle_ns();
        self.0.sort_unstable();
        let rank = self.0.len() - 1 - self.0.len() / 10_000;
        let worst = self.0.last().copied().unwrap_or(0);
        (ns(worst), ns(self.0.get(rank).copied().unwrap_or(0)))
    }
}

fn measure(bench: &mut Bench, prealloc: bool) -> Result<Measured> {
    let tuples = bench.settings.tuples;
    let keys = Keys::shared(TCP, 2);
    let mut fewest = Fewest::new(tuples);
    let mut late = 0;
    kmem::reserve(tuples as usize * RESERVED)?;
    for growth in 0..GROWTHS {
        bench.progress(&format!("  growth {} of {GROWTHS}", growth + 1));
        let module = bench.load(Load {
            prealloc,
            ..Load::default()
        })?;
        let caller = module.caller();
        let connect = caller.connect2()?;
        kmem::touch();
        condvar::watch(true);
        // The text and the data of a kernel's module are in memory.
        let disconnect = caller.disconnect()?;
        for tuple in (0..WARM).map(|index| keys.get(tuples + index)) {
            connect(&tuple);
            disconnect(&tuple);
        }
        let before = caller.stat(Stat::Registered)?;
        let mut refused = 0_u64;
        fewest.grow(&keys, |tuple| refused += u64::from(connect(tuple) != 0));
        condvar::watch(false);
        let registered = caller.stat(Stat::Registered)?.wrapping_sub(before);
        let full = caller.stat(Stat::FullRefused)?;
        if registered > u64::from(tuples) || refused > full {
            return Err(Error::Wrong(format!(
                "of {tuples} inserts {registered} were registered and {refused} refused"
            )));
        }
        late += u64::from(tuples) - registered;
    }
    let (worst, nearly) = fewest.worst();
    Ok(Measured {
        note: format!("p99.99 {nearly:.0} ns, {late} answers \"full because late\""),
        spoiled: late > 0,
        ..Measured::new(worst)
    })
}

fn worst_of_dashmap(bench: &mut Bench) -> Result<f64> {
    let tuples = bench.settings.tuples;
    let keys = Keys::shared(TCP, 2);
    // The same secret each time, or the growths were not equal.
    let hash = RandomState::new();
    let mut fewest = Fewest::new(tuples);
    for growth in 0..GROWTHS {
        bench.progress(&format!("  dashmap's growth {} of {GROWTHS}", growth + 1));
        let dashmap = Dash::with_hasher(hash.clone());
        let mut wrong = 0_u64;
        fewest.grow(&keys, |tuple| {
            wrong += u64::from(!dashmap.register(tuple, NODE));
        });
        if wrong > 0 {
            return Err(Error::Wrong(format!("dashmap: {wrong} inserts failed")));
        }
    }
    Ok(fewest.worst().0)
}

#[cfg(test)]
mod tests {
    use super::Fewest;

    #[test]
    fn the_worst_is_the_slowest_of_the_fastest() {
        let ns = crate::cpu::cycle_ns();
        let (worst, nearly) = Fewest(vec![3, 1, 70, 2]).worst();
        assert_eq!((worst, nearly), (70.0 * ns, 70.0 * ns));
        let (worst, nearly) = Fewest((0..20_000).collect()).worst();
        assert_eq!((worst, nearly), (19_999.0 * ns, 19_997.0 * ns));
    }
}
