// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Binds of UDP for whose endpoint there is no room.

use super::*;

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
