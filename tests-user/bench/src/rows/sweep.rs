// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ageing sweeps that find one entry in a hundred too old, as the module's
//! thread makes them: what they cost, and how long they hold a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::api::{Stat, tunable};
use crate::bench::{Bench, median};
use crate::error::{Error, Result};
use crate::kernel::clock;
use crate::kernel::mutex::Hold;
use crate::kernel::work::{self, Work};
use crate::keys::{Keys, TCP, UDP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &["sweep-old", "sweep-lock"];

/// Sweeps of one table, if there are as many rounds.
const SWEEPS: usize = 3;
/// One tuple of so many is of UDP and gets too old; those of TCP never do.
const OLD: u32 = 100;
/// Seconds after which a UDP tuple is too old.
const AGE: u64 = 7200;
/// A hold that takes longer is counted.
const LONG_NS: f64 = 1000.0;
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
        for _ in 0..SWEEPS.min(bench.settings.rounds) {
            let time: Duration = table.sweep()?.iter().map(|work| work.time).sum();
            samples.push(time.as_nanos() as f64 / f64::from(bench.settings.tuples));
        }
        let measured = Measured::new(median(&samples).unwrap_or(0.0));
        bench.measured("sweep-old", measured);
    }
    if bench.wants("sweep-lock") {
        let table = Table::new(bench, true)?;
        // The first may find a table that still takes its shape.
        table.sweep()?;
        let mut sweeps = Vec::new();
        for _ in 0..SWEEPS.min(bench.settings.rounds) {
            let work = table.sweep()?.into_iter();
            sweeps.push(work.flat_map(|work| work.holds).collect());
        }
        bench.measured("sweep-lock", longest_hold(&table.module, &sweeps));
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
        // Nothing recorded: it was done where nobody looked.
        if left == expected && !work.is_empty() {
            return Ok(work);
        }
        Err(Error::Wrong(format!(
            "of {all} tuples, {} of them too old, a sweep left {left} in {} pieces of work",
            self.old.len(),
            work.len()
        )))
    }
}

/// The longest hold in runs that do the same. What interrupts a run comes at
/// another place in the next: of the holds of a mutex at one place the shortest
/// counts or, where a mutex was held more often in one run than in another, of
/// its longest ones.
pub fn longest_hold(module: &Module, runs: &[Vec<Hold>]) -> Measured {
    let counts: Vec<usize> = runs.iter().map(Vec::len).collect();
    let holds = shortest(runs);
    let ns = |hold: &Hold| hold.cycles as f64 * crate::cpu::cycle_ns();
    let long = holds.iter().filter(|hold| ns(hold) > LONG_NS).count();
    let longest = holds.iter().max_by_key(|hold| hold.cycles);
    Measured {
        note: match longest {
            None => "it takes no lock".to_owned(),
            Some(longest) => format!(
                "{counts:?} holds, {long} of them long; the longest is of {}",
                module.place(longest.mutex)
            ),
        },
        ..Measured::new(longest.map_or(0.0, ns))
    }
}

/// What counts of each hold.
fn shortest(runs: &[Vec<Hold>]) -> Vec<Hold> {
    let runs: Vec<_> = runs.iter().map(|run| by_mutex(run)).collect();
    let mutexes: BTreeSet<usize> = runs.iter().flat_map(|run| run.keys().copied()).collect();
    let of = |mutex| {
        let holds: Vec<_> = runs.iter().filter_map(|run| run.get(&mutex)).collect();
        let cycles = shortest_of_one(&holds);
        cycles.into_iter().map(move |cycles| Hold { mutex, cycles })
    };
    mutexes.into_iter().flat_map(of).collect()
}

fn by_mutex(run: &[Hold]) -> BTreeMap<usize, Vec<u64>> {
    let mut mutexes: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for hold in run {
        mutexes.entry(hold.mutex).or_default().push(hold.cycles);
    }
    mutexes
}

/// The same of one mutex.
fn shortest_of_one(runs: &[&Vec<u64>]) -> Vec<u64> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    if runs.iter().any(|run| run.len() != first.len()) {
        let longest = runs.iter().filter_map(|run| run.iter().max().copied());
        return longest.min().into_iter().collect();
    }
    let shortest = |place: usize| runs.iter().map(|run| run[place]).min().unwrap_or(0);
    (0..first.len()).map(shortest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(holds: &[(usize, u64)]) -> Vec<Hold> {
        let hold = |&(mutex, cycles)| Hold { mutex, cycles };
        holds.iter().map(hold).collect()
    }

    #[test]
    fn what_interrupts_one_run_does_not_count() {
        let first = run(&[(1, 10), (2, 900), (1, 30), (3, 5)]);
        let second = run(&[(1, 700), (1, 31), (2, 20), (3, 800), (3, 6)]);
        let expected = run(&[(1, 10), (1, 30), (2, 20), (3, 5)]);
        assert_eq!(shortest(&[first, second]), expected);
        assert_eq!(shortest(&[vec![], vec![]]), []);
    }
}
