// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a sweep tells of the entries that go.

use super::*;

/// What a sweep told: 5-tuple, why, owner, age.
fn gone(fixture: &Fixture, pass: Pass, tick: u8) -> Vec<(FiveTuple, Why, Node, u8)> {
    let mut all = Vec::new();
    let swept = fixture.0.sweep(pass, tick, |listed, why| {
        all.push((listed.tuple().unwrap(), why, listed.owner, listed.age));
    });
    let swept = swept.unwrap();
    let counted = swept.aged + swept.dead + swept.unseen + swept.cleared;
    assert_eq!(counted, all.len() as u64);
    all
}

#[test]
fn what_ages_is_told_with_its_age() {
    let fixture = Fixture::new(SETTINGS, 1);
    fixture.connect(&udp(1));
    fixture.connect(&tcp(1));
    assert_eq!(gone(&fixture, Pass::Age, 16), []);
    let expected = (udp(1), Why::Aged, 1, 17);
    assert_eq!(gone(&fixture, Pass::Age, 17), [expected]);
    assert_eq!(gone(&fixture, Pass::Age, 17), []);
}

#[test]
fn what_audits_did_not_see_is_told_once() {
    let fixture = Fixture::new(SETTINGS, 1);
    fixture.connect(&tcp(1));
    fixture.connect(&udp(1));
    assert_eq!(gone(&fixture, Pass::Audit, 0), []);
    let expected = (tcp(1), Why::Unseen, 1, 0);
    assert_eq!(gone(&fixture, Pass::Audit, 0), [expected]);
    assert_eq!(gone(&fixture, Pass::Audit, 0), []);
}

#[test]
fn what_hung_on_an_endpoint_is_told() {
    let fixture = Fixture::new(SETTINGS, 1);
    let endpoint = udp(1).endpoint();
    assert_eq!(fixture.0.bind(0, &endpoint, Via::Ip, 0), Some(true));
    fixture.connect(&udp(1));
    assert!(fixture.0.unbind(0, &endpoint, Via::Ip));
    let expected = (udp(1), Why::Dead, 1, 0);
    assert_eq!(gone(&fixture, Pass::Unbound, 0), [expected]);
}

/// What lies in buckets without anything that ages is left to a sweep that looks at
/// all, which what is unbound does not ask for.
#[test]
fn a_sweep_for_the_unbound_leaves_other_dead_entries_for_the_next() {
    let fixture = Fixture::new(SETTINGS, 1);
    let (registry, endpoint) = (&fixture.0, udp(1).endpoint());
    fixture.connect(&udp(1));
    registry.unbind(0, &endpoint, Via::Ip);
    assert_eq!(registry.pending(), Some(Pass::Unbound));
    registry.install(2, &tcp(2)).unwrap();
    registry.leave(2);
    assert_eq!(registry.pending(), Some(Pass::Dead));
    assert_eq!(registry.sweep(Pass::Unbound, 0, |_, _| {}).unwrap().dead, 1);
    assert_eq!((registry.pending(), registry.len()), (Some(Pass::Dead), 1));
    assert_eq!(registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap().dead, 1);
    // The endpoint goes with another sweep.
    assert_eq!(registry.pending(), Some(Pass::Unbound));
    assert_eq!((registry.len(), registry.endpoints()), (0, 1));
}

/// Although nobody finds the names of their address and owner any more.
#[test]
fn what_is_not_shared_or_owned_any_more_is_told() {
    let fixture = Fixture::new(SETTINGS, 1);
    fixture.connect(&tcp(1));
    fixture.0.install(2, &tcp(2)).unwrap();
    fixture.0.leave(2);
    let expected = (tcp(2), Why::Dead, 2, 0);
    assert_eq!(gone(&fixture, Pass::Dead, 0), [expected]);
    fixture.0.share(&[v4(11).words()]).unwrap();
    let expected = (tcp(1), Why::Dead, 1, 0);
    assert_eq!(gone(&fixture, Pass::Dead, 0), [expected]);
}

#[test]
fn what_was_replaced_is_counted_by_the_next_sweep() {
    let fixture = Fixture::new(SETTINGS, 1);
    fixture.0.install(2, &tcp(1)).unwrap();
    fixture.0.leave(2);
    assert_eq!(fixture.connect(&tcp(1)), Verdict::Registered);
    let dead = || fixture.0.sweep(Pass::Age, 0, |_, _| ()).unwrap().dead;
    assert_eq!((dead(), dead()), (1, 0));
    assert_eq!(fixture.0.len(), 1);
}

#[test]
fn all_of_this_node_is_told_and_others_stay() {
    let fixture = Fixture::new(SETTINGS, 1);
    fixture.connect(&tcp(1));
    fixture.0.install(2, &tcp(2)).unwrap();
    // An endpoint is no 5-tuple.
    fixture.0.bind(0, &udp(1).endpoint(), Via::Ip, 0);
    let expected = (tcp(1), Why::Cleared, 1, 0);
    assert_eq!(gone(&fixture, Pass::Clear, 0), [expected]);
    assert_eq!(fixture.0.len(), 1);
}

/// The tick of a sweep is read before it begins; entries and endpoints that
/// are used meanwhile may be younger.
#[test]
fn a_sweep_that_began_a_tick_ago_leaves_what_is_younger() {
    for now in [5, 63] {
        for pass in [Pass::Age, Pass::Unbound, Pass::Dead] {
            let fixture = Fixture::new(SETTINGS, 1);
            let registry = &fixture.0;
            let next = (now + 1) % 64;
            registry.bind(0, &endpoint(53), Via::Ip, next);
            registry.ask(0, &udp(1), true, next);
            // So that the shard is looked at.
            registry.ask(0, &udp(2), true, (now + 64 - SETTINGS.age - 1) % 64);
            registry.ask(0, &udp(3), true, next);
            let (_, why, ..) = gone(&fixture, pass, now)[0];
            assert_eq!(why, Why::Aged);
            assert_eq!(registry.query(0, &udp(1)), (Verdict::Repeated, 1));
            assert_eq!(registry.query(0, &udp(3)), (Verdict::Repeated, 1));
            assert_eq!(registry.endpoints(), 1);
        }
    }
}
