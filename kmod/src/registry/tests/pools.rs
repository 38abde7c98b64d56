// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How many entries there may be.

use super::*;

fn limited(most: usize, most_udp: usize, shards: usize) -> Fixture {
    let settings = Settings {
        most,
        most_udp,
        ..SETTINGS
    };
    Fixture::new(settings, shards)
}

/// How many of these are registered.
fn registered(fixture: &Fixture, flows: impl Iterator<Item = FiveTuple>) -> usize {
    let registered = flows.filter(|flow| fixture.connect(flow) == Verdict::Registered);
    registered.count()
}

#[test]
fn a_small_limit_is_exact() {
    for (most, shards) in [(1, 1), (64, 1024), (127, 1), (1000, 16)] {
        let fixture = limited(most, most, shards);
        let registry = &fixture.0;
        assert_eq!(registered(&fixture, (0..2 * most as u32).map(tcp)), most);
        assert_eq!(fixture.connect(&tcp(9999)), Verdict::Full(Full::Tuples));
        assert_eq!(registry.len(), most);
        let full = Err(NotInstalled::Full(Full::Tuples));
        assert_eq!(registry.install(2, &tcp(9999)), full);
        // Each place comes back, wherever it was.
        for n in 0..most as u32 {
            assert_eq!(registry.end(0, &tcp(n)), Some(true));
            assert_eq!(fixture.connect(&tcp(5000 + n)), Verdict::Registered);
            assert_eq!(fixture.connect(&tcp(9999)), Verdict::Full(Full::Tuples));
        }
        invariants::check(registry);
    }
}

#[test]
fn of_a_large_limit_little_lies_idle() {
    let most = 70_000;
    let fixture = limited(most, most, 16);
    let accepted = registered(&fixture, (0..most as u32 + 5000).map(tcp));
    assert!((most * 97 / 100..=most).contains(&accepted), "{accepted}");
    assert_eq!(fixture.0.len(), accepted);
    for n in 0..1000 {
        fixture.0.end(0, &tcp(n));
    }
    // What lies idle in other shards is not for ever.
    let again = registered(&fixture, (100_000..101_000).map(tcp));
    assert!(again >= 500 && fixture.0.len() <= most, "{again}");
    invariants::check(&fixture.0);
}

#[test]
fn udp_stops_at_its_share_and_leaves_the_rest_to_tcp() {
    let fixture = limited(200, 80, 64);
    let registry = &fixture.0;
    assert_eq!(registered(&fixture, (0..500).map(udp)), 80);
    assert_eq!(fixture.connect(&udp(9999)), Verdict::Full(Full::Udp));
    // What other nodes own is not in the share.
    for n in 0..20 {
        assert_eq!(registry.install(2, &udp(1000 + n)), Ok(()));
    }
    assert_eq!(registered(&fixture, (0..500).map(tcp)), 100);
    assert_eq!(fixture.connect(&tcp(9999)), Verdict::Full(Full::Tuples));
    // What TCP has taken of the whole is not there for UDP.
    for n in 0..40 {
        let (flow, other) = (udp(n), tcp(1000 + n));
        assert_eq!(registry.end(0, &flow), Some(true));
        assert_eq!(fixture.connect(&other), Verdict::Registered);
        assert_eq!(fixture.connect(&flow), Verdict::Full(Full::Tuples));
    }
    assert_eq!((registry.len(), registry.len_udp()), (200, 40));
    // UDP that was refused left none of its share idle.
    for n in 0..40 {
        assert_eq!(registry.end(0, &tcp(1000 + n)), Some(true));
    }
    assert_eq!(registered(&fixture, (2000..2040).map(udp)), 40);
    invariants::check(registry);
}

/// Each is the first of its endpoint.
#[test]
fn endpoints_have_as_many_places_as_udp_and_take_none_of_tcp() {
    let fixture = limited(300, 100, 2);
    let registry = &fixture.0;
    let each = |n: u32| tuple(Protocol::Udp, n as u16, n);
    for port in 0..60 {
        assert_eq!(
            registry.bind(0, &endpoint(1000 + port), Via::Ip, 0),
            Some(true)
        );
    }
    assert_eq!(registered(&fixture, (0..200).map(each)), 40);
    assert_eq!(fixture.connect(&each(999)), Verdict::Full(Full::Udp));
    assert_eq!((registry.endpoints(), registry.len_udp()), (100, 40));
    assert_eq!(registered(&fixture, (0..300).map(tcp)), 260);
    for port in 0..60 {
        assert!(registry.unbind(0, &endpoint(1000 + port), Via::Ip));
    }
    assert_eq!(registry.endpoints(), 40);
    invariants::check_of_one_thread(registry);
}

/// Shards take what is left in batches: a rest that is smaller is nobody's.
#[test]
fn a_query_and_a_connect_agree_on_the_last_credit() {
    for (most, most_udp) in [(129, 60), (191, 191), (1000, 500), (5000, 100)] {
        let fixture = limited(most, most_udp, 1);
        for n in 0..most as u32 {
            for flow in [tcp(n), from(11, udp(n)), tuple(Protocol::Udp, n as u16, n)] {
                let asked = verdict(&fixture.0, &flow);
                assert_eq!(asked, fixture.connect(&flow), "{flow:?} of {most}");
            }
        }
        invariants::check_of_one_thread(&fixture.0);
        fixture.0.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
        invariants::check_of_one_thread(&fixture.0);
    }
}

#[test]
fn a_dead_entry_leaves_its_place_to_its_own_5_tuple_at_once() {
    let fixture = limited(4, 2, 1);
    let registry = &fixture.0;
    for n in 0..2 {
        assert_eq!(fixture.connect(&udp(n)), Verdict::Registered);
        assert!(registry.install(2, &tcp(n)).is_ok());
    }
    assert!(registry.leave(2) && registry.unbind(0, &endpoint(53), Via::Ip));
    for flow in [udp(9), tcp(9)] {
        assert!(matches!(fixture.connect(&flow), Verdict::Full(_)));
        assert_eq!(verdict(registry, &flow), fixture.connect(&flow));
    }
    for flow in [udp(0), tcp(0)] {
        assert_eq!(verdict(registry, &flow), Verdict::Registered, "{flow:?}");
        assert_eq!(fixture.connect(&flow), Verdict::Registered, "{flow:?}");
    }
    // The places of the others come with a sweep.
    registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    for flow in [udp(9), tcp(9)] {
        assert_eq!(fixture.connect(&flow), Verdict::Registered, "{flow:?}");
    }
}
