// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! hashbrown in 64 shards, each behind a mutex of parking_lot.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parking_lot::Mutex;

use super::{Named, Sip, Table, Value};
use crate::NODE;
use crate::keys::Tuple;

const SHARD_BITS: u32 = 6;

/// A shard starts a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<HashTable<(Tuple, Value)>>);

/// `HashTable` in shards.
#[derive(Debug)]
pub struct Sharded {
    shards: Vec<Shard>,
    hash: Sip,
}

impl Sharded {
    /// The shard is chosen by bits that the table in it does not use.
    #[inline]
    fn shard(&self, hash: u64) -> &Mutex<HashTable<(Tuple, Value)>> {
        let number = hash >> (u64::BITS - 7 - SHARD_BITS);
        &self.shards[number as usize % (1 << SHARD_BITS)].0
    }
}

impl Named for Sharded {
    const NAME: &'static str = "hashbrown x 64";

    fn with_hasher(hash: Sip) -> Self {
        Self {
            shards: (0..1 << SHARD_BITS).map(|_| Shard::default()).collect(),
            hash,
        }
    }
}

impl Table for Sharded {
    #[inline]
    fn register(&self, tuple: &Tuple, owner: u32) -> bool {
        let hash = self.hash.hash_one(tuple);
        let mut shard = self.shard(hash).lock();
        let rehash = |entry: &(Tuple, Value)| self.hash.hash_one(entry.0);
        match shard.entry(hash, |entry| entry.0 == *tuple, rehash) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert((*tuple, Value::of(owner)));
                true
            }
        }
    }

    #[inline]
    fn remove(&self, tuple: &Tuple) -> bool {
        let hash = self.hash.hash_one(tuple);
        let mut shard = self.shard(hash).lock();
        match shard.find_entry(hash, |entry| entry.0 == *tuple) {
            Ok(entry) => entry.remove().0.1.owner == NODE,
            Err(_) => false,
        }
    }

    #[inline]
    fn hit(&self, tuple: &Tuple, owner: u32) -> bool {
        let hash = self.hash.hash_one(tuple);
        let shard = self.shard(hash).lock();
        shard
            .find(hash, |entry| entry.0 == *tuple)
            .is_some_and(|entry| entry.1.owner == owner)
    }

    #[inline]
    fn refused(&self, tuple: &Tuple) -> bool {
        let hash = self.hash.hash_one(tuple);
        let shard = self.shard(hash).lock();
        shard
            .find(hash, |entry| entry.0 == *tuple)
            .is_some_and(|entry| entry.1.owner != NODE)
    }
}
