// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Endpoints of UDP, and ageing.

use std::vec::Vec;

use super::behaviour::fixture;
use super::*;

const AGE: u8 = SETTINGS.age;

#[test]
fn the_last_unbind_drops_the_entries_of_this_endpoint_only() {
    let Fixture(registry) = fixture();
    assert_eq!(registry.bind(0, &endpoint(53), Via::Ip, 0), Some(true));
    assert_eq!(registry.bind(0, &endpoint(53), Via::Ip, 0), Some(true));
    assert_eq!(registry.bind(0, &endpoint(54), Via::Ip, 0), Some(true));
    let other = tuple(Protocol::Udp, 54, 1);
    for tuple in [udp(1), udp(2), other, tcp(1)] {
        registry.ask(0, &tuple, true, 0);
    }
    assert!(registry.install(2, &udp(3)).is_ok());
    assert!(registry.unbind(0, &endpoint(53), Via::Ip));
    assert_eq!(verdict(&registry, &udp(1)), Verdict::Repeated);
    assert!(registry.unbind(0, &endpoint(53), Via::Ip));
    assert_eq!(verdict(&registry, &udp(1)), Verdict::Registered);
    assert_eq!(registry.end(0, &udp(2)), None);
    assert_eq!(verdict(&registry, &udp(3)), Verdict::OwnedBy(2));
    assert_eq!(verdict(&registry, &other), Verdict::Repeated);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Repeated);
    assert!(registry.is_dirty());
    assert_eq!(registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap().dead, 2);
    assert_eq!(registry.len(), 3);
}

#[test]
fn a_first_bind_clears_leftovers_and_a_second_one_does_not() {
    let Fixture(registry) = fixture();
    registry.ask(0, &udp(1), true, 0);
    registry.bind(0, &endpoint(53), Via::Ip, 0);
    assert_eq!(verdict(&registry, &udp(1)), Verdict::Registered);
    registry.ask(0, &udp(2), true, 0);
    registry.bind(0, &endpoint(53), Via::Ip, 0);
    assert_eq!(verdict(&registry, &udp(2)), Verdict::Repeated);
    registry.unbind(0, &endpoint(53), Via::Ip);
    assert_eq!(verdict(&registry, &udp(2)), Verdict::Repeated);
    registry.unbind(0, &endpoint(53), Via::Ip);
    assert_eq!(verdict(&registry, &udp(2)), Verdict::Registered);
}

#[test]
fn an_entry_of_an_older_generation_is_taken_over_by_anyone() {
    let Fixture(registry) = fixture();
    for n in 0..2 {
        registry.ask(0, &udp(n), true, 0);
        registry.ask(0, &udp(n), true, 0);
    }
    registry.unbind(0, &endpoint(53), Via::Ip);
    assert_eq!(registry.ask(0, &udp(0), true, 0), Verdict::Registered);
    assert_eq!(registry.query(0, &udp(0)), (Verdict::Repeated, 1));
    assert!(registry.install(2, &udp(1)).is_ok());
    assert_eq!(registry.len(), 2);
    // Nothing is left to drop, and the two are counted all the same.
    assert_eq!(registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap().dead, 2);
    assert_eq!(registry.len(), 2);
}

#[test]
fn an_unspecified_endpoint_and_tcp_are_nobodys_business() {
    let Fixture(registry) = fixture();
    registry.ask(0, &udp(1), true, 0);
    registry.ask(0, &tcp(1), true, 0);
    for addr in [Addr::v4([0; 4]), Addr::v6([0; 16])] {
        let any = Endpoint {
            addr,
            ..endpoint(53)
        };
        assert_eq!(registry.bind(0, &any, Via::Ip, 0), None);
        assert!(!registry.unbind(0, &any, Via::Ip));
    }
    let stream = Endpoint {
        protocol: Protocol::Tcp,
        ..endpoint(80)
    };
    assert_eq!(registry.bind(0, &stream, Via::Ip, 0), None);
    assert!(!registry.unbind(0, &stream, Via::Ip));
    let loopback = Endpoint {
        addr: Addr::v4([127, 0, 0, 1]),
        ..endpoint(53)
    };
    assert_eq!(registry.bind(0, &loopback, Via::Ip, 0), None);
    assert!(!registry.unbind(0, &endpoint(99), Via::Ip));
    assert!(!registry.unbind(3, &endpoint(53), Via::Ip));
    assert_eq!(registry.endpoints(), 1);
    assert_eq!(verdict(&registry, &udp(1)), Verdict::Repeated);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Repeated);
}

