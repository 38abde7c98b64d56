// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Counts of overflow that reach their end.

use super::super::entry::Entry;
use super::super::hash::Hash;
use super::super::table::Table;
use super::*;

/// A table of one segment, and entries that all belong to its first bucket, where
/// they ended up.
fn crowd(count: usize) -> (Table<Std>, Vec<(Entry, Hash, At)>) {
    let secret = secret(1);
    let mut table = Table::new(vec![None]);
    assert!(table.give(0, boxed_segment().unwrap()).is_none());
    let keys = (0..).map(|n| Key::tuple(Protocol::Tcp, 0, 80, &tcp(n).foreign.addr, 443));
    let here = keys
        .map(|key| (key, key.hash(&secret)))
        .filter(|(_, hash)| table.layout.home(hash.fraction()) == 0);
    let entries: Vec<_> = here.take(count).collect();
    let placed = entries.into_iter().map(|(key, hash)| {
        let entry = Entry::tcp(&key, Direction::Outgoing, Via::Ip, false);
        assert!(table.insert(hash, entry));
        (entry, hash, table.find(hash, &key).unwrap())
    });
    let placed = placed.collect();
    (table, placed)
}

fn overflow(table: &Table<Std>) -> Option<u64> {
    table.bucket(0).unwrap().exact_overflow()
}

#[test]
fn a_count_at_its_end_stays_there_and_hides_nothing() {
    let (mut table, entries) = crowd(300);
    assert_eq!(overflow(&table), None);
    assert_eq!(table.bucket(0).unwrap().oldest(), None);
    let ((last, hash, at), before) = entries.split_last().unwrap();
    for (_, hash, at) in before {
        table.remove(*hash, *at);
    }
    assert_eq!(table.find(*hash, &last.key()), Some(*at));
    assert_eq!(overflow(&table), None);
}

#[test]
fn one_below_the_end_the_count_comes_back_to_nothing() {
    let (mut table, entries) = crowd(5 + 254);
    assert_eq!(overflow(&table), Some(254));
    for (_, hash, at) in entries {
        table.remove(hash, at);
    }
    let left = (0..table.end()).filter(|index| table.bucket(*index).unwrap().overflow() > 0);
    assert_eq!((left.count(), table.used()), (0, 0));
}
