// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the oracle says of things that were made up: one that accuses nobody is
//! none.

use clinet_cluster::Settings;
use clinet_cluster::history::Change;
use clinet_cluster::observer::Seen;
use clinet_cluster::oracle::{Boot, Evidence, Node, Packet, Word, judge};
use clinet_control::FenceState;
use clinet_slices::names::{Key, Name, Protocol, Uuid};
use clinet_slices::records::{FIRST_INCARNATION, Owner, Record, Tenure, Value};

const SECOND: u64 = 1_000_000_000;
const PORT: u16 = 40000;

fn name(node: usize) -> Name {
    Name::new(&format!("node-{}", node + 1)).expect("a name")
}

fn owner(node: usize) -> Owner {
    Owner {
        node: name(node),
        machine: Uuid(node as u128 + 1),
        boot: Uuid(node as u128 + 101),
        epoch: 1,
    }
}

fn packet(seconds: u64) -> Packet {
    Packet {
        at: seconds * SECOND,
        protocol: Protocol::Tcp,
        port: PORT,
    }
}

/// A record that is so from a second on.
fn record(seconds: u64, tenure: Tenure) -> Change {
    let settings = Settings::default();
    let first = PORT - (PORT - settings.ports.0) % settings.slice;
    Change {
        after: seconds * SECOND - SECOND / 20,
        at: seconds * SECOND,
        key: Key::Slice(Protocol::Tcp, first),
        value: Some(Value::Record(Record {
            last: first + (settings.slice - 1),
            tenure,
            timing: settings.timing(),
            incarnation: FIRST_INCARNATION,
            heir: None,
        })),
    }
}

/// A module with a deadline so many seconds later.
fn seen(seconds: u64, left: i64) -> Seen {
    Seen {
        before: seconds * SECOND,
        after: seconds * SECOND + 1_000_000,
        left: Some(left * SECOND as i64),
        fence: FenceState::Unfenced,
        epoch: 1,
        sequence: 1,
        granted: 2048,
    }
}

/// Two nodes: the first has the slice from second 1 on, sends at 2, and dies; the
/// second takes it over at 20 and sends at 21.
fn fair() -> Evidence {
    let node = |index: usize, sends: u64| Node {
        name: name(index),
        machine: Uuid(index as u128 + 1),
        boots: vec![Boot {
            at: 0,
            id: Uuid(index as u128 + 101),
            packets: vec![packet(sends)],
        }],
        seen: vec![seen(sends, 6), seen(sends + 1, 5)],
    };
    Evidence {
        settings: Settings::default(),
        nodes: vec![node(0, 2), node(1, 21)],
        changes: vec![
            record(1, Tenure::Own(owner(0))),
            record(5, Tenure::Quarantine(owner(0))),
            record(20, Tenure::Own(owner(1))),
        ],
        read_until: 100 * SECOND,
        fenced: Vec::new(),
        restored: Vec::new(),
    }
}

fn broken(evidence: &Evidence) -> Vec<&'static str> {
    let mut rules: Vec<_> = judge(evidence)
        .iter()
        .map(|violation| violation.rule)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn what_is_fair_is_no_violation() {
    assert_eq!(judge(&fair()), []);
}

#[test]
fn two_nodes_on_one_port() {
    let mut evidence = fair();
    // Within L of the other's packet, and without a record.
    evidence.nodes[0].boots[0].packets.push(packet(20));
    assert!(broken(&evidence).contains(&"I1"), "{:?}", judge(&evidence));
    let mut fenced = fair();
    fenced.nodes[1].boots[0].packets = vec![packet(3)];
    assert!(broken(&fenced).contains(&"I1"));
    fenced.fenced.push(Word {
        node: 0,
        at: 2 * SECOND + SECOND / 2,
    });
    assert!(!broken(&fenced).contains(&"I1"));
}

#[test]
fn a_packet_without_a_record() {
    let mut evidence = fair();
    evidence.nodes[1].boots[0].packets = vec![packet(12), packet(21)];
    assert_eq!(broken(&evidence), ["I2"]);
}

#[test]
fn a_deadline_that_was_counted_from_an_answer() {
    let mut evidence = fair();
    // T after the quarantine is second 11.
    evidence.nodes[0].seen.push(seen(6, 6));
    assert_eq!(broken(&evidence), ["I3"]);
}

#[test]
fn what_the_directory_said_since_it_was_read_last_is_not_known() {
    let mut evidence = fair();
    // The second node owns the slice by now, and nobody saw it.
    evidence.changes.truncate(2);
    evidence.read_until = 19 * SECOND;
    assert_eq!(judge(&evidence), []);
    evidence.read_until = 22 * SECOND;
    assert_eq!(broken(&evidence), ["I2"]);
    // The first one has retaken it, and nobody saw that.
    let mut evidence = fair();
    evidence.changes.truncate(2);
    evidence.nodes.truncate(1);
    evidence.nodes[0].seen.push(seen(6, 6));
    evidence.read_until = 6 * SECOND;
    assert_eq!(judge(&evidence), []);
    evidence.read_until = 7 * SECOND;
    assert_eq!(broken(&evidence), ["I3"]);
}

#[test]
fn a_quarantine_that_was_too_short() {
    let mut evidence = fair();
    evidence.changes[1] = record(15, Tenure::Quarantine(owner(0)));
    assert_eq!(broken(&evidence), ["I4"]);
    evidence.changes.remove(1);
    assert_eq!(broken(&evidence), ["I4"]);
}

#[test]
fn a_packet_after_the_deadline() {
    let mut evidence = fair();
    evidence.nodes[0].boots[0].packets.push(packet(16));
    evidence.nodes[0].seen.push(seen(17, -9));
    assert!(broken(&evidence).contains(&"I5"), "{:?}", judge(&evidence));
}

#[test]
fn two_agents_that_set_grants_in_turn() {
    let mut evidence = fair();
    for (second, epoch) in [(22, 2), (23, 1)] {
        let seen = Seen {
            epoch,
            ..seen(second, 6)
        };
        evidence.nodes[1].seen.push(seen);
    }
    assert_eq!(broken(&evidence), ["I6"]);
}

#[test]
fn another_machine_of_the_same_name() {
    let mut evidence = fair();
    evidence.changes.push(Change {
        after: 0,
        at: SECOND,
        key: Key::Node(name(0)),
        value: Some(Value::Node(clinet_slices::records::Node {
            pool: Name::new("web").expect("a name"),
            machine: Uuid(77),
            boot: Uuid(101),
            version: name(0),
        })),
    });
    assert_eq!(broken(&evidence), ["I7"]);
}