/// Generations have eight bits. Without a sweep they run out, and then entries
/// stay; with sweeps they come round again. An old entry never counts again.
#[test]
fn no_number_of_binds_revives_an_old_entry() {
    for sweep_every in [usize::MAX, 100, 7, 1] {
        let Fixture(registry) = fixture();
        registry.ask(0, &udp(1), true, 0);
        for cycle in 0..1000 {
            assert!(registry.unbind(0, &endpoint(53), Via::Ip));
            assert_eq!(registry.bind(0, &endpoint(53), Via::Ip, 0), Some(true));
            assert_eq!(
                verdict(&registry, &udp(1)),
                Verdict::Registered,
                "cycle {cycle}"
            );
            let fresh = udp(2 + cycle as u32);
            assert_eq!(registry.ask(0, &fresh, true, 0), Verdict::Registered);
            if cycle % sweep_every == sweep_every - 1 {
                registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            }
        }
        assert!(registry.unbind(0, &endpoint(53), Via::Ip));
        let left = (0..1002)
            .filter(|n| verdict(&registry, &udp(*n)) == Verdict::Repeated)
            .count();
        match sweep_every {
            // Those since the generations ran out.
            usize::MAX => assert!((700..750).contains(&left), "{left}"),
            _ => assert_eq!(left, 0),
        }
    }
}

#[test]
fn generations_are_free_again_after_sweeps() {
    let Fixture(registry) = fixture();
    let cycle = || {
        registry.bind(0, &endpoint(53), Via::Ip, 0);
        registry.ask(0, &udp(1), true, 0);
        registry.unbind(0, &endpoint(53), Via::Ip);
        verdict(&registry, &udp(1))
    };
    for _ in 0..300 {
        cycle();
    }
    assert_eq!(cycle(), Verdict::Repeated);
    for _ in 0..3 {
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    }
    for _ in 0..200 {
        assert_eq!(cycle(), Verdict::Registered);
    }
}

/// With room for so many endpoints, all of them bound: those of the first ports.
fn bound(endpoints: u16) -> Registry<Std> {
    let settings = Settings {
        most_udp: endpoints.into(),
        ..SETTINGS
    };
    let Fixture(registry) = Fixture::new(settings, 1);
    for port in 0..endpoints {
        assert_eq!(registry.bind(0, &endpoint(port), Via::Ip, 0), Some(true));
    }
    registry
}

fn from_port(port: u16) -> FiveTuple {
    tuple(Protocol::Udp, port, 1)
}

#[test]
fn endpoints_have_a_limit_and_their_places_come_back() {
    let registry = bound(60);
    let full = Verdict::Full(Full::Udp);
    assert_eq!(registry.ask(0, &from_port(99), true, 0), full);
    assert_eq!(connect(&registry, &from_port(3)), Verdict::Registered);
    assert!(registry.unbind(0, &endpoint(3), Via::Ip));
    assert_eq!(registry.ask(0, &from_port(99), true, 0), full);
    for _ in 0..4 {
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    }
    assert_eq!(registry.endpoints(), 59);
    assert_eq!(connect(&registry, &from_port(99)), Verdict::Registered);
    // At once, if it had no entries.
    assert!(registry.unbind(0, &endpoint(4), Via::Ip));
    assert_eq!(connect(&registry, &from_port(98)), Verdict::Registered);
}

#[test]
fn a_bind_without_room_concerns_its_endpoint_only() {
    let registry = bound(60);
    assert_eq!(connect(&registry, &from_port(3)), Verdict::Registered);
    assert_eq!(registry.bind(0, &endpoint(99), Via::Ip, 0), Some(true));
    assert_eq!(registry.endpoints(), 60);
    assert!(registry.unbind(0, &endpoint(3), Via::Ip));
    assert_eq!(verdict(&registry, &from_port(3)), Verdict::Registered);
    // Now there is room, and it is bound already: another bind clears nothing.
    assert!(registry.unbind(0, &endpoint(4), Via::Ip));
    assert_eq!(connect(&registry, &from_port(99)), Verdict::Registered);
    assert_eq!(registry.bind(0, &endpoint(99), Via::Ip, 0), Some(true));
    assert!(registry.unbind(0, &endpoint(99), Via::Ip));
    assert_eq!(verdict(&registry, &from_port(99)), Verdict::Repeated);
    assert!(registry.unbind(0, &endpoint(99), Via::Ip));
    assert_eq!(verdict(&registry, &from_port(99)), Verdict::Registered);
    assert_eq!(registry.uncounted.used(), 0);
}

