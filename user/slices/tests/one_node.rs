// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One node, step by step, as the agent's own loop would run it.

use clinet_slices::agent::{Agent, Command, Config, Effect, Event, Fence, Grants, Kept, Module};
use clinet_slices::directory::{Entry, Header, Transaction};
use clinet_slices::names::{Identity, Key, Name, Protocol, Range, Uuid};
use clinet_slices::records::{Conf, FIRST_INCARNATION, FORMAT, Value};
use clinet_slices::{Now, Timing};

const CLUSTER: u64 = 7;
const SECOND: u64 = 1_000_000_000;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn conf() -> Conf {
    Conf {
        format: FORMAT,
        incarnation: FIRST_INCARNATION,
        cluster: CLUSTER,
        tcp: Some(Range {
            first: 32768,
            last: 65535,
        }),
        udp: None,
        slice: 2048,
        timing: Timing::default(),
    }
}

fn agent() -> Agent {
    agent_with(Kept::default())
}

fn agent_with(kept: Kept) -> Agent {
    let config = Config {
        identity: Identity {
            node: name("a"),
            machine: Uuid(1),
            boot: Uuid(2),
        },
        pool: name("p"),
        version: name("0.1.0"),
        start: [1, 0],
    };
    let module = Module {
        grants: Grants {
            epoch: 0,
            sequence: 0,
            deadline: 0,
            space: [None, None],
            ports: [Vec::new(), Vec::new()],
        },
        fence: Fence::Open,
        fence_time: 5 * SECOND,
    };
    Agent::new(config, kept, module)
}

fn now(seconds: u64) -> Now {
    Now {
        own: seconds * SECOND,
        module: (1000 + seconds) * SECOND,
    }
}

fn header(revision: u64) -> Header {
    Header {
        cluster: CLUSTER,
        revision,
    }
}

fn committed(effects: &[Effect]) -> (u64, &Transaction) {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Commit(id, transaction) => Some((*id, transaction)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no transaction: {effects:?}"))
}

#[test]
fn from_nothing_to_a_grant_in_four_round_trips() {
    let mut agent = agent();
    let effects = agent.step(now(0), Event::Timer);
    assert_eq!(effects, [Effect::Lease, Effect::Read(1)]);
    agent.step(now(0), Event::Lease(42));
    let entry = Entry {
        value: Value::Conf(conf()),
        revision: 3,
        lease: None,
    };
    let effects = agent.step(
        now(1),
        Event::Snapshot(1, header(3), vec![(Key::Conf, entry)]),
    );
    let (id, join) = committed(&effects);
    assert_eq!(join.compares.len(), 1);
    let effects = agent.step(now(2), Event::Reply(id, header(4), true, Vec::new()));
    assert_eq!(agent.member(), Some(42));
    let (id, take) = committed(&effects);
    assert_eq!(take.compares.len(), 3);
    // The answer comes late; the deadline does not.
    let effects = agent.step(now(10), Event::Reply(id, header(5), true, Vec::new()));
    let grants = effects.iter().find_map(|effect| match effect {
        Effect::Module(Command::Grants(grants)) => Some(grants.clone()),
        _ => None,
    });
    let grants = grants.expect("grants");
    assert_eq!(grants.deadline, now(2).module + 300 * SECOND);
    assert_eq!(grants.epoch, 42);
    assert_eq!(grants.ports[Protocol::Tcp as usize].len(), 1);
    let range = grants.ports[Protocol::Tcp as usize][0];
    assert_eq!(range.ports(), 2048);
    let module = Module {
        grants,
        fence: Fence::Open,
        fence_time: 5 * SECOND,
    };
    let effects = agent.step(now(10), Event::Module(module));
    assert_eq!(
        effects,
        [
            Effect::Ephemeral(Protocol::Tcp, range),
            Effect::Addresses(true)
        ]
    );
    // The first renewal, when a third of T is over.
    assert_eq!(agent.wake(now(10)), Some(now(102).own));
    let effects = agent.step(now(102), Event::Timer);
    let (_, renewal) = committed(&effects);
    assert!(renewal.operations.is_empty());
    assert!(!renewal.reads().is_empty());
}

#[test]
fn a_directory_that_went_back_is_not_believed() {
    let mut agent = agent();
    agent.step(now(0), Event::Timer);
    agent.step(now(0), Event::Lease(42));
    let entry = Entry {
        value: Value::Conf(conf()),
        revision: 3,
        lease: None,
    };
    let snapshot =
        |id, revision| Event::Snapshot(id, header(revision), vec![(Key::Conf, entry.clone())]);
    let effects = agent.step(now(1), snapshot(1, 9));
    let (id, _) = committed(&effects);
    agent.step(now(2), Event::Reply(id, header(8), true, Vec::new()));
    assert!(agent.trouble().is_some());
    assert!(agent.kept().stopped);
    // Nor when it has grown past what was seen.
    let effects = agent.step(now(40), Event::Timer);
    let Some(Effect::Read(id)) = effects.first() else {
        panic!("{effects:?}");
    };
    let effects = agent.step(now(41), snapshot(*id, 20));
    assert!(agent.trouble().is_some());
    assert_eq!(effects, []);
}

/// The directory is restored from a copy and recovered while a request is under way, and the agent
/// hears of that first: what answers the request is of another incarnation.
#[test]
fn an_answer_to_what_was_asked_in_an_earlier_incarnation_says_nothing() {
    let snapshot = |id, revision, incarnation| {
        let conf = Conf {
            incarnation,
            ..conf()
        };
        let entry = Entry {
            value: Value::Conf(conf),
            revision: 3,
            lease: None,
        };
        Event::Snapshot(id, header(revision), vec![(Key::Conf, entry)])
    };
    // The answer of the copy, and one that was on its way before.
    for (revision, done) in [(7, false), (10, true)] {
        let mut agent = agent();
        agent.step(now(0), Event::Timer);
        agent.step(now(0), Event::Lease(42));
        let effects = agent.step(now(1), snapshot(1, 9, FIRST_INCARNATION));
        let (id, _) = committed(&effects);
        assert_eq!(agent.kept().revision, 9);
        agent.step(now(2), snapshot(0, 6, 100));
        let effects = agent.step(now(3), Event::Reply(id, header(revision), done, Vec::new()));
        committed(&effects);
        assert_eq!(agent.trouble(), None);
        let kept = Kept {
            incarnation: 100,
            cluster: CLUSTER,
            revision: 6,
            stopped: false,
        };
        assert_eq!(agent.kept(), kept);
    }
    // And so for a reading of all keys.
    let kept = Kept {
        incarnation: FIRST_INCARNATION,
        cluster: CLUSTER,
        revision: 9,
        stopped: false,
    };
    let mut agent = agent_with(kept);
    assert!(agent.step(now(0), Event::Timer).contains(&Effect::Read(1)));
    agent.step(now(1), snapshot(0, 6, 100));
    agent.step(now(2), snapshot(1, 6, 100));
    assert_eq!(agent.trouble(), None);
}
