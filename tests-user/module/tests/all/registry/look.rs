// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What C sees of it: queries, listings, odd arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use clinet_kernel::Context;
use clinet_module_tests::{
    EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, Loaded, SCTP, SHARED4, TCP, Tuple, UDP,
    ptr_mut,
};

use super::*;

#[test]
fn a_query_says_what_a_question_would_get_and_counts_nothing() {
    let loaded = Loaded::new(&[
        ("clinet_max_tuples", 64),
        ("clinet_full_refuse", 1),
        ("clinet_node_id", 5),
    ]);
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(query(&loaded, &tuple), (0, Answer::default()));
    for _ in 0..3 {
        assert_eq!(loaded.connect2(true, &tuple), 0);
    }
    let ours = Answer {
        reason: OURS,
        owner: 5,
        references: 3,
        pad: 0,
    };
    assert_eq!(query(&loaded, &tuple), (0, ours));
    let other = Tuple::v4(UDP, 1, 2);
    assert_eq!(loaded.other_node("clinet_install", 9, &other), 0);
    let owned = Answer {
        reason: OWNED,
        owner: 9,
        references: 0,
        pad: 0,
    };
    assert_eq!(query(&loaded, &other), (EADDRINUSE, owned));
    let any = Tuple {
        laddr: [0; 16],
        ..tuple
    };
    assert_eq!(reason(&loaded, &any), (0, NO_ADDRESS));
    let mut loopback = tuple;
    loopback.laddr[..4].copy_from_slice(&[127, 0, 0, 1]);
    assert_eq!(reason(&loaded, &loopback), (0, NOT_SHARED));
    for port in 100..162 {
        assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, port, 80)), 0);
    }
    assert_eq!(
        reason(&loaded, &Tuple::v4(TCP, 7, 7)),
        (EADDRNOTAVAIL, FULL)
    );
    assert_eq!(query(&loaded, &tuple), (0, ours));
    let [a, b, c, d, e, f] = args(&other);
    assert_eq!(
        loaded.call("clinet_query", &[a, b, c, d, e, f, 0, 0]),
        EADDRINUSE
    );
    assert_eq!(loaded.stat("flow_tcp_out_asked"), 65);
    assert_eq!(
        (loaded.stat("flow_udp_asked"), loaded.stat("full_refused")),
        (0, 0)
    );
}

/// A caller was compiled with a header whose structures have fewer members, or more.
#[test]
fn structures_are_filled_as_far_as_both_know_them() {
    let loaded = Loaded::with_builtin();
    let tuples = [Tuple::v6(TCP, 1, 2), Tuple::v6(TCP, 3, 4)];
    for tuple in tuples {
        assert_eq!(loaded.connect2(true, &tuple), 0);
    }
    let untouched = Answer {
        reason: 77,
        owner: 77,
        references: 77,
        pad: 77,
    };
    let mut answer = untouched;
    let [a, b, c, d, e, f] = args(&tuples[0]);
    let two_members = [a, b, c, d, e, f, ptr_mut(&mut answer), 8];
    assert_eq!(loaded.call("clinet_query", &two_members), 0);
    let expected = Answer {
        reason: OURS,
        owner: 1,
        ..untouched
    };
    assert_eq!(answer, expected);
    for size in [34, 80] {
        let mut bytes = vec![0xee_u8; 64 * size];
        let (mut cursor, mut count) = (Cursor::default(), 64_u32);
        let arguments = [
            ptr_mut(&mut cursor),
            ptr_mut(&mut bytes[..]),
            ptr_mut(&mut count),
            size as u64,
        ];
        let error = loaded.call_in(&Context::thread(), "clinet_list", &arguments);
        assert!([0, ENOENT].contains(&error), "{error}");
        assert_eq!(count, 2);
        let (listed, rest) = bytes.split_at(2 * size);
        for element in listed.chunks(size) {
            let (known, unknown) = element.split_at(size.min(size_of::<Entry>()));
            assert_eq!(known[..16], tuples[0].laddr);
            assert_eq!(known[16..32], tuples[0].faddr);
            assert!(unknown.iter().all(|byte| *byte == 0xee), "{size}");
        }
        assert!(rest.iter().all(|byte| *byte == 0xee), "{size}");
    }
}

