// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! papaya, one guard for each operation.

use papaya::HashMap;

use super::{Named, Sip, Table, Value};
use crate::NODE;
use crate::keys::Tuple;

/// `papaya::HashMap`.
#[derive(Debug)]
pub struct Papaya(HashMap<Tuple, Value, Sip>);

impl Named for Papaya {
    const NAME: &'static str = "papaya";

    fn with_hasher(hash: Sip) -> Self {
        Self(HashMap::with_hasher(hash))
    }
}

impl Table for Papaya {
    #[inline]
    fn register(&self, tuple: &Tuple, owner: u32) -> bool {
        self.0.pin().try_insert(*tuple, Value::of(owner)).is_ok()
    }

    #[inline]
    fn remove(&self, tuple: &Tuple) -> bool {
        self.0
            .pin()
            .remove(tuple)
            .is_some_and(|value| value.owner == NODE)
    }

    #[inline]
    fn hit(&self, tuple: &Tuple, owner: u32) -> bool {
        self.0
            .pin()
            .get(tuple)
            .is_some_and(|value| value.owner == owner)
    }

    #[inline]
    fn refused(&self, tuple: &Tuple) -> bool {
        match self.0.pin().try_insert(*tuple, Value::of(NODE)) {
            Ok(_) => false,
            Err(occupied) => occupied.current.owner != NODE,
        }
    }
}
