// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Requests to the directory and its answers, as values.

use crate::names::Key;
use crate::records::{Conf, LeaseId, Node, Record, Value};
use std::collections::BTreeMap;

/// A transaction has at most so many comparisons, and so many operations (etcd's limit is 128).
pub const MOST_COMPARISONS: usize = 100;

/// What has to be so for a transaction to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// The key does not exist (its create revision is 0).
    Absent(Key),
    /// The key was last changed by this revision (its mod revision).
    Revision(Key, u64),
    /// The key is under this lease.
    Lease(Key, LeaseId),
}

impl Compare {
    /// The key that is compared.
    pub fn key(&self) -> &Key {
        match self {
            Compare::Absent(key) | Compare::Revision(key, _) | Compare::Lease(key, _) => key,
        }
    }
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Stores a value, under a lease or for good.
    Put(Key, Value, Option<LeaseId>),
    /// Deletes a key.
    Delete(Key),
}

/// One transaction: if all comparisons hold, all operations are done; if one does not, nothing is.
///
/// Whoever executes it has to read all compared keys where a comparison fails, linearizably, and
/// hand them on with the answer. That is more than a convenience: etcd answers a transaction without
/// any linearizable read from what one member happens to know, and a renewal has no other operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Transaction {
    /// All have to hold; no key twice with the same kind of comparison.
    pub compares: Vec<Compare>,
    /// Done then; no key twice. None: a renewal.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// The keys to read where a comparison fails.
    pub fn reads(&self) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.compares.iter().map(Compare::key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// What each answer of the directory begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The id of the etcd cluster.
    pub cluster: u64,
    /// The revision that the answer was made at.
    pub revision: u64,
}

/// A key's value, when it was last changed, and its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Its mod revision.
    pub revision: u64,
    /// Its lease, if it has one.
    pub lease: Option<LeaseId>,
}

/// What is known of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    /// At this revision it was so.
    pub at: u64,
    /// Since then, by one's own clock, it is known to be so: when this change was first seen.
    pub since: u64,
    /// What there is; nothing: the key does not exist.
    pub entry: Option<Entry>,
}

/// What is known of the directory. It may be behind: every transaction compares what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct View {
    keys: BTreeMap<Key, Known>,
}

impl View {
    /// A view of keys that were read in one go at `revision`.
    pub fn read(revision: u64, entries: Vec<(Key, Entry)>, own: u64) -> View {
        let mut view = View::default();
        view.replace(revision, entries, own);
        view
    }

    /// Takes over all keys as read in one go at `revision`. What is known of a later revision stays.
    /// False: it contradicts what was known, as [`View::learn`] says.
    pub fn replace(&mut self, revision: u64, entries: Vec<(Key, Entry)>, own: u64) -> bool {
        let read: BTreeMap<Key, Entry> = entries.into_iter().collect();
        for (key, known) in &mut self.keys {
            if !read.contains_key(key) {
                known.learn(revision, None, own);
            }
        }
        let mut agrees = true;
        for (key, entry) in read {
            agrees &= self.learn(key, revision, Some(entry), own);
        }
        agrees
    }

    /// Learns what a key was at `revision`, unless something later is known of it.
    ///
    /// False: it says that the key was not changed since a revision at which it is known to have been
    /// something else. No directory does that unless it has gone back in time.
    pub fn learn(&mut self, key: Key, revision: u64, entry: Option<Entry>, own: u64) -> bool {
        match self.keys.get_mut(&key) {
            Some(known) => known.learn(revision, entry, own),
            None => {
                let known = Known {
                    at: revision,
                    since: own,
                    entry,
                };
                self.keys.insert(key, known);
                true
            }
        }
    }

    /// Learns what a transaction did that was done at `revision`.
    pub fn done(&mut self, transaction: Transaction, revision: u64, own: u64) {
        for operation in transaction.operations {
            let (key, entry) = match operation {
                Operation::Put(key, value, lease) => {
                    let entry = Entry {
                        value,
                        revision,
                        lease,
                    };
                    (key, Some(entry))
                }
                Operation::Delete(key) => (key, None),
            };
            self.learn(key, revision, entry, own);
        }
    }