#[test]
fn binds_without_room_end_and_are_limited() {
    let registry = bound(60);
    for round in 0..2 {
        for port in 100..164 {
            assert_eq!(registry.bind(0, &endpoint(port), Via::Ip, 0), Some(true));
        }
        assert_eq!(
            registry.bind(0, &endpoint(99), Via::Ip, 0),
            Some(false),
            "{round}"
        );
        assert!(!registry.unbind(0, &endpoint(99), Via::Ip));
        assert_eq!(registry.bind(0, &endpoint(100), Via::Ip, 0), Some(true));
        assert!(registry.unbind(0, &endpoint(100), Via::Ip));
        for port in 100..164 {
            assert!(registry.unbind(0, &endpoint(port), Via::Ip));
        }
        assert_eq!(registry.uncounted.used(), 0);
        assert!(!registry.unbind(0, &endpoint(100), Via::Ip));
    }
    // Whoever is bound is forgotten with the hooks.
    assert_eq!(registry.bind(0, &endpoint(100), Via::Ip, 0), Some(true));
    registry.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
    assert!(!registry.unbind(0, &endpoint(100), Via::Ip));
}

/// A socket of another stack is still bound when ip's hooks are let go.
#[test]
fn ip_forgets_the_binds_of_ip_only() {
    let contract = |registry: &Registry<Std>, flow: &FiveTuple| {
        registry.connect(0, flow, Direction::Outgoing, Via::Contract, 0)
    };
    let registry = bound(60);
    // Counted in an entry, and apart from those.
    for port in [3, 99] {
        let (socket, flow) = (endpoint(port), from_port(port));
        for via in [Via::Ip, Via::Contract, Via::Contract] {
            assert_eq!(registry.bind(0, &socket, via, 0), Some(true));
        }
        if port == 3 {
            assert_eq!(contract(&registry, &flow), Verdict::Registered);
        }
    }
    registry.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
    assert_eq!(registry.uncounted.used(), 1);
    assert_eq!(contract(&registry, &from_port(99)), Verdict::Registered);
    for port in [3, 99] {
        let (socket, flow) = (endpoint(port), from_port(port));
        // Nobody counts for the other.
        assert!(registry.unbind(0, &socket, Via::Ip));
        assert!(registry.unbind(0, &socket, Via::Contract));
        assert_eq!(verdict(&registry, &flow), Verdict::Repeated, "{port}");
        assert!(registry.unbind(0, &socket, Via::Contract));
        assert_eq!(verdict(&registry, &flow), Verdict::Registered, "{port}");
    }
    // Whoever begins anew knows of nobody.
    assert_eq!(registry.bind(0, &endpoint(3), Via::Contract, 0), Some(true));
    assert_eq!(contract(&registry, &from_port(3)), Verdict::Registered);
    registry.sweep(Pass::ClearAll, 0, |_, _| {}).unwrap();
    assert_eq!(contract(&registry, &from_port(3)), Verdict::Registered);
    registry.unbind(0, &endpoint(3), Via::Contract);
    assert_eq!(verdict(&registry, &from_port(3)), Verdict::Registered);
}

/// Sockets that bind without room and close without a word keep nobody out for ever.
#[test]
fn binds_without_room_age() {
    let registry = bound(60);
    for port in 100..164 {
        let bind = registry.bind(0, &endpoint(port), Via::Ip, u8::from(port > 100));
        assert_eq!(bind, Some(true));
    }
    assert_eq!(registry.bind(0, &endpoint(99), Via::Ip, 1), Some(false));
    registry.sweep(Pass::Age, AGE, |_, _| {}).unwrap();
    assert_eq!(registry.uncounted.used(), 64);
    registry.sweep(Pass::Age, AGE + 1, |_, _| {}).unwrap();
    assert_eq!(registry.uncounted.used(), 63);
    registry.sweep(Pass::Dead, AGE + 2, |_, _| {}).unwrap();
    assert_eq!(registry.uncounted.used(), 0);
    // The last bind counts.
    let registry = bound(60);
    for tick in [0, AGE] {
        let bind = registry.bind(0, &endpoint(99), Via::Ip, tick);
        assert_eq!((bind, registry.uncounted.used()), (Some(true), 1));
    }
    registry.sweep(Pass::Age, AGE + 1, |_, _| {}).unwrap();
    assert_eq!(registry.uncounted.used(), 1);
}

