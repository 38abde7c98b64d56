// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel as the world of a registry.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::grants::World;
use crate::kernel::blocks::{Block, BlockAddresses, Blocks};
use crate::kernel::cpu;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::mutex::{Guard, KMutex};
use crate::registry::bucket::Bucket;
use crate::registry::entry::NAMES;
use crate::registry::env::{Directory, Env, Lock, Peek, SEGMENT, Segment, Word};
use crate::registry::names::Name;
use crate::registry::reserve::RESERVED;
use crate::registry::shard::Shard;
use crate::registry::uncounted::{Apart, UNCOUNTED};
use crate::registry::{ASKED, Asked, Memory, Settings, shared};

/// The kernel.
pub struct Kernel;

impl Env for Kernel {
    type Lock<T: Send + 'static> = KMutex<T>;
    type Word = AtomicU64;
    type Segment = Block<Bucket, SEGMENT>;
    type Directory = Blocks<Bucket, SEGMENT>;
    type Peek = BlockAddresses;
    type FreeSegments = KmemSlice<Option<Self::Segment>>;
    type Shards = KmemSlice<Shard<Self>>;
    type Names = KmemSlice<Name<Self>>;
    type Words = KmemSlice<AtomicU64>;
    type Uncounted = KmemSlice<Apart>;
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
        cpu::prefetch_bucket(address);
    }
}

impl World for Kernel {
    type Word = AtomicU64;
    type Words = KmemSlice<AtomicU64>;
    type Lock<T: Send + 'static> = KMutex<T>;
}

impl Directory<Block<Bucket, SEGMENT>> for Blocks<Bucket, SEGMENT> {
    fn places(&self) -> usize {
        Blocks::places(self)
    }

    #[inline]
    fn get(&self, place: usize) -> Option<&Segment> {
        Blocks::get(self, place)
    }

    #[inline]
    fn get_mut(&mut self, place: usize) -> Option<&mut Segment> {
        Blocks::get_mut(self, place)
    }

    fn put(
        &mut self,
        place: usize,
        segment: Block<Bucket, SEGMENT>,
    ) -> Option<Block<Bucket, SEGMENT>> {
        Blocks::put(self, place, segment)
    }

    fn take(&mut self, place: usize) -> Option<Block<Bucket, SEGMENT>> {
        Blocks::take(self, place)
    }
}

impl Peek for BlockAddresses {
    #[inline]
    fn address(&self, place: usize) -> usize {
        BlockAddresses::get(self, place)
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

    #[inline]
    fn replace(&self, from: u64, to: u64) -> bool {
        self.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Memory of the kernel for a registry with so many shards. `None`: there is
/// not that much. Does not sleep.
pub fn memory(settings: &Settings, shards: usize) -> Option<Memory<Kernel>> {
    let names = || KmemSlice::from_fn(NAMES, |_| Name::new());
    Some(Memory {
        shards: KmemSlice::try_from_fn(shards, |_| {
            Some(Shard::new(Blocks::new(settings.directory(shards))?))
        })?,
        locals: names()?,
        owners: names()?,
        shared: KmemSlice::from_fn(shared::WORDS, |_| AtomicU64::new(0))?,
        reserve: KmemSlice::from_fn(RESERVED, |_| None)?,
        uncounted: KmemSlice::from_fn(UNCOUNTED, |_| Apart::default())?,
        scratch: KmemSlice::from_fn(ASKED, |_| Asked::default())?,
    })
}
