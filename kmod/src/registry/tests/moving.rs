// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Regions with two arrays: what is where, at every place that the moving may
//! have come to, and who moves it.

use std::collections::BTreeSet;

use super::region::{HELP, Load, Moved, larger, smaller};
use super::*;

const ONE: Load = Load {
    buckets: 1,
    entries: usize::MAX,
};

/// A registry of one region whose entries are about to move, and its tuples.
struct Moving {
    fixture: Fixture,
    live: BTreeSet<u32>,
    old: usize,
    new: usize,
}

impl Moving {
    /// From `old` buckets with so many entries to `new` ones, of which the
    /// first `moved` were moved from.
    fn new(entries: u32, old: usize, new: usize, moved: usize) -> Self {
        let fixture = Fixture::new(SETTINGS, 1);
        let region = &fixture.0.regions[0];
        let fits = |buckets| assert!(region.exchange(buckets).is_none());
        fits(vec![Bucket::default(); old]);
        while region.lock().advance(ONE, &fixture.0.secret) == Moved::Some {}
        assert!(region.lock().take_old().is_some());
        let live: BTreeSet<u32> = (0..entries).collect();
        for n in &live {
            let answer = fixture.0.ask(0, &tcp(*n), true, 0);
            assert_eq!(answer.verdict, Verdict::Registered, "{n} of {entries}");
        }
        fits(vec![Bucket::default(); new]);
        let moving = Self {
            fixture,
            live,
            old,
            new,
        };
        for _ in 0..moved {
            moving.advance();
        }
        assert_eq!(moving.region().lock().left(), old - moved);
        moving
    }

    fn region(&self) -> &Region<Std> {
        &self.fixture.0.regions[0]
    }

    fn advance(&self) -> Moved {
        self.region().lock().advance(ONE, &self.fixture.0.secret)
    }

    /// Are these and no others found, and are they listed once each when all
    /// have moved?
    fn check(&self) {
        let registry = &self.fixture.0;
        for n in 0..3000 {
            let (verdict, references) = registry.query(0, &tcp(n));
            let expected = match self.live.contains(&n) {
                true => (Verdict::Repeated, 1),
                false => (Verdict::Registered, 0),
            };
            let place = (self.old, self.new, self.region().lock().left());
            assert_eq!((verdict, references), expected, "{n} at {place:?}");
        }
        assert_eq!(registry.len(), self.live.len());
    }

    /// The ones that are listed, from a state as the moving left it.
    fn check_listed(&self) {
        let listed = listing(&self.fixture.0, 0);
        let foreign: BTreeSet<_> = listed.iter().map(|one| one.foreign).collect();
        let expected: BTreeSet<_> = self
            .live
            .iter()
            .map(|n| tcp(*n).foreign.addr.words())
            .collect();
        assert_eq!(listed.len(), self.live.len());
        assert_eq!(foreign, expected);
    }
}

/// Arrays that grow and shrink, with as many entries as they have at most then;
/// the full ones have long runs, which reach over the end.
const SIZES: [(u32, usize, usize); 4] = [
    (120, 24, 96),
    (1300, 325, 433),
    (40, 96, 24),
    (270, 325, 81),
];

/// Every place that moving may have come to, but for large arrays.
fn places(old: usize) -> impl Iterator<Item = usize> {
    (0..=old).step_by(1 + old / 40).chain([old - 1, old])
}

#[test]
fn each_entry_is_found_once_wherever_it_is() {
    for (entries, old, new) in SIZES {
        let moving = Moving::new(entries, old, new, 0);
        for _ in 0..old {
            moving.check();
            moving.advance();
        }
        assert_eq!(moving.region().lock().left(), 0);
        moving.check();
        // The old array is still there, and waits for the task.
        assert!(moving.region().lock().take_old().is_some());
        moving.check();
        moving.check_listed();
    }
}

#[test]
fn a_listing_meets_entries_on_their_way() {
    for (entries, old, new) in SIZES {
        for moved in places(old) {
            Moving::new(entries, old, new, moved).check_listed();
        }
    }
}

#[test]
fn what_ends_or_repeats_is_met_in_both_arrays() {
    for (entries, old, new) in SIZES {
        for moved in places(old) {
            let mut moving = Moving::new(entries, old, new, moved);
            let registry = &moving.fixture.0;
            for n in 0..entries {
                match n % 3 {
                    0 => {
                        assert_eq!(registry.end(0, &tcp(n)), Some(true), "{n}");
                        moving.live.remove(&n);
                    }
                    1 => {
                        let again = registry.ask(0, &tcp(n), true, 0);
                        assert_eq!(again, Verdict::Repeated, "{n}");
                        assert_eq!(registry.end(0, &tcp(n)), Some(false), "{n}");
                    }
                    _ => {
                        let other = registry.install(2, &tcp(n)).map(drop);
                        assert_eq!(other, Err(NotInstalled::OwnedBy(1)), "{n}");
                    }
                }
            }
            assert_eq!(moving.region().lock().left(), old - moved);
            moving.check();
            while moving.advance() == Moved::Some {}
            moving.check();
            moving.check_listed();
        }
    }
}

