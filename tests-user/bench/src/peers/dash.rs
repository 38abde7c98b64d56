// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! dashmap with its own number of shards.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::{Named, Sip, Table, Value};
use crate::NODE;
use crate::keys::Tuple;

/// `DashMap`.
#[derive(Debug)]
pub struct Dash(DashMap<Tuple, Value, Sip>);

impl Named for Dash {
    const NAME: &'static str = "dashmap";

    fn with_hasher(hash: Sip) -> Self {
        Self(DashMap::with_hasher(hash))
    }
}

impl Table for Dash {
    #[inline]
    fn register(&self, tuple: &Tuple, owner: u32) -> bool {
        match self.0.entry(*tuple) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(Value::of(owner));
                true
            }
        }
    }

    #[inline]
    fn remove(&self, tuple: &Tuple) -> bool {
        self.0
            .remove(tuple)
            .is_some_and(|(_, value)| value.owner == NODE)
    }

    #[inline]
    fn hit(&self, tuple: &Tuple, owner: u32) -> bool {
        self.0.get(tuple).is_some_and(|value| value.owner == owner)
    }

    #[inline]
    fn refused(&self, tuple: &Tuple) -> bool {
        match self.0.entry(*tuple) {
            Entry::Occupied(occupied) => occupied.get().owner != NODE,
            Entry::Vacant(_) => false,
        }
    }
}
