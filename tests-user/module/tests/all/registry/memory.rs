// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory that fails while it grows, many entries.

use std::time::Duration;

use clinet_module_tests::{Control, EADDRNOTAVAIL, Loaded, Tuple, UDP};

use super::*;

/// A machine with a small table.
fn small(refuse: u64) -> Loaded {
    let loaded = Loaded::new(&[("clinet_max_tuples", 2048), ("clinet_full_refuse", refuse)]);
    loaded.kernel.settle();
    loaded
}

const GROWN: u32 = 1200;
/// More than the reserve has memory for.
const MORE: u32 = 23_000;

/// Connects so many; those that were not registered, which is said and counted.
fn grow(loaded: &Loaded, count: u32, refuse: u64) -> Vec<u32> {
    let mut late = Vec::new();
    for n in 0..count {
        if n % 100 == 0 {
            loaded.kernel.settle();
        }
        let answer = loaded.connect2(true, &numbered(n));
        if query(loaded, &numbered(n)).1.reason == OURS {
            assert_eq!(answer, 0);
        } else {
            assert_eq!(answer, if refuse == 1 { EADDRNOTAVAIL } else { 0 });
            late.push(n);
        }
    }
    assert_eq!(loaded.stat("flow_tcp_out_late"), late.len() as u64);
    assert_eq!(
        loaded.stat("registered"),
        u64::from(count) - late.len() as u64
    );
    late
}

/// Everything is right once there is memory again.
fn recover(loaded: &Loaded, count: u32, late: &[u32]) {
    loaded.kernel.fail_allocations(false);
    loaded.kernel.advance(Duration::from_secs(5));
    for n in late {
        loaded.kernel.settle();
        assert_eq!(loaded.connect2(true, &numbered(*n)), 0);
        loaded.kernel.advance(Duration::from_secs(1));
    }
    assert_eq!(list(loaded, 64).len(), count as usize);
    for n in 0..count {
        let (error, answer) = query(loaded, &numbered(n));
        assert_eq!(
            (error, answer.reason, answer.references),
            (0, OURS, 1),
            "{n}"
        );
        loaded.disconnect(&numbered(n));
    }
    assert_eq!(loaded.stat("tuples"), 0);
    loaded.kernel.check_memory().unwrap();
}

#[test]
fn any_allocation_may_fail_while_the_table_grows() {
    let whole = small(0);
    let before = whole.kernel.kmem_allocations();
    assert!(grow(&whole, GROWN, 0).is_empty());
    let allocations = whole.kernel.kmem_allocations() - before;
    assert!(allocations > 10, "{allocations}");
    for nth in 1..=allocations {
        let refuse = nth % 2;
        let loaded = small(refuse);
        loaded.kernel.fail_nth_allocation(nth);
        let late = grow(&loaded, GROWN, refuse);
        recover(&loaded, GROWN, &late);
    }
}

#[test]
fn all_allocations_may_fail_for_a_while() {
    for refuse in [0, 1] {
        let loaded = Loaded::new(&[("clinet_max_tuples", 65536), ("clinet_full_refuse", refuse)]);
        loaded.kernel.settle();
        let idle = memory(&loaded);
        loaded.kernel.fail_allocations(true);
        let late = grow(&loaded, MORE, refuse);
        assert!(
            (1000..MORE as usize).contains(&late.len()),
            "{} late",
            late.len()
        );
        assert_eq!(memory(&loaded), idle);
        loaded.kernel.advance(Duration::from_secs(3));
        recover(&loaded, MORE, &late);
    }
}

/// Without memory nobody is kept busy by those who look for some.
#[test]
fn memory_is_asked_for_a_few_times_a_second_at_most() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 65536)]);
    loaded.kernel.settle();
    loaded.kernel.fail_allocations(true);
    let late = grow(&loaded, MORE, 0);
    let asked = loaded.kernel.kmem_allocations();
    for n in late.iter().cycle().take(2000) {
        assert_eq!(loaded.connect2(true, &numbered(*n)), 0);
    }
    loaded.kernel.settle();
    let asked = loaded.kernel.kmem_allocations() - asked;
    assert!(asked <= 2, "{asked} allocations for 2000 questions");
    loaded.kernel.fail_allocations(false);
}

