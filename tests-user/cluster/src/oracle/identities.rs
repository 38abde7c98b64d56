// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! I6 and I7: one agent for a module, one machine for a name.

use clinet_slices::names::Key;
use clinet_slices::records::Value;

use super::{Boot, Evidence, Node, Violation};

pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    for node in &evidence.nodes {
        for (index, boot) in node.boots.iter().enumerate() {
            let end = node.boots.get(index + 1).map_or(u64::MAX, |next| next.at);
            found.extend(grants(node, boot, end));
        }
        found.extend(names(evidence, node));
    }
    found
}

/// I6: grants go forward, and an agent that was followed by another sets none any
/// more.
fn grants(node: &Node, boot: &Boot, end: u64) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut epochs: Vec<u64> = Vec::new();
    let mut sequence = 0;
    for seen in &node.seen {
        if seen.before < boot.at || seen.after >= end {
            continue;
        }
        let mut violation = |what: String| {
            found.push(Violation {
                rule: "I6",
                at: seen.before,
                what: format!("{}: {what}", node.name),
            });
        };
        if seen.sequence < sequence {
            violation(format!("grants {} after grants {sequence}", seen.sequence));
        }
        sequence = sequence.max(seen.sequence);
        if epochs.last() != Some(&seen.epoch) {
            if epochs.contains(&seen.epoch) {
                violation(format!("epoch {:x} is back", seen.epoch));
            }
            epochs.push(seen.epoch);
        }
    }
    found
}

/// I7: the node's key is of its machine, and of the boots in their order.
fn names(evidence: &Evidence, node: &Node) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut latest = 0;
    for change in &evidence.changes {
        let Some(Value::Node(member)) = &change.value else {
            continue;
        };
        if change.key != Key::Node(node.name.clone()) || !evidence.counts(change.after, change.at) {
            continue;
        }
        let boot = node.boots.iter().position(|boot| boot.id == member.boot);
        match boot.filter(|boot| member.machine == node.machine && *boot >= latest) {
            Some(boot) => latest = boot,
            None => found.push(Violation {
                rule: "I7",
                at: change.at,
                what: format!(
                    "{} is machine {} in boot {}, which is not the present one",
                    node.name, member.machine, member.boot
                ),
            }),
        }
    }
    found
}
