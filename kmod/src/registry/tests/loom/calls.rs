// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls about one 5-tuple, entries that move, the last credit.

use super::*;

#[test]
fn one_of_two_registers_and_the_other_repeats() {
    Scene::new(&[v4(10)]).play(
        |_| (),
        (
            |registry| connect(registry, &tcp(1)),
            |registry| connect(registry, &tcp(1)),
        ),
        |registry, one, two| {
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
        |registry| assert!(registry.len() == 0),
        (
            |registry| connect(registry, &tcp(1)),
            |registry| registry.install(2, &tcp(1)),
        ),
        |registry, connected, installed| {
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

/// The shard goes on to one home more.
fn begin_to_grow(registry: &Registry<World>) {
    registry.shards[0].lock().layout.resize(HOMES + 1);
}

fn move_all(registry: &Registry<World>) {
    while registry.advance(0, STEPS) == Step::Moved {}
}

#[test]
fn references_are_kept_while_entries_move() {
    Scene::new(&[v4(10)]).play_three(
        |registry| {
            for n in [1, 1, 2] {
                connect(registry, &tcp(n));
            }
            begin_to_grow(registry);
        },
        (
            |registry| registry.end(0, &tcp(1)),
            |registry| registry.query(0, &tcp(2)),
            move_all,
        ),
        |registry, ended, asked, ()| {
            assert_eq!((ended, asked), (Some(false), (Verdict::Repeated, 1)));
            assert_eq!(registry.query(0, &tcp(1)), (Verdict::Repeated, 1));
            assert!(!registry.shards[0].lock().layout.is_moving());
        },
    );
}

/// The task and those who insert move the same entries.
#[test]
fn many_hands_move_each_entry_once() {
    Scene::new(&[v4(10)]).play_three(
        |registry| {
            for n in 0..4 {
                connect(registry, &tcp(n));
            }
            begin_to_grow(registry);
        },
        (
            |registry| connect(registry, &tcp(4)),
            |registry| [0, 1].map(|n| registry.end(0, &tcp(n))),
            move_all,
        ),
        |registry, added, ended, ()| {
            assert_eq!((added, ended), (Verdict::Registered, [Some(true); 2]));
            for n in [2, 3, 4] {
                assert_eq!(registry.query(0, &tcp(n)), (Verdict::Repeated, 1), "{n}");
            }
            assert_eq!(registry.len(), 3);
        },
    );
}

fn connect_in(registry: &Registry<World>, shard: usize) -> Verdict {
    let name = registry.locals.find(&local(0, &v4(10))).unwrap();
    let is_there = |n: &u32| {
        let hash = key(name, &tcp(*n)).hash(&registry.secret);
        registry.shard_number(hash) == shard
    };
    connect(registry, &tcp((1..100).find(is_there).unwrap()))
}

#[test]
fn two_shards_take_the_last_credit_once() {
    let mut scene = Scene::new(&[v4(10)]);
    scene.shards = 2;
    scene.most = 1;
    scene.play(
        |registry| {
            let _named = registry.local(0, &v4(10)).is_ok();
        },
        (
            |registry| connect_in(registry, 0),
            |registry| connect_in(registry, 1),
        ),
        |registry, one, two| {
            let full = Verdict::Full(Full::Tuples);
            let both = [(one, two), (two, one)];
            assert!(both.contains(&(Verdict::Registered, full)), "{both:?}");
            assert_eq!(registry.len(), 1);
        },
    );
}
