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

use super::*;

mod calls;
mod names;
mod udp;

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
    type Lock<T: Send + 'static> = watched::Mutex<T>;
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

    fn prefetch_bucket(_: usize) {}
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
        scene.add_nodes(&[2, 3, 2]);
        scene
    }

    /// Nodes, each of which comes after the one before has left.
    fn add_nodes(&mut self, nodes: &[Node]) {
        let Fixture(registry) = Fixture::new(SETTINGS, 1);
        for node in nodes {
            let name = registry.owners.find_or_add(&owner(*node)).unwrap();
            self.owners.insert(name.number.into());
            registry.leave(*node);
        }
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
            invariants::check(&registry);
        });
    }
}

type Part<T> = fn(&Registry<World>) -> T;

fn idle(_: &Registry<World>) {}

fn connect(registry: &Registry<World>, tuple: &FiveTuple) -> Verdict {
    registry.ask(0, tuple, true, 0)
}
