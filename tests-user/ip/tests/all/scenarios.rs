// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Every recorded scenario with the released module attached: it changes
//! nothing, and when the sockets are gone no entry of TCP is left but where ip
//! tells no end.

use std::path::Path;

use clinet_ip::trace::{self, Decisions};

/// Scenarios that leave entries, which audits remove: in all of them the
/// variable of disconnect is NULL when the connection ends, of whose beginning
/// connect2 was told.
const LEAKS: &[(&str, &str, usize)] = &[
    ("disconnect_null_time_wait_fast_path", "inet", 2),
    ("hooks_cleared_early", "inet", 2),
    ("only_connect2", "inet", 2),
];

fn play_all(decisions: Decisions) {
    let file = clinet_ip::released_module().unwrap_or_else(|error| panic!("{error}"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let scenarios = trace::read(&folder).unwrap_or_else(|error| panic!("{error}"));
    let mut problems = Vec::new();
    let mut leaks = Vec::new();
    for scenario in &scenarios {
        let name = format!("{} ({})", scenario.name, scenario.family);
        let played = trace::play_attached(scenario, &file, decisions)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for difference in &played.differences {
            problems.push(format!("{name}: {difference}"));
        }
        for wrong in &played.wrong {
            problems.push(format!("{name}: {wrong}"));
        }
        for entry in &played.left_after_audits {
            problems.push(format!("{name}: audits left {entry:?}"));
        }
        if !played.left.is_empty() {
            leaks.push((&*scenario.name, &*scenario.family, played.left.len()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    leaks.sort_unstable();
    leaks.dedup();
    assert_eq!(leaks, LEAKS);
}

#[test]
fn every_scenario_is_the_same_while_the_module_observes() {
    play_all(Decisions::Observed);
}

#[test]
fn every_scenario_is_the_same_while_the_module_refuses() {
    play_all(Decisions::Enforced);
}
