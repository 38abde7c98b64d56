// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Agents as processes, on machines in memory, with a real etcd.

#[allow(dead_code, reason = "the other tests of the agent need more of it")]
mod common;

use std::thread;
use std::time::{Duration, Instant};

use clinet_slices::names::Protocol;
use common::etcd::{Etcd, block_on, eventually, get};
use common::proxy::Proxy;
use common::{Cluster, Machine, disjoint, name, one_at_a_time, operator};
use etcd_client::PutOptions;

/// T of tests in which nobody may be late, on a machine that has much to do.
const LONG: u32 = 9;
/// T of tests that wait for its end.
const SHORT: u32 = 3;

/// The text of all keys of the cluster.
fn keys(etcd: &Etcd) -> Vec<String> {
    etcd.with(async |client| {
        let options = etcd_client::GetOptions::new().with_prefix();
        let answer = client.kv_client().get("/clinet/", Some(options)).await;
        let answer = answer.expect("the keys");
        let keys = answer.kvs().iter();
        keys.map(|pair| pair.key_str().expect("a text").to_owned())
            .collect()
    })
}

#[test]
fn nodes_join_take_and_renew() {
    let _one = one_at_a_time();
    let cluster = Cluster::found(&["a", "b", "c"], LONG, "");
    let _agents = cluster.agents();
    let machines = &cluster.machines;
    eventually("each has UDP ports", || {
        machines.iter().all(|m| !m.granted(1).is_empty())
    });
    assert!(disjoint(machines));
    let deadlines: Vec<u64> = machines.iter().map(Machine::deadline).collect();
    eventually("each renews", || {
        let now = machines.iter().map(Machine::deadline);
        now.zip(&deadlines).all(|(now, before)| now > *before)
    });
    for machine in machines {
        let around = || machine.around.lock().expect("the machine");
        eventually("ports are chosen from the slice", || {
            around().ranges == [Some(machine.granted(0)[0]), Some(machine.granted(1)[0])]
        });
        eventually("the addresses are up", || around().up.len() == 2);
        let metrics = get(&machine.metrics, "/metrics").expect("metrics");
        for line in [
            "state=\"serving\"} 1",
            "clinet_slices_owned{",
            "state=\"unfenced\"} 1",
        ] {
            assert!(metrics.contains(line), "{line}: {metrics}");
        }
    }
}

#[test]
fn without_a_configuration_nobody_takes_anything() {
    let _one = one_at_a_time();
    let etcd = Etcd::start();
    let machine = Machine::start("a");
    let file = machine.configure(&[etcd.endpoint()], LONG, "");
    let _agent = machine.agent(&file);
    eventually("it says so", || {
        get(&machine.metrics, "/metrics").is_some_and(|text| text.contains("state=\"stopped\"} 1"))
    });
    assert!(machine.granted(0).is_empty());
    assert!(machine.around.lock().expect("the machine").up.is_empty());
}

#[test]
fn an_agent_that_ends_changes_nothing() {
    let _one = one_at_a_time();
    let cluster = Cluster::found(&["a"], LONG, "");
    let machine = &cluster.machines[0];
    let agent = cluster.agents().remove(0);
    eventually("it has UDP ports", || !machine.granted(1).is_empty());
    let (granted, epoch) = (machine.granted(0), machine.epoch());
    let before = keys(&cluster.etcd);

    assert_eq!(agent.terminate(), Some(0));
    assert_eq!(machine.granted(0), granted);
    assert_eq!(keys(&cluster.etcd), before);

    // Its successor goes on at once, in an epoch of its own; and so does the one of who is killed.
    let agent = cluster.agent(0);
    eventually("the next one retakes", || machine.epoch() != epoch);
    let epoch = machine.epoch();
    drop(agent);
    let _agent = cluster.agent(0);
    eventually("the next one retakes", || machine.epoch() != epoch);
    assert_eq!(machine.granted(0), granted);
    assert!(!machine.is_fenced());
    assert!(machine.time_left() > 0);
}

#[test]
fn a_second_agent_of_a_node_waits() {
    let _one = one_at_a_time();
    let cluster = Cluster::found(&["a"], LONG, "");
    let machine = &cluster.machines[0];
    let first = cluster.agents().remove(0);
    let other = machine.configure(&[cluster.etcd.endpoint()], LONG, "");
    let text = std::fs::read_to_string(&other).expect("the file");
    let address = format!("127.0.0.1:{}", common::etcd::free_port());
    std::fs::write(&other, text.replace(&machine.metrics, &address)).expect("the file");
    let _second = machine.agent(&other);
    eventually("it is there", || get(&address, "/metrics").is_some());
    let epoch = machine.epoch();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(machine.epoch(), epoch);
    drop(first);
    eventually("it goes on", || machine.epoch() != epoch);
}

