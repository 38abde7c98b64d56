// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A thousand nodes in one pool: how slices are shared out as nodes come and go, and what that costs
//! the directory.

use crate::store::{Answer, Store};
use clinet_slices::agent::{Agent, Command, Config, Effect, Event, Fence, Grants, Kept, Module};
use clinet_slices::directory::{Entry, View};
use clinet_slices::names::{Identity, Key, Name, Protocol, Range, Uuid};
use clinet_slices::records::{Conf, FIRST_INCARNATION, FORMAT, Value};
use clinet_slices::{Now, Timing, operator};
use std::collections::BTreeMap;

const SECOND: u64 = 1_000_000_000;
const NODES: usize = 1000;
const SLICES: u32 = 2048;

struct Node {
    agent: Agent,
    module: Module,
    events: Vec<Event>,
    lease: i64,
    wake: u64,
}

struct Pool {
    store: Store,
    nodes: BTreeMap<usize, Node>,
    clock: u64,
    /// What the directory was last, to tell nodes of changes.
    told: BTreeMap<Key, Entry>,
    requests: usize,
    leases: i64,
}

impl Pool {
    fn new() -> Pool {
        let mut store = Store::new(1);
        let conf = Conf {
            format: FORMAT,
            incarnation: FIRST_INCARNATION,
            cluster: 1,
            tcp: Some(Range {
                first: 32768,
                last: 65535,
            }),
            udp: None,
            slice: 16,
            timing: Timing::default(),
        };
        assert_eq!(conf.slices(Protocol::Tcp), SLICES);
        let found = operator::found(&View::default(), store.header, conf).unwrap();
        assert!(store.commit(&found).unwrap().done);
        Pool {
            told: store.entries.clone(),
            store,
            nodes: BTreeMap::new(),
            clock: 1000 * SECOND,
            requests: 0,
            leases: 0,
        }
    }

    fn come(&mut self, n: usize) {
        let config = Config {
            identity: Identity {
                node: Name::new(&format!("node{n}")).unwrap(),
                machine: Uuid(n as u128),
                boot: Uuid(1),
            },
            pool: Name::new("p").unwrap(),
            version: Name::new("1").unwrap(),
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
        let node = Node {
            agent: Agent::new(config, Kept::default(), module.clone()),
            module,
            events: vec![Event::Timer],
            lease: 0,
            wake: 0,
        };
        self.nodes.insert(n, node);
    }

    /// The machine dies; its lease ends later.
    fn die(&mut self, n: usize) -> i64 {
        self.nodes.remove(&n).unwrap().lease
    }

    /// Everybody takes in what is new, and asks for what is next; all requests are done.
    fn round(&mut self) {
        let changes = self.changes();
        let header = self.store.header;
        let now = Now {
            own: self.clock,
            module: self.clock,
        };
        for node in self.nodes.values_mut() {
            if !changes.is_empty() {
                node.events
                    .insert(0, Event::Changes(header, changes.clone()));
            }
            if node.wake <= now.own {
                node.events.push(Event::Timer);
            }
            for event in std::mem::take(&mut node.events) {
                let effects = node.agent.step(now, event);
                for effect in effects {
                    match effect {
                        Effect::Lease => {
                            self.leases += 1;
                            node.lease = self.leases;
                            self.store.leases.insert(node.lease);
                            node.events.push(Event::Lease(node.lease));
                        }
                        Effect::Read(id) => {
                            let all = self.store.all();
                            let event = Event::Snapshot(id, self.store.header, all);
                            node.events.push(event);
                        }
                        Effect::Commit(id, transaction) => {
                            self.requests += 1;
                            let answer = self.store.commit(&transaction).expect("a lease");
                            let Answer {
                                header,
                                done,
                                entries,
                            } = answer;
                            node.events.push(Event::Reply(id, header, done, entries));
                        }
                        Effect::Module(command) => {
                            obey(&mut node.module, command);
                            node.events.push(Event::Module(node.module.clone()));
                        }
                        _ => {}
                    }
                }
                node.wake = u64::MAX;
            }
            if node.wake == u64::MAX {
                node.wake = node.agent.wake(now).unwrap_or(u64::MAX - 1);
            }
        }
    }

    fn changes(&mut self) -> Vec<(Key, u64, Option<Entry>)> {
        let (old, new) = (&self.told, &self.store.entries);
        let gone = old.keys().filter(|key| !new.contains_key(key));
        let revision = self.store.header.revision;
        let mut changes: Vec<_> = gone.map(|key| (key.clone(), revision, None)).collect();
        let put = new
            .iter()
            .filter(|(key, entry)| old.get(key) != Some(entry));
        changes.extend(put.map(|(key, entry)| (key.clone(), entry.revision, Some(entry.clone()))));
        self.told = self.store.entries.clone();
        changes
    }

    /// Until nothing is under way; at most so many rounds, a second each.
    fn settle(&mut self, most: usize) {
        for _ in 0..most {
            self.round();
            let idle = self.nodes.values().all(|node| node.events.is_empty());
            if idle && self.told == self.store.entries {
                return;
            }
            self.clock += SECOND;
        }
        panic!("{most} rounds were not enough");
    }

    /// Time goes on in steps in which nodes renew in time.
    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds.div_ceil(50) {
            self.clock += 50 * SECOND;
            self.settle(100);
        }
    }

