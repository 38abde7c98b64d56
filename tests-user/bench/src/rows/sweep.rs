// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ageing sweeps that find one entry in a hundred too old, as the module's
//! thread makes them: what they cost, and how long they hold a lock.

use std::time::Duration;

use crate::api::{Stat, tunable};
use crate::bench::{Bench, median};
use crate::error::{Error, Result};
use crate::kernel::clock;
use crate::kernel::work::{self, Work};
use crate::keys::{Keys, TCP, UDP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &["sweep-old", "sweep-lock"];

/// Sweeps of one table.
const SWEEPS: usize = 3;
/// One tuple of so many is of UDP and gets too old; those of TCP never do.
const OLD: u32 = 100;
/// Seconds after which a UDP tuple is too old.
const AGE: u64 = 7200;
/// Steps of time: three of them are more than that, and the module's thread
/// sees each.
const STEP: Duration = Duration::from_secs(AGE * 2 / 5);
const STEPS: u32 = 3;
/// Seconds after which the last step has been seen.
const PATIENCE: usize = 15;

pub fn run(bench: &mut Bench) -> Result<()> {
    if bench.wants("sweep-old") {
        let table = Table::new(bench, false)?;
        let mut samples = Vec::new();
        for _ in 0..SWEEPS {
            let time: Duration = table.sweep()?.iter().map(|work| work.time).sum();
            samples.push(time.as_nanos() as f64 / f64::from(bench.settings.tuples));
        }
        let measured = Measured::new(median(&samples).unwrap_or(0.0));
        bench.measured("sweep-old", measured);
    }
    if bench.wants("sweep-lock") {
        let table = Table::new(bench, true)?;
        let mut sweeps = Vec::new();
        for _ in 0..SWEEPS {
            sweeps.push(
                table
                    .sweep()?
                    .into_iter()
                    .flat_map(|work| work.holds)
                    .collect(),
            );
        }
        bench.measured("sweep-lock", longest_hold(&sweeps));
    }
    Ok(())
}

/// A full table, most of it of TCP.
struct Table {
    module: Module,
    old: Vec<u32>,
}

impl Table {
    fn new(bench: &Bench, timed: bool) -> Result<Self> {
        bench.progress("  filling the module");
        let module = bench.load(Load {
            timed,
            set: vec![(tunable::UDP_AGE.to_owned(), AGE)],
            ..Load::default()
        })?;
        let old = bench.settings.tuples / OLD;
        let others: Vec<u32> = (old..bench.settings.tuples).collect();
        module.fill(&Keys::shared(TCP, 3), &others)?;
        Ok(Self {
            module,
            old: (0..old).collect(),
        })
    }

    /// What the module's thread does when as many get too old as are to, and
    /// nothing else does.
    fn sweep(&self) -> Result<Vec<Work>> {
        self.module.fill(&Keys::shared(UDP, 3), &self.old)?;
        let caller = self.module.caller();
        let all = caller.stat(Stat::Tuples)?;
        for _ in 1..STEPS {
            clock::skip(STEP);
            self.module.second()?;
        }
        work::record();
        clock::skip(STEP);
        let expected = all - self.old.len() as u64;
        let mut left = all;
        for _ in 0..PATIENCE {
            self.module.second()?;
            left = caller.stat(Stat::Tuples)?;
            if left <= expected {
                break;
            }
        }
        let work = work::recorded();
        if left == expected {
            return Ok(work);
        }
        Err(Error::Wrong(format!(
            "of {all} tuples, {} of them too old, a sweep left {left}",
            self.old.len()
        )))
    }
}

/// The longest of the holds in runs that take the same locks: of each the
/// shortest, since whatever interrupts a run comes at another place in the next.
pub fn longest_hold(runs: &[Vec<u64>]) -> Measured {
    let counts: Vec<usize> = runs.iter().map(Vec::len).collect();
    let holds = counts.iter().copied().min().unwrap_or(0);
    let shortest = |hold: usize| runs.iter().map(|run| run[hold]).min().unwrap_or(0);
    let longest = (0..holds).map(shortest).max().unwrap_or(0);
    Measured {
        note: match holds {
            0 => "it takes no lock".to_owned(),
            _ => format!("{counts:?} holds"),
        },
        ..Measured::new(longest as f64 * crate::cpu::cycle_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::longest_hold;

    #[test]
    fn of_each_hold_the_shortest_counts() {
        let ns = crate::cpu::cycle_ns();
        let measured = longest_hold(&[vec![10, 900, 30], vec![700, 20, 31, 40]]);
        assert_eq!(measured.value, 30.0 * ns);
        assert_eq!(measured.note, "[3, 4] holds");
        assert_eq!(longest_hold(&[vec![], vec![]]).value, 0.0);
    }
}