/// A bind came four times when the address was about to get another number, and was
/// counted apart although its endpoint is there.
#[test]
fn a_bind_beside_its_endpoint_ends() {
    let Fixture(registry) = Fixture::new(SETTINGS, 1);
    let flow = from_port(99);
    assert_eq!(registry.bind(0, &endpoint(99), Via::Ip, 0), Some(true));
    let apart = (local(0, &flow.local.addr), flow.local.port);
    assert!(registry.uncounted.add(apart, Via::Ip, 0));
    assert_eq!(connect(&registry, &flow), Verdict::Registered);
    assert!(registry.unbind(0, &endpoint(99), Via::Ip));
    assert_eq!(verdict(&registry, &flow), Verdict::Repeated);
    assert!(registry.unbind(0, &endpoint(99), Via::Ip));
    assert_eq!(verdict(&registry, &flow), Verdict::Registered);
    assert_eq!(registry.uncounted.used(), 0);
}

/// Nobody else gets the binds when the address's number goes to another one.
#[test]
fn a_bind_without_room_is_that_of_an_address() {
    let (one, two) = names::rivals();
    let at = |addr| Endpoint {
        addr,
        ..endpoint(99)
    };
    let registry = bound(60);
    assert_eq!(registry.bind(0, &at(one), Via::Ip, 0), Some(true));
    registry.collect();
    assert!(registry.unbind(0, &endpoint(4), Via::Ip));
    let mut flow = from_port(99);
    flow.local.addr = two;
    assert_eq!(connect(&registry, &flow), Verdict::Registered);
    assert_eq!(registry.bind(0, &at(two), Via::Ip, 0), Some(true));
    assert_eq!(connect(&registry, &flow), Verdict::Registered);
    assert!(registry.unbind(0, &at(two), Via::Ip));
    assert_eq!(verdict(&registry, &flow), Verdict::Registered);
    assert!(registry.unbind(0, &at(one), Via::Ip));
    assert_eq!(registry.uncounted.used(), 0);
}

#[test]
fn an_entry_is_too_old_one_tick_after_its_age_wherever_ticks_are() {
    for start in 0..64 {
        let Fixture(registry) = fixture();
        let tick = |later: u8| (start + later) % 64;
        registry.ask(0, &udp(1), true, tick(0));
        registry.ask(0, &udp(2), true, tick(0));
        registry.ask(0, &tcp(1), true, tick(0));
        assert!(registry.install(2, &udp(3)).is_ok());
        assert_eq!(
            registry.sweep(Pass::Age, tick(AGE), |_, _| {}).unwrap(),
            Swept::default()
        );
        // Asked again, it is young again.
        registry.ask(0, &udp(2), true, tick(AGE));
        assert_eq!(
            registry
                .sweep(Pass::Age, tick(AGE + 1), |_, _| {})
                .unwrap()
                .aged,
            1,
            "from {start}"
        );
        assert_eq!(verdict(&registry, &udp(1)), Verdict::Registered);
        assert_eq!(registry.query(0, &udp(2)), (Verdict::Repeated, 2));
        assert_eq!(
            registry
                .sweep(Pass::Age, tick(2 * AGE), |_, _| {})
                .unwrap()
                .aged,
            0
        );
        assert_eq!(
            registry
                .sweep(Pass::Dead, tick(2 * AGE + 1), |_, _| {})
                .unwrap()
                .aged,
            1
        );
        assert_eq!(verdict(&registry, &tcp(1)), Verdict::Repeated);
        assert_eq!(verdict(&registry, &udp(3)), Verdict::OwnedBy(2));
    }
}

/// New entries come into the same few buckets all the time; the oldest of
/// them still goes in time.
#[test]
fn the_old_go_though_the_young_come_beside_them() {
    for (age, late) in [
        (1, 1),
        (AGE, 1),
        (AGE, 9),
        (MOST_TICKS, 1),
        (MOST_TICKS, 7),
        (200, 2),
    ] {
        let Fixture(registry) = Fixture::new(Settings { age, ..SETTINGS }, 1);
        let age = age.min(MOST_TICKS);
        for tick in 0..200_u8 {
            if tick % late == 0 {
                registry.sweep(Pass::Age, tick % 64, |_, _| {}).unwrap();
            }
            registry.ask(0, &udp(tick.into()), true, tick % 64);
            let swept = tick - tick % late;
            let gone = usize::from(swept.saturating_sub(age));
            let live = usize::from(tick) + 1 - gone;
            assert_eq!(registry.len(), live, "age {age}, tick {tick}");
        }
    }
}

