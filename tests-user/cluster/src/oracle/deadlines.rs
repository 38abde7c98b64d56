// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! I3 and I5: how late a deadline is, and what is sent after it.

use clinet_slices::records::{Record, Tenure, Value};

use super::{Boot, Evidence, Node, Violation};
use crate::observer::Seen;

/// A retaken record may be seen so much later than its module's new deadline.
const LATE: u64 = 500_000_000;

pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    for node in &evidence.nodes {
        for (index, boot) in node.boots.iter().enumerate() {
            let end = node.boots.get(index + 1).map_or(u64::MAX, |next| next.at);
            let is_of = |seen: &&Seen| boot.at <= seen.before && seen.after < end;
            let seen: Vec<&Seen> = node.seen.iter().filter(is_of).collect();
            found.extend(sends(evidence, node, boot, &seen));
        }
        found.extend(renewals(evidence, node));
    }
    found
}

/// The deadline is at this time at the latest; 0 if nothing is granted.
fn latest(evidence: &Evidence, seen: &Seen) -> u64 {
    match seen.left {
        None => 0,
        Some(left) if left >= 0 => seen.after + evidence.longest(left.unsigned_abs()),
        Some(left) => seen
            .after
            .saturating_sub(evidence.shortest(left.unsigned_abs())),
    }
}

/// The deadline is at this time at the earliest.
fn earliest(evidence: &Evidence, seen: &Seen) -> Option<u64> {
    let left = u64::try_from(seen.left?).ok()?;
    Some(seen.before + evidence.shortest(left))
}

/// I5
fn sends(evidence: &Evidence, node: &Node, boot: &Boot, seen: &[&Seen]) -> Vec<Violation> {
    let fence = evidence.settings.timing().fence;
    let mut found = Vec::new();
    let mut deadline = 0;
    let mut heard = seen.iter().peekable();
    for packet in &boot.packets {
        // Also the first answer to a question that came after the packet.
        let mut judged = false;
        while let Some(next) = heard.peek() {
            deadline = deadline.max(latest(evidence, next));
            if next.before >= packet.at {
                judged = true;
                break;
            }
            heard.next();
        }
        if judged && packet.at > evidence.longest(fence) + deadline {
            found.push(Violation {
                rule: "I5",
                at: packet.at,
                what: format!(
                    "{} sends from {} port {}, {} ms after its deadline; F is {} ms",
                    node.name,
                    packet.protocol,
                    packet.port,
                    (packet.at - deadline) / 1_000_000,
                    fence / 1_000_000
                ),
            });
        }
    }
    found
}

/// I3: no renewal succeeds after the quarantine, so no deadline is later than T after
/// that.
fn renewals(evidence: &Evidence, node: &Node) -> Vec<Violation> {
    let lifetime = evidence.longest(evidence.settings.timing().lifetime);
    let mut found = Vec::new();
    for (index, change) in evidence.changes.iter().enumerate() {
        let Some(Value::Record(record)) = &change.value else {
            continue;
        };
        let Some(end) = end_of_owner(record, node) else {
            continue;
        };
        let mut later = evidence.changes[index + 1..].iter();
        let next = later.find(|other| other.key == change.key);
        let unchanged = next.map_or(evidence.read_until, |next| next.after);
        let until = end.min(unchanged.saturating_sub(LATE));
        if !evidence.counts(change.after, until.min(change.at + lifetime)) {
            continue;
        }
        let meanwhile = |seen: &&Seen| change.at <= seen.before && seen.after < until;
        let beyond = |seen: &Seen| {
            let deadline = earliest(evidence, seen)?;
            (deadline > change.at + lifetime).then_some((seen.before, deadline))
        };
        let first = node.seen.iter().filter(meanwhile).find_map(beyond);
        if let Some((at, deadline)) = first {
            found.push(Violation {
                rule: "I3",
                at,
                what: format!(
                    "{}'s deadline is {} ms after the quarantine of {:?}; T is {} ms",
                    node.name,
                    (deadline - change.at) / 1_000_000,
                    change.key,
                    evidence.settings.grant.as_millis()
                ),
            });
        }
    }
    found
}

/// If it is a record of this node in quarantine: the end of the boot that owned it.
fn end_of_owner(record: &Record, node: &Node) -> Option<u64> {
    let Tenure::Quarantine(owner) = &record.tenure else {
        return None;
    };
    if owner.node != node.name || owner.machine != node.machine {
        return None;
    }
    let boot = node.boots.iter().position(|boot| boot.id == owner.boot)?;
    Some(node.boots.get(boot + 1).map_or(u64::MAX, |next| next.at))
}
