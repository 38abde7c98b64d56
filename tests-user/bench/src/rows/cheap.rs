// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls that have nothing to do, and a module that has nothing to do.

use std::time::Instant;

use crate::api::{Ask, LastDestination, Stat};
use crate::bench::{Bench, median};
use crate::cpu;
use crate::error::{Error, Result};
use crate::kernel::mutex;
use crate::keys::{INET6, Keys, TCP, Tuple, UDP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &["memory-idle", "not-shared", "not-shared-2", "udp-same"];

/// Different tuples in a loop: they stay in the cache.
const TUPLES: u32 = 256;
/// Calls that are looked at for locks.
const LOOKS: usize = 1000;

pub fn run(bench: &mut Bench) -> Result<()> {
    let module = bench.load(Load::default())?;
    if bench.wants("memory-idle") {
        let measured = idle(&module)?;
        bench.measured("memory-idle", measured);
    }
    let mut medians = Vec::new();
    for row in ["not-shared", "not-shared-2", "udp-same"] {
        if !bench.wants(row) {
            continue;
        }
        let mut samples = Vec::new();
        for _ in 0..bench.settings.rounds {
            samples.push(sample(row, &module, bench.settings.operations * 4)?);
        }
        medians.push((row, median(&samples).unwrap_or(0.0)));
    }
    drop(module);
    let module = bench.load(Load {
        timed: true,
        ..Load::default()
    })?;
    for (row, ns) in medians {
        let holds = holds(row, &module)?;
        let measured = Measured {
            note: match holds {
                0 => "no lock".to_owned(),
                _ => format!("{holds} locks in {LOOKS} calls"),
            },
            spoiled: holds > 0,
            ..Measured::new(ns)
        };
        bench.measured(row, measured);
    }
    Ok(())
}

fn idle(module: &Module) -> Result<Measured> {
    let (bytes, said) = (module.bytes(), module.caller().memory()?);
    if said > bytes {
        return Err(Error::Wrong(format!(
            "clinet_memory says {said} bytes, the kernel gave {bytes}"
        )));
    }
    Ok(Measured {
        note: format!("clinet_memory {said}"),
        ..Measured::new(bytes as f64)
    })
}

fn sample(row: &str, module: &Module, calls: usize) -> Result<f64> {
    match row {
        "udp-same" => send(module, calls),
        "not-shared-2" => std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|number| {
                    scope.spawn(move || {
                        cpu::pin(cpu::measuring(number));
                        not_shared(module, calls)
                    })
                })
                .collect();
            let mut most = 0.0_f64;
            for thread in threads {
                let ended = thread.join();
                let ns = ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked").into()));
                most = most.max(ns?);
            }
            Ok(most)
        }),
        _ => not_shared(module, calls),
    }
}

/// How often a mutex was held in [`LOOKS`] calls.
fn holds(row: &str, module: &Module) -> Result<usize> {
    let mut result = Ok(0.0);
    let holds = mutex::holds_of(|| {
        result = match row {
            "udp-same" => send(module, LOOKS),
            _ => not_shared(module, LOOKS),
        };
    });
    result?;
    Ok(holds.len())
}

/// Nanoseconds of a connect whose local address is not shared.
fn not_shared(module: &Module, calls: usize) -> Result<f64> {
    let keys = Keys::not_shared(TCP);
    let tuples: Vec<Tuple> = (0..TUPLES).map(|index| keys.get(index)).collect();
    let caller = module.caller();
    let connect = caller.connect2()?;
    let before = caller.stat(Stat::Registered)?;
    let mut answers = 0;
    let start = Instant::now();
    for tuple in tuples.iter().cycle().take(calls) {
        answers |= connect(tuple);
    }
    let elapsed = start.elapsed();
    let registered = caller.stat(Stat::Registered)?.wrapping_sub(before);
    if answers != 0 || registered != 0 {
        return Err(Error::Wrong(format!(
            "{registered} tuples of an address that is not shared were registered"
        )));
    }
    Ok(elapsed.as_nanos() as f64 / calls as f64)
}

/// Nanoseconds of a send to the most recent destination.
fn send(module: &Module, calls: usize) -> Result<f64> {
    // Makes this thread one that may call the module.
    let _caller = module.caller();
    let send_begin = module.functions().send_begin()?;
    let tuple = Keys::shared(UDP, 6).get(1);
    let mut last = LastDestination {
        address: [0; 16],
        port: tuple.fport(),
    };
    // SAFETY: a tuple's foreign address has 16 readable bytes.
    last.address = unsafe { tuple.faddr().cast::<[u8; 16]>().read() };
    let mut ask: Ask = [0; 16];
    let mut answers = 0;
    let start = Instant::now();
    for _ in 0..calls {
        // SAFETY: all pointers are to local variables of the sizes that the
        // header asks for; nobody else knows the endpoint.
        answers |= unsafe {
            send_begin(
                &raw const last,
                &raw mut ask,
                INET6,
                tuple.faddr(),
                tuple.fport(),
            )
        };
    }
    let elapsed = start.elapsed();
    if answers != 0 {
        return Err(Error::Wrong(format!(
            "clinet_udp_send_begin to the same destination answered {answers}"
        )));
    }
    Ok(elapsed.as_nanos() as f64 / calls as f64)
}