#[test]
fn without_an_age_nothing_is_ever_too_old() {
    let Fixture(registry) = Fixture::new(Settings { age: 0, ..SETTINGS }, 1);
    registry.ask(0, &udp(1), true, 0);
    registry.bind(0, &endpoint(54), Via::Ip, 0);
    for later in 0..200_u8 {
        let tick = later % 64;
        for pass in [Pass::Age, Pass::Dead] {
            let swept = registry.sweep(pass, tick, |_, _| {}).unwrap();
            assert_eq!(swept, Swept::default());
            // Its age is listed as far as it can be told, and never as less.
            let age = listing(&registry, tick)[0].age;
            assert_eq!(age, later.min(MOST_TICKS), "after {later}");
        }
        invariants::check_of_one_thread(&registry);
    }
    assert_eq!(verdict(&registry, &udp(1)), Verdict::Repeated);
    assert_eq!(registry.endpoints(), 2);
}

#[test]
fn a_count_that_a_closed_socket_left_behind_ages() {
    let Fixture(registry) = fixture();
    registry.bind(0, &endpoint(53), Via::Ip, 0);
    registry.ask(0, &udp(1), true, 0);
    // It is gone and nobody said so. Later another one is bound.
    for tick in 1..=AGE + 8 {
        registry.sweep(Pass::Dead, tick, |_, _| {}).unwrap();
    }
    assert_eq!((registry.len(), registry.endpoints()), (0, 0));
    registry.bind(0, &endpoint(53), Via::Ip, AGE + 8);
    registry.ask(0, &udp(1), true, AGE + 8);
    assert!(registry.unbind(0, &endpoint(53), Via::Ip));
    assert_eq!(verdict(&registry, &udp(1)), Verdict::Registered);
}

#[test]
fn an_endpoint_in_use_stays_as_long_as_it_is_bound_and_asked_about() {
    let Fixture(registry) = fixture();
    registry.bind(0, &endpoint(53), Via::Ip, 0);
    for tick in 0..150_u8 {
        registry.ask(0, &udp(tick.into()), true, tick % 64);
        registry.sweep(Pass::Dead, tick % 64, |_, _| {}).unwrap();
    }
    assert_eq!(registry.endpoints(), 1);
    registry.bind(0, &endpoint(53), Via::Ip, 150 % 64);
    registry.unbind(0, &endpoint(53), Via::Ip);
    assert_eq!(verdict(&registry, &udp(149)), Verdict::Repeated);
}

#[test]
fn the_age_is_listed() {
    let Fixture(registry) = fixture();
    registry.ask(0, &udp(1), true, 60);
    registry.ask(0, &tcp(1), true, 60);
    let mut ages: Vec<_> = listing(&registry, 3)
        .iter()
        .map(|one| (one.protocol, one.age))
        .collect();
    ages.sort_unstable();
    assert_eq!(ages, [(6, 0), (17, 7)]);
}

/// Nobody uses it any more, and nobody else makes anybody sweep.
#[test]
fn an_endpoint_whose_generations_ran_out_goes_when_it_is_too_old() {
    let Fixture(registry) = fixture();
    for _ in 0..300 {
        registry.bind(0, &endpoint(53), Via::Ip, 0);
        registry.ask(0, &udp(1), true, 0);
        registry.unbind(0, &endpoint(53), Via::Ip);
    }
    for tick in 1..AGE + 12 {
        registry.sweep(Pass::Age, tick, |_, _| {}).unwrap();
        if registry.is_dirty() {
            registry.sweep(Pass::Dead, tick, |_, _| {}).unwrap();
        }
    }
    assert_eq!((registry.len(), registry.endpoints()), (0, 0));
}

/// The places of another node's dead entries, in shards that nothing that ages
/// was in.
#[test]
fn what_takes_the_place_of_a_dead_entry_ages() {
    let Fixture(registry) = Fixture::new(SETTINGS, 16);
    for n in 0..50 {
        assert!(registry.install(2, &udp(n)).is_ok());
    }
    assert!(registry.leave(2));
    for n in 0..50 {
        assert_eq!(registry.ask(0, &udp(n), true, 3), Verdict::Registered);
    }
    invariants::check_of_one_thread(&registry);
    let swept = registry.sweep(Pass::Age, 3 + AGE + 1, |_, _| {}).unwrap();
    assert_eq!((swept.aged, registry.len()), (50, 0));
}

#[test]
fn whoever_begins_anew_knows_of_no_bind_without_room() {
    for (pass, left) in [(Pass::Clear, 1), (Pass::ClearAll, 0)] {
        let registry = bound(60);
        let socket = endpoint(99);
        assert_eq!(registry.bind(0, &socket, Via::Contract, 0), Some(true));
        assert_eq!(registry.uncounted.used(), 1);
        registry.sweep(pass, 0, |_, _| {}).unwrap();
        assert_eq!(registry.uncounted.used(), left, "{pass:?}");
    }
}
