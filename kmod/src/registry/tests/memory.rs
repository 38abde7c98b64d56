// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory that is late or fails, and keys that were chosen to need much.

use super::super::hash::home;
use super::*;

/// The answer to a new 5-tuple, and whether somebody has to be woken.
fn asked(registry: &Registry<Std>, tuple: &FiveTuple) -> (Verdict, bool) {
    let answer = registry.ask(0, tuple, true, 0);
    (answer.verdict, answer.wake)
}

#[test]
fn whoever_finds_no_memory_asks_for_it_and_nobody_after_him() {
    let registry: Registry<Std> = Registry::new(SETTINGS, secret(1), memory(1));
    for flow in [tcp, udp] {
        assert_eq!(asked(&registry, &flow(1)), (Verdict::Late, true));
        assert_eq!(asked(&registry, &flow(2)), (Verdict::Late, false));
        assert!(registry.wants());
        // Whoever failed to get some is asked again.
        assert!(!registry.maintain(|_| None).unwrap());
        assert_eq!(asked(&registry, &flow(3)), (Verdict::Late, true));
        assert!(!registry.maintain(|_| None).unwrap());
    }
    assert!(registry.maintain(allocate).unwrap());
    assert_eq!(asked(&registry, &tcp(1)).0, Verdict::Registered);
    invariants::check_of_one_thread(&registry);
}

#[test]
fn a_first_array_that_fills_up_asks_for_memory_once_and_at_once() {
    let Fixture(registry) = Fixture::new(SETTINGS, 1);
    let wakes = |from: u32| {
        (from..from + 12)
            .filter(|n| asked(&registry, &tcp(*n)).1)
            .count()
    };
    assert_eq!((wakes(0), registry.hurries()), (1, true));
    assert!(registry.maintain(allocate).unwrap());
    assert_eq!((wakes(100), registry.wants()), (0, false));
}

/// A sweep makes room; without anything dead nobody could.
#[test]
fn a_full_table_asks_for_a_sweep_if_anything_is_dead() {
    let settings = Settings {
        most: 64,
        ..SETTINGS
    };
    let fixture = Fixture::new(settings, 1);
    let registry = &fixture.0;
    for n in 0..64 {
        assert!(registry.install(2, &tcp(n)).is_ok());
        assert!(registry.maintain(allocate).unwrap());
    }
    assert_eq!(asked(registry, &tcp(100)), (Verdict::Full, false));
    assert!(registry.leave(2));
    assert_eq!(asked(registry, &tcp(100)), (Verdict::Full, true));
    assert_eq!(asked(registry, &tcp(100)), (Verdict::Full, false));
    registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
    assert_eq!(asked(registry, &tcp(100)).0, Verdict::Registered);
}

/// Registers so many with one allocation that fails; how many allocations
/// there were.
fn register_with_a_failure(nth: usize) -> usize {
    let Fixture(registry) = Fixture::new(SETTINGS, 4);
    let mut allocations = 0;
    let mut some = |buckets| {
        allocations += 1;
        (allocations != nth).then(|| vec![Bucket::default(); buckets])
    };
    for n in 0..500 {
        for flow in [tcp(n), from(11, tuple(Protocol::Udp, n as u16, n))] {
            let free = verdict(&registry, &flow);
            assert!(matches!(free, Verdict::Registered | Verdict::Late));
            let (answer, _) = asked(&registry, &flow);
            // Of UDP it knows only the 5-tuple's region, not the endpoint's; and
            // neither before there is a number for the address.
            assert!(free == answer || flow.protocol == Protocol::Udp || n == 0);
            let now = registry.query(0, &flow);
            match answer {
                Verdict::Registered => assert_eq!(now, (Verdict::Repeated, 1)),
                Verdict::Late => assert_eq!(now.1, 0, "{flow:?}"),
                odd => panic!("{odd:?} of {flow:?}"),
            }
        }
        if n % 32 == 0 {
            let _complete = registry.maintain(&mut some).unwrap();
            invariants::check_of_one_thread(&registry);
        }
    }
    assert!(registry.maintain(allocate).unwrap());
    let held = registry.len();
    assert_eq!(listing(&registry, 0).len(), held);
    registry.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
    invariants::check_of_one_thread(&registry);
    assert_eq!((registry.len(), registry.endpoints()), (0, 0));
    allocations
}

#[test]
fn any_allocation_may_fail() {
    let allocations = register_with_a_failure(usize::MAX);
    assert!(allocations >= 8, "{allocations}");
    for nth in 1..=allocations {
        register_with_a_failure(nth);
    }
}

/// Remote ends know the code and choose 5-tuples that meet in one bucket, but
/// for another secret.
#[test]
fn keys_that_meet_under_one_secret_do_not_under_another() {
    let fixture = Fixture::new(SETTINGS, 16);
    let registry = &fixture.0;
    let name = registry.locals.find_or_add(&local(0, &v4(10))).unwrap();
    let theirs = secret(2);
    let meets = |n: &u32| {
        let hash = key(name, &tcp(*n)).hash(&theirs);
        (hash.region(63 - 4), home(hash.fraction(), 64)) == (3, 7)
    };
    let chosen: Vec<u32> = (0..1 << 20).filter(meets).collect();
    assert!(chosen.len() > 800, "{}", chosen.len());
    for n in &chosen {
        assert_eq!(fixture.connect(&tcp(*n)), Verdict::Registered);
    }
    for region in &registry.regions {
        let inner = region.lock();
        let passed = inner.buckets().iter().filter_map(Bucket::passes).max();
        assert!(passed < Some(16), "{passed:?} went past one bucket");
        let share = chosen.len() / registry.regions.len();
        assert!((share / 2..share * 2).contains(&inner.count()));
    }
}
