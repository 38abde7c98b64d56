// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What holds of a registry whenever no call is under way, whatever the calls
//! were.

use std::collections::{BTreeMap, BTreeSet};

use super::super::entry::{Bound, TICKS};
use super::super::env::{Env, Word};
use super::super::hash::home;
use super::super::names::Names;
use super::super::region::Inner;
use super::*;

/// All entries of a table, and the endpoints by their keys.
#[derive(Default)]
struct Contents {
    entries: Vec<Entry>,
    bounds: BTreeMap<u64, Bound>,
}

/// Checks what holds after any calls, also of many threads at once.
pub fn check<E: Env>(registry: &Registry<E>) {
    let _contents = contents(registry);
}

/// As [`check`], after calls of one thread whose ticks did not run away from
/// its sweeps: without races nothing is dead that the next sweep does not know
/// of, nothing is of a generation that is free again, and nothing is older
/// than the sweeps think.
pub fn check_of_one_thread<E: Env>(registry: &Registry<E>) {
    let Contents { entries, bounds } = contents(registry);
    for entry in entries.iter().filter(|entry| entry.kind() == Kind::Udp) {
        let (local, lport) = (entry.local(), entry.ports().0);
        let Some(bound) = bounds.get(&Key::endpoint(Protocol::Udp, local, lport).packed) else {
            // What has no endpoint is dead.
            assert!(registry.is_dirty(), "{entry:?} has no endpoint");
            continue;
        };
        let since = |generation: u8| generation.wrapping_sub(bound.oldest);
        assert!(
            since(entry.generation()) <= since(bound.generation),
            "{entry:?} is older than its endpoint thinks: {bound:?}"
        );
        let dead = entry.generation() != bound.generation;
        assert!(!dead || registry.is_dirty(), "no sweep will find {entry:?}");
    }
    if registry.settings.age != 0 {
        registry
            .regions
            .iter()
            .for_each(|region| check_ticks(&region.lock()));
    }
}

/// Checks each region, the names and the credit.
fn contents<E: Env>(registry: &Registry<E>) -> Contents {
    let mut contents = Contents::default();
    let (mut tuples, mut endpoints, mut credit) = (0, 0, 0);
    for (number, region) in registry.regions.iter().enumerate() {
        let inner = region.lock();
        let before = (contents.entries.len(), contents.bounds.len());
        let mut keys = BTreeSet::new();
        for (buckets, present) in [(inner.buckets(), true), (inner.old_buckets(), false)] {
            check_passes(registry, buckets, present);
            for (_, entry) in buckets.iter().flat_map(Bucket::used) {
                let key = entry.key();
                assert!(
                    keys.insert((key.address, key.packed)),
                    "{entry:?} is there twice"
                );
                check_place(registry, &inner, number, entry);
                match entry.kind() {
                    Kind::Endpoint => drop(contents.bounds.insert(key.packed, Bound::from(entry))),
                    _ => contents.entries.push(*entry),
                }
            }
        }
        let here = contents.entries.len() - before.0;
        let bound = contents.bounds.len() - before.1;
        assert_eq!(inner.counts(), (here + bound, bound), "region {number}");
        // So little lies idle that a full table is about full.
        assert!(u64::from(inner.credit()) < 2 * registry.batch);
        tuples += here;
        endpoints += bound;
        credit += inner.credit() as usize;
        drop(inner);
        assert!(region.lock().has_right_bounds(), "region {number}");
    }
    let most = registry.settings.most;
    let pool = Word::load(&registry.pool) as usize;
    assert_eq!(
        pool + credit + tuples,
        most,
        "{pool} in the pool, {credit} of regions, {tuples} entries"
    );
    assert_eq!(
        Word::load(&registry.endpoint_pool) as usize + endpoints,
        most,
        "{endpoints} endpoints"
    );
    let numbers = |of: fn(&Entry) -> Option<u16>| contents.entries.iter().filter_map(of);
    let retired = [
        check_names(
            &registry.locals,
            numbers(|entry| Some(entry.local())).chain(
                contents
                    .bounds
                    .keys()
                    .map(|packed| (packed >> 33) as u16 % NAMES as u16),
            ),
        ),
        check_names(
            &registry.owners,
            numbers(|entry| match entry.kind() {
                Kind::Other(owner) => Some(owner),
                _ => None,
            }),
        ),
    ];
    assert!(
        retired == [0, 0] || registry.is_dirty(),
        "no sweep will free {retired:?} names"
    );
    contents
}

/// Is an entry where it is looked for?
fn check_place<E: Env>(registry: &Registry<E>, inner: &Inner<E>, number: usize, entry: &Entry) {
    let key = entry.key();
    let (place, _, region) = registry.place(&key).unwrap();
    assert_eq!(region, number, "{entry:?} is in another region");
    let found = match entry.kind() {
        Kind::Endpoint => inner.find(place, |other| other.is_endpoint(&key)),
        _ => inner.find(place, |other| other.is(&key)),
    };
    let found = found.unwrap_or_else(|| panic!("{entry:?} is not found"));
    assert_eq!(found.packed, entry.packed());
}

/// Does each bucket know how many went past? One that is moved from may take
/// them for more.
fn check_passes<E: Env>(registry: &Registry<E>, buckets: &[Bucket], present: bool) {
    let mut passed = vec![0; buckets.len()];
    for (index, bucket) in buckets.iter().enumerate() {
        for (_, entry) in bucket.used() {
            let hash = entry.hash(&registry.secret);
            let mut at = home(hash.fraction(), buckets.len());
            while at != index {
                passed[at] += 1;
                at = (at + 1) % buckets.len();
            }
        }
    }
    for (bucket, passed) in buckets.iter().zip(passed) {
        match bucket.passes() {
            Some(count) if present => assert_eq!(count, passed),
            Some(count) => assert!(count >= passed, "{count} of {passed}"),
            None => {}
        }
    }
}

/// Do the heads of buckets and the region know of no tick that is too late?
fn check_ticks<E: Env>(inner: &Inner<E>) {
    let bounds = |oldest: Option<u8>, tick: u8| {
        oldest.is_some_and(|oldest| tick.wrapping_sub(oldest) % TICKS < TICKS / 2)
    };
    for bucket in inner.buckets().iter().chain(inner.old_buckets()) {
        for tick in bucket.used().filter_map(|(_, entry)| entry.ages()) {
            assert!(
                bounds(bucket.oldest(), tick) && bounds(inner.oldest(), tick),
                "an entry of tick {tick} in a bucket from {:?} on, in a region from {:?} on",
                bucket.oldest(),
                inner.oldest()
            );
        }
    }
}

/// Do numbers in use mean something, and no two of them the same? How many
/// names are retired.
fn check_names<E: Env>(names: &Names<E>, used: impl Iterator<Item = u16>) -> usize {
    let all = (0..NAMES as u16).filter(|number| names.last_meaning(*number).is_some());
    let (live, retired): (Vec<_>, Vec<_>) = all.partition(|number| names.is_live(*number));
    assert_eq!(names.used(), live.len() + retired.len());
    let meanings = live.iter().map(|number| names.meaning(*number).unwrap());
    let meanings: BTreeSet<_> = meanings.map(|name| (name.words, name.tag)).collect();
    assert_eq!(meanings.len(), live.len(), "two numbers of one name");
    for number in used {
        assert!(
            names.last_meaning(number).is_some(),
            "{number} means nothing"
        );
    }
    retired.len()
}