#[test]
fn an_outage_shorter_than_t_stops_nobody_and_a_longer_one_fences() {
    let _one = one_at_a_time();
    let mut cluster = Cluster::found(&["a", "b"], SHORT, "");
    let _agents = cluster.agents();
    cluster.etcd.stop();
    eventually("the addresses are taken away", || {
        cluster.machines.iter().all(Machine::is_fenced)
    });
    assert!(cluster.machines.iter().all(|m| m.granted(0).is_empty()));
    cluster.etcd.resume();
    eventually("they come back", || {
        cluster.machines.iter().all(Machine::serves)
    });
    assert!(disjoint(&cluster.machines));
    // A short one.
    let deadlines: Vec<u64> = cluster.machines.iter().map(Machine::deadline).collect();
    cluster.etcd.stop();
    cluster.etcd.resume();
    eventually("they renew", || {
        let now = cluster.machines.iter().map(Machine::deadline);
        now.zip(&deadlines).all(|(now, before)| now > *before)
    });
}

#[test]
fn what_a_dead_node_had_is_left_alone_until_nothing_is_on_its_way() {
    let _one = one_at_a_time();
    // Two slices for three nodes.
    let ports = "[ports]\ntcp = \"32768-36863\"\nudp = \"32768-36863\"\n";
    let cluster = Cluster::found(&["a", "b", "c"], SHORT, ports);
    let (a, c) = (&cluster.machines[0], &cluster.machines[2]);
    let agent = cluster.agent(0);
    eventually("a serves", || a.serves() && !a.granted(1).is_empty());
    let _b = cluster.agent(1);
    eventually("b serves", || cluster.machines[1].serves());
    let _c = cluster.agent(2);
    let had = a.granted(0);
    drop(agent);
    let died = Instant::now();
    eventually("c has what a had", || {
        // While a may send from its ports nobody else has them.
        assert!(a.time_left() == 0 || c.granted(0).is_empty());
        !c.granted(0).is_empty()
    });
    assert_eq!(c.granted(0), had);
    assert!(a.is_fenced());
    assert!(
        died.elapsed() > Duration::from_millis(4500),
        "{:?}",
        died.elapsed()
    );
}

#[test]
fn the_operators_word_makes_it_immediate() {
    let _one = one_at_a_time();
    let cluster = Cluster::found(&["a", "b"], LONG, "");
    let (a, b) = (&cluster.machines[0], &cluster.machines[1]);
    let agents = cluster.agents();
    let operator = || operator(&cluster.files[0]);
    block_on(operator().reserve(Protocol::Tcp, 443, &name("a"))).expect("reserved");
    eventually("a has it", || a.granted(0).contains(&(443, 443)));
    assert!(block_on(operator().reserve(Protocol::Tcp, 33000, &name("a"))).is_err());
    let mut agents = agents.into_iter();
    drop(agents.next());
    block_on(operator().reserve(Protocol::Tcp, 443, &name("b"))).expect("reserved");
    let began = Instant::now();
    let freed = block_on(operator().fenced(&name("a"))).expect("freed");
    assert!(freed.len() >= 2, "{freed:?}");
    eventually("b has it", || b.granted(0).contains(&(443, 443)));
    assert!(began.elapsed() < Duration::from_secs(u64::from(LONG)));
}

#[test]
fn a_drained_node_gives_up_and_comes_back_when_nobody_is_on_its_old_ports() {
    let _one = one_at_a_time();
    let cluster = Cluster::found(&["a"], SHORT, "");
    let a = &cluster.machines[0];
    let _agents = cluster.agents();
    eventually("a has UDP ports", || !a.granted(1).is_empty());
    let operator = || operator(&cluster.files[0]);
    block_on(operator().drain(&name("a"), true)).expect("drained");
    eventually("nothing is left", || {
        keys(&cluster.etcd)
            .iter()
            .all(|key| !key.contains("/slice/"))
    });
    assert!(a.is_fenced() && a.granted(0).is_empty());

    // A program still has a UDP socket on a port that may be another node's by now.
    let stale = (65000, "stale".to_owned());
    a.around.lock().expect("the machine").sockets.push(stale);
    block_on(operator().drain(&name("a"), false)).expect("not drained");
    eventually("it is waited for", || {
        let metrics = get(&a.metrics, "/metrics").unwrap_or_default();
        metrics
            .lines()
            .any(|line| line.starts_with("clinet_waiting_sockets{") && line.ends_with(" 1"))
    });
    assert!(a.is_fenced());
    a.around.lock().expect("the machine").sockets.clear();
    eventually("a serves", || a.serves());
}

