// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP: two locks are taken one after the other, the endpoint's and the
//! entry's.

use super::*;

#[test]
fn one_of_connect_and_install_wins_for_udp() {
    Scene::new(&[v4(10)]).play(
        |registry| assert!(registry.len() == 0),
        (
            |registry| connect(registry, &udp(1)),
            |registry| registry.install(2, &udp(1)),
        ),
        |registry, connected, installed| {
            let now = registry.query(0, &udp(1));
            match connected {
                Verdict::Registered => {
                    assert_eq!(installed, Err(NotInstalled::OwnedBy(1)));
                    assert_eq!(now, (Verdict::Repeated, 1));
                }
                _ => {
                    assert_eq!((connected, installed), (Verdict::OwnedBy(2), Ok(())));
                    assert_eq!(now, (Verdict::OwnedBy(2), 0));
                }
            }
        },
    );
}

/// The endpoint moves on between the two: what another socket has registered
/// by then stays.
#[test]
fn what_is_registered_after_a_bind_outlives_a_connect_from_before_it() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            connect(registry, &udp(2));
        },
        (
            |registry| connect(registry, &udp(1)),
            |registry| {
                assert_eq!(registry.bind(0, &udp(1).endpoint(), Via::Ip, 0), Some(true));
                connect(registry, &udp(1))
            },
        ),
        |registry, _, verdict| {
            assert!(matches!(verdict, Verdict::Registered | Verdict::Repeated));
            let (now, references) = registry.query(0, &udp(1));
            assert_eq!(now, Verdict::Repeated);
            assert!((1..=2).contains(&references));
        },
    );
}

/// What another node installs never takes the place of what was registered
/// for a socket that is bound.
#[test]
fn an_endpoint_moves_on_under_an_install() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            connect(registry, &udp(1));
        },
        (
            |registry| registry.install(2, &udp(1)),
            |registry| {
                assert_eq!(registry.bind(0, &udp(1).endpoint(), Via::Ip, 0), Some(true));
                connect(registry, &udp(1))
            },
        ),
        |registry, installed, connected| {
            let now = registry.query(0, &udp(1));
            match connected {
                Verdict::Registered => {
                    assert_eq!(installed, Err(NotInstalled::OwnedBy(1)));
                    assert_eq!(now, (Verdict::Repeated, 1));
                }
                _ => {
                    assert_eq!((connected, installed), (Verdict::OwnedBy(2), Ok(())));
                    assert_eq!(now, (Verdict::OwnedBy(2), 0));
                }
            }
        },
    );
}

/// A sweep looks at an entry, asks its endpoint, and comes back: what took the
/// place of a dead entry meanwhile stays.
#[test]
fn a_sweep_drops_what_it_asked_about_and_nothing_else() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            connect(registry, &udp(1));
            assert!(registry.unbind(0, &udp(1).endpoint(), Via::Ip));
        },
        (
            |registry| connect(registry, &udp(1)),
            |registry| {
                let _swept = registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            },
        ),
        |registry, verdict, ()| {
            assert_eq!(verdict, Verdict::Registered);
            assert_eq!(registry.query(0, &udp(1)), (Verdict::Repeated, 1));
            assert_eq!(registry.len(), 1);
        },
    );
}

/// However often the endpoint moves on afterwards, what it dropped beside a
/// sweep does not come back.
#[test]
fn no_generation_is_free_before_a_whole_sweep() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            connect(registry, &udp(1));
        },
        (
            |registry| {
                for n in 2..4 {
                    assert!(registry.unbind(0, &udp(1).endpoint(), Via::Ip));
                    connect(registry, &udp(n));
                }
            },
            |registry| {
                let _swept = registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            },
        ),
        |registry, (), ()| {
            assert!(registry.unbind(0, &udp(1).endpoint(), Via::Ip));
            invariants::check_of_one_thread(registry);
        },
    );
}

/// Whoever registers it may have read the time before the sweep did.
#[test]
fn what_is_registered_during_a_sweep_is_not_too_young_for_the_next_one() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            // What the shard knows of is gone, so that all it knows comes from
            // this sweep.
            connect(registry, &udp(1));
            assert!(registry.unbind(0, &udp(1).endpoint(), Via::Ip));
            for _ in 0..4 {
                registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            }
            assert_eq!(registry.endpoints(), 0);
        },
        (
            |registry| registry.ask(0, &udp(2), true, SETTINGS.age),
            |registry| {
                let _swept = registry
                    .sweep(Pass::Age, SETTINGS.age + 1, |_, _| {})
                    .unwrap();
            },
        ),
        |registry, verdict, ()| {
            assert_eq!(verdict, Verdict::Registered);
            invariants::check_of_one_thread(registry);
        },
    );
}
