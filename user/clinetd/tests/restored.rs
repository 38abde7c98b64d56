// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Agents whose etcd is restored from a copy.

#[allow(dead_code, reason = "the other tests of the agent need more of it")]
mod common;

use std::time::{Duration, Instant};

use common::etcd::{Etcd, Process, block_on, eventually, get};
use common::proxy::Proxy;
use common::{Cluster, Machine, disjoint, name, one_at_a_time, operator};
use etcd_client::{Client, GetOptions};

/// T of tests that wait for its end.
const SHORT: u32 = 3;
/// T of tests that do not wait so long for anything.
const ENDLESS: u32 = 200;

/// A node that is reached by a way of its own.
struct Node {
    machine: Machine,
    way: Proxy,
    agent: Option<Process>,
}

impl Node {
    fn start(name: &str, etcd: &Etcd) -> Self {
        Self {
            machine: Machine::start(name),
            way: Proxy::start(etcd.endpoint()),
            agent: None,
        }
    }

    /// Its agent's file, or one with the direct way.
    fn configure(&self, endpoint: &str) -> std::path::PathBuf {
        let ports = "[ports]\ntcp = \"32768-36863\"\nudp = \"32768-36863\"\n";
        let file = self.machine.configure(&[endpoint], ENDLESS, ports);
        let text = std::fs::read_to_string(&file).expect("the file");
        std::fs::write(&file, text.replace("lease = 2\n", "lease = 30\n")).expect("the file");
        file
    }

    fn serves(&self) -> bool {
        self.machine.serves() && !self.machine.granted(1).is_empty()
    }
}

/// Nodes a and c, of which each would begin with the same slice. The copy has both as members that
/// took nothing yet. After it a took that slice, and nobody sees the other etcd yet.
struct Pair {
    etcd: Etcd,
    a: Node,
    c: Node,
}

impl Pair {
    fn start() -> Self {
        let etcd = Etcd::start();
        let [a, c] = ["a", "c"].map(|name| Node::start(name, &etcd));
        let mut pair = Self { etcd, a, c };
        let direct = pair.a.configure(pair.etcd.endpoint());
        block_on(operator(&direct).found()).expect("founded");
        pair.drain("a", true);
        pair.drain("c", true);
        for node in [&mut pair.a, &mut pair.c] {
            let file = node.configure(node.way.endpoint());
            node.agent = Some(node.machine.agent(&file));
        }
        eventually("both are members", || pair.keys("node/").len() == 2);
        pair.c.way.cut(true);
        let copy = pair.etcd.copy();
        pair.drain("a", false);
        eventually("a serves", || pair.a.serves());
        pair.a.way.cut(true);
        pair.etcd.restore(&copy);
        pair
    }

    fn drain(&self, node: &str, on: bool) {
        let direct = self.a.configure(self.etcd.endpoint());
        block_on(operator(&direct).drain(&name(node), on)).expect("said");
    }

    /// The keys of one kind, and the revisions of their last changes.
    fn keys(&self, kind: &str) -> Vec<(String, i64)> {
        let prefix = format!("/clinet/1/test/{kind}");
        self.etcd.with(async |client: Client| {
            let options = GetOptions::new().with_prefix();
            let answer = client.kv_client().get(prefix, Some(options)).await;
            let answer = answer.expect("the keys");
            let pairs = answer.kvs().iter();
            pairs
                .map(|pair| {
                    let key = pair.key_str().expect("a text").to_owned();
                    (key, pair.mod_revision())
                })
                .collect()
        })
    }

    /// Changes other keys, so that the revision grows past all that was seen.
    fn grow(&self) {
        self.etcd.with(async |client: Client| {
            for _ in 0..20 {
                let put = client.kv_client().put("/other", "", None).await;
                put.expect("put");
            }
        });
    }

    fn c_takes(&self) {
        self.c.way.cut(false);
        self.drain("c", false);
        eventually("c serves", || self.c.serves());
    }

    /// a gets to see what etcd is now. Its deadline is far away.
    fn a_is_fenced(&self) {
        self.a.way.cut(false);
        eventually("a is fenced", || self.a.machine.is_fenced());
    }
}

#[test]
fn a_restored_snapshot_stops_agents_until_somebody_recovers() {
    let _one = one_at_a_time();
    let mut cluster = Cluster::found(&["a", "b"], SHORT, "");
    let agent = cluster.agent(0);
    eventually("a serves", || cluster.machines[0].serves());
    // The copy knows nothing of b.
    let copy = cluster.etcd.copy();
    let other = cluster.agent(1);
    eventually("both serve", || {
        cluster.machines.iter().all(Machine::serves)
    });
    let had = cluster.machines[1].granted(0);
    // Who has heard of nothing since the copy was made cannot tell the two apart.
    let [a, b] = [&cluster.machines[0], &cluster.machines[1]];
    eventually("a has heard of b", || a.heard() >= b.heard());
    cluster.etcd.restore(&copy);
    // Agents that run notice, and so does one that starts.
    drop(other);
    let _agents = [agent, cluster.agent(1)];
    for machine in &cluster.machines {
        eventually("it stops", || {
            let metrics = get(&machine.metrics, "/metrics").unwrap_or_default();
            metrics.contains("state=\"stopped\"} 1") && machine.is_fenced()
        });
    }
    block_on(operator(&cluster.files[0]).recover()).expect("recovered");
    let began = Instant::now();
    eventually("both serve again", || {
        cluster.machines.iter().all(Machine::serves)
    });
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert!(disjoint(&cluster.machines));
    assert!(!had.is_empty());
}

#[test]
fn an_older_revision_fences_at_once() {
    let _one = one_at_a_time();
    let pair = Pair::start();
    pair.a_is_fenced();
    pair.c_takes();
    assert!(pair.a.machine.is_fenced());
}

#[test]
fn who_has_lost_its_record_gives_up_at_once_and_takes_another() {
    let _one = one_at_a_time();
    let pair = Pair::start();
    pair.grow();
    // So that nothing else is as it was.
    pair.drain("a", false);
    pair.c_takes();
    pair.a_is_fenced();
    eventually("a serves again", || pair.a.serves());
    assert!(disjoint(&[pair.a.machine, pair.c.machine]));
}

/// The records look to a's renewals as if they were its own.
#[test]
fn a_slice_that_another_took_at_the_very_revision_is_given_up_at_once() {
    let _one = one_at_a_time();
    let pair = Pair::start();
    let had = pair.a.machine.granted(0);
    pair.c_takes();
    assert_eq!(pair.c.machine.granted(0), had);
    pair.grow();
    pair.a_is_fenced();
    assert!(pair.c.serves());
}
