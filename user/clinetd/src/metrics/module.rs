// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module says of itself when somebody fetches metrics, and not otherwise.

use std::collections::HashMap;

use clinet_control::{Control, Error, FenceState, Stat, State};

use super::{Metrics, Refusal};

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
