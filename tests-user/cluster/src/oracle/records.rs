// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! I2 and I4: whose a port was by the directory, and how it changed hands.

use std::collections::BTreeMap;
use std::time::Duration;

use clinet_slices::names::{Key, Protocol};
use clinet_slices::records::{Owner, Record, Tenure, Value};

use super::{Evidence, Violation};
use crate::history::Change;

/// What a key said from one change to the next.
struct Phase<'a> {
    change: &'a Change,
    record: Option<&'a Record>,
}

impl Phase<'_> {
    fn owner(&self) -> Option<&Owner> {
        self.record.and_then(Record::owner)
    }

    fn is_quarantine(&self) -> bool {
        self.record
            .is_some_and(|record| matches!(record.tenure, Tenure::Quarantine(_)))
    }
}

type Phases<'a> = BTreeMap<&'a Key, Vec<Phase<'a>>>;

pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let phases = phases(evidence);
    let mut found = senders(evidence, &phases);
    let bound = u64::try_from(evidence.settings.quarantine().as_nanos()).unwrap_or(u64::MAX);
    for (key, handover) in handovers(evidence, &phases) {
        let Handover {
            from,
            to,
            at,
            waited,
        } = handover;
        if waited < bound {
            found.push(Violation {
                rule: "I4",
                at,
                what: format!(
                    "{} takes {key:?} of {} after a quarantine of {} ms at most; Q is {} ms",
                    to.node,
                    from.node,
                    waited / 1_000_000,
                    bound / 1_000_000
                ),
            });
        }
    }
    found
}

/// For how long records were in quarantine at most when they changed hands.
pub fn waits(evidence: &Evidence) -> Vec<Duration> {
    let phases = phases(evidence);
    let handovers = handovers(evidence, &phases).into_iter();
    handovers
        .map(|(_, handover)| Duration::from_nanos(handover.waited))
        .collect()
}

fn phases(evidence: &Evidence) -> Phases<'_> {
    let mut phases = Phases::new();
    for change in evidence
        .changes
        .iter()
        .filter(|change| change.key.is_record())
    {
        let record = match &change.value {
            Some(Value::Record(record)) => Some(record),
            _ => None,
        };
        let list = phases.entry(&change.key).or_default();
        list.push(Phase { change, record });
    }
    phases
}

/// A record that was one node's and is another's, or of another boot.
struct Handover<'a> {
    from: &'a Owner,
    to: &'a Owner,
    at: u64,
    /// For how long it may have been in quarantine.
    waited: u64,
}

/// I4: those that are no consequence of the operator's word.
fn handovers<'a>(evidence: &'a Evidence, phases: &'a Phases<'a>) -> Vec<(&'a Key, Handover<'a>)> {
    let mut found = Vec::new();
    for (key, list) in phases {
        for pair in list.windows(2) {
            let [before, now] = pair else { continue };
            let (Some(from), Some(to)) = (before.owner(), now.owner()) else {
                continue;
            };
            let same = (&from.node, from.machine, from.boot) == (&to.node, to.machine, to.boot);
            let counts = evidence.counts(before.change.after, now.change.at);
            if same || !counts || was_fenced(evidence, from, before.change, now.change) {
                continue;
            }
            let handover = Handover {
                from,
                to,
                at: now.change.at,
                waited: longest_wait(before, now),
            };
            found.push((*key, handover));
        }
    }
    found
}

/// For how long the record may have been in quarantine at most.
fn longest_wait(before: &Phase, now: &Phase) -> u64 {
    if before.is_quarantine() {
        now.change.at - before.change.after
    } else {
        // It was not seen, so it lay between two readings.
        now.change.at - now.change.after
    }
}

fn was_fenced(evidence: &Evidence, owner: &Owner, before: &Change, now: &Change) -> bool {
    evidence.fenced.iter().any(|word| {
        evidence.nodes[word.node].name == owner.node && (before.after..=now.at).contains(&word.at)
    })
}

/// I2
fn senders(evidence: &Evidence, phases: &Phases) -> Vec<Violation> {
    let mut found = Vec::new();
    for (n, node) in evidence.nodes.iter().enumerate() {
        for boot in &node.boots {
            for packet in &boot.packets {
                let Some(key) = slice_of(evidence, packet.protocol, packet.port) else {
                    continue;
                };
                let is_own = |owner: &Owner| {
                    owner.node == node.name
                        && owner.machine == node.machine
                        && owner.boot == boot.id
                };
                let list = phases.get(&key).map(Vec::as_slice).unwrap_or_default();
                let is_known =
                    packet.at <= evidence.read_until && evidence.counts(packet.at, packet.at);
                if is_known && !was_own(list, packet.at, is_own) {
                    found.push(Violation {
                        rule: "I2",
                        at: packet.at,
                        what: format!(
                            "{} sends from {} port {} of {key:?}, {}",
                            evidence.name(n),
                            packet.protocol,
                            packet.port,
                            said(list, packet.at)
                        ),
                    });
                }
            }
        }
    }
    found
}

/// The slice of a port, if it is in the port space.
fn slice_of(evidence: &Evidence, protocol: Protocol, port: u16) -> Option<Key> {
    let settings = &evidence.settings;
    let (first, last) = settings.ports;
    if !(first..=last).contains(&port) {
        return None;
    }
    let offset = (port - first) / settings.slice * settings.slice;
    Some(Key::Slice(protocol, first + offset))
}

/// What was last seen of the record.
fn said(phases: &[Phase], at: u64) -> String {
    let known = phases.iter().rev().find(|phase| phase.change.at <= at);
    let Some(phase) = known else {
        return "which has no record yet".to_owned();
    };
    let since = (at - phase.change.at) / 1_000_000;
    match phase.owner() {
        Some(owner) if phase.is_quarantine() => {
            format!("which waits since {since} ms after {}", owner.node)
        }
        Some(owner) => format!(
            "which is {}'s since {since} ms, boot {}",
            owner.node, owner.boot
        ),
        None => format!("which is nobody's since {since} ms"),
    }
}

/// Can the record have been so at that time?
fn was_own(phases: &[Phase], at: u64, is_own: impl Fn(&Owner) -> bool) -> bool {
    let next = phases.partition_point(|phase| phase.change.at <= at);
    let may_be = |phase: &Phase| phase.owner().is_some_and(&is_own);
    let known = next.checked_sub(1).and_then(|index| phases.get(index));
    known.is_some_and(may_be)
        || phases
            .get(next)
            .is_some_and(|phase| phase.change.after <= at && may_be(phase))
}