#[test]
fn odd_arguments_are_refused_or_ignored() {
    let loaded = Loaded::with_builtin();
    let right = args(&Tuple::v4(TCP, 1, 2));
    let with = |index: usize, value: u64| {
        let mut odd = right;
        odd[index] = value;
        odd
    };
    let cases = [
        (with(2, 0), EINVAL),
        (with(4, 0), EINVAL),
        (with(1, 10), EAFNOSUPPORT),
        (with(1, 0), EAFNOSUPPORT),
        (with(0, SCTP.into()), EPROTONOSUPPORT),
        (with(0, 255), EPROTONOSUPPORT),
    ];
    for ([a, b, c, d, e, f], error) in cases {
        let mut answer = Answer {
            reason: 77,
            ..Answer::default()
        };
        let query = [a, b, c, d, e, f, ptr_mut(&mut answer), 16];
        assert_eq!(loaded.call("clinet_query", &query), error);
        assert_eq!(answer.reason, 77, "an answer beside an error");
    }
    let mut cursor = Cursor::default();
    let mut entries = [Entry::default(); 64];
    let mut count = 64_u32;
    let all = [
        ptr_mut(&mut cursor),
        ptr_mut(&mut entries),
        ptr_mut(&mut count),
        size_of::<Entry>() as u64,
    ];
    for index in 0..4 {
        let mut arguments = all;
        arguments[index] = 0;
        assert_eq!(
            loaded.call_in(&Context::thread(), "clinet_list", &arguments),
            EINVAL
        );
    }
    for few in [0, 1, 63] {
        count = few;
        assert_eq!(
            loaded.call_in(&Context::thread(), "clinet_list", &all),
            EINVAL
        );
        assert_eq!(std::mem::replace(&mut count, 64), 0);
    }
    assert_eq!(
        loaded.call_in(&Context::thread(), "clinet_list", &all),
        ENOENT
    );
    assert_eq!(count, 0);
}

#[test]
fn without_the_provider_there_is_nothing_to_look_at() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(query(&loaded, &tuple), (ENXIO, Answer::default()));
    let (mut cursor, mut entries, mut count) = (Cursor::default(), [Entry::default(); 64], 64_u32);
    let arguments = [
        ptr_mut(&mut cursor),
        ptr_mut(&mut entries),
        ptr_mut(&mut count),
        size_of::<Entry>() as u64,
    ];
    assert_eq!(
        loaded.call_in(&Context::thread(), "clinet_list", &arguments),
        ENXIO
    );
    assert_eq!(count, 0);
    // That of the kstats.
    assert!(memory(&loaded) > 0);
    sweep(&loaded);
}

/// Where nothing is ever too old, what is hours old is not taken for young.
#[test]
fn without_an_age_hours_are_listed_and_a_day_at_most() {
    let loaded = Loaded::new(&[("clinet_udp_age", 0)]);
    loaded.kernel.settle();
    assert_eq!(loaded.connect2(true, &Tuple::v4(UDP, 53, 99)), 0);
    for (hours, listed) in [(0, 0), (1, 1), (4, 5), (19, 24), (20, 24), (20, 24)] {
        loaded.kernel.advance(Duration::from_secs(hours * 3600));
        loaded.kernel.settle();
        let ages: Vec<_> = list(&loaded, 64).iter().map(|one| one.age).collect();
        assert_eq!(ages, [listed * 3600]);
    }
}

#[test]
fn a_listing_shows_each_entry_once_with_all_of_it() {
    let loaded = Loaded::new(&[("clinet_udp_age", 3200)]);
    loaded.kernel.settle();
    for n in 0..1000 {
        assert_eq!(loaded.connect2(n % 2 == 0, &numbered(n)), 0);
    }
    let flow = Tuple::v4(UDP, 53, 99);
    assert_eq!(loaded.connect2(true, &flow), 0);
    assert_eq!(
        loaded.other_node("clinet_install", 7, &Tuple::v4(TCP, 1, 2)),
        0
    );
    loaded.kernel.advance(Duration::from_secs(500));
    for room in [64, 100, 5000] {
        let all = list(&loaded, room);
        assert_eq!(all.len(), 1002);
        for n in 0..1000 {
            let tuple = numbered(n);
            let found: Vec<_> = all.iter().filter(|one| one.faddr == tuple.faddr).collect();
            let [one] = found[..] else {
                panic!("{n}: {found:?}")
            };
            let shown = (
                one.protocol,
                one.laddr,
                one.lport,
                one.fport,
                one.owner,
                one.references,
            );
            assert_eq!(shown, (TCP, tuple.laddr, tuple.lport, tuple.fport, 1, 1));
            assert_eq!(
                (u32::from(one.outgoing), one.stack, one.age),
                ((n + 1) % 2, 0, 0)
            );
        }
        let others: BTreeMap<_, _> = all
            .iter()
            .filter(|one| one.faddr[10] == 0xff)
            .map(|one| (one.owner, one))
            .collect();
        assert_eq!((others[&7].references, others[&7].protocol), (0, TCP));
        assert_eq!(
            (
                others[&1].protocol,
                others[&1].lport,
                &others[&1].laddr[12..]
            ),
            (UDP, 53, &SHARED4[..4])
        );
        assert!((400..=600).contains(&others[&1].age), "{}", others[&1].age);
    }
}

/// The registry's clock is right from the first question on, which may come
/// before the module's thread ran for the first time.
#[test]
fn what_is_asked_before_the_first_tick_is_as_young_as_what_comes_after() {
    for _ in 0..5 {
        let loaded = Loaded::new(&[("clinet_udp_age", 60)]);
        let tuple = Tuple::v4(UDP, 1, 2);
        assert_eq!(loaded.connect2(true, &tuple), 0);
        loaded.kernel.advance(Duration::from_secs(50));
        assert_eq!(reason(&loaded, &tuple), (0, OURS));
        loaded.kernel.advance(Duration::from_secs(20));
        assert_eq!(reason(&loaded, &tuple), (0, FREE));
    }
}
