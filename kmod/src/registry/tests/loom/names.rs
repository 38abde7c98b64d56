// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Numbers whose meaning changes under a call.

use super::super::names::{at, rival_nodes, rivals};
use super::super::tallies::Tallies;
use super::*;

/// Either the one who adds the name sees that its address is not shared any
/// more, or the one who took it from the set sees the name.
#[test]
fn no_name_outlives_its_address_in_the_set() {
    Scene::new(&[v4(10), v4(11)]).play(
        |_| (),
        (
            |registry| connect(registry, &tcp(1)),
            |registry| registry.share(&[v4(11).words()]).unwrap(),
        ),
        |registry, verdict, ()| {
            assert!(matches!(verdict, Verdict::Registered | Verdict::NotShared));
            assert!(registry.locals.find(&local(0, &v4(10))).is_none());
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            assert!(registry.len() == 0);
        },
    );
}

std::thread_local! {
    /// Two addresses that want the same number.
    static RIVALS: (Addr, Addr) = rivals();
}

fn one() -> FiveTuple {
    at(RIVALS.with(|rivals| rivals.0), tcp(1))
}

fn two() -> FiveTuple {
    at(RIVALS.with(|rivals| rivals.1), tcp(1))
}

/// The number of the first address is swept and given to the second one,
/// whose entry nobody else's call may touch.
fn while_the_number_changes_hands(call: Part<()>) {
    Scene::long(&[one().local.addr, two().local.addr]).play(
        |registry| {
            connect(registry, &one());
            registry.bind(0, &endpoint_of(one()), Via::Ip, 0);
        },
        (call, |registry| {
            registry.share(&[two().local.addr.words()]).unwrap();
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            registry.collect();
            registry.bind(0, &endpoint_of(two()), Via::Ip, 0);
            connect(registry, &two())
        }),
        |registry, (), verdict| {
            assert_eq!(verdict, Verdict::Registered);
            assert_eq!(registry.query(0, &two()), (Verdict::Repeated, 1));
            let udp = FiveTuple {
                protocol: Protocol::Udp,
                ..two()
            };
            registry.bind(0, &endpoint_of(two()), Via::Ip, 0);
            connect(registry, &udp);
            registry.unbind(0, &endpoint_of(two()), Via::Ip);
            assert_eq!(registry.query(0, &udp), (Verdict::Repeated, 1));
            assert_eq!(registry.len(), 2);
        },
    );
}

fn endpoint_of(tuple: FiveTuple) -> Endpoint {
    Endpoint {
        protocol: Protocol::Udp,
        ..tuple.endpoint()
    }
}

#[test]
fn a_number_gets_no_second_meaning_under_a_connect() {
    while_the_number_changes_hands(|registry| {
        let _answer = connect(registry, &one());
    });
}

#[test]
fn a_number_gets_no_second_meaning_under_a_disconnect() {
    while_the_number_changes_hands(|registry| {
        let _known = registry.end(0, &one());
    });
}

#[test]
fn a_number_gets_no_second_meaning_under_an_unbind() {
    while_the_number_changes_hands(|registry| {
        let _known = registry.unbind(0, &endpoint_of(one()), Via::Ip);
    });
}

#[test]
fn a_number_gets_no_second_meaning_under_an_install() {
    while_the_number_changes_hands(|registry| {
        assert_ne!(registry.install(2, &one()), Err(NotInstalled::Invalid));
    });
}

/// Its entry is not told yet when it begins to leave. (It has the place behind the one
/// that it wants.)
#[test]
fn a_name_that_begins_to_leave_is_found() {
    fn find(registry: &Registry<World>) -> Option<u16> {
        let name = local(0, &two().local.addr);
        registry.locals.find(&name).map(|found| found.number())
    }
    fn tell(registry: &Registry<World>, number: u16, change: i16) {
        let mut tallies = Tallies::default();
        tallies.count(&registry.locals, number, change);
        tallies.tell(&registry.locals);
    }
    Scene::new(&[one().local.addr, two().local.addr]).play(
        |registry| {
            connect(registry, &one());
            connect(registry, &two());
            assert_eq!(registry.end(0, &two()), Some(true));
            registry.tell_tallies();
        },
        (find, |registry| {
            let number = find(registry).unwrap();
            let is_told = Cell::new(false);
            assert!(registry.locals.collect(|| {
                if is_told.replace(true) {
                    tell(registry, number, 1);
                }
            }));
            number
        }),
        |registry, found, number| {
            assert_eq!(found, Some(number));
            tell(registry, number, -1);
        },
    );
}

