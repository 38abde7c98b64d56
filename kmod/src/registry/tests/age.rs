// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ageing.

use std::vec::Vec;

use super::behaviour::fixture;
use super::*;

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
        for pass in [Pass::Age, Pass::Unbound, Pass::Dead] {
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
        if let Some(pass) = registry.pending() {
            registry.sweep(pass, tick, |_, _| {}).unwrap();
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
