// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Numbers of local addresses and nodes: used up, and used again.

use std::vec::Vec;

use super::*;

/// Names of one kind at most.
const MOST_NAMES: usize = NAMES / 4 * 3;

/// 5-tuples from one of 65536 addresses.
fn from_address(n: u32) -> FiveTuple {
    let mut tuple = tcp(1);
    tuple.local.addr = Addr::v4([198, 18, (n >> 8) as u8, n as u8]);
    tuple
}

#[test]
fn addresses_run_out_and_come_back_after_a_sweep_only() {
    let Fixture(registry) = Fixture::new(SETTINGS, 4);
    let fixture = Fixture(registry);
    for n in 0..MOST_NAMES as u32 {
        assert_eq!(
            fixture.connect(&from_address(n)),
            Verdict::Registered,
            "{n}"
        );
    }
    let registry = &fixture.0;
    assert_eq!(verdict(registry, &from_address(40_000)), Verdict::Full);
    assert_eq!(fixture.connect(&from_address(40_000)), Verdict::Full);
    let bound = Endpoint {
        protocol: Protocol::Udp,
        ..from_address(40_000).endpoint()
    };
    assert_eq!(
        registry.install(2, &from_address(40_000)),
        Err(NotInstalled::Full)
    );
    // Another set of addresses, whose names find no number yet.
    registry.share(&[bound.addr.words()]).unwrap();
    assert_eq!(fixture.connect(&from_address(40_000)), Verdict::Full);
    assert_eq!(listing(registry, 0).len(), 0);
    assert_eq!(
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap().dead,
        MOST_NAMES as u64
    );
    assert_eq!(fixture.connect(&from_address(40_000)), Verdict::Registered);
    assert_eq!(registry.locals.used(), 1);
    assert_eq!(registry.bind(0, &bound, 0), Some(true));
}

#[test]
fn a_bind_without_a_name_is_not_counted() {
    let fixture = Fixture::new(SETTINGS, 4);
    for n in 0..MOST_NAMES as u32 {
        fixture.connect(&from_address(n));
    }
    let bound = Endpoint {
        protocol: Protocol::Udp,
        ..from_address(40_000).endpoint()
    };
    assert_eq!(fixture.0.bind(0, &bound, 0), Some(false));
}

/// Each entry says by its foreign address whose it is: no number has ever two
/// meanings.
#[test]
fn many_addresses_and_nodes_come_and_go() {
    let fixture = Fixture::new(SETTINGS, 4);
    let registry = &fixture.0;
    let live = |round: u32| (0..40).map(move |n| (round * 13 + n) % 500);
    for round in 0..200 {
        let list: Vec<_> = live(round)
            .map(|n| from_address(n).local.addr.words())
            .collect();
        registry.share(&list).unwrap();
        for n in live(round) {
            let mut ours = from_address(n);
            ours.foreign.port = n as u16;
            let ours = fixture.connect(&ours);
            assert!(
                matches!(ours, Verdict::Registered | Verdict::Repeated),
                "{ours:?} of {n}"
            );
            let mut theirs = from_address(n);
            theirs.foreign.port = 1000 + n as u16;
            theirs.local.port = round as u16;
            assert!(registry.leave(2 + (round + 399) % 400));
            assert!(registry.install(2 + round, &theirs).is_ok());
            assert!(registry.maintain(allocate).unwrap());
        }
        for one in listing(registry, 0) {
            let number = u32::from(one.fport) % 1000;
            assert_eq!(
                one.local,
                from_address(number).local.addr.words(),
                "round {round}"
            );
            if one.fport >= 1000 {
                assert_eq!(one.owner, 2 + u32::from(one.lport), "round {round}");
            }
        }
        if round % 5 == 0 {
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
        }
        assert!(registry.maintain(allocate).unwrap());
    }
    assert!(registry.locals.used() < 400);
}

/// Two addresses whose names have the same place of choice.
pub fn rivals() -> (Addr, Addr) {
    let number = |addr: Addr| {
        let Fixture(registry) = Fixture::new(SETTINGS, 1);
        let mut tuple = tcp(1);
        tuple.local.addr = addr;
        registry.ask(0, &tuple, true, 0);
        registry.locals.find(&local(0, &addr)).unwrap().number
    };
    let first = from_address(0).local.addr;
    let wanted = number(first);
    let second = (1..u32::MAX)
        .map(|n| from_address(n).local.addr)
        .find(|addr| number(*addr) == wanted);
    (first, second.unwrap())
}

/// Two nodes whose names have the same place of choice.
pub fn rival_nodes() -> (Node, Node) {
    let number = |node| {
        let Fixture(registry) = Fixture::new(SETTINGS, 1);
        registry.owners.find_or_add(&owner(node)).unwrap().number
    };
    let wanted = number(2);
    (2, (3..).find(|node| number(*node) == wanted).unwrap())
}

#[test]
fn a_number_changes_hands_after_a_sweep_only() {
    let (one, two) = rivals();
    let Fixture(registry) = Fixture::new(SETTINGS, 1);
    let at = |addr| {
        let mut tuple = tcp(1);
        tuple.local.addr = addr;
        tuple
    };
    let number = |addr| registry.locals.find(&local(0, &addr)).unwrap().number;
    registry.ask(0, &at(one), true, 0);
    let first = number(one);
    registry.share(&[two.words()]).unwrap();
    assert_eq!(
        registry.ask(0, &at(two), true, 0),
        Verdict::Registered
    );
    assert_ne!(number(two), first);
    registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    registry.share(&[one.words()]).unwrap();
    assert_eq!(
        registry.ask(0, &at(one), true, 0),
        Verdict::Registered
    );
    assert_eq!(number(one), first);
    assert_eq!(listing(&registry, 0).len(), 1);
}
