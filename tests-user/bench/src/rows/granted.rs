// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a port space adds to a question whose local port is granted.

use std::time::Instant;

use crate::api::{Stat, tunable};
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::keys::{Keys, TCP, Tuple};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &["granted"];

/// Different tuples in a loop: they stay in the cache.
const TUPLES: u32 = 256;

/// All ports that keys have.
const PORTS: &std::ffi::CStr = c"32768-65535";

pub fn run(bench: &mut Bench) -> Result<()> {
    let mut least = [f64::INFINITY; 2];
    for _ in 0..bench.settings.rounds {
        for (least, set) in least.iter_mut().zip([Vec::new(), granted()]) {
            let module = bench.load(Load {
                set,
                ..Load::default()
            })?;
            let ns = pair(&module, bench.settings.operations * 4)?;
            *least = least.min(ns);
        }
    }
    let [without, with] = least;
    let measured = Measured {
        note: format!("register + remove: {with:.1} ns with it, {without:.1} ns without"),
        ..Measured::new((with - without).max(0.0))
    };
    bench.measured("granted", measured);
    Ok(())
}

/// All ports are this node's.
fn granted() -> Vec<(String, u64)> {
    let list = PORTS.as_ptr().expose_provenance() as u64;
    [tunable::PORT_SPACE, tunable::GRANTS]
        .map(|name| (name.to_owned(), list))
        .into()
}

/// Nanoseconds of a connect and the disconnect of what it registered.
fn pair(module: &Module, calls: usize) -> Result<f64> {
    let keys = Keys::shared(TCP, 9);
    let tuples: Vec<Tuple> = (0..TUPLES).map(|index| keys.get(index)).collect();
    let caller = module.caller();
    let (connect, disconnect) = (caller.connect2()?, caller.disconnect()?);
    let before = caller.stat(Stat::Registered)?;
    let mut answers = 0;
    let start = Instant::now();
    for tuple in tuples.iter().cycle().take(calls) {
        answers |= connect(tuple);
        disconnect(tuple);
    }
    let elapsed = start.elapsed();
    let registered = caller.stat(Stat::Registered)?.wrapping_sub(before);
    if (answers, registered) != (0, calls as u64) {
        return Err(Error::Wrong(format!(
            "of {calls} tuples whose ports are granted {registered} were registered, and one \
             was answered {answers}"
        )));
    }
    Ok(elapsed.as_nanos() as f64 / calls as f64)
}
