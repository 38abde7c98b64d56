// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Endpoints of UDP: their binds and generations.

use super::behaviour::fixture;
use super::*;

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
    assert_eq!(registry.pending(), Some(Pass::Unbound));
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
