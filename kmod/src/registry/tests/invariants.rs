// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What holds of a registry whenever no call is under way, whatever the calls
//! were.

use std::collections::{BTreeMap, BTreeSet};

use super::super::endpoint::Bound;
use super::super::entry::{Entry, Kind, TICKS};
use super::super::layout::FRACTIONS;
use super::super::table::{Table, within_reach};
use super::*;

/// The 5-tuples, the endpoints by their keys, and the local names of both.
#[derive(Default)]
struct Contents {
    entries: Vec<Entry>,
    locals: Vec<u16>,
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
    let Contents {
        entries, bounds, ..
    } = contents(registry);
    for entry in &entries {
        let dead = match entry.kind() {
            Kind::Other(owner, epoch) => registry.owner(owner, epoch).is_none(),
            Kind::Udp => is_over(entry, &bounds),
            Kind::Tcp | Kind::Endpoint => false,
        };
        let dead = dead || !registry.locals.is_live(entry.local());
        assert!(
            !dead || registry.pending().is_some(),
            "no sweep will find {entry:?}"
        );
    }
    for shard in registry.shards.iter() {
        check_ticks(&shard.lock());
    }
}

/// Has the endpoint of an entry of UDP moved on?
fn is_over(entry: &Entry, bounds: &BTreeMap<u64, Bound>) -> bool {
    let Some(bound) = bounds.get(&Key::endpoint(entry.local(), entry.ports().0).packed) else {
        return true;
    };
    let since = |generation: u8| generation.wrapping_sub(bound.oldest);
    assert!(
        since(entry.generation()) <= since(bound.generation),
        "{entry:?} is older than its endpoint thinks: {bound:?}"
    );
    entry.generation() != bound.generation
}

/// Checks each shard, the pools and the names.
fn contents<E: Env>(registry: &Registry<E>) -> Contents {
    registry.tell_tallies();
    let mut contents = Contents::default();
    for (number, shard) in registry.shards.iter().enumerate() {
        let mut table = shard.lock();
        check_shard(registry, number, &mut table, &mut contents);
    }
    let Contents {
        entries, bounds, ..
    } = &contents;
    let udp = entries.iter().filter(|entry| entry.kind() == Kind::Udp);
    let counted = PerPool {
        tuples: entries.len(),
        udp: udp.count(),
        endpoints: bounds.len(),
    };
    assert_eq!(registry.used(), counted);
    check_names(&registry.locals, contents.locals.iter().copied());
    let owners = entries.iter().filter_map(|entry| match entry.kind() {
        Kind::Other(owner, _) => Some(owner),
        _ => None,
    });
    check_names(&registry.owners, owners);
    contents
}

/// Is each entry where it is looked for, and does each bucket know how many went
/// past?
fn check_shard<E: Env>(
    registry: &Registry<E>,
    number: usize,
    table: &mut Table<E>,
    contents: &mut Contents,
) {
    check_directory(table);
    let mut keys = BTreeSet::new();
    let mut to_change = Vec::new();
    let mut passed = vec![0; table.end()];
    for index in 0..table.end() {
        let used = table.bucket(index).into_iter().flat_map(Bucket::used);
        for (place, entry) in used {
            let (key, hash) = (entry.key(), entry.hash(&registry.secret));
            assert!(keys.insert((key.address, key.packed)), "{entry:?} twice");
            assert_eq!(registry.shard_number(hash), number);
            let home = table.home(hash);
            (home.bucket..index).for_each(|index| passed[index] += 1);
            assert!(within_reach(home.bucket).contains(&index));
            let at = At::new(index, place);
            let found = table.find(home, &key);
            assert!(
                found.is_some_and(|found| std::ptr::eq(found, entry)),
                "{entry:?} of {home:?} is found"
            );
            to_change.push((home, key, at));
            contents.locals.push(entry.local());
            match entry.kind() {
                Kind::Endpoint => drop(contents.bounds.insert(key.packed, Bound::from(entry))),
                _ => contents.entries.push(*entry),
            }
        }
    }
    for (home, key, at) in to_change {
        let found = table.find_mut(home, &key);
        assert_eq!(
            found.map(|(at, _)| at),
            Some(at),
            "{key:?} is found to be changed"
        );
    }
    assert_eq!(table.used(), keys.len());
    for (index, passed) in passed.into_iter().enumerate() {
        let count = table.bucket(index).map_or(0, Bucket::overflow);
        assert_eq!(count, passed, "at {index}");
    }
}

/// Is there memory for all homes, and nothing in what is behind the end?
fn check_directory<E: Env>(table: &Table<E>) {
    let mut fraction = 0;
    while table.end() > 0 && fraction < FRACTIONS {
        let home = table.layout.home(fraction as u32);
        assert!(table.bucket(home).is_some(), "no memory for home {home}");
        fraction = table.layout.interval(fraction as u32).end;
    }
    let all = (0..table.end()).all(|index| table.bucket(index).is_some());
    assert!(all || table.layout.is_moving(), "a gap in the directory");
    let behind = table.end().div_ceil(SEGMENT)..table.directory.places();
    let behind = behind.map(|place| table.directory.get(place));
    let used = behind.flatten().flat_map(|segment| segment.iter());
    assert_eq!(used.flat_map(Bucket::used).count(), 0, "behind the end");
}

/// Do the heads of buckets and the shard know of no tick that is too late?
fn check_ticks<E: Env>(table: &Table<E>) {
    let bounds = |oldest: Option<u8>, tick: u8| {
        oldest.is_some_and(|oldest| tick.wrapping_sub(oldest) % TICKS < TICKS / 2)
    };
    for bucket in (0..table.end()).filter_map(|index| table.bucket(index)) {
        for tick in bucket.used().filter_map(|(_, entry)| entry.ages()) {
            let (of_bucket, of_shard) = (bucket.oldest(), table.oldest);
            assert!(
                bounds(of_bucket, tick) && bounds(of_shard, tick),
                "tick {tick} in a bucket from {of_bucket:?} on, in a shard from {of_shard:?} on"
            );
        }
    }
}

/// Does each number mean something that no other does, and are its entries counted?
fn check_names<E: Env>(names: &Names<E>, used: impl Iterator<Item = u16>) {
    let mut entries = vec![0; NAMES];
    used.for_each(|number| entries[usize::from(number)] += 1);
    let mut known = 0;
    let mut meanings = BTreeSet::new();
    for (number, count) in (0..).zip(entries) {
        assert_eq!(names.entries(number), count, "entries of number {number}");
        known += usize::from(names.last_meaning(number).is_some());
        assert!(count == 0 || names.last_meaning(number).is_some());
        if let Some(name) = names.meaning(number) {
            assert!(meanings.insert((name.words, name.tag)), "{name:?} twice");
        }
    }
    assert_eq!(names.used(), known);
}
