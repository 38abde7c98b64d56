// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls about one 5-tuple, entries that move, the last credit.

use super::*;
use crate::registry::region::{Load, Moved};

#[test]
fn one_of_two_registers_and_the_other_repeats() {
    Scene::new(&[v4(10)]).play(
        idle,
        (
            |registry| connect(registry, &tcp(1)),
            idle,
            |registry| connect(registry, &tcp(1)),
        ),
        |registry, one, (), two| {
            assert!(
                [(one, two), (two, one)].contains(&(Verdict::Registered, Verdict::Repeated)),
                "{one:?} {two:?}"
            );
            assert_eq!(registry.query(0, &tcp(1)), (Verdict::Repeated, 2));
        },
    );
}

#[test]
fn one_of_connect_and_install_wins() {
    Scene::new(&[v4(10)]).play(
        |registry| assert!(registry.is_empty()),
        (
            |registry| connect(registry, &tcp(1)),
            idle,
            |registry| registry.install(2, &tcp(1)).map(drop),
        ),
        |registry, connected, (), installed| {
            let now = registry.query(0, &tcp(1));
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

#[test]
fn references_are_kept_while_entries_move() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            connect(registry, &tcp(1));
            connect(registry, &tcp(1));
            connect(registry, &tcp(2));
        },
        (
            |registry| registry.end(0, &tcp(1)),
            |registry| connect(registry, &tcp(1)),
            |registry| {
                let region = &registry.regions[0];
                assert!(region.exchange(vec![Bucket::default(); 5]).is_none());
                let two = Load {
                    buckets: 2,
                    entries: usize::MAX,
                };
                for moved in [Moved::Some, Moved::All] {
                    assert_eq!(region.lock().advance(two, &registry.secret), moved);
                }
                region.lock().take_old().unwrap()
            },
        ),
        |registry, ended, again, old| {
            assert_eq!((ended, again), (Some(false), Verdict::Repeated));
            assert!(old.iter().all(|bucket| bucket.used().next().is_none()));
            assert_eq!(registry.query(0, &tcp(1)), (Verdict::Repeated, 2));
            assert_eq!(registry.query(0, &tcp(2)), (Verdict::Repeated, 1));
        },
    );
}

/// The task and those who insert move the same entries.
#[test]
fn many_hands_move_each_entry_once() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            for n in 0..4 {
                connect(registry, &tcp(n));
            }
            let region = &registry.regions[0];
            assert!(region.exchange(vec![Bucket::default(); 5]).is_none());
        },
        (
            |registry| connect(registry, &tcp(4)),
            |registry| [0, 1, 3].map(|n| registry.end(0, &tcp(n))),
            |registry| registry.finish_moving(&registry.regions[0]),
        ),
        |registry, added, ended, ()| {
            assert_eq!((added, ended), (Verdict::Registered, [Some(true); 3]));
            for n in [2, 4] {
                assert_eq!(registry.query(0, &tcp(n)), (Verdict::Repeated, 1), "{n}");
            }
            assert!(registry.regions[0].lock().take_old().is_none());
            assert_eq!(registry.len(), 2);
        },
    );
}

/// A region that asks while the task looks at it is looked at again.
#[test]
fn no_region_is_forgotten_that_asks() {
    Scene::new(&[v4(10)]).play(
        |registry| {
            for n in 0..4 {
                connect(registry, &tcp(n));
            }
            assert!(!registry.wants());
            registry.want(0);
        },
        (
            |registry| registry.ask(0, &tcp(4), true, 0).wake,
            |registry| registry.ask(0, &tcp(5), true, 0).wake,
            |registry| assert!(registry.maintain(allocate).unwrap()),
        ),
        |registry, one, two, ()| {
            let len = registry.regions[0].lock().buckets().len();
            assert!(len > 4 || registry.wants(), "{one} {two}");
            assert!(len > 4 || one || two);
        },
    );
}

fn connect_in(registry: &Registry<World>, region: usize) -> Verdict {
    let n = (1..100)
        .find(|n| region_of(registry, *n) == region)
        .unwrap();
    connect(registry, &tcp(n))
}

fn region_of(registry: &Registry<World>, n: u32) -> usize {
    let name = registry.locals.find_or_add(&local(0, &v4(10))).unwrap();
    registry.place(&key(name, &tcp(n))).unwrap().2
}

#[test]
fn two_regions_take_the_last_credit_once() {
    let mut scene = Scene::new(&[v4(10)]);
    scene.regions = 2;
    scene.most = 1;
    scene.play(
        |registry| {
            region_of(registry, 0);
        },
        (
            |registry| connect_in(registry, 0),
            idle,
            |registry| connect_in(registry, 1),
        ),
        |registry, one, (), two| {
            let verdicts = [one, two];
            let count = |wanted| {
                verdicts
                    .iter()
                    .filter(|verdict| **verdict == wanted)
                    .count()
            };
            assert_eq!(
                (count(Verdict::Registered), count(Verdict::Full)),
                (1, 1),
                "{verdicts:?}"
            );
            assert_eq!(registry.len(), 1);
        },
    );
}
