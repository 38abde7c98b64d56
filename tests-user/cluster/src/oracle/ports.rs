// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! I1: no two nodes can send from one local port. When another one begins, the last
//! packet of the one before has arrived or is lost.

use std::collections::BTreeMap;

use super::{Evidence, Violation};
use clinet_slices::names::Protocol;

/// Who sent: a node in one of its boots.
type Sender = (usize, usize);

/// Times are noted a little before or after a packet leaves.
const SLACK: u64 = 5_000_000;

pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let mut all: Vec<(u64, Sender, Protocol, u16)> = Vec::new();
    for (n, node) in evidence.nodes.iter().enumerate() {
        for (b, boot) in node.boots.iter().enumerate() {
            let packets = boot.packets.iter();
            all.extend(packets.map(|packet| (packet.at, (n, b), packet.protocol, packet.port)));
        }
    }
    all.sort_unstable_by_key(|packet| packet.0);
    let mut last: BTreeMap<(Protocol, u16), (u64, Sender)> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, sender, protocol, port) in all {
        let before = last.insert((protocol, port), (at, sender));
        let Some((then, other)) = before.filter(|(_, other)| *other != sender) else {
            continue;
        };
        if !is_late_enough(evidence, then, other.0, at) {
            found.push(Violation {
                rule: "I1",
                at,
                what: format!(
                    "{} sends from {protocol} port {port}, {} ms after {} (boot {})",
                    evidence.name(sender.0),
                    (at - then) / 1_000_000,
                    evidence.name(other.0),
                    other.1 + 1
                ),
            });
        }
    }
    found
}

/// May another one send at `at` what `node` sent from last at `then`?
fn is_late_enough(evidence: &Evidence, then: u64, node: usize, at: u64) -> bool {
    let linger = evidence.settings.timing().linger;
    let said = |word: &super::Word| word.node == node && (then..=at).contains(&word.at);
    at - then + SLACK >= linger || evidence.fenced.iter().any(said)
}
