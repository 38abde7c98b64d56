// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! I2 and I4: whose a port was by the directory, and how it changed hands.

use std::collections::BTreeMap;

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
    let mut found = senders(evidence, &phases);
    found.extend(
        phases
            .iter()
            .flat_map(|(key, list)| handovers(evidence, key, list)),
    );
    found
}

/// I4
fn handovers(evidence: &Evidence, key: &Key, phases: &[Phase]) -> Vec<Violation> {
    let mut found = Vec::new();
    for pair in phases.windows(2) {
        let [before, now] = pair else { continue };
        let (Some(old), Some(new)) = (before.owner(), now.owner()) else {
            continue;
        };
        let same = (&old.node, old.machine, old.boot) == (&new.node, new.machine, new.boot);
        let counts = evidence.counts(before.change.after, now.change.at);
        if same || !counts || was_fenced(evidence, old, before.change, now.change) {
            continue;
        }
        let waited = longest_wait(before, now);
        let bound = u64::try_from(evidence.settings.quarantine().as_nanos()).unwrap_or(u64::MAX);
        if waited < bound {
            found.push(Violation {
                rule: "I4",
                at: now.change.at,
                what: format!(
                    "{} takes {key:?} of {} after a quarantine of {} ms at most; Q is {} ms",
                    new.node,
                    old.node,
                    waited / 1_000_000,
                    bound / 1_000_000
                ),
            });
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
                if evidence.counts(packet.at, packet.at) && !was_own(list, packet.at, is_own) {
                    found.push(Violation {
                        rule: "I2",
                        at: packet.at,
                        what: format!(
                            "{} sends from {} port {} of {key:?}, which is not its own",
                            evidence.name(n),
                            packet.protocol,
                            packet.port
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
