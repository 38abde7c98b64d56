// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Numbers of local addresses and nodes: used up, and used again.

use super::super::names::{FREE, MOST, STATE};
use super::*;

/// 5-tuples from one of 65536 addresses.
fn from_address(n: u32) -> FiveTuple {
    at(Addr::v4([198, 18, (n >> 8) as u8, n as u8]), tcp(1))
}

/// The same from another address.
pub fn at(addr: Addr, mut tuple: FiveTuple) -> FiveTuple {
    tuple.local.addr = addr;
    tuple
}

#[test]
fn addresses_that_come_and_go_never_run_out() {
    let fixture = Fixture::new(SETTINGS, 4);
    for n in 0..2000 {
        let flow = from_address(n);
        let bound = udp(1).endpoint();
        let bound = Endpoint {
            addr: flow.local.addr,
            ..bound
        };
        assert_eq!(fixture.connect(&flow), Verdict::Registered, "{n}");
        assert_eq!(fixture.0.bind(0, &bound, Via::Ip, 0), Some(true), "{n}");
        assert_eq!(fixture.0.install(2 + n, &tcp(n)), Ok(()), "{n}");
        assert_eq!(fixture.0.end(0, &flow), Some(true));
        assert!(fixture.0.unbind(0, &bound, Via::Ip));
        assert_eq!(fixture.0.withdraw(2 + n, &tcp(n)), Some(true));
    }
    fixture.0.collect();
    assert_eq!((fixture.0.addresses(), fixture.0.nodes()), (0, 0));
    invariants::check_of_one_thread(&fixture.0);
}

#[test]
fn so_many_addresses_may_be_in_use_and_a_number_comes_back_with_its_last_entry() {
    let fixture = Fixture::new(SETTINGS, 4);
    let registry = &fixture.0;
    for n in 0..MOST as u32 {
        assert_eq!(fixture.connect(&from_address(n)), Verdict::Registered);
    }
    let full = Verdict::Full(Full::Addresses);
    let more = from_address(40_000);
    assert_eq!(verdict(registry, &more), Verdict::Registered);
    assert_eq!(fixture.connect(&more), full);
    // From now on nobody looks for a number before the task did.
    assert_eq!(verdict(registry, &more), full);
    let udp = Endpoint {
        protocol: Protocol::Udp,
        ..more.endpoint()
    };
    assert_eq!(registry.bind(0, &udp, Via::Ip, 0), Some(true));
    assert!(registry.unbind(0, &udp, Via::Ip));
    let not_installed = NotInstalled::Full(Full::Addresses);
    assert_eq!(registry.install(2, &more), Err(not_installed));
    assert_eq!(registry.end(0, &from_address(0)), Some(true));
    assert_eq!(fixture.connect(&more), full);
    registry.maintain();
    assert_eq!(fixture.connect(&more), Verdict::Registered);
    // And it was not looked for in vain: no task is needed.
    assert_eq!(registry.end(0, &more), Some(true));
    assert_eq!(fixture.connect(&from_address(0)), Verdict::Registered);
    assert_eq!(registry.addresses(), MOST);
    invariants::check_of_one_thread(registry);
}

#[test]
fn nodes_run_out_and_come_back_with_their_entries() {
    let fixture = Fixture::new(SETTINGS, 4);
    let registry = &fixture.0;
    for n in 0..MOST as u32 {
        assert_eq!(registry.install(2 + n, &tcp(n)), Ok(()));
    }
    let full = Err(NotInstalled::Full(Full::Nodes));
    assert_eq!(registry.install(5000, &tcp(5000)), full);
    assert!(registry.leave(2));
    registry.maintain();
    // Its dead entry still has the number.
    assert_eq!(registry.install(5000, &tcp(5000)), full);
    registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    registry.maintain();
    assert_eq!(registry.install(5000, &tcp(5000)), Ok(()));
    invariants::check_of_one_thread(registry);
}

#[test]
fn what_is_not_unicast_is_never_shared() {
    let fixture = Fixture::new(SETTINGS, 1);
    let six = |first: u8, last: u8| {
        let mut addr = [0; 16];
        (addr[0], addr[15]) = (first, last);
        Addr::v6(addr)
    };
    let v4 = [[127, 0, 0, 1], [224, 0, 0, 1], [239, 1, 2, 3], [255; 4]];
    let v6 = [six(0, 1), six(0xff, 2)];
    for addr in v4.map(Addr::v4).into_iter().chain(v6) {
        let flow = at(addr, tcp(1));
        assert!(!fixture.0.is_shared(&addr), "{addr:?}");
        assert_eq!(fixture.connect(&flow), Verdict::NotShared);
        assert_eq!(fixture.0.install(2, &flow), Err(NotInstalled::NotShared));
        assert_eq!(
            fixture.0.bind(0, &at(addr, udp(1)).endpoint(), Via::Ip, 0),
            None
        );
    }
    assert_eq!(fixture.0.addresses(), 0);
    for addr in [Addr::v4([224, 0, 0, 1]), Addr::v4([255; 4]), six(0xff, 2)] {
        assert_eq!(fixture.0.share(&[addr.words()]), Err(NotAList), "{addr:?}");
    }
    // Of loopback there is no need, but a machine may have nothing else.
    assert_eq!(fixture.0.share(&[six(0, 1).words()]), Ok(()));
    assert!(fixture.0.is_shared(&six(0, 1)));
}

