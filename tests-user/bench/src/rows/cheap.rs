// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls that have nothing to do, and a module that has nothing to do.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Instant;

use crate::api::Stat;
use crate::bench::{Bench, median};
use crate::cpu;
use crate::error::{Error, Result};
use crate::kernel::{kmem, mutex};
use crate::keys::{Keys, TCP, Tuple, UDP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &[
    "memory-idle",
    "not-shared",
    "not-shared-2",
    "not-shared-1000",
    "udp-same",
];

/// Different tuples in a loop: they stay in the cache.
const TUPLES: u32 = 256;
/// Threads that exist, and have called so often, before the thousandth does.
const EARLIER: usize = 999;
const FIRST_CALLS: usize = 16;
/// Calls that are looked at for locks.
const LOOKS: usize = 1000;

pub fn run(bench: &mut Bench) -> Result<()> {
    let module = bench.load(Load::default())?;
    if bench.wants("memory-idle") {
        let measured = idle(&module)?;
        bench.measured("memory-idle", measured);
    }
    let mut medians = Vec::new();
    for row in ["not-shared", "not-shared-2", "not-shared-1000", "udp-same"] {
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
    let said = super::memory::counted(module)?;
    Ok(Measured {
        note: format!("clinet_memory {said}, lost {}", kmem::lost()),
        ..Measured::new(module.bytes() as f64)
    })
}

fn sample(row: &str, module: &Module, calls: usize) -> Result<f64> {
    if row == "udp-same" {
        return send(module, calls);
    }
    let before = not_shared_counted(module)?;
    let (ns, all_calls) = match row {
        "not-shared-1000" => (thousandth(module, calls)?, EARLIER * FIRST_CALLS + calls),
        "not-shared-2" => (two_threads(module, calls)?, 2 * calls),
        _ => (not_shared(module, calls)?, calls),
    };
    compare(module, before, all_calls)?;
    Ok(ns)
}

/// The slower of two threads at once.
fn two_threads(module: &Module, calls: usize) -> Result<f64> {
    std::thread::scope(|scope| {
        let threads = [0, 1].map(|number| {
            scope.spawn(move || {
                cpu::pin(cpu::measuring(number));
                not_shared(module, calls)
            })
        });
        let mut most = 0.0_f64;
        for thread in threads {
            most = most.max(thread.join().unwrap_or_else(panicked)?);
        }
        Ok(most)
    })
}

/// Of a thread that comes after 999 others, which are still there.
fn thousandth(module: &Module, calls: usize) -> Result<f64> {
    let (stay, stays) = mpsc::channel::<()>();
    let stays = Mutex::new(stays);
    std::thread::scope(|scope| {
        // Dropped whatever happens, and then the others end.
        let _stay = stay;
        let small = || std::thread::Builder::new().stack_size(128 << 10);
        for _ in 0..EARLIER {
            let (called, has_called) = mpsc::channel();
            let stays = &stays;
            small().spawn_scoped(scope, move || {
                let result = not_shared(module, FIRST_CALLS);
                let heard = called.send(result.map(drop));
                if heard.is_ok() {
                    // An error: the thousandth is done.
                    let _ = stays.lock().unwrap_or_else(PoisonError::into_inner).recv();
                }
            })?;
            has_called.recv().map_err(anyhow::Error::from)??;
        }
        let last = small().spawn_scoped(scope, || {
            cpu::pin(cpu::measuring(0));
            not_shared(module, calls)
        })?;
        last.join().unwrap_or_else(panicked)
    })
}

fn panicked<T>(_what: Box<dyn std::any::Any + Send>) -> Result<T> {
    Err(anyhow::anyhow!("a thread panicked").into())
}

/// Registered 5-tuples, and questions about addresses that are not shared.
fn not_shared_counted(module: &Module) -> Result<[u64; 2]> {
    let caller = module.caller();
    Ok([
        caller.stat(Stat::Registered)?,
        caller.stat(Stat::NotShared)?,
    ])
}

/// None of the calls registered anything, and all were counted.
fn compare(module: &Module, before: [u64; 2], calls: usize) -> Result<()> {
    let after = not_shared_counted(module)?;
    let registered = after[0].wrapping_sub(before[0]);
    let counted = after[1].wrapping_sub(before[1]);
    if (registered, counted) == (0, calls as u64) {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "of {calls} tuples of an address that is not shared {registered} were registered and \
         {counted} counted as such"
    )))
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
    let mut answers = 0;
    let start = Instant::now();
    for tuple in tuples.iter().cycle().take(calls) {
        answers |= connect(tuple);
    }
    let elapsed = start.elapsed();
    if answers != 0 {
        return Err(Error::Wrong(format!(
            "a tuple of an address that is not shared was answered {answers}"
        )));
    }
    Ok(elapsed.as_nanos() as f64 / calls as f64)
}

/// Nanoseconds of a send to the most recent destination.
fn send(module: &Module, calls: usize) -> Result<f64> {
    let tuple = Keys::shared(UDP, 6).get(1);
    let sender = module.sender()?;
    let start = Instant::now();
    let answers = sender.send(&tuple, calls);
    let elapsed = start.elapsed();
    if answers != 0 {
        return Err(Error::Wrong(format!(
            "clinet_udp_send_begin to the same destination answered {answers}"
        )));
    }
    Ok(elapsed.as_nanos() as f64 / calls as f64)
}
