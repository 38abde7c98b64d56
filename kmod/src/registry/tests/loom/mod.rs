// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All orders of a few calls, or as many as [`MOST`] allows, within the memory
//! model: every load may see every value that its ordering allows.
//!
//! Thousands of words make a registry, and a handful of them change in a
//! scenario. Only those are loom's; the others are plain words that must stay
//! zero, so that nothing is lost by not watching them.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use ::loom::model::Builder;
use ::loom::sync as watched;
use ::loom::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use ::loom::thread;

use super::layout::Layout;
use super::names::node;
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

    fn swap(&self, value: u64) -> u64 {
        self.change(|word| word.swap(value, AcqRel))
    }

    fn replace(&self, from: u64, to: u64) -> bool {
        match self {
            Self::Watched(word) => word.compare_exchange(from, to, AcqRel, Acquire).is_ok(),
            Self::Zero => panic!("a word that nobody watches"),
        }
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
    type Segment = Box<Segment>;
    type Directory = Vec<Option<Box<Segment>>>;
    type Peek = ();
    type FreeSegments = Vec<Option<Box<Segment>>>;
    type Uncounted = Box<[Apart]>;
    type Shards = Box<[Shard<Self>]>;
    type Names = Box<[Name<Self>]>;
    type Words = Arc<[WorldWord]>;
    type Scratch = Box<[Asked]>;

    fn segment() -> Option<Box<Segment>> {
        boxed_segment()
    }

    fn wake() {}

    fn no_scratch() -> Box<[Asked]> {
        Box::default()
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
    shards: usize,
    most: usize,
    /// How often a thread is stopped where it need not wait.
    preemptions: usize,
}

/// So long a scene is played in other orders.
const MOST: Duration = Duration::from_secs(4);

/// Homes of a shard, so that a sweep has little to look at.
const HOMES: u32 = 4;

impl Scene {
    /// With these addresses, and nodes 2 and 3.
    fn new(addresses: &[Addr]) -> Self {
        let local = |addr: &Addr| local(0, addr);
        let mut scene = Self {
            locals: numbers(addresses.iter().map(local)),
            owners: numbers([2, 3].map(node).into_iter()),
            shared: BTreeSet::new(),
            shards: 1,
            most: 100,
            preemptions: 2,
        };
        for address in addresses {
            let words: Arc<[AtomicU64]> = (0..shared::WORDS).map(|_| AtomicU64::new(0)).collect();
            let set = Shared::<Std>::new(words.clone());
            for _ in 0..2 {
                set.set(&[address.words()]).unwrap();
            }
            let words = words.iter().enumerate();
            let used = words.filter(|(_, word)| Word::load(*word) != 0);
            scene
                .shared
                .extend(used.flat_map(|(place, _)| [place & !1, place | 1]));
        }
        scene
    }

    /// For parts that take long.
    fn long(addresses: &[Addr]) -> Self {
        Self {
            preemptions: 1,
            ..Self::new(addresses)
        }
    }

    fn registry(&self) -> Registry<World> {
        fn watched<T>(watch: bool, make: impl FnOnce() -> T) -> T {
            WATCHED.set(watch);
            let made = make();
            WATCHED.set(true);
            made
        }
        let names = |seen: &BTreeSet<usize>| {
            let names = (0..NAMES).map(|n| watched(seen.contains(&n), Name::new));
            names.collect()
        };
        let settings = Settings {
            most: self.most,
            most_udp: self.most,
            ..SETTINGS
        };
        let memory = Memory {
            locals: names(&self.locals),
            owners: names(&self.owners),
            shared: (0..shared::WORDS)
                .map(|n| watched(self.shared.contains(&n), || WorldWord::new(0)))
                .collect(),
            ..memory(&settings, self.shards)
        };
        let registry: Registry<World> = Registry::new(settings, secret(1), memory);
        for shard in registry.shards.iter() {
            let mut table = shard.lock();
            assert!(table.give(0, boxed_segment().unwrap()).is_none());
            table.layout = Layout::new(HOMES);
            table.grow_at = u32::MAX;
        }
        registry
    }

    /// Runs `one` and `two` at once in all orders, after `before`; `after` gets what
    /// they answered.
    fn play<A: 'static, B: 'static>(
        self,
        before: fn(&Registry<World>),
        (one, two): (Part<A>, Part<B>),
        after: fn(&Registry<World>, A, B),
    ) {
        self.check(move |registry| {
            before(registry);
            let one = start(registry, one);
            let two = two(registry);
            after(registry, one.join().unwrap(), two);
        });
    }

    /// As [`Scene::play`], for three at once.
    fn play_three<A: 'static, B: 'static, C: 'static>(
        self,
        before: fn(&Registry<World>),
        (one, two, three): (Part<A>, Part<B>, Part<C>),
        after: fn(&Registry<World>, A, B, C),
    ) {
        self.check(move |registry| {
            before(registry);
            let (one, two) = (start(registry, one), start(registry, two));
            let three = three(registry);
            after(registry, one.join().unwrap(), two.join().unwrap(), three);
        });
    }

    fn check(self, scene: impl Fn(&Arc<Registry<World>>) + Send + Sync + 'static) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(self.preemptions);
        builder.max_branches = 20_000;
        builder.max_duration = Some(MOST);
        // The duration is looked at so often only.
        builder.checkpoint_interval = 100;
        builder.check(move || {
            let registry = Arc::new(self.registry());
            scene(&registry);
            invariants::check(&registry);
        });
    }
}

fn start<T: 'static>(registry: &Arc<Registry<World>>, part: Part<T>) -> thread::JoinHandle<T> {
    let registry = registry.clone();
    thread::spawn(move || part(&registry))
}

type Part<T> = fn(&Registry<World>) -> T;

/// The numbers that these names may get.
fn numbers(meanings: impl Iterator<Item = Meaning>) -> BTreeSet<usize> {
    let names = || Names::<Std>::new((0..NAMES).map(|_| Name::new()).collect());
    let together = names();
    let both = meanings.flat_map(|meaning| {
        // And on an empty table, where it may have the first choice.
        [&together, &names()].map(|names| names.add(&meaning, || ()).unwrap().number())
    });
    both.map(usize::from).collect()
}
