// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! unbind, bind and purge: how long the call keeps its caller.

use std::time::{Duration, Instant};

use crate::api::Stat;
use crate::bench::Bench;
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::keys::{Keys, TCP, Tuple, UDP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &["unbind", "bind", "purge"];

/// Repetitions, of which the shortest counts.
const REPETITIONS: u32 = 3;
/// How many of the dropped tuples are looked at.
const LOOKS: u32 = 1000;

pub fn run(bench: &mut Bench) -> Result<()> {
    for row in ["unbind", "bind"] {
        if bench.wants(row) {
            let measured = endpoint(bench, row)?;
            bench.measured(row, measured);
        }
    }
    if bench.wants("purge") {
        let measured = purge(bench)?;
        bench.measured("purge", measured);
    }
    Ok(())
}

/// The shortest as a number.
fn shortest(times: &[Duration]) -> Measured {
    let shortest = times.iter().min().copied().unwrap_or_default();
    Measured::new(shortest.as_nanos() as f64)
}

/// Sweeps, where the module can: what was dropped makes room.
fn tidy(module: &Module, caller: &Caller<'_>) -> Result<()> {
    if module.functions().sweep.is_some() {
        caller.sweep()?;
    }
    module.settle()
}

/// An endpoint with many destinations ends, or begins anew while those of a
/// socket that closed silently are left.
fn endpoint(bench: &Bench, row: &str) -> Result<Measured> {
    let many = (bench.settings.tuples / 10).max(LOOKS);
    let keys = Keys::shared(UDP, 4);
    let module = bench.load(Load::default())?;
    let caller = module.caller();
    let mut times = Vec::new();
    for repetition in 0..REPETITIONS {
        bench.progress(&format!("  {row}: {} of {REPETITIONS}", repetition + 1));
        let of = |index| keys.of_endpoint(repetition, index);
        if row == "unbind" {
            caller.bind(&of(0))?;
        }
        register(&module, &caller, many, of)?;
        let start = Instant::now();
        if row == "unbind" {
            caller.unbind(&of(0))?;
        } else {
            caller.bind(&of(0))?;
        }
        times.push(start.elapsed());
        gone(&caller, row, many, of)?;
        caller.unbind(&of(0))?;
        tidy(&module, &caller)?;
    }
    Ok(shortest(&times))
}

/// Registers `count` destinations of an endpoint.
fn register(
    module: &Module,
    caller: &Caller<'_>,
    count: u32,
    of: impl Fn(u32) -> Tuple,
) -> Result<()> {
    const TRIES: usize = 50;
    let connect = caller.connect2()?;
    let before = caller.stat(Stat::Registered)?;
    for _ in 0..TRIES {
        for index in 0..count {
            connect(&of(index));
        }
        // Memory may have come late; who is there already has one more
        // reference then, which does not matter here.
        let registered = caller.stat(Stat::Registered)?.wrapping_sub(before);
        if registered == u64::from(count) {
            return module.settle();
        }
        module.settle()?;
    }
    Err(Error::Wrong(format!(
        "not all of {count} destinations are registered"
    )))
}

/// What was dropped is new when it is asked for.
fn gone(caller: &Caller<'_>, what: &str, count: u32, of: impl Fn(u32) -> Tuple) -> Result<()> {
    let connect = caller.connect2()?;
    let before = caller.stat(Stat::Registered)?;
    for look in 0..LOOKS {
        connect(&of(look * (count / LOOKS)));
    }
    let registered = caller.stat(Stat::Registered)?.wrapping_sub(before);
    if registered == u64::from(LOOKS) {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "after {what}, {} of {LOOKS} tuples were still there",
        u64::from(LOOKS) - registered.min(LOOKS.into())
    )))
}

/// A node with half of all tuples leaves.
fn purge(bench: &Bench) -> Result<Measured> {
    let keys = Keys::shared(TCP, 5);
    let many: Vec<u32> = (0..bench.settings.tuples / 2).collect();
    let module = bench.load(Load::default())?;
    let caller = module.caller();
    let mut times = Vec::new();
    for repetition in 0..REPETITIONS {
        bench.progress(&format!("  purge: {} of {REPETITIONS}", repetition + 1));
        let owner = crate::OTHER + repetition;
        module.install(&keys, owner, &many)?;
        let start = Instant::now();
        let answer = caller.purge(owner)?;
        times.push(start.elapsed());
        if answer != 0 {
            return Err(Error::Wrong(format!("clinet_purge answered {answer}")));
        }
        tidy(&module, &caller)?;
        nobodys(&caller, &keys, &many)?;
    }
    Ok(shortest(&times))
}

/// What was purged is free for a third node.
fn nobodys(caller: &Caller<'_>, keys: &Keys, indices: &[u32]) -> Result<()> {
    const THIRD: u32 = 99;
    let step = (indices.len() / LOOKS as usize).max(1);
    let looked: Vec<Tuple> = indices.iter().step_by(step).map(|&i| keys.get(i)).collect();
    for tuple in &looked {
        let answer = caller.install(THIRD, tuple)?;
        if answer != 0 {
            return Err(Error::Wrong(format!(
                "after purge, clinet_install of a tuple answered {answer}"
            )));
        }
    }
    caller.purge(THIRD).map(drop)
}