#[test]
fn what_another_node_gives_up_or_loses_is_met_in_both_arrays() {
    let (old, new) = (24, 32);
    for moved in 0..=old {
        let fixture = Fixture::new(SETTINGS, 1);
        let registry = &fixture.0;
        let region = &registry.regions[0];
        assert!(region.exchange(vec![Bucket::default(); old]).is_none());
        while region.lock().advance(ONE, &registry.secret) == Moved::Some {}
        region.lock().take_old().unwrap();
        for n in 0..90 {
            assert!(registry.install(2 + n % 2, &tcp(n)).is_ok());
        }
        assert!(region.exchange(vec![Bucket::default(); new]).is_none());
        for _ in 0..moved {
            region.lock().advance(ONE, &registry.secret);
        }
        registry.leave(3);
        for n in 0..90 {
            if n % 4 == 0 {
                assert_eq!(registry.withdraw(2, &tcp(n)), Some(true), "{n} at {moved}");
            } else if n % 4 == 1 {
                // A dead entry is replaced where it is; the call may move others.
                let verdict = registry.ask(0, &tcp(n), true, 0);
                assert_eq!(verdict, Verdict::Registered, "{n} at {moved}");
            }
        }
        let expected = |n: u32| match n % 4 {
            1 => Verdict::Repeated,
            2 => Verdict::OwnedBy(2),
            _ => Verdict::Registered,
        };
        for n in 0..90 {
            assert_eq!(
                verdict(registry, &tcp(n)),
                expected(n),
                "{n} of 90 at {moved}"
            );
        }
        let swept = registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
        assert_eq!((swept.dead, registry.len()), (45, 23 + 22));
        for n in 0..90 {
            assert_eq!(verdict(registry, &tcp(n)), expected(n), "{n} at {moved}");
        }
    }
}

/// A sweep for the aged meets UDP entries and their ticks, whichever array they
/// were in.
#[test]
fn what_is_old_goes_from_both_arrays() {
    let (old, new) = (24, 96);
    for moved in 0..=old {
        let fixture = Fixture::new(SETTINGS, 1);
        let registry = &fixture.0;
        let region = &registry.regions[0];
        assert!(region.exchange(vec![Bucket::default(); old]).is_none());
        while region.lock().advance(ONE, &registry.secret) == Moved::Some {}
        region.lock().take_old().unwrap();
        for n in 0..80 {
            registry.ask(0, &udp(n), true, (n % 2) as u8);
        }
        assert!(region.exchange(vec![Bucket::default(); new]).is_none());
        for _ in 0..moved {
            region.lock().advance(ONE, &registry.secret);
        }
        let swept = registry.sweep(Pass::Age, 17, |_, _| {}).unwrap();
        assert_eq!(swept.aged, 40, "at {moved}");
    }
}

/// The task only brings memory: whoever inserts moves what has to move, in time
/// for the next array.
#[test]
fn insertions_alone_finish_a_growth() {
    const TUPLES: u32 = 60_000;
    let registry = Fixture::new(SETTINGS, 4).0;
    let mut growths = 0;
    for n in 0..TUPLES {
        let answer = registry.ask(0, &tcp(n), true, 0);
        assert_eq!(answer.verdict, Verdict::Registered, "{n}");
        if !answer.wake {
            continue;
        }
        for (number, region) in registry.regions.iter().enumerate() {
            // What maintain does, without a step of its own.
            let mut inner = region.lock();
            inner.answered();
            drop(inner.take_old());
            let (crowded, len) = (inner.is_crowded(), inner.buckets().len());
            drop(inner);
            if crowded {
                let buckets = allocate(larger(len, number)).unwrap();
                assert!(region.exchange(buckets).is_none());
                growths += 1;
            }
        }
    }
    assert!(growths > 4 * 8, "{growths} growths");
    assert_eq!(registry.len(), TUPLES as usize);
    for n in 0..TUPLES {
        assert_eq!(registry.query(0, &tcp(n)), (Verdict::Repeated, 1), "{n}");
    }
    assert_eq!(listing(&registry, 0).len(), TUPLES as usize);
}

/// Endpoints are inserted, too.
#[test]
fn endpoints_help_to_move() {
    let moving = Moving::new(300, 100, 133, 0);
    for port in 1..=200 {
        assert_eq!(moving.fixture.0.bind(0, &endpoint(port), 0), Some(true));
    }
    assert_eq!(moving.region().lock().left(), 0);
    moving.check();
}