/// So many that all shards grow; up to eight million with
/// `CLINET_TUPLES`.
#[test]
fn all_memory_is_given_back_after_many_entries() {
    let tuples = number_from("CLINET_TUPLES", 50_000) as u32;
    let most = u64::from(tuples).next_multiple_of(1 << 20) * 2;
    let loaded = Loaded::new(&[("clinet_max_tuples", most)]);
    loaded.kernel.settle();
    let (idle, all) = (memory(&loaded), loaded.kernel.kmem_in_use());
    assert!(idle <= 1 << 20, "{idle} bytes");
    for n in 0..tuples {
        assert_eq!(loaded.connect2(true, &numbered(n)), 0);
        if n % 1000 == 0 {
            loaded.kernel.settle();
        }
    }
    assert_eq!(loaded.stat("tuples"), u64::from(tuples));
    let each = memory(&loaded) / u64::from(tuples);
    // Fewer entries in a shard leave more room.
    let most = match tuples {
        8_000_000.. => 48,
        1_000_000.. => 60,
        _ => 100,
    };
    assert!((24..=most).contains(&each), "{each} bytes each");
    let counted = memory(&loaded) as usize;
    assert_eq!(counted, loaded.kernel.kmem_in_use(), "all is counted");
    assert_eq!(list(&loaded, 4096).len(), tuples as usize);
    for n in 0..tuples {
        loaded.disconnect(&numbered(n));
    }
    assert_eq!((loaded.stat("tuples"), loaded.stat("unknown")), (0, 0));
    loaded.kernel.advance(Duration::from_secs(2));
    assert_eq!((memory(&loaded), loaded.kernel.kmem_in_use()), (idle, all));
    assert!(loaded.kernel.kmem_lost() < 4 << 20);
}

/// A caller that does not let the module's thread run: on one CPU nobody else
/// does.
#[test]
fn no_caller_finds_memory_late() {
    let loaded = Loaded::new(&[]);
    loaded.kernel.settle();
    for n in 0..100_000 {
        assert_eq!(
            loaded.other_node("clinet_install", 2, &numbered(n)),
            0,
            "{n}"
        );
    }
    for n in 100_000..200_000 {
        assert_eq!(loaded.connect2(true, &numbered(n)), 0);
    }
    for n in 0..90_000_u32 {
        let mut tuple = Tuple::v4(UDP, 53, n as u16);
        tuple.faddr[..4].copy_from_slice(&n.to_be_bytes());
        assert_eq!(loaded.connect2(true, &tuple), 0);
    }
    for port in 1000..31_000 {
        let [protocol, family, laddr, lport, ..] = args(&Tuple::v4(UDP, port, 0));
        loaded.tell("clinet_bind", &[protocol, family, laddr, lport]);
    }
    let late = [
        "flow_tcp_out_late",
        "flow_udp_late",
        "install_late",
        "binds_uncounted",
    ];
    assert_eq!(late.map(|late| loaded.stat(late)), [0; 4]);
    assert_eq!(loaded.stat("tuples"), 290_000);
}

#[test]
fn an_install_without_memory_says_so_and_not_that_it_is_full() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 65536)]);
    loaded.kernel.settle();
    loaded.kernel.fail_allocations(true);
    let install = |n: u32| loaded.other_node("clinet_install", 2, &numbered(n));
    let late = (0..MORE).find(|n| install(*n) != 0).unwrap();
    assert_eq!((install(late), loaded.stat("install_late")), (EAGAIN, 2));
    loaded.kernel.fail_allocations(false);
    loaded.kernel.advance(Duration::from_secs(1));
    assert_eq!(install(late), 0);
}