    /// How many slices each node has: neighbours, and granted until a time to come.
    fn slices(&self) -> BTreeMap<usize, u32> {
        let count = |node: &Node| {
            let ports = &node.module.grants.ports[Protocol::Tcp as usize];
            assert!(ports.len() <= 1, "no neighbours: {ports:?}");
            assert!(ports.is_empty() || node.module.grants.deadline > self.clock);
            ports.iter().map(|range| range.ports() / 16).sum()
        };
        self.nodes
            .iter()
            .map(|(n, node)| (*n, count(node)))
            .collect()
    }

    fn records(&self) -> usize {
        let values = self.store.entries.values();
        values
            .filter(|entry| matches!(entry.value, Value::Record(_)))
            .count()
    }
}

fn obey(module: &mut Module, command: Command) {
    match command {
        Command::Grants(grants) => module.grants = grants,
        Command::Deadline {
            sequence, deadline, ..
        } => {
            module.grants.sequence = sequence;
            module.grants.deadline = deadline;
        }
        Command::Fence | Command::Unfence { .. } => panic!("nothing was lost: {command:?}"),
    }
}

#[test]
fn a_thousand_nodes_come_grow_and_go() {
    let mut pool = Pool::new();
    (0..NODES).for_each(|n| pool.come(n));
    pool.settle(40);
    let slices = pool.slices();
    assert!(
        slices.values().all(|count| *count == 1),
        "one for each: {slices:?}"
    );
    println!("{NODES} nodes at one moment: {} requests", pool.requests);
    assert!(pool.requests <= 4 * NODES, "{}", pool.requests);

    // Nothing but renewals, each a third of T.
    pool.requests = 0;
    pool.wait(300);
    assert!(pool.requests <= 4 * NODES, "{}", pool.requests);

    // All want more: some get it, and room is left.
    pool.requests = 0;
    for node in pool.nodes.values_mut() {
        node.events.push(Event::Want(Protocol::Tcp, 2));
    }
    pool.settle(60);
    let grown = pool.slices().values().filter(|count| **count == 2).count();
    println!("{grown} of {NODES} grew: {} requests", pool.requests);
    assert!(pool.slices().values().all(|count| (1..=2).contains(count)));
    assert!(grown >= NODES / 4, "{grown}");
    let given = pool.records();
    assert!(given as u32 <= SLICES * 3 / 4 + NODES as u32 / 2, "{given}");
    assert!(pool.requests <= 4 * NODES, "{}", pool.requests);

    // A tenth dies and as many others come; nobody else loses anything.
    let before = pool.slices();
    pool.requests = 0;
    let gone: usize = (0..NODES / 10).map(|n| before[&n] as usize).sum();
    for n in 0..NODES / 10 {
        let lease = pool.die(n);
        pool.store.revoke(lease);
        pool.come(NODES + n);
    }
    pool.settle(200);
    println!(
        "{gone} records of {} dead nodes: {} requests",
        NODES / 10,
        pool.requests
    );
    assert!(pool.requests <= 3 * gone + NODES, "{}", pool.requests);
    let after = pool.slices();
    for (n, count) in &after {
        assert!(
            *count >= before.get(n).copied().unwrap_or(1),
            "node{n}: {count}"
        );
    }

    // After Q the slices of the dead are there for others.
    pool.wait(450);
    let newest = NODES + NODES / 10;
    (newest..newest + NODES / 10).for_each(|n| pool.come(n));
    pool.settle(60);
    assert!(pool.slices().values().all(|count| *count >= 1));
}
