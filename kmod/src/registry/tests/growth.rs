// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Growing, shrinking, limits.

use std::collections::BTreeSet;

use super::region::Load;
use super::*;

#[test]
fn it_grows_from_nothing_and_shrinks_again() {
    let fixture = Fixture::new(SETTINGS, 16);
    let bytes = |registry: &Registry<Std>| {
        let buckets: usize = registry
            .regions
            .iter()
            .map(|region| region.lock().buckets().len())
            .sum();
        buckets * size_of::<Bucket>()
    };
    let idle = bytes(&fixture.0);
    for n in 0..100_000 {
        assert_eq!(fixture.connect(&tcp(n)), Verdict::Registered, "{n}");
    }
    assert_eq!(fixture.0.len(), 100_000);
    let each = bytes(&fixture.0) / 100_000;
    assert!((30..48).contains(&each), "{each} bytes each");
    for n in 0..100_000 {
        assert_eq!(fixture.connect(&tcp(n)), Verdict::Repeated, "{n}");
        assert_eq!(fixture.0.disconnect(0, &tcp(n)), Some(false));
    }
    for n in 0..100_000 {
        assert_eq!(fixture.0.disconnect(0, &tcp(n)), Some(true), "{n}");
    }
    assert!(fixture.0.is_empty());
    for _ in 0..20 {
        fixture.0.sweep(Pass::Dead, 0, |_, _| ()).unwrap();
        assert!(fixture.0.maintain(allocate).unwrap());
    }
    assert_eq!(bytes(&fixture.0), idle);
}

#[test]
fn every_entry_is_found_while_another_thread_would_be_moving_it() {
    let fixture = Fixture::new(SETTINGS, 1);
    let region = &fixture.0.regions[0];
    for n in 0..400 {
        fixture.connect(&tcp(n));
    }
    region.exchange(vec![Bucket::default(); 200]);
    let mut live: BTreeSet<u32> = (0..400).collect();
    let len = region.lock().left();
    for bucket in 0..len {
        let one = Load {
            buckets: 1,
            entries: 1,
        };
        region.lock().advance(one, &fixture.0.secret);
        let gone = bucket as u32 * 400 / len as u32;
        let new = 1000 + bucket as u32;
        assert_eq!(fixture.0.disconnect(0, &tcp(gone)), Some(true));
        live.remove(&gone);
        assert_eq!(
            fixture.0.ask(0, &tcp(new), true, 0),
            Verdict::Registered
        );
        live.insert(new);
        for n in 0..1000 + len as u32 {
            let expected = if live.contains(&n) {
                Verdict::Repeated
            } else {
                Verdict::Registered
            };
            assert_eq!(
                fixture.0.query(0, &tcp(n)).0,
                expected,
                "{n} at {bucket} of {len}"
            );
        }
    }
    let old = region.lock().take_old().unwrap();
    assert!(old.iter().all(|bucket| bucket.used().next().is_none()));
}

#[test]
fn the_limit_is_a_limit() {
    for (most, regions) in [(64, 1024), (1000, 16), (70_000, 16)] {
        let fixture = Fixture::new(Settings { most, ..SETTINGS }, regions);
        let accepted = (0..2 * most as u32)
            .filter(|n| fixture.connect(&tcp(*n)) == Verdict::Registered)
            .count();
        assert!(accepted <= most, "{accepted} of {most}");
        assert!(accepted * 100 >= most * 97, "{accepted} of {most}");
        assert_eq!(fixture.connect(&tcp(u32::MAX)), Verdict::Full);
        assert_eq!(fixture.0.disconnect(0, &tcp(0)), Some(true));
        // Credit may lie idle in another region, but not for ever.
        let again = (0..2 * most as u32)
            .filter(|n| fixture.connect(&tcp(most as u32 * 4 + n)) == Verdict::Registered)
            .count();
        assert!(again >= 1, "of {most}");
        assert!(fixture.0.len() <= most);
    }
}

