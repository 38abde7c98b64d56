// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the directory said, and when that was seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clinet_slices::names::{Key, Names};
use clinet_slices::records::Value;

use crate::clock::now;
use crate::directory::{Directory, read};
use crate::watching::Watching;

/// How often the directory is read.
pub const LOOK: Duration = Duration::from_millis(50);

/// A key that was seen to have another value than before.
#[derive(Clone, Debug)]
pub struct Change {
    /// After this: it was as before when that was read.
    pub after: u64,
    /// Before this: it was seen then.
    pub at: u64,
    /// Which.
    pub key: Key,
    /// What it says; `None`: it is gone.
    pub value: Option<Value>,
}

/// Watches the directory.
pub struct History {
    changes: Watching<Change>,
    read_until: Arc<AtomicU64>,
}

impl History {
    /// Reads it again and again through any of these members.
    pub fn watch(urls: Vec<String>, names: Names) -> Self {
        let read_until = Arc::new(AtomicU64::new(0));
        let published = read_until.clone();
        let mut known: BTreeMap<Key, (u64, Value)> = BTreeMap::new();
        let mut member = 0;
        let mut last = 0;
        let changes = Watching::start(LOOK, move || {
            // What the last look found is in the list by now.
            published.store(last, Ordering::Release);
            let begun = now();
            let Ok(directory) = read(&urls[member], &names) else {
                member = (member + 1) % urls.len();
                return Vec::new();
            };
            changes(&mut known, directory, std::mem::replace(&mut last, begun))
        });
        Self {
            changes,
            read_until,
        }
    }

    /// Until when all changes are in the list. etcd may not answer for a while, so
    /// this may be long ago.
    pub fn read_until(&self) -> u64 {
        self.read_until.load(Ordering::Acquire)
    }

    /// The changes so far.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.seen()
    }
}

/// What is new, which is known then.
fn changes(
    known: &mut BTreeMap<Key, (u64, Value)>,
    directory: Directory,
    after: u64,
) -> Vec<Change> {
    let at = now();
    let mut changes = Vec::new();
    let gone: Vec<Key> = known
        .keys()
        .filter(|key| !directory.entries.iter().any(|entry| entry.key == **key))
        .cloned()
        .collect();
    for key in gone {
        known.remove(&key);
        changes.push(Change {
            after,
            at,
            key,
            value: None,
        });
    }
    for entry in directory.entries {
        let new = (entry.revision, entry.value.clone());
        if known.insert(entry.key.clone(), new.clone()) != Some(new) {
            changes.push(Change {
                after,
                at,
                key: entry.key,
                value: Some(entry.value),
            });
        }
    }
    changes
}