/// Each entry says by its ports whose it is: no number has ever two meanings.
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
            assert!(matches!(ours, Verdict::Registered | Verdict::Repeated));
            let mut theirs = from_address(n);
            theirs.foreign.port = 1000 + n as u16;
            theirs.local.port = round as u16;
            assert!(registry.leave(2 + (round + 399) % 400));
            assert_eq!(registry.install(2 + round, &theirs), Ok(()));
        }
        for one in listing(registry, 0) {
            let address = from_address(u32::from(one.fport) % 1000).local.addr;
            assert_eq!(one.local, address.words(), "round {round}");
            let theirs = one.fport >= 1000;
            assert!(!theirs || one.owner == 2 + u32::from(one.lport));
        }
        if round % 5 == 0 {
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
        }
        if round % 7 == 0 {
            registry.collect();
            invariants::check_of_one_thread(registry);
        }
    }
    assert!(registry.addresses() < 400);
}

/// Where the search for a meaning starts.
fn number(meaning: &Meaning) -> u16 {
    let names = (0..NAMES).map(|_| Name::new()).collect();
    let names = Names::<Std>::new(names);
    names.add(meaning, || ()).unwrap().number()
}

/// Two addresses whose names have the same place of choice.
pub fn rivals() -> (Addr, Addr) {
    let addr = |n| from_address(n).local.addr;
    let of = |n| number(&local(0, &addr(n)));
    let wanted = of(0);
    (addr(0), addr((1..).find(|n| of(*n) == wanted).unwrap()))
}

/// The name of a node.
pub fn node(tag: Node) -> Meaning {
    Meaning { words: [0; 2], tag }
}

/// Two nodes whose names have the same place of choice.
pub fn rival_nodes() -> (Node, Node) {
    let wanted = number(&node(2));
    let other = (3..).find(|other| number(&node(*other)) == wanted);
    (2, other.unwrap())
}

#[test]
fn a_number_changes_hands_when_its_entries_are_gone_only() {
    let (one, two) = rivals();
    let Fixture(registry) = Fixture::new(SETTINGS, 1);
    let number = |addr| registry.locals.find(&local(0, &addr)).unwrap().number();
    assert_eq!(connect(&registry, &at(one, tcp(1))), Verdict::Registered);
    let first = number(one);
    registry.share(&[two.words()]).unwrap();
    registry.collect();
    assert_eq!(connect(&registry, &at(two, tcp(1))), Verdict::Registered);
    assert_ne!(number(two), first);
    registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    registry.share(&[one.words()]).unwrap();
    registry.collect();
    assert_eq!(connect(&registry, &at(one, tcp(1))), Verdict::Registered);
    assert_eq!(number(one), first);
    assert_eq!(listing(&registry, 0).len(), 1);
}

/// A search ends where nothing was in use: what was given back is no longer in its way.
#[test]
fn what_was_given_back_lengthens_no_search() {
    let fixture = Fixture::new(SETTINGS, 4);
    for n in 0..MOST as u32 {
        assert_eq!(fixture.connect(&from_address(n)), Verdict::Registered);
    }
    for n in 1..MOST as u32 {
        assert_eq!(fixture.0.end(0, &from_address(n)), Some(true));
    }
    let names = &fixture.0.locals;
    let in_the_way = || {
        let states = names.names.iter().map(|name| Word::load(&name.state));
        states.filter(|state| state & STATE != FREE).count()
    };
    assert_eq!(in_the_way(), MOST);
    fixture.0.collect();
    assert_eq!(in_the_way(), 1);
    assert_eq!(fixture.0.end(0, &from_address(0)), Some(true));
    fixture.0.collect();
    assert_eq!(in_the_way(), 0);
}

/// Calls for eight addresses that follow each other, in turns, write nothing that
/// shards have in common.
#[test]
fn a_shard_counts_the_entries_of_some_addresses_by_itself() {
    let v4 = |n: u8| Addr::v4([192, 168, 1, 10 + n]);
    let v6 = |n: u8| {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        bytes[15] = 0x10 + n;
        Addr::v6(bytes)
    };
    for addrs in [(0..8).map(v4).collect::<Vec<_>>(), (0..8).map(v6).collect()] {
        let Fixture(registry) = Fixture::new(SETTINGS, 1);
        registry.share_all();
        let numbers = || {
            let find = |addr| registry.locals.find(&local(0, addr)).unwrap().number();
            addrs.iter().map(find)
        };
        for n in 0..10 {
            for addr in &addrs {
                assert_eq!(connect(&registry, &at(*addr, tcp(n))), Verdict::Registered);
            }
        }
        for addr in &addrs {
            assert_eq!(registry.end(0, &at(*addr, tcp(0))), Some(true));
        }
        assert!(numbers().all(|number| registry.locals.entries(number) == 0));
        registry.tell_tallies();
        assert!(numbers().all(|number| registry.locals.entries(number) == 9));
    }
}
