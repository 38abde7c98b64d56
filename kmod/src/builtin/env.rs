// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel as the world of a registry.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::cpu;
use crate::kernel::kmem::{Block, KmemSlice};
use crate::kernel::mutex::{Guard, KMutex};
use crate::registry::bucket::Bucket;
use crate::registry::entry::NAMES;
use crate::registry::env::{Env, Lock, SEGMENT, Word};
use crate::registry::names::Name;
use crate::registry::reserve::SHELF;
use crate::registry::shard::Shard;
use crate::registry::{ASKED, Asked, Memory, Settings, shared};

/// The kernel.
pub struct Kernel;

impl Env for Kernel {
    type Lock<T: Send + 'static> = KMutex<T>;
    type Word = AtomicU64;
    type Segment = Block<Bucket, SEGMENT>;
    type Directory = KmemSlice<Option<Self::Segment>>;
    type Shards = KmemSlice<Shard<Self>>;
    type Names = KmemSlice<Name<Self>>;
    type Words = KmemSlice<AtomicU64>;
    type Scratch = KmemSlice<Asked>;

    fn segment() -> Option<Self::Segment> {
        Block::new(Bucket::EMPTY)
    }

    fn wake() {
        super::maintain::wake();
    }

    fn no_scratch() -> Self::Scratch {
        KmemSlice::empty()
    }

    #[inline]
    fn prefetch(address: usize) {
        cpu::prefetch_to_write(address);
    }

    #[inline]
    fn prefetch_bucket(address: usize) {
        cpu::prefetch_two_to_write(address);
    }
}

impl<T> Lock<T> for KMutex<T> {
    type Guard<'a>
        = Guard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        KMutex::new(value)
    }

    #[inline]
    fn lock(&self) -> Guard<'_, T> {
        KMutex::lock(self)
    }
}

impl Word for AtomicU64 {
    fn new(value: u64) -> Self {
        AtomicU64::new(value)
    }

    #[inline]
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Acquire)
    }

    #[inline]
    fn store(&self, value: u64) {
        AtomicU64::store(self, value, Ordering::Release);
    }

    #[inline]
    fn add(&self, value: u64) -> u64 {
        self.fetch_add(value, Ordering::AcqRel)
    }

    #[inline]
    fn swap(&self, value: u64) -> u64 {
        AtomicU64::swap(self, value, Ordering::AcqRel)
    }
}

/// Memory of the kernel for a registry with so many shards. `None`: there is
/// not that much. Does not sleep.
pub fn memory(settings: &Settings, shards: usize) -> Option<Memory<Kernel>> {
    let directory = |len| KmemSlice::from_fn(len, |_| None);
    let names = || KmemSlice::from_fn(NAMES, |_| Name::new());
    Some(Memory {
        shards: KmemSlice::try_from_fn(shards, |_| {
            Some(Shard::new(directory(settings.directory(shards))?))
        })?,
        locals: names()?,
        owners: names()?,
        shared: KmemSlice::from_fn(shared::WORDS, |_| AtomicU64::new(0))?,
        reserve: directory(SHELF)?,
        scratch: KmemSlice::from_fn(ASKED, |_| Asked::default())?,
    })
}
