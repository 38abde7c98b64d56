// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All orders of a few calls, within the memory model: every load may see
//! every value that its ordering allows.
//!
//! Thousands of words make a registry, and a handful of them change in a
//! scenario. Only those are loom's; the others are plain words that must stay
//! zero, so that nothing is lost by not watching them.

use std::cell::Cell;
use std::collections::BTreeSet;

use ::loom::model::Builder;
use ::loom::sync as watched;
use ::loom::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use ::loom::thread;

use super::names::rivals;
use super::region::{Load, Moved};
use super::*;

struct World;

enum WorldWord {
    Watched(watched::atomic::AtomicU64),
    Zero,
}

std::thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(true) };
}

impl Word for WorldWord {
    fn new(value: u64) -> Self {
        if WATCHED.get() {
            Self::Watched(watched::atomic::AtomicU64::new(value))
        } else {
            assert_eq!(value, 0);
            Self::Zero
        }
    }

    fn load(&self) -> u64 {
        match self {
            Self::Watched(word) => word.load(Acquire),
            Self::Zero => 0,
        }
    }

    fn store(&self, value: u64) {
        match self {
            Self::Watched(word) => word.store(value, Release),
            Self::Zero => assert_eq!(value, 0, "a word that nobody watches"),
        }
    }

    fn add(&self, value: u64) -> u64 {
        self.change(|word| word.fetch_add(value, AcqRel))
    }

    fn or(&self, bits: u64) -> u64 {
        self.change(|word| word.fetch_or(bits, AcqRel))
    }

    fn swap(&self, value: u64) -> u64 {
        self.change(|word| word.swap(value, AcqRel))
    }
}

impl WorldWord {
    fn change(&self, how: impl FnOnce(&watched::atomic::AtomicU64) -> u64) -> u64 {
        match self {
            Self::Watched(word) => how(word),
            Self::Zero => panic!("a word that nobody watches"),
        }
    }
}

impl<T> Lock<T> for watched::Mutex<T> {
    type Guard<'a>
        = watched::MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        watched::Mutex::new(value)
    }

    fn lock(&self) -> watched::MutexGuard<'_, T> {
        watched::Mutex::lock(self).unwrap()
    }
}

impl Env for World {
    type Lock<T: Send> = watched::Mutex<T>;
    type Word = WorldWord;
    type Buckets = Vec<Bucket>;
    type Regions = Box<[Region<Self>]>;
    type Names = Box<[Name<Self>]>;
    type Words = Arc<[WorldWord]>;
    type Scratch = Box<[Asked]>;

    fn no_buckets() -> Vec<Bucket> {
        Vec::new()
    }

    fn prefetch(_: usize) {}
}

/// What a scenario changes: names of addresses and nodes, places of addresses
/// in the shared set.
#[derive(Clone)]
struct Scene {
    locals: BTreeSet<usize>,
    owners: BTreeSet<usize>,
    shared: BTreeSet<usize>,
    regions: usize,
    most: usize,
}

impl Scene {
    /// With these addresses, and nodes 2 and 3.
    fn new(addresses: &[Addr]) -> Self {
        let Fixture(registry) = Fixture::new(SETTINGS, 1);
        let mut scene = Self {
            locals: BTreeSet::new(),
            owners: BTreeSet::new(),
            shared: BTreeSet::new(),
            regions: 1,
            most: 100,
        };
        for address in addresses {
            let name = registry.locals.find_or_add(&local(0, address)).unwrap();
            scene.locals.insert(name.number.into());
            // The same on an empty table, where it may have the first choice.
            let Fixture(alone) = Fixture::new(SETTINGS, 1);
            let name = alone.locals.find_or_add(&local(0, address)).unwrap();
            scene.locals.insert(name.number.into());
            let words: Arc<[AtomicU64]> = (0..shared::WORDS).map(|_| AtomicU64::new(0)).collect();
            let set = Shared::<Std>::new(words.clone());
            for _ in 0..2 {
                set.set(&[address.words()]).unwrap();
            }
            let used = words
                .iter()
                .enumerate()
                .filter(|(_, word)| Word::load(*word) != 0);
            scene
                .shared
                .extend(used.flat_map(|(place, _)| [place & !1, place | 1]));
        }
        for node in [2, 3, 2] {
            let name = registry.owners.find_or_add(&owner(node)).unwrap();
            scene.owners.insert(name.number.into());
            registry.purge(node);
        }
        scene
    }

    fn registry(&self) -> Registry<World> {
        fn watched<T>(watch: bool, make: impl FnOnce() -> T) -> T {
            WATCHED.set(watch);
            let made = make();
            WATCHED.set(true);
            made
        }
        let word = |watch| watched(watch, || WorldWord::new(0));
        let names = |seen: &BTreeSet<usize>| {
            let names = (0..NAMES)
                .map(|n| watched(seen.contains(&n), Name::new))
                .collect();
            let leaves = |n: usize| seen.iter().any(|name| name / 64 == n);
            (
                names,
                (0..super::names_of::WORDS)
                    .map(|n| word(leaves(n)))
                    .collect(),
            )
        };
        let memory = Memory {
            regions: (0..self.regions).map(|_| Region::new()).collect(),
            locals: names(&self.locals),
            owners: names(&self.owners),
            shared: (0..shared::WORDS)
                .map(|n| word(self.shared.contains(&n)))
                .collect(),
            wanting: [(); MARKS].map(|()| word(true)).into(),
            scratch: vec![Asked::default(); ASKED].into(),
        };
        let settings = Settings {
            most: self.most,
            ..SETTINGS
        };
        let registry = Registry::new(settings, secret(1), memory);
        assert!(registry.prepare(0, allocate));
        registry
    }