#[test]
fn a_rebooted_node_takes_other_slices() {
    let _one = one_at_a_time();
    let cluster = Cluster::found(&["a"], SHORT, "");
    let agent = cluster.agents().remove(0);
    let had = cluster.machines[0].granted(0);
    drop(agent);
    // The machine's memory is lost with its sockets, and its file of state is kept.
    let machine = Machine::start("a");
    machine.boot(2);
    let file = machine.configure(&[cluster.etcd.endpoint()], SHORT, "");
    let _agent = machine.agent(&file);
    eventually("it serves", || machine.serves());
    assert_ne!(machine.granted(0), had);
}

#[test]
fn a_full_etcd_stops_no_renewal() {
    let _one = one_at_a_time();
    let mut etcd = Etcd::with_options(&["--quota-backend-bytes", "1000000"]);
    let machine = Machine::start("a");
    let file = machine.configure(&[etcd.endpoint()], SHORT, "");
    block_on(operator(&file).found()).expect("founded");
    let _agent = machine.agent(&file);
    eventually("it serves", || machine.serves());
    etcd.with(async |client| {
        let mut kv = client.kv_client();
        for n in 0.. {
            let put = kv.put(format!("/other/{n}"), vec![0; 100_000], None::<PutOptions>);
            if put.await.is_err() {
                break;
            }
        }
    });
    let end = machine.deadline() + 2 * u64::from(SHORT) * 1_000_000_000;
    eventually("it renews on and on", || {
        assert!(!machine.is_fenced());
        machine.deadline() > end
    });
    etcd.stop();
}

#[test]
fn a_watch_that_was_cut_for_long_reads_everything_again() {
    let _one = one_at_a_time();
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.endpoint());
    let machine = Machine::start("a");
    let file = machine.configure(&[proxy.endpoint()], LONG, "");
    block_on(operator(&file).found()).expect("founded");
    let _agent = machine.agent(&file);
    eventually("it serves", || machine.serves());
    proxy.cut(true);
    // What happens meanwhile is compacted away.
    let direct = machine.configure(&[etcd.endpoint()], LONG, "");
    block_on(operator(&direct).reserve(Protocol::Tcp, 80, &name("a"))).expect("reserved");
    etcd.with(async |client| {
        let mut kv = client.kv_client();
        let put = kv.put("/other", "", None).await.expect("put");
        let revision = put.header().expect("a header").revision();
        kv.compact(revision, None).await.expect("compacted");
    });
    proxy.cut(false);
    eventually("it has the port", || machine.granted(0).contains(&(80, 80)));
    assert!(!machine.is_fenced());
    // And one that was cut for a moment goes on.
    proxy.cut(true);
    block_on(operator(&direct).reserve(Protocol::Udp, 53, &name("a"))).expect("reserved");
    proxy.cut(false);
    eventually("it has the port", || machine.granted(1).contains(&(53, 53)));
}

#[test]
fn a_member_that_is_gone_is_passed_over() {
    let _one = one_at_a_time();
    let etcd = Etcd::start();
    let proxy = Proxy::start(etcd.endpoint());
    let machine = Machine::start("a");
    let nobody = format!("http://127.0.0.1:{}", common::etcd::free_port());
    let file = machine.configure(&[&nobody, proxy.endpoint(), etcd.endpoint()], LONG, "");
    block_on(operator(&file).found()).expect("founded");
    let _agent = machine.agent(&file);
    eventually("it serves", || machine.serves());
    proxy.cut(true);
    let deadline = machine.deadline();
    eventually("it renews", || machine.deadline() > deadline);
}

#[test]
fn users_and_passwords_are_asked_for() {
    let _one = one_at_a_time();
    let etcd = Etcd::with_options(&["--auth-token-ttl", "1"]);
    let proxy = Proxy::start(etcd.endpoint());
    etcd.with(async |client| {
        let mut auth = client.auth_client();
        for user in ["root", "clinet"] {
            auth.user_add(user, "secret", None).await.expect("a user");
            auth.user_grant_role(user, "root").await.expect("its role");
        }
        auth.auth_enable().await.expect("asked for");
    });
    let machine = Machine::start("a");
    let folder = tempfile::tempdir().expect("a folder");
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").expect("a password");
    let file = machine.configure(&[proxy.endpoint()], LONG, "");
    let refused = block_on(operator(&file).found());
    assert!(refused.is_err());
    let text = std::fs::read_to_string(&file).expect("the file");
    let user = format!("timeout = 3\nuser = \"clinet\"\npassword-file = {password:?}\n");
    std::fs::write(&file, text.replace("timeout = 0.5\n", &user)).expect("the file");
    block_on(operator(&file).found()).expect("founded");
    let _agent = machine.agent(&file);
    eventually("it serves", || machine.serves());
    let renews = || {
        let deadline = machine.deadline();
        eventually("it renews", || machine.deadline() > deadline);
    };
    renews();
    // etcd forgets the token before the next renewal, so that a watch is the first to hear of it.
    thread::sleep(Duration::from_secs(2));
    proxy.cut(true);
    proxy.cut(false);
    renews();
}
