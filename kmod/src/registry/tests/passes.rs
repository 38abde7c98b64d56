// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Counts of what went past that reach their end.

use super::super::bucket::{At, find, insert, remove};
use super::super::hash::{Hash, home};
use super::*;

/// Entries that all belong to the first bucket of [`BUCKETS`], and where they
/// end up.
fn crowd(buckets: &mut [Bucket], count: usize) -> Vec<(Entry, Hash, At)> {
    let secret = secret(1);
    let keys = (0..).map(|n| Key::tuple(Protocol::Tcp, 0, 80, &tcp(n).foreign.addr, 443));
    keys.map(|key| (Entry::tcp(&key, true), key.hash(&secret)))
        .filter(|(_, hash)| home(hash.fraction(), buckets.len()) == 0)
        .take(count)
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(entry, hash)| {
            let at = insert(buckets, hash, entry, buckets.len()).unwrap();
            (entry, hash, at)
        })
        .collect()
}

const BUCKETS: usize = 64;

#[test]
fn a_count_at_its_end_stays_there_and_hides_nothing() {
    let mut buckets = vec![Bucket::default(); BUCKETS];
    let entries = crowd(&mut buckets, 300);
    assert_eq!((buckets[0].passes(), buckets[0].oldest()), (None, None));
    let (last, before) = entries.split_last().unwrap();
    for (_, hash, at) in before {
        remove(&mut buckets, *hash, *at);
    }
    let (entry, hash, at) = *last;
    let found = find(&buckets, hash, |other| *other == entry).unwrap();
    assert_eq!((found.0, buckets[0].passes()), (at, None));
}

#[test]
fn one_below_the_end_the_count_comes_back_to_nothing() {
    let mut buckets = vec![Bucket::default(); BUCKETS];
    let entries = crowd(&mut buckets, 5 + 254);
    assert_eq!(buckets[0].passes(), Some(254));
    for (_, hash, at) in entries {
        remove(&mut buckets, hash, at);
    }
    let left = buckets.iter().filter(|bucket| bucket.passes() != Some(0));
    assert_eq!(left.count(), 0);
}
