// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory that fails while it grows, many entries.

use std::time::Duration;

use clinet_module_tests::{EADDRNOTAVAIL, Loaded, Tuple, UDP};

use super::*;

/// A machine whose table is as small as it gets.
fn small(refuse: u64) -> Loaded {
    let loaded = Loaded::new(&[("clinet_max_tuples", 1024), ("clinet_full_refuse", refuse)]);
    for _ in 0..4 {
        sweep(&loaded);
        loaded.kernel.settle();
    }
    loaded
}

const GROWN: u32 = 900;
/// More than the memory that a large table has at first takes: 20480.
const MORE: u32 = 23_000;

/// Connects so many; those that were not registered, which is said and counted.
fn grow(loaded: &Loaded, count: u32, refuse: u64) -> Vec<u32> {
    let mut late = Vec::new();
    for n in 0..count {
        if n % 10 == 0 {
            // A region that is crowded and not in need waits for the second.
            loaded.kernel.advance(Duration::from_secs(1));
        }
        let answer = loaded.connect2(true, &numbered(n));
        if query(loaded, &numbered(n)).1.reason == OURS {
            assert_eq!(answer, 0);
        } else {
            assert_eq!(answer, if refuse == 1 { EADDRNOTAVAIL } else { 0 });
            assert_eq!(reason(loaded, &numbered(n)), (answer, LATE));
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
    assert!(allocations > 16, "{allocations}");
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
        assert!((1000..8000).contains(&late.len()), "{} late", late.len());
        assert_eq!(memory(&loaded), idle);
        loaded.kernel.advance(Duration::from_secs(3));
        recover(&loaded, MORE, &late);
    }
}

/// So many that all regions grow; up to eight million with
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
    // Fewer entries in a region leave more room.
    let most = match tuples {
        8_000_000.. => 48,
        1_000_000.. => 100,
        _ => 200,
    };
    assert!((24..=most).contains(&each), "{each} bytes each");
    assert_eq!(list(&loaded, 4096).len(), tuples as usize);
    for n in 0..tuples {
        loaded.disconnect(&numbered(n));
    }
    assert_eq!((loaded.stat("tuples"), loaded.stat("unknown")), (0, 0));
    for _ in 0..10 {
        sweep(&loaded);
    }
    assert_eq!((memory(&loaded), loaded.kernel.kmem_in_use()), (idle, all));
}

/// A bind that finds no room is not counted, and from then on no unbind drops
/// anything.
#[test]
fn binds_get_memory_as_fast_as_connects() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 65536)]);
    for port in 0..MORE {
        let tuple = Tuple::v4(UDP, port as u16, 0);
        let [protocol, family, laddr, lport, ..] = args(&tuple);
        loaded.tell("clinet_bind", &[protocol, family, laddr, lport]);
        if port % 100 == 0 {
            loaded.kernel.settle();
        }
    }
    assert_eq!(loaded.stat("binds_uncounted"), 0);
}

#[test]
fn what_other_nodes_install_gets_memory_as_fast_as_connects() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 65536)]);
    for n in 0..MORE {
        let tuple = numbered(n);
        assert_eq!(loaded.other_node("clinet_install", 2, &tuple), 0, "{n}");
        if n % 100 == 0 {
            loaded.kernel.settle();
        }
    }
}

#[test]
fn an_install_that_found_no_memory_asks_for_it() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 65536)]);
    loaded.kernel.settle();
    loaded.kernel.fail_allocations(true);
    let install = |n: u32| loaded.other_node("clinet_install", 2, &numbered(n));
    let refused = (0..MORE).find(|n| install(*n) == ENOSPC).unwrap();
    loaded.kernel.settle();
    loaded.kernel.fail_allocations(false);
    assert_eq!(install(refused), ENOSPC);
    loaded.kernel.settle();
    assert_eq!(install(refused), 0);
}

/// A small table is swept within a second or two, a large one every ten
/// seconds.
#[test]
fn the_dead_are_swept_by_the_module_itself() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 1 << 18)]);
    let purge = |count: u32, seconds: u64| {
        for n in 0..count {
            assert_eq!(loaded.other_node("clinet_install", 2, &numbered(n)), 0);
            if n % 100 == 0 {
                loaded.kernel.settle();
            }
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
