// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What /etc/system has to say beside the file.

use super::{Config, Problem};

/// The value that the last `set clinet:NAME = VALUE` of a system(5) file gives, and its line.
fn setting(text: &str, wanted: &str) -> Option<(usize, String)> {
    let mut found = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with(['*', '#']) {
            continue;
        }
        let Some(assignment) = line.strip_prefix("set") else {
            continue;
        };
        let Some((name, value)) = assignment.split_once('=') else {
            continue;
        };
        let name: String = name.split_whitespace().collect();
        if name.strip_prefix("clinet:") == Some(wanted) {
            let value = value.trim().trim_matches('"').trim();
            found = Some((at + 1, value.to_owned()));
        }
    }
    found
}

/// What is wrong with the text of a system(5) file for this configuration. Lines are those of that
/// text.
pub fn check_system(config: &Config, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    port_space(config, text, &mut problems);
    let mut grants_at = |name: &str| {
        if let Some((line, _)) = setting(text, name) {
            problems.push(Problem {
                line,
                reason: format!(
                    "{name} grants ports for ever that the directory may give to another node; \
                     remove the line"
                ),
            });
        }
    };
    grants_at("clinet_grants");
    if let Some((line, action)) = setting(text, "clinet_fence")
        && action == "2"
    {
        problems.push(Problem {
            line,
            reason: "clinet_fence = 2 leaves the addresses up after the deadline, and connections \
                     of this node go on beside another's; use 0 (down) or 1 (panic)"
                .into(),
        });
    }
    problems
}

/// A node whose module knows no port space accepts everything until the agent has granted.
fn port_space(config: &Config, text: &str, problems: &mut Vec<Problem>) {
    let (tcp, udp) = (config.ports.tcp, config.ports.udp);
    let wanted = if tcp == udp {
        tcp.to_string()
    } else {
        format!("tcp={tcp},udp={udp}")
    };
    let Some((line, space)) = setting(text, "clinet_port_space") else {
        problems.push(Problem {
            line: 0,
            reason: format!(
                "clinet_port_space is not set, so that the node is open until the agent has \
                 granted; add the line: set clinet:clinet_port_space = \"{wanted}\""
            ),
        });
        return;
    };
    let same = format!("tcp={tcp},udp={udp}");
    let swapped = format!("udp={udp},tcp={tcp}");
    let space: String = space.split_whitespace().collect();
    if ![wanted.as_str(), &same, &swapped].contains(&space.as_str()) {
        problems.push(Problem {
            line,
            reason: format!(
                "clinet_port_space is {space}, and [ports] in the file has {wanted}; both have to \
                 be what the pool has"
            ),
        });
    }
}