/// One socket that connects to ever new peers leaves TCP all but its share.
#[test]
fn udp_has_a_share_of_the_table() {
    for (refuse, answer) in [(0, 0), (1, EADDRNOTAVAIL)] {
        let loaded = Loaded::new(&[("clinet_max_tuples", 1000), ("clinet_full_refuse", refuse)]);
        let flow = |n: u16| Tuple::v4(UDP, 53, n);
        for n in 0..250 {
            assert_eq!(loaded.connect2(true, &flow(n)), 0);
        }
        assert_eq!(loaded.connect2(true, &flow(250)), answer);
        assert_eq!(reason(&loaded, &flow(250)), (answer, FULL_UDP));
        for n in 0..750 {
            assert_eq!(loaded.connect2(true, &numbered(n)), 0);
            assert_eq!(reason(&loaded, &numbered(n)), (0, OURS), "{n}");
        }
        assert_eq!(loaded.connect2(true, &numbered(750)), answer);
        assert_eq!(reason(&loaded, &numbered(751)), (answer, FULL));
        let full = ["flow_udp_udp_full", "flow_udp_full", "flow_tcp_out_full"];
        assert_eq!(full.map(|full| loaded.stat(full)), [1, 0, 1]);
    }
}

/// As a process does that binds to address after address.
/// The module's task gives names back as well, once a second; who needs one at that
/// very moment has none.
#[test]
fn addresses_come_back_when_nothing_of_them_is_left() {
    let loaded = Loaded::new(&[]);
    let mut in_vain = 0;
    for n in 0..3000_u32 {
        let mut tuple = Tuple::v4(UDP, 53, 99);
        tuple.laddr[..4].copy_from_slice(&(0x0a00_0001 + n).to_be_bytes());
        let [protocol, family, laddr, lport, ..] = args(&tuple);
        loaded.tell("clinet_bind", &[protocol, family, laddr, lport]);
        loaded.tell("clinet_unbind", &[protocol, family, laddr, lport]);
        let mut tcp = Tuple::v4(TCP, 1, 80);
        tcp.laddr = tuple.laddr;
        assert_eq!(loaded.connect2(true, &tcp), 0);
        in_vain += u64::from(reason(&loaded, &tcp) != (0, OURS));
        loaded.disconnect(&tcp);
    }
    let uncounted = loaded.stat("binds_uncounted");
    assert!(in_vain + uncounted < 30, "{in_vain}, {uncounted}");
}

#[test]
fn multicast_and_broadcast_are_never_shared() {
    let loaded = Loaded::new(&[]);
    for address in [[224, 0, 0, 1], [239, 255, 255, 255], [255, 255, 255, 255]] {
        let mut tuple = Tuple::v4(UDP, 53, 99);
        tuple.laddr[..4].copy_from_slice(&address);
        assert_eq!(reason(&loaded, &tuple), (0, NOT_SHARED), "{address:?}");
    }
    let mut tuple = Tuple::v6(UDP, 53, 99);
    tuple.laddr[0] = 0xff;
    assert_eq!(reason(&loaded, &tuple), (0, NOT_SHARED));
}

/// A small table is swept within a second or two, a large one every ten
/// seconds.
#[test]
fn the_dead_are_swept_by_the_module_itself() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 1 << 18)]);
    let purge = |count: u32, seconds: u64| {
        for n in 0..count {
            assert_eq!(loaded.other_node("clinet_install", 2, &numbered(n)), 0);
        }
        assert_eq!(loaded.stat("tuples"), u64::from(count));
        assert_eq!(loaded.call("clinet_purge", &[2]), 0);
        loaded.kernel.advance(Duration::from_secs(seconds));
        assert_eq!(loaded.stat("tuples"), 0);
    };
    for _ in 0..3 {
        purge(10, 2);
    }
    purge(60_000, 12);
}

/// Its socket may be bound to another address: nobody says when it goes.
#[test]
fn an_endpoint_whose_only_question_was_refused_goes_when_it_is_old() {
    let loaded = Loaded::new(&[("clinet_udp_age", 100)]);
    let tuple = Tuple::v4(UDP, 1, 2);
    assert_eq!(loaded.other_node("clinet_install", 4, &tuple), 0);
    // The first one brings memory, where there is none yet for an endpoint.
    for _ in 0..2 {
        assert_ne!(loaded.connect2(true, &tuple), 0);
    }
    let endpoints = || {
        loaded.kernel.settle();
        let state = loaded.state();
        (state.cst_endpoints, state.cst_tuples)
    };
    loaded.kernel.advance(Duration::from_secs(50));
    assert_eq!(endpoints(), (1, 1));
    loaded.kernel.advance(Duration::from_secs(100));
    assert_eq!(endpoints(), (0, 1));
}
