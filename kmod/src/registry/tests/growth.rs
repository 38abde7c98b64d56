// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Growing and shrinking.

use std::collections::BTreeMap;

use super::layout::Layout;
use super::threads::Numbers;
use super::*;

/// Bytes of the table.
pub fn bytes(registry: &Registry<Std>) -> usize {
    let segments = |shard: &Shard<Std>| shard.lock().directory.iter().flatten().count();
    registry.shards.iter().map(segments).sum::<usize>() * size_of::<Segment>()
}

#[test]
fn it_grows_from_nothing_and_shrinks_again() {
    const TUPLES: u32 = 100_000;
    let fixture = Fixture::new(SETTINGS, 4);
    let registry = &fixture.0;
    assert_eq!(bytes(registry), 0);
    for n in 0..TUPLES {
        assert_eq!(fixture.connect(&tcp(n)), Verdict::Registered, "{n}");
        if n >= 20_000 && n % 100 == 0 {
            let each = bytes(registry) / n as usize;
            assert!(each <= 60, "{each} bytes for each of {n}");
        }
        if n % 5000 == 0 {
            registry.maintain();
        }
    }
    registry.maintain();
    invariants::check(registry);
    let each = bytes(registry) / TUPLES as usize;
    assert!((40..=52).contains(&each), "{each} bytes each");
    for n in 0..TUPLES {
        assert_eq!(registry.query(0, &tcp(n)), (Verdict::Repeated, 1), "{n}");
    }
    for n in 0..TUPLES {
        assert_eq!(registry.end(0, &tcp(n)), Some(true), "{n}");
        if n % 5000 == 0 {
            registry.maintain();
            let left = (TUPLES - n) as usize;
            let bytes = bytes(registry);
            assert!(bytes <= left * 120 + 4 * 8192, "{bytes} for {left}");
        }
    }
    registry.maintain();
    assert_eq!((registry.len(), bytes(registry)), (0, 0));
}

/// Memory comes and goes with no lock held in between: what is registered then is
/// found afterwards.
#[test]
fn what_comes_with_the_first_memory_or_before_the_last_goes_stays() {
    let fixture = Fixture::new(SETTINGS, 1);
    let registry = &fixture.0;
    let shard = &registry.shards[0];
    let segment = Std::segment().expect("memory");
    assert!(shard.lock().give(0, segment).is_none());
    for n in 0..40 {
        assert_eq!(fixture.connect(&tcp(n)), Verdict::Registered);
    }
    registry.maintain();
    for n in 0..40 {
        assert_eq!(registry.end(0, &tcp(n)), Some(true), "{n}");
    }
    assert!(shard.lock().shrink());
    assert_eq!(fixture.connect(&tcp(0)), Verdict::Registered);
    assert!(shard.release().is_none(), "there is an entry in it");
    assert_eq!(registry.end(0, &tcp(0)), Some(true));
    assert!(shard.lock().shrink());
    assert!(shard.release().is_some());
    assert_eq!(bytes(registry), 0);
}

/// A sweep that was there before has nothing to do in a shard without memory.
#[test]
fn an_empty_shard_gets_memory_while_it_is_swept() {
    let fixture = Fixture::new(SETTINGS, 1);
    fixture.0.shards[0].lock().swept = true;
    assert_eq!(fixture.connect(&tcp(0)), Verdict::Registered);
}

/// The task may be late: whoever inserts moves what has to move, in time for the
/// next growth.
#[test]
fn insertions_alone_finish_a_growth() {
    let registry = Fixture::new(SETTINGS, 1).0;
    let mut growths = 0;
    for n in 0..60_000 {
        let (before, next) = {
            let table = registry.shards[0].lock();
            (table.layout, table.used() as u32 + 1)
        };
        let due = next >= registry.shards[0].lock().grow_at;
        assert!(!due || !before.is_moving(), "{n}: {before:?}");
        growths += usize::from(due);
        assert_eq!(registry.ask(0, &tcp(n), true, 0), Verdict::Registered);
    }
    assert!(growths > 20, "{growths} growths");
    invariants::check(&registry);
}

/// A registry of one shard, and what it holds: 5-tuples with their references.
struct Growing {
    registry: Registry<Std>,
    live: BTreeMap<u32, u64>,
    numbers: Numbers,
}

impl Growing {
    /// A quarter is UDP.
    fn flow(n: u32) -> FiveTuple {
        match n % 4 {
            0 => tuple(Protocol::Udp, n as u16 % 64, n),
            _ => tcp(n),
        }
    }

    fn layout(&self) -> Layout {
        self.registry.shards[0].lock().layout
    }

    fn insert(&mut self, count: u32) {
        for _ in 0..count {
            let n = self.numbers.next(5000);
            let references = self.live.entry(n).or_default();
            *references += 1;
            let expected = match references {
                1 => Verdict::Registered,
                _ => Verdict::Repeated,
            };
            let verdict = self.registry.ask(0, &Self::flow(n), true, 0);
            assert_eq!(verdict, expected, "{n}");
        }
    }

    fn end(&mut self, count: u32) {
        for _ in 0..count {
            let from = self.numbers.next(5000);
            let Some((n, references)) = self.live.range_mut(from..).next() else {
                continue;
            };
            let (n, last) = (*n, *references == 1);
            *references -= 1;
            assert_eq!(self.registry.end(0, &Self::flow(n)), Some(last), "{n}");
            if last {
                self.live.remove(&n);
            }
        }
    }

    /// Moves until nothing has to move, and calls between two steps; how often it
    /// went on, and turned.
    fn move_all(&mut self) -> (usize, usize) {
        let (mut steps, mut turns) = (0, 0);
        while self.layout().is_moving() {
            match self.numbers.next(60) {
                0 => self.insert(10),
                1 => self.end(10),
                2..5 => self.insert(1),
                5..8 => self.end(1),
                8 => {
                    self.registry.shards[0].lock().layout.turn();
                    turns += 1;
                }
                _ => steps += usize::from(self.registry.advance(0, 1) == Step::Moved),
            }
            assert_eq!(self.registry.len(), self.live.len());
            invariants::check_of_one_thread(&self.registry);
        }
        for (n, references) in &self.live {
            let found = self.registry.query(0, &Self::flow(*n));
            assert_eq!(found, (Verdict::Repeated, *references), "{n}");
        }
        (steps, turns)
    }
}

/// Whatever is on its way, and whichever way: every entry is found after each
/// step, and what is inserted and removed in between goes where it belongs.
#[test]
fn every_entry_is_found_after_every_step() {
    let (mut grown, mut shrunk, mut turned) = (0, 0, 0);
    for seed in 0..6 {
        let mut growing = Growing {
            registry: Fixture::new(SETTINGS, 1).0,
            live: BTreeMap::new(),
            numbers: Numbers(seed),
        };
        for round in 0..5 {
            if round % 3 < 2 {
                while !growing.layout().is_moving() {
                    growing.insert(1);
                }
                let (steps, turns) = growing.move_all();
                (grown, turned) = (grown + steps, turned + turns);
            } else {
                while !growing.registry.shards[0].lock().shrink() {
                    growing.end(1);
                }
                let (steps, turns) = growing.move_all();
                (shrunk, turned) = (shrunk + steps, turned + turns);
            }
        }
    }
    assert!(
        grown > 1000 && shrunk > 200 && turned > 15,
        "{grown} {shrunk} {turned}"
    );
}