/// As late as memory may come: when nothing fits any more.
#[test]
fn memory_that_comes_last_is_filled_by_those_who_move() {
    for len in [4, 24, 100, 160, 500, 2000] {
        for region in [0, 5, 127] {
            let full = if len <= 64 { len * 5 } else { len * 4 };
            let new = larger(len, region);
            let moving = Moving::new(full as u32, len, new, 0);
            let registry = &moving.fixture.0;
            let mut inserted = 0;
            while moving.region().lock().left() > 0 {
                let n = 100_000 + inserted;
                let verdict = registry.ask(0, &tcp(n), true, 0);
                assert_eq!(verdict, Verdict::Registered, "{inserted} more in {new}");
                inserted += 1;
            }
            assert!(moving.region().lock().is_crowded() || inserted < new as u32);
        }
    }
}

/// A smaller array is filled while the entries of a much larger one move in.
#[test]
fn insertions_alone_finish_shrinking() {
    for len in [96, 400, 3000] {
        let new = smaller(len);
        let few = len * 5 / 12 - 1;
        let moving = Moving::new(few as u32, len, new, 0);
        let registry = &moving.fixture.0;
        for n in 0.. {
            if moving.region().lock().left() == 0 {
                break;
            }
            let verdict = registry.ask(0, &tcp(100_000 + n), true, 0);
            assert_eq!(verdict, Verdict::Registered, "{n} more in {new}");
        }
        for n in 0..few as u32 {
            assert_eq!(registry.query(0, &tcp(n)), (Verdict::Repeated, 1), "{n}");
        }
    }
}

/// Nobody who inserts moves more than this, whatever the buckets hold.
#[test]
fn an_insertion_moves_little() {
    let most = HELP.entries - 1 + bucket::SLOTS;
    for (entries, old, new) in SIZES {
        let moving = Moving::new(entries, old, new, 0);
        let secret = &moving.fixture.0.secret;
        let here = |moving: &Moving| {
            let inner = moving.region().lock();
            inner.buckets().iter().flat_map(Bucket::used).count()
        };
        while moving.region().lock().left() > 0 {
            let (before, left) = (here(&moving), moving.region().lock().left());
            moving.region().lock().help(secret);
            let moved = here(&moving) - before;
            let looked_at = left - moving.region().lock().left();
            assert!(moved <= most && looked_at <= HELP.buckets);
            assert!(looked_at > 0);
        }
    }
}

/// Regions whose arrays are no longer those that they began with.
fn grown(regions: usize) -> Registry<Std> {
    let registry = Fixture::new(SETTINGS, regions).0;
    for region in &registry.regions {
        assert!(region.exchange(vec![Bucket::default(); 16]).is_none());
        registry.finish_moving(region);
    }
    registry
}

/// Those in need do not wait for those who only want.
#[test]
fn who_needs_memory_now_gets_it_first() {
    let registry = grown(64);
    let mut first = None;
    let mut wake = false;
    for n in 0.. {
        let answer = registry.ask(0, &tcp(n), true, 0);
        wake |= answer.wake;
        if registry.hurries() {
            first = Some(n);
            break;
        }
        assert_eq!(answer.verdict, Verdict::Registered);
    }
    let name = registry.locals.find(&local(0, &v4(10))).unwrap();
    let (.., needy) = registry.place(&key(name, &tcp(first.unwrap()))).unwrap();
    assert!(wake && registry.wants());
    let wanting = (0..64).filter(|number| registry.regions[*number].lock().wanting);
    assert!(wanting.count() > 1);
    let mut given = Vec::new();
    let give = |buckets| {
        let grown = (0..64).filter(|number| registry.regions[*number].lock().buckets().len() > 16);
        given.push(grown.collect::<Vec<_>>());
        allocate(buckets)
    };
    assert!(registry.maintain(give).unwrap());
    assert!(!registry.hurries() && !registry.wants());
    assert_eq!(given[..2], [vec![], vec![needy]]);
}

/// An insertion asks when its region is crowded, again when that was not enough,
/// and then not for each that comes.
#[test]
fn a_region_asks_twice_and_then_once_for_what_is_late() {
    let registry = grown(1);
    let mut asked = Vec::new();
    for n in 0..100 {
        let answer = registry.ask(0, &tcp(n), true, 0);
        if answer.wake {
            asked.push((answer.verdict, registry.hurries()));
        }
    }
    let expected = [(Verdict::Registered, false), (Verdict::Registered, true)];
    assert_eq!(asked, expected);
    // Somebody looked, and there was no memory.
    assert!(!registry.maintain(|_| None).unwrap());
    let answers = [100, 101, 102].map(|n| registry.ask(0, &tcp(n), true, 0));
    assert_eq!(answers.map(|answer| answer.wake), [true, false, false]);
    assert!(answers.iter().all(|answer| answer.verdict == Verdict::Late));
    assert!(registry.maintain(allocate).unwrap());
    let verdict = registry.ask(0, &tcp(103), true, 0);
    assert_eq!(verdict, Verdict::Registered);
}
