// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module says of itself when somebody fetches metrics, and not otherwise.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use clinet_control::{Control, Error, FenceState, Filter, PortSet, Protocol, Stat, State};

use super::{Metrics, Refusal, Slice};

/// Reasons of refusals, as kstats and as everything else has them.
const REASONS: [(&str, &str); 6] = [
    ("owned", "owned"),
    ("lapsed", "lapsed"),
    ("not_granted", "not-granted"),
    ("explicit", "explicit"),
    ("other_stack", "other-stack"),
    ("full", "full"),
];
const FLOWS: [&str; 3] = ["tcp_out", "tcp_in", "udp"];

/// The state of the module, and its counters.
pub struct Reading {
    state: State,
    stats: Vec<Stat>,
}

impl Reading {
    /// Asks the module.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub fn take(control: &Control) -> Result<Self, Error> {
        Ok(Self {
            state: control.state()?,
            stats: control.stats()?,
        })
    }

    /// Puts it into the metrics.
    pub fn put(&self, metrics: &Metrics) {
        metrics.module_up.set(1);
        let fence = self.state.fence.to_string();
        Metrics::state(&metrics.fence, FenceState::WORDS, &fence);
        let left = self.state.time_left().filter(|_| !self.state.lapsed);
        let left = left.unwrap_or_default();
        metrics.deadline_seconds.set(left.as_secs_f64());
        let stats: HashMap<&str, u64> = self
            .stats
            .iter()
            .map(|stat| (stat.name.as_str(), stat.value))
            .collect();
        for flow in FLOWS {
            for (counter, reason) in REASONS {
                let Some(value) = stats.get(format!("{flow}_{counter}").as_str()) else {
                    continue;
                };
                let refusal = Refusal {
                    flow: flow.to_owned(),
                    reason: reason.to_owned(),
                };
                let counter = metrics.refusals.get_or_create(&refusal);
                // The module's counters only grow, and so does their difference to these.
                counter.inc_by(value.saturating_sub(counter.get()));
            }
        }
    }
}

/// Counts the ports of this node's slices that have an entry.
///
/// That reads the whole table, so it is done seldom: what it took once, it leaves alone a thousand
/// times.
#[derive(Default)]
pub struct PortsInUse {
    not_before: Option<Instant>,
}

impl PortsInUse {
    const REST: u32 = 1000;
    const LEAST: Duration = Duration::from_secs(10);

    /// Counts, if it is time.
    ///
    /// # Errors
    ///
    /// The module does not answer.
    pub fn put(
        &mut self,
        control: &Control,
        slices: &[(Protocol, RangeInclusive<u16>)],
        metrics: &Metrics,
    ) -> Result<(), Error> {
        let began = Instant::now();
        if self.not_before.is_some_and(|time| began < time) {
            return Ok(());
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let slices = slices.iter().filter(|(of, _)| *of == protocol);
            let ranges: Vec<_> = slices.map(|(_, range)| range.clone()).collect();
            let (Some(first), Some(last)) = (
                ranges.iter().map(|range| *range.start()).min(),
                ranges.iter().map(|range| *range.end()).max(),
            ) else {
                continue;
            };
            let filter = Filter {
                protocol: Some(protocol),
                lport: Some(first..=last),
                ..Filter::default()
            };
            let mut used = PortSet::default();
            for entry in control.list(&filter) {
                used.insert(entry?.tuple.local.port());
            }
            for range in ranges {
                let slice = Slice {
                    protocol: protocol.to_string(),
                    first: u32::from(*range.start()),
                };
                let count = i64::from(used.count(range));
                metrics.slice_ports_used.get_or_create(&slice).set(count);
            }
        }
        let rest = (began.elapsed() * Self::REST).max(Self::LEAST);
        self.not_before = began.checked_add(rest);
        Ok(())
    }
}