#[test]
fn late_memory_is_not_a_full_table() {
    let registry: Registry<Std> = Registry::new(SETTINGS, secret(1), memory(2));
    assert_eq!(registry.ask(0, &tcp(0), true, 0), Verdict::Late);
    assert!(!registry.prepare(0, |_| None));
    assert_eq!(registry.ask(0, &tcp(0), true, 0), Verdict::Late);
    assert!(registry.wants());
    assert!(!registry.maintain(|_| None).unwrap());
    assert!(registry.maintain(allocate).unwrap());
    let mut verdicts: Vec<_> = (0..100)
        .map(|n| registry.ask(0, &tcp(n), true, 0))
        .collect();
    verdicts.dedup();
    assert_eq!(verdicts.first(), Some(&Verdict::Registered));
    assert!(verdicts.contains(&Verdict::Late));
    assert!(!registry.maintain(|_| None).unwrap());
    for _ in 0..3 {
        assert!(registry.maintain(allocate).unwrap());
    }
    for n in 0..100 {
        assert_ne!(registry.ask(0, &tcp(n), true, 0), Verdict::Full);
        assert!(registry.maintain(allocate).unwrap());
    }
    assert!(registry.maintain(allocate).unwrap());
    assert_ne!(registry.ask(0, &tcp(1), true, 0), Verdict::Late);
}

/// How far from home an entry ends up, in the fullest array that is used.
#[test]
fn reach_is_enough_for_the_fullest_array() {
    let mut longest = 0;
    for seed in 0..20 {
        let secret = secret(seed);
        let mut buckets = vec![Bucket::default(); 4096];
        for n in 0..4096 * 4u64 {
            let key = Key::tuple(Protocol::Tcp, 0, 80, &tcp(n as u32).foreign.addr, n as u16);
            let hash = key.hash(&secret);
            let at = bucket::insert(&mut buckets, hash, Entry::tcp(&key, true), 4096).unwrap();
            let home = hash::home(hash.fraction(), 4096);
            longest = longest.max((at.bucket + 4096 - home) % 4096);
        }
    }
    std::println!("farthest from home: {longest} buckets");
    assert!(longest < region::REACH, "{longest}");
}

/// Between the look at a region and its smaller memory the region fills up.
#[test]
fn what_comes_while_memory_is_allocated_is_not_left_behind() {
    let fixture = Fixture::new(SETTINGS, 1);
    let registry = &fixture.0;
    for n in 0..2000 {
        fixture.connect(&tcp(n));
    }
    for n in 10..2000 {
        registry.end(0, &tcp(n));
    }
    registry.sweep(Pass::Age, 0, |_, _| {}).unwrap();
    assert!(registry.wants());
    let smaller = |buckets| {
        for n in 10..2000 {
            registry.ask(0, &tcp(n), true, 0);
        }
        allocate(buckets)
    };
    assert!(registry.maintain(smaller).unwrap());
    assert_eq!(registry.regions[0].lock().left(), 0);
    assert_eq!(listing(registry, 0).len(), 2000);
    assert_eq!(fixture.connect(&tcp(5000)), Verdict::Registered);
}

/// Regions take what is left in batches: a rest that is smaller is nobody's.
#[test]
fn a_query_and_a_connect_agree_on_the_last_credit() {
    for most in [129, 191, 1000, 5000] {
        let fixture = Fixture::new(Settings { most, ..SETTINGS }, 1);
        for n in 0..most as u32 {
            for flow in [tcp(n), from(11, udp(n))] {
                let asked = verdict(&fixture.0, &flow);
                assert_eq!(asked, fixture.connect(&flow), "{flow:?} of {most}");
            }
        }
        invariants::check_of_one_thread(&fixture.0);
        fixture.0.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
        invariants::check_of_one_thread(&fixture.0);
    }
}

/// Each of these is the first of its endpoint, which is an entry, too.
#[test]
fn an_endpoint_that_fills_a_region_asks_for_memory_at_once() {
    let fixture = Fixture::new(SETTINGS, 1);
    for n in 0..20_000 {
        let flow = from(n as u8, tuple(Protocol::Udp, (n >> 8) as u16, n));
        assert_eq!(fixture.connect(&flow), Verdict::Registered, "{n}");
    }
}

#[test]
fn memory_that_is_fixed_stays() {
    let settings = Settings {
        fixed: true,
        ..SETTINGS
    };
    let fixture = Fixture::new(settings, 1);
    for n in 0..2000 {
        fixture.connect(&tcp(n));
    }
    let buckets = || fixture.0.regions[0].lock().buckets().len();
    let before = buckets();
    fixture.0.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
    assert!(fixture.0.maintain(allocate).unwrap());
    assert_eq!((fixture.0.len(), buckets()), (0, before));
}
