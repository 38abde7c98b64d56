// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory while the table fills, and when all tuples are gone: what the module
//! counts beside what the machine has lost.

use std::time::Duration;

use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::kernel::{clock, kmem};
use crate::keys::{Keys, TCP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &[SMALL, "lost-1m", "lost-2m", "lost-4m", "lost-8m", AFTER];

const SMALL: &str = "memory-1m";
const AFTER: &str = "lost-after";

/// The rows of a table with so many tenths of all tuples.
const LOST: [(u32, &str); 4] = [
    (1, "lost-1m"),
    (2, "lost-2m"),
    (4, "lost-4m"),
    (8, "lost-8m"),
];

/// How long the module has time to give everything back.
const A_WHILE: Duration = Duration::from_secs(60);
/// So many tuples have that time by the host's clock; fewer have a faster one.
const ALL: u32 = 10_000_000;
const FASTEST: u32 = 60;

pub fn run(bench: &mut Bench) -> Result<()> {
    let keys = Keys::shared(TCP, 6);
    let module = bench.load(Load::default())?;
    let mut filled = 0;
    for (tenths, row) in LOST {
        let tuples = bench.settings.tuples / 10 * tenths;
        bench.progress(&format!("  at {tuples} tuples"));
        let more: Vec<u32> = (filled..tuples).collect();
        module.fill(&keys, &more)?;
        filled = tuples;
        if tenths == 1 {
            bench.measured(SMALL, per_tuple(&module, tuples)?);
        }
        bench.measured(row, lost(&module)?);
    }
    if bench.wants(AFTER) {
        empty(&module, &keys, filled)?;
        bench.progress("  waiting for a minute of the module's thread");
        clock::pass(A_WHILE, (ALL / bench.settings.tuples).clamp(1, FASTEST));
        let measured = Measured {
            note: format!("clinet_memory {}", counted(&module)?),
            ..Measured::new(kmem::lost() as f64)
        };
        bench.measured(AFTER, measured);
    }
    Ok(())
}

/// What the module says it has, which is no more than the kernel gave.
pub fn counted(module: &Module) -> Result<u64> {
    let (bytes, said) = (module.bytes(), module.caller().memory()?);
    if said > bytes {
        return Err(Error::Wrong(format!(
            "clinet_memory says {said} bytes, the kernel gave {bytes}"
        )));
    }
    Ok(said)
}

/// Bytes of each of so many tuples.
pub fn per_tuple(module: &Module, tuples: u32) -> Result<Measured> {
    let (said, bytes) = (counted(module)?, module.bytes());
    let each = |bytes: u64| bytes as f64 / f64::from(tuples);
    Ok(Measured {
        note: format!(
            "clinet_memory {said}, all {bytes}, most at any time {:.1} a tuple",
            each(kmem::most())
        ),
        ..Measured::new(each(bytes))
    })
}

/// What the machine lost, in times of what the module counts.
fn lost(module: &Module) -> Result<Measured> {
    let (said, lost) = (counted(module)?, kmem::lost());
    Ok(Measured {
        note: format!("lost {lost} bytes, clinet_memory {said}"),
        ..Measured::new(lost as f64 / said.max(1) as f64)
    })
}

fn empty(module: &Module, keys: &Keys, tuples: u32) -> Result<()> {
    let caller = module.caller();
    let disconnect = caller.disconnect()?;
    for index in 0..tuples {
        disconnect(&keys.get(index));
    }
    let left = caller.stat(crate::api::Stat::Tuples)?;
    if left == 0 {
        return Ok(());
    }
    Err(Error::Wrong(format!(
        "of {tuples} tuples that ended {left} are still counted"
    )))
}