#[test]
fn a_purged_node_comes_back_beside_a_connect() {
    Scene::new(&[v4(10)]).play(
        |registry| assert!(registry.install(2, &tcp(1)).is_ok()),
        (
            |registry| connect(registry, &tcp(1)),
            |registry| {
                assert!(registry.leave(2));
                registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
                registry.install(2, &tcp(1))
            },
        ),
        |registry, connected, installed| {
            let (verdict, references) = registry.query(0, &tcp(1));
            match connected {
                Verdict::Registered => {
                    assert_eq!(installed, Err(NotInstalled::OwnedBy(1)));
                    assert_eq!((verdict, references), (Verdict::Repeated, 1));
                }
                _ => {
                    assert_eq!((connected, installed), (Verdict::OwnedBy(2), Ok(())));
                    assert_eq!(verdict, Verdict::OwnedBy(2));
                }
            }
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            assert_eq!(registry.len(), 1);
        },
    );
}

/// What is dead and not swept yet makes somebody sweep.
#[test]
fn no_purge_is_forgotten_by_a_sweep_that_begins() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            assert!(registry.install(2, &tcp(1)).is_ok());
            assert!(registry.install(3, &tcp(2)).is_ok());
            assert!(registry.leave(3));
        },
        (
            |registry| assert!(registry.leave(2)),
            |registry| {
                let _swept = registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            },
        ),
        |registry, (), ()| {
            assert!(registry.pending().is_some() || registry.len() == 0);
        },
    );
}

std::thread_local! {
    /// Two nodes that want the same number.
    static NODES: (Node, Node) = rival_nodes();
}

/// The number of a node that is purged goes to another one, whose entry the
/// first one's call may not take.
#[test]
fn a_number_gets_no_second_meaning_under_a_withdraw() {
    let (one, two) = NODES.with(|nodes| *nodes);
    let mut scene = Scene::long(&[v4(10)]);
    scene.owners = numbers([one, two].map(node).into_iter());
    scene.play(
        |registry| {
            let (one, _) = NODES.with(|nodes| *nodes);
            assert!(registry.install(one, &tcp(1)).is_ok());
        },
        (
            |registry| registry.withdraw(NODES.with(|nodes| nodes.0), &tcp(1)),
            |registry| {
                let (one, two) = NODES.with(|nodes| *nodes);
                assert!(registry.leave(one));
                registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
                registry.collect();
                assert!(registry.install(two, &tcp(1)).is_ok());
            },
        ),
        |registry, withdrawn, ()| {
            assert!(withdrawn.is_some());
            let (_, two) = NODES.with(|nodes| *nodes);
            assert_eq!(registry.query(0, &tcp(1)), (Verdict::OwnedBy(two), 0));
        },
    );
}

/// A bind whose address just left the set is none.
#[test]
fn a_bind_beside_a_change_of_the_set_is_counted_or_nobodys() {
    Scene::new(&[v4(10), v4(11)]).play(
        |registry| {
            connect(registry, &tcp(1));
        },
        (
            |registry| registry.bind(0, &endpoint(53), Via::Ip, 0),
            |registry| registry.share(&[v4(11).words()]).unwrap(),
        ),
        |registry, counted, ()| {
            assert_ne!(counted, Some(false));
            assert_eq!(registry.uncounted.used(), 0);
        },
    );
}