    /// What is known of a key.
    pub fn known(&self, key: &Key) -> Option<&Known> {
        self.keys.get(key)
    }

    /// A key as it is stored here, and what is known of it.
    pub fn key(&self, key: &Key) -> Option<(&Key, &Known)> {
        self.keys.get_key_value(key)
    }

    /// What a key has.
    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.keys.get(key)?.entry.as_ref()
    }

    /// The configuration, and what is known of its key.
    pub fn conf(&self) -> Option<(&Conf, &Known)> {
        let known = self.keys.get(&Key::Conf)?;
        match &known.entry {
            Some(Entry {
                value: Value::Conf(conf),
                ..
            }) => Some((conf, known)),
            _ => None,
        }
    }

    /// A node's key.
    pub fn node(&self, node: &crate::names::NodeId) -> Option<(&Node, &Entry)> {
        let entry = self.entry(&Key::Node(node.clone()))?;
        match &entry.value {
            Value::Node(node) => Some((node, entry)),
            _ => None,
        }
    }

    /// All keys that exist.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Entry, &Known)> {
        self.keys.iter().filter_map(|(key, known)| {
            let entry = known.entry.as_ref()?;
            Some((key, entry, known))
        })
    }

    /// All slices and reserved ports that exist and can be read: the key, the record, its revision,
    /// and since when it is known to be so.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Record, u64, u64)> {
        self.entries()
            .filter_map(|(key, entry, known)| match &entry.value {
                Value::Record(record) => Some((key, record, entry.revision, known.since)),
                _ => None,
            })
    }
}

impl Known {
    fn learn(&mut self, at: u64, entry: Option<Entry>, own: u64) -> bool {
        if at < self.at {
            return true;
        }
        let same = self.entry == entry;
        let unchanged = entry
            .as_ref()
            .is_some_and(|entry| entry.revision <= self.at);
        if unchanged && !same {
            return false;
        }
        self.at = at;
        if !same {
            self.since = own;
            self.entry = entry;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Name;

    fn entry(revision: u64) -> Entry {
        Entry {
            value: Value::There,
            revision,
            lease: None,
        }
    }

    #[test]
    fn a_late_answer_changes_nothing() {
        let key = Key::Drain(Name::new("a").unwrap());
        let mut view = View::default();
        view.learn(key.clone(), 5, Some(entry(5)), 10);
        view.learn(key.clone(), 4, None, 11);
        assert_eq!(view.entry(&key), Some(&entry(5)));
        view.replace(4, Vec::new(), 12);
        assert_eq!(view.entry(&key), Some(&entry(5)));
        view.replace(6, Vec::new(), 13);
        assert_eq!(view.entry(&key), None);
        assert_eq!(view.known(&key).map(|known| known.since), Some(13));
    }

    #[test]
    fn a_past_that_was_otherwise_is_noticed() {
        let key = Key::Drain(Name::new("a").unwrap());
        let mut view = View::default();
        assert!(view.learn(key.clone(), 5, None, 10));
        assert!(!view.learn(key.clone(), 9, Some(entry(4)), 11));
        assert!(view.learn(key.clone(), 9, Some(entry(8)), 11));
        assert!(!view.replace(12, vec![(key, entry(7))], 12));
    }

    #[test]
    fn a_wait_begins_with_the_change() {
        let key = Key::Drain(Name::new("a").unwrap());
        let mut view = View::default();
        view.learn(key.clone(), 5, Some(entry(5)), 10);
        view.learn(key.clone(), 7, Some(entry(5)), 20);
        assert_eq!(view.known(&key).map(|known| known.since), Some(10));
        view.learn(key.clone(), 8, Some(entry(8)), 30);
        assert_eq!(view.known(&key).map(|known| known.since), Some(30));
    }
}
