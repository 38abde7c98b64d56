// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! More entries of one home than there is room for.

use super::super::bucket::SLOTS;
use super::super::entry::Entry;
use super::super::table::{Home, REACH, Table};
use super::*;

/// An entry, and where it is.
type Placed = (Entry, Home, At);

/// A table of one segment; entries that all belong to its first bucket, where they ended
/// up; and one more, for which there was no place.
fn crowd() -> (Table<Std>, Vec<Placed>, (Entry, Home)) {
    let secret = secret(1);
    let mut table = Table::new(vec![None]);
    assert!(table.give(0, boxed_segment().unwrap()).is_none());
    let keys = (0..).map(|n| Key::tuple(Protocol::Tcp, 0, 80, &tcp(n).foreign.addr, 443));
    let here = keys
        .map(|key| (key, table.home(key.hash(&secret))))
        .filter(|(_, home)| home.bucket == 0);
    let here: Vec<_> = here.take(REACH * SLOTS + 1).collect();
    let mut placed = Vec::new();
    for (key, home) in here {
        let entry = Entry::tcp(&key, Direction::Outgoing, Via::Ip, false);
        if !table.insert(home, entry) {
            return (table, placed, (entry, home));
        }
        placed.push((entry, home, table.find_mut(home, &key).unwrap().0));
    }
    panic!("there is room for all");
}

fn overflow(table: &Table<Std>) -> Vec<u64> {
    let buckets = (0..table.end()).map(|index| table.bucket(index).unwrap());
    buckets.map(Bucket::overflow).collect()
}

#[test]
fn an_entry_is_within_reach_of_its_home_or_nowhere() {
    let (mut table, placed, (entry, home)) = crowd();
    assert_eq!(placed.len(), REACH * SLOTS);
    assert!(table.end() > REACH);
    assert!(placed.iter().all(|(.., at)| at.bucket < REACH));
    let (_, its, at) = placed[placed.len() / 2];
    table.remove(its, at);
    assert!(table.insert(home, entry));
    let found = table.find_mut(home, &entry.key());
    assert_eq!(found.map(|(at, _)| at), Some(at));
    assert_eq!(table.find(home, &entry.key()), Some(&entry));
}

#[test]
fn counts_have_room_for_all_and_come_back_to_nothing() {
    let (mut table, placed, _) = crowd();
    let counts = (0..table.end()).map(|index| (REACH * SLOTS).saturating_sub((index + 1) * SLOTS));
    assert!(
        overflow(&table)
            .into_iter()
            .eq(counts.map(|count| count as u64))
    );
    assert_eq!(table.bucket(0).unwrap().oldest(), None);
    for (_, home, at) in placed {
        table.remove(home, at);
    }
    assert_eq!(overflow(&table), vec![0; table.end()]);
    assert_eq!(table.used(), 0);
}
