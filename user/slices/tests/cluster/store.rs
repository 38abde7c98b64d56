// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The directory, as an agent has to expect it: linearizable, with revisions, and with leases that
//! may end at any time.

use clinet_slices::directory::{Compare, Entry, Header, Operation, Transaction};
use clinet_slices::names::Key;
use clinet_slices::records::LeaseId;
use std::collections::{BTreeMap, BTreeSet};

/// What an etcd cluster has.
#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    pub header: Header,
    pub entries: BTreeMap<Key, Entry>,
    pub leases: BTreeSet<LeaseId>,
}

/// The answer to a transaction: done, or what the compared keys have instead.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub header: Header,
    pub done: bool,
    pub entries: Vec<(Key, Option<Entry>)>,
}

impl Store {
    pub fn new(cluster: u64) -> Store {
        Store {
            header: Header {
                cluster,
                revision: 1,
            },
            entries: BTreeMap::new(),
            leases: BTreeSet::new(),
        }
    }

    fn holds(&self, compare: &Compare) -> bool {
        let entry = self.entries.get(compare.key());
        match compare {
            Compare::Absent(_) => entry.is_none(),
            Compare::Revision(_, revision) => entry.is_some_and(|e| e.revision == *revision),
            Compare::Lease(_, lease) => entry.is_some_and(|e| e.lease == Some(*lease)),
        }
    }

    /// Executes a transaction. Nothing: it needs a lease that does not exist.
    pub fn commit(&mut self, transaction: &Transaction) -> Option<Answer> {
        let mut answer = self.read(transaction)?;
        if answer.done {
            self.apply(&transaction.operations);
            answer.header = self.header;
        }
        Some(answer)
    }

    /// What the answer to a transaction is that writes nothing.
    pub fn read(&self, transaction: &Transaction) -> Option<Answer> {
        if self.lacks_lease(transaction) {
            return None;
        }
        let done = transaction.compares.iter().all(|c| self.holds(c));
        let mut entries = Vec::new();
        if !done {
            for key in transaction.reads() {
                entries.push((key.clone(), self.entries.get(key).cloned()));
            }
        }
        Some(Answer {
            header: self.header,
            done,
            entries,
        })
    }

    fn apply(&mut self, operations: &[Operation]) {
        if operations.is_empty() {
            return;
        }
        self.header.revision += 1;
        for operation in operations {
            match operation {
                Operation::Put(key, value, lease) => {
                    let entry = Entry {
                        value: value.clone(),
                        revision: self.header.revision,
                        lease: *lease,
                    };
                    self.entries.insert(key.clone(), entry);
                }
                Operation::Delete(key) => {
                    self.entries.remove(key);
                }
            }
        }
    }

    /// Ends a lease, and with it the keys that are under it.
    pub fn revoke(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.lease != Some(lease));
        if self.entries.len() != before {
            self.header.revision += 1;
        }
    }

    pub fn all(&self) -> Vec<(Key, Entry)> {
        let entries = self.entries.iter();
        entries.map(|(k, e)| (k.clone(), e.clone())).collect()
    }

    /// The transaction can never be done any more: revisions and leases do not come back.
    pub fn is_hopeless(&self, transaction: &Transaction) -> bool {
        let gone = |compare: &Compare| match compare {
            Compare::Absent(_) => false,
            Compare::Revision(..) => !self.holds(compare),
            Compare::Lease(_, lease) => !self.leases.contains(lease),
        };
        transaction.compares.iter().any(gone) || self.lacks_lease(transaction)
    }

    /// It puts a key under a lease that does not exist.
    fn lacks_lease(&self, transaction: &Transaction) -> bool {
        transaction.operations.iter().any(|operation| {
            matches!(operation, Operation::Put(_, _, Some(lease)) if !self.leases.contains(lease))
        })
    }
}
