// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What modules have open, by handle.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use crate::fault;
use crate::locks::lock;

/// Handles of one kind. They are no addresses: a module that follows one traps.
pub(crate) struct Opened<T> {
    base: u64,
    table: Mutex<Table<T>>,
}

struct Table<T> {
    last: u64,
    /// What it is, and the place in a module that opened it.
    by_handle: BTreeMap<u64, (T, u64)>,
}

impl<T: Clone> Opened<T> {
    /// Handles above `base`.
    pub fn new(base: u64) -> Self {
        Self {
            base,
            table: Mutex::new(Table {
                last: 0,
                by_handle: BTreeMap::new(),
            }),
        }
    }

    pub fn open(&self, what: T) -> u64 {
        let mut table = lock(&self.table);
        table.last += 1;
        let handle = self.base + table.last * 64;
        table
            .by_handle
            .insert(handle, (what, fault::caller_address()));
        handle
    }

    pub fn get(&self, handle: u64) -> Option<T> {
        let table = lock(&self.table);
        table.by_handle.get(&handle).map(|(what, _)| what.clone())
    }

    pub fn close(&self, handle: u64) -> Option<T> {
        let mut table = lock(&self.table);
        table.by_handle.remove(&handle).map(|(what, _)| what)
    }

    /// Closes what code in `text` opened, and returns it.
    pub fn take_of(&self, text: &Range<u64>) -> Vec<T> {
        lock(&self.table)
            .by_handle
            .extract_if(.., |_, (_, by)| text.contains(by))
            .map(|(_, (what, _))| what)
            .collect()
    }
}