    /// Runs `one`, `two` and `three` at once in all orders, after `before`;
    /// `after` gets what they answered.
    fn play<A: 'static, B: 'static, C: 'static>(
        self,
        before: fn(&Registry<World>),
        (one, two, three): (Part<A>, Part<B>, Part<C>),
        after: fn(&Registry<World>, A, B, C),
    ) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(2);
        builder.max_branches = 20_000;
        builder.check(move || {
            let registry = Arc::new(self.registry());
            before(&registry);
            let one = thread::spawn({
                let registry = registry.clone();
                move || one(&registry)
            });
            let two = thread::spawn({
                let registry = registry.clone();
                move || two(&registry)
            });
            let third = three(&registry);
            after(&registry, one.join().unwrap(), two.join().unwrap(), third);
        });
    }
}

type Part<T> = fn(&Registry<World>) -> T;

fn idle(_: &Registry<World>) {}

fn connect(registry: &Registry<World>, tuple: &FiveTuple) -> Verdict {
    registry.connect(0, tuple, true, 0).verdict
}

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
            |registry| registry.disconnect(0, &tcp(1)),
            |registry| connect(registry, &tcp(1)),
            |registry| {
                let region = &registry.regions[0];
                assert!(region.exchange(vec![Bucket::default(); 5]).is_none());
                let two = Load {
                    buckets: 2,
                    entries: usize::MAX,
                };
                for moved in [Moved::Some, Moved::All] {
                    assert_eq!(region.lock().advance(two, &registry.secret, 0), moved);
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
            |registry| registry.disconnect(0, &tcp(1)),
            |registry| registry.finish_moving(&registry.regions[0]),
        ),
        |registry, added, ended, ()| {
            assert_eq!((added, ended), (Verdict::Registered, Some(true)));
            for n in [0, 2, 3, 4] {
                assert_eq!(registry.query(0, &tcp(n)), (Verdict::Repeated, 1), "{n}");
            }
            assert_eq!(registry.query(0, &tcp(1)), (Verdict::Registered, 0));
            assert!(registry.regions[0].lock().take_old().is_none());
            assert_eq!(registry.len(), 4);
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
            |registry| registry.connect(0, &tcp(4), true, 0).wake,
            |registry| registry.connect(0, &tcp(5), true, 0).wake,
            |registry| assert!(registry.maintain(allocate).unwrap()),
        ),
        |registry, one, two, ()| {
            let len = registry.regions[0].lock().buckets().len();
            assert!(len > 4 || registry.wants(), "{one} {two}");
            assert!(len > 4 || one || two);
        },
    );
}

/// Either the one who adds the name sees that its address is not shared any
/// more, or the one who took it from the set sees the name.
#[test]
fn no_name_outlives_its_address_in_the_set() {
    Scene::new(&[v4(10), v4(11)]).play(
        idle,
        (
            |registry| connect(registry, &tcp(1)),
            idle,
            |registry| registry.share(&[v4(11).words()]).unwrap(),
        ),
        |registry, verdict, (), ()| {
            assert!(matches!(verdict, Verdict::Registered | Verdict::NotShared));
            assert_eq!(registry.locals.find(&local(0, &v4(10))), None);
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            assert!(registry.is_empty());
        },
    );
}

fn at(addr: Addr, mut tuple: FiveTuple) -> FiveTuple {
    tuple.local.addr = addr;
    tuple
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
    Scene::new(&[one().local.addr, two().local.addr]).play(
        |registry| {
            connect(registry, &one());
            registry.bind(0, &endpoint_of(one()), 0);
        },
        (call, idle, |registry| {
            registry.share(&[two().local.addr.words()]).unwrap();
            registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            registry.bind(0, &endpoint_of(two()), 0);
            connect(registry, &two())
        }),
        |registry, (), (), verdict| {
            assert_eq!(verdict, Verdict::Registered);
            assert_eq!(registry.query(0, &two()), (Verdict::Repeated, 1));
            registry.bind(0, &endpoint_of(two()), 0);
            connect(
                registry,
                &FiveTuple {
                    protocol: Protocol::Udp,
                    ..two()
                },
            );
            registry.unbind(0, &endpoint_of(two()));
            let (verdict, _) = registry.query(
                0,
                &FiveTuple {
                    protocol: Protocol::Udp,
                    ..two()
                },
            );
            assert_eq!(verdict, Verdict::Repeated);
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
        let _known = registry.disconnect(0, &one());
    });
}

#[test]
fn a_number_gets_no_second_meaning_under_an_unbind() {
    while_the_number_changes_hands(|registry| {
        let _known = registry.unbind(0, &endpoint_of(one()));
    });
}

#[test]
fn a_number_gets_no_second_meaning_under_an_install() {
    while_the_number_changes_hands(|registry| {
        assert_ne!(registry.install(2, &one()), Err(NotInstalled::Invalid));
    });
}

#[test]
fn a_purged_node_comes_back_beside_a_connect() {
    Scene::new(&[v4(10)]).play(
        |registry| assert!(registry.install(2, &tcp(1)).is_ok()),
        (
            |registry| connect(registry, &tcp(1)),
            idle,
            |registry| {
                assert!(registry.purge(2));
                registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
                registry.install(2, &tcp(1)).map(drop)
            },
        ),
        |registry, connected, (), installed| {
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
            assert!(registry.purge(3));
        },
        (
            |registry| assert!(registry.purge(2)),
            idle,
            |registry| {
                let _swept = registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
            },
        ),
        |registry, (), (), ()| {
            assert!(registry.is_dirty() || registry.is_empty());
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
            let credit: u64 = registry
                .regions
                .iter()
                .map(|region| u64::from(region.lock().credit))
                .sum();
            assert_eq!(
                (registry.pool.load().wrapping_add(credit), registry.len()),
                (0, 1)
            );
        },
    );
}
