// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Audits of many live connections: how long the module's thread takes for
//! one, and how long it holds a lock meanwhile.

use super::sweep::longest_hold;
use crate::api::Stat;
use crate::bench::{Bench, median};
use crate::error::{Error, Result};
use crate::kernel::ip;
use crate::kernel::work::{self, Work};
use crate::keys::{Keys, TCP};
use crate::marks::Measured;
use crate::module::{Load, Module};

pub const ROWS: &[&str] = &["audit", "audit-lock"];

/// Audits of one table that are looked at.
const AUDITS: usize = 4;
/// So often some are asked for.
const TRIES: usize = 10;

pub fn run(bench: &mut Bench) -> Result<()> {
    if bench.wants("audit") {
        let (_, audits) = audits(bench, false)?;
        let times: Vec<f64> = audits
            .iter()
            .map(|audit| audit.time.as_nanos() as f64)
            .collect();
        let measured = Measured::new(median(&times).unwrap_or(0.0));
        bench.measured("audit", measured);
    }
    if bench.wants("audit-lock") {
        let (module, audits) = audits(bench, true)?;
        let holds: Vec<_> = audits.into_iter().map(|audit| audit.holds).collect();
        bench.measured("audit-lock", longest_hold(&module, &holds));
    }
    Ok(())
}

/// Audits of a table whose connections ip asked for and has.
fn audits(bench: &Bench, timed: bool) -> Result<(Module, Vec<Work>)> {
    let keys = Keys::shared(TCP, 7);
    let connections = bench.settings.tuples / 10;
    bench.progress("  filling the module");
    let module = bench.load(Load {
        attach: true,
        timed,
        ..Load::default()
    })?;
    let indices: Vec<u32> = (0..connections).collect();
    module.fill_through_ip(&keys, &indices)?;
    ip::connect(&keys, connections);
    let mut audits = Vec::new();
    for _ in 0..TRIES {
        work::record();
        let errno = module.caller().audit()?;
        if errno != 0 {
            return Err(Error::Wrong(format!("clinet_audit answered errno {errno}")));
        }
        module.second()?;
        let walked = work::recorded().into_iter().filter(|work| work.walked);
        audits.extend(walked);
        if audits.len() >= AUDITS {
            break;
        }
    }
    let tuples = module.caller().stat(Stat::Tuples)?;
    if audits.is_empty() || tuples != u64::from(connections) {
        return Err(Error::Wrong(format!(
            "after {} audits of {connections} connections there are {tuples} entries",
            audits.len()
        )));
    }
    Ok((module, audits))
}
