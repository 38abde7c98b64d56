// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One node, step by step, as the agent's own loop would run it.

use clinet_slices::agent::{
    Agent, Command, Config, Effect, Event, Fence, Grants, Kept, Module, Trouble,
};
use clinet_slices::directory::{Entry, Header, Operation, Transaction};
use clinet_slices::names::{Identity, Key, Name, Protocol, Range, Uuid};
use clinet_slices::records::{Conf, FIRST_INCARNATION, FORMAT, Record, Tenure, Value};
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

/// The directory is restored from a copy and recovered while a request is under way.
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
        assert_eq!(agent.step(now(2), Event::Interrupted), []);
        agent.step(now(3), Event::Reply(id, header(revision), done, Vec::new()));
        agent.step(now(40), Event::Timer);
        let effects = agent.step(now(41), snapshot(id + 1, 6, 100));
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
}

/// All keys of a directory in which node a has joined and taken a slice.
struct Keys(Vec<(Key, Entry)>);

impl Keys {
    /// An agent that serves, and the keys that it goes by, which it knows up to revision 5.
    fn of_serving_agent() -> (Agent, Keys) {
        let mut agent = agent();
        agent.step(now(0), Event::Timer);
        agent.step(now(0), Event::Lease(42));
        let mut keys = Keys(Vec::new());
        keys.put(Key::Conf, Value::Conf(conf()), 3, None);
        let mut effects = agent.step(now(1), Event::Snapshot(1, header(3), keys.0.clone()));
        for revision in [4, 5] {
            let (id, transaction) = committed(&effects);
            for operation in &transaction.operations {
                let Operation::Put(key, value, lease) = operation else {
                    panic!("{operation:?}");
                };
                keys.put(key.clone(), value.clone(), revision, *lease);
            }
            effects = agent.step(now(1), Event::Reply(id, header(revision), true, Vec::new()));
        }
        let Some(Effect::Module(Command::Grants(grants))) = effects.last() else {
            panic!("{effects:?}");
        };
        let module = Module {
            grants: grants.clone(),
            fence: Fence::Open,
            fence_time: 5 * SECOND,
        };
        agent.step(now(1), Event::Module(module));
        (agent, keys)
    }

    fn put(&mut self, key: Key, value: Value, revision: u64, lease: Option<i64>) {
        let entry = Entry {
            value,
            revision,
            lease,
        };
        self.0.push((key, entry));
    }

    /// The record of the slice.
    fn record(&mut self) -> &mut Record {
        let records = self
            .0
            .iter_mut()
            .find_map(|(_, entry)| match &mut entry.value {
                Value::Record(record) => Some(record),
                _ => None,
            });
        records.expect("a record")
    }

    /// What the agent does that was interrupted and then reads these.
    fn read_by(self, agent: &mut Agent, revision: u64) -> Vec<Effect> {
        let effects = agent.step(now(150), Event::Interrupted);
        let [Effect::Read(id)] = effects[..] else {
            panic!("{effects:?}");
        };
        agent.step(now(151), Event::Snapshot(id, header(revision), self.0))
    }
}

#[test]
fn who_was_interrupted_reads_everything_and_goes_on() {
    let (mut agent, keys) = Keys::of_serving_agent();
    assert_eq!(agent.step(now(50), Event::Timer), []);
    let effects = keys.read_by(&mut agent, 9);
    let (_, renewal) = committed(&effects);
    assert!(renewal.operations.is_empty());
    assert_eq!((effects.len(), agent.trouble()), (2, None));
}

/// After a restore from a copy, without `recover`. Who has seen nothing newer may take what this node
/// has, so that it is fenced at once.
#[test]
fn an_older_directory_shows_in_its_revision_or_in_its_keys() {
    let fence = Effect::Module(Command::Fence);
    let (mut agent, keys) = Keys::of_serving_agent();
    let effects = keys.read_by(&mut agent, 4);
    assert_eq!(agent.trouble(), Some(Trouble::Rollback));
    assert!(effects.contains(&fence), "{effects:?}");
    // It has grown past what was seen, and another took the slice at the very revision.
    let (mut agent, mut keys) = Keys::of_serving_agent();
    let Tenure::Own(owner) = &mut keys.record().tenure else {
        panic!("not owned");
    };
    owner.node = name("b");
    let effects = keys.read_by(&mut agent, 9);
    assert_eq!(agent.trouble(), Some(Trouble::Rollback));
    assert!(agent.kept().stopped);
    assert!(effects.contains(&fence), "{effects:?}");
}

/// A slice that the copy does not know may be another's any time.
#[test]
fn who_has_lost_a_record_gives_everything_up_at_once() {
    let (mut agent, mut keys) = Keys::of_serving_agent();
    keys.0
        .retain(|(_, entry)| !matches!(entry.value, Value::Record(_)));
    let effects = keys.read_by(&mut agent, 9);
    assert!(agent.giving_up());
    assert!(
        effects.contains(&Effect::Module(Command::Fence)),
        "{effects:?}"
    );
    assert!(effects.contains(&Effect::Addresses(false)));
}
