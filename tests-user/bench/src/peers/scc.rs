// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! scc's hash map.

use scc::HashMap;
use scc::hash_map::Entry;

use super::{Named, Sip, Table, Value};
use crate::NODE;
use crate::keys::Tuple;

/// `scc::HashMap`.
pub struct Scc(HashMap<Tuple, Value, Sip>);

impl Named for Scc {
    const NAME: &'static str = "scc";

    fn with_hasher(hash: Sip) -> Self {
        Self(HashMap::with_hasher(hash))
    }
}

impl Table for Scc {
    #[inline]
    fn register(&self, tuple: &Tuple, owner: u32) -> bool {
        self.0.insert_sync(*tuple, Value::of(owner)).is_ok()
    }

    #[inline]
    fn remove(&self, tuple: &Tuple) -> bool {
        self.0
            .remove_sync(tuple)
            .is_some_and(|(_, value)| value.owner == NODE)
    }

    #[inline]
    fn hit(&self, tuple: &Tuple, owner: u32) -> bool {
        self.0
            .read_sync(tuple, |_, value| value.owner == owner)
            .unwrap_or(false)
    }

    #[inline]
    fn refused(&self, tuple: &Tuple) -> bool {
        match self.0.entry_sync(*tuple) {
            Entry::Occupied(occupied) => occupied.get().owner != NODE,
            Entry::Vacant(_) => false,
        }
    }
}