/// And what the first one installs does not become the other one's.
#[test]
fn a_number_of_a_node_gets_no_second_meaning_under_an_install() {
    let (one, two) = NODES.with(|nodes| *nodes);
    let mut scene = Scene::long(&[v4(10)]);
    scene.owners = numbers([one, two].map(node).into_iter());
    scene.play(
        |registry| {
            let (one, _) = NODES.with(|nodes| *nodes);
            assert!(registry.install(one, &tcp(2)).is_ok());
        },
        (
            |registry| registry.install(NODES.with(|nodes| nodes.0), &tcp(1)),
            |registry| {
                let (one, two) = NODES.with(|nodes| *nodes);
                assert!(registry.leave(one));
                registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
                registry.collect();
                assert!(registry.install(two, &tcp(3)).is_ok());
            },
        ),
        |registry, installed, ()| {
            assert!(installed.is_ok());
            let (one, two) = NODES.with(|nodes| *nodes);
            let (verdict, _) = registry.query(0, &tcp(1));
            assert!([Verdict::OwnedBy(one), Verdict::Registered].contains(&verdict));
            assert_eq!(registry.query(0, &tcp(3)), (Verdict::OwnedBy(two), 0));
        },
    );
}

/// Somebody looks for a name that gets a number while he looks at what the
/// number meant before: he finds it as it is, or not yet.
#[test]
fn a_name_is_found_with_the_state_that_its_number_has_then() {
    Scene::long(&[one().local.addr, two().local.addr]).play(
        |registry| {
            connect(registry, &one());
        },
        (
            |registry| {
                let found = registry.locals.find(&local(0, &two().local.addr));
                found.is_none_or(|found| found.holds())
            },
            |registry| {
                assert_eq!(registry.end(0, &one()), Some(true));
                registry.collect();
                connect(registry, &two())
            },
        ),
        |_, holds, verdict| assert_eq!((holds, verdict), (true, Verdict::Registered)),
    );
}

/// Either the name stays, or whoever inserts sees that it leaves and takes a new one.
#[test]
fn no_number_is_given_back_under_an_insert() {
    Scene::long(&[one().local.addr, two().local.addr]).play(
        |registry| {
            connect(registry, &one());
            registry.end(0, &one());
        },
        (
            |registry| connect(registry, &one()),
            |registry| {
                registry.collect();
                connect(registry, &two())
            },
        ),
        |registry, one_is, two_is| {
            assert_eq!((one_is, two_is), (Verdict::Registered, Verdict::Registered));
            for flow in [one(), two()] {
                assert_eq!(registry.query(0, &flow), (Verdict::Repeated, 1));
            }
            assert_eq!(registry.addresses(), 2);
        },
    );
}

#[test]
fn a_disconnect_is_known_beside_those_who_give_numbers_back() {
    Scene::new(&[v4(10)]).play_three(
        |registry| {
            connect(registry, &tcp(1));
        },
        (
            |registry| registry.end(0, &tcp(1)),
            |registry| registry.collect(),
            |registry| connect(registry, &tcp(2)),
        ),
        |registry, ended, (), verdict| {
            assert_eq!((ended, verdict), (Some(true), Verdict::Registered));
            assert_eq!(registry.query(0, &tcp(2)), (Verdict::Repeated, 1));
            registry.end(0, &tcp(2));
            registry.collect();
            assert_eq!(registry.addresses(), 0);
        },
    );
}

/// The set that is looked at is written again meanwhile.
#[test]
fn an_address_that_stays_in_the_set_is_shared_all_the_time() {
    Scene::long(&[v4(10), v4(11)]).play(
        |registry| registry.share(&[v4(10).words()]).unwrap(),
        (
            |registry| registry.is_shared(&v4(10)) && !registry.excludes(&v4(10)),
            |registry| {
                registry
                    .share(&[v4(10), v4(11)].map(|addr| addr.words()))
                    .unwrap();
                registry.share(&[v4(10).words()]).unwrap();
            },
        ),
        |_, shared, ()| assert!(shared),
    );
}

#[test]
fn the_filter_excludes_nothing_that_became_shared() {
    Scene::new(&[v4(10), v4(11)]).play(
        |registry| registry.share(&[v4(10).words()]).unwrap(),
        (
            |registry| registry.is_shared(&v4(11)) && registry.excludes(&v4(11)),
            |registry| registry.share(&[v4(11).words()]).unwrap(),
        ),
        |_, excluded, ()| assert!(!excluded),
    );
}
