// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ageing sweeps: what they cost, and how long they hold a lock.

use std::time::Instant;

use crate::api::Stat;
use crate::bench::{Bench, median};
use crate::cpu;
use crate::error::{Error, Result};
use crate::kernel::mutex;
use crate::keys::{Keys, UDP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &["sweep-udp", "sweep-lock"];

/// Sweeps of one state, of which the shortest holds count.
const SWEEPS: usize = 3;

pub fn run(bench: &mut Bench) -> Result<()> {
    if bench.wants("sweep-udp") {
        let module = full(bench, false)?;
        let measured = timed(bench, &module)?;
        all_there(bench, &module)?;
        bench.measured("sweep-udp", measured);
    }
    if bench.wants("sweep-lock") {
        let module = full(bench, true)?;
        let measured = longest_hold(bench, &module)?;
        all_there(bench, &module)?;
        bench.measured("sweep-lock", measured);
    }
    Ok(())
}

/// A module full of UDP tuples, none of which is old.
fn full(bench: &Bench, with_timed_mutexes: bool) -> Result<Module> {
    bench.progress("  filling the module");
    let module = bench.load(Load {
        timed: with_timed_mutexes,
        ..Load::default()
    })?;
    let indices: Vec<u32> = (0..bench.settings.tuples).collect();
    module.fill(&Keys::shared(UDP, 3), &indices)?;
    Ok(module)
}

/// Nothing was old, so nothing may be gone.
fn all_there(bench: &Bench, module: &Module) -> Result<()> {
    let (all, counted) = (bench.settings.tuples, module.caller().stat(Stat::Tuples)?);
    if counted == u64::from(all) {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "of {all} tuples, none of them old, a sweep left {counted}"
    )))
}

/// Nanoseconds of a sweep for each tuple.
pub fn timed(bench: &Bench, module: &Module) -> Result<Measured> {
    let caller = module.caller();
    let mut samples = Vec::new();
    for _ in 0..bench.settings.rounds {
        let start = Instant::now();
        caller.sweep()?;
        samples.push(start.elapsed().as_nanos() as f64 / f64::from(bench.settings.tuples));
    }
    Ok(Measured::new(median(&samples).unwrap_or(0.0)))
}

fn longest_hold(bench: &Bench, module: &Module) -> Result<Measured> {
    bench.progress("  timing locks");
    let caller = module.caller();
    let mut sweeps = Vec::new();
    for _ in 0..SWEEPS {
        let mut result = Ok(());
        sweeps.push(mutex::holds_of(|| result = caller.sweep()));
        result?;
    }
    let counts: Vec<usize> = sweeps.iter().map(Vec::len).collect();
    let holds = counts.iter().copied().min().unwrap_or(0);
    let fewest = |hold: usize| sweeps.iter().map(|sweep| sweep[hold]).min().unwrap_or(0);
    let longest = (0..holds).map(fewest).max().unwrap_or(0);
    Ok(Measured {
        note: match holds {
            0 => "it takes no lock".to_owned(),
            _ => format!("{counts:?} holds in the sweeps"),
        },
        // Holds that only some sweeps have are not compared.
        spoiled: counts.iter().any(|count| *count != holds),
        ..Measured::new(longest as f64 * cpu::cycle_ns())
    })
}
