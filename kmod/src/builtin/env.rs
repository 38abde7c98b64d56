// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel as the world of a registry.

use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::kernel::cpu;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::mutex::{Guard, KMutex};
use crate::registry::bucket::Bucket;
use crate::registry::entry::NAMES;
use crate::registry::env::{Env, Lock, Word};
use crate::registry::names::{self, Name};
use crate::registry::region::Region;
use crate::registry::{ASKED, Asked, MARKS, Memory, shared};

/// The kernel.
pub struct Kernel;

impl Env for Kernel {
    type Lock<T: Send + 'static> = KMutex<T>;
    type Word = AtomicU64;
    type Buckets = Buckets;
    type Regions = KmemSlice<Region<Self>>;
    type Names = KmemSlice<Name<Self>>;
    type Words = KmemSlice<AtomicU64>;
    type Scratch = KmemSlice<Asked>;

    fn no_buckets() -> Buckets {
        Buckets(KmemSlice::empty())
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
    fn or(&self, bits: u64) -> u64 {
        self.fetch_or(bits, Ordering::AcqRel)
    }

    #[inline]
    fn swap(&self, value: u64) -> u64 {
        AtomicU64::swap(self, value, Ordering::AcqRel)
    }
}

/// What has been allocated for buckets, in bytes.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes that the registry has for its entries now.
pub fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// Memory of the kernel for a registry with so many regions. `None`: there is
/// not that much. Does not sleep.
pub fn memory(regions: usize) -> Option<Memory<Kernel>> {
    let words = |len| KmemSlice::from_fn(len, |_| AtomicU64::new(0));
    let names = || KmemSlice::from_fn(NAMES, |_| Name::new());
    Some(Memory {
        regions: KmemSlice::from_fn(regions, |_| Region::new())?,
        locals: (names()?, words(names::WORDS)?),
        owners: (names()?, words(names::WORDS)?),
        shared: words(shared::WORDS)?,
        wanting: words(regions.div_ceil(64) * MARKS)?,
        scratch: KmemSlice::from_fn(ASKED, |_| Asked::default())?,
    })
}

/// Buckets in kernel memory, which is counted.
pub struct Buckets(KmemSlice<Bucket>);

impl Buckets {
    /// So many. `None`: there is not that much memory. Does not sleep.
    pub fn new(len: usize) -> Option<Self> {
        let buckets = KmemSlice::from_fn(len, |_| Bucket::default())?;
        BYTES.fetch_add(buckets.size(), Ordering::Relaxed);
        Some(Self(buckets))
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        BYTES.fetch_sub(self.0.size(), Ordering::Relaxed);
    }
}

impl Deref for Buckets {
    type Target = [Bucket];

    #[inline]
    fn deref(&self) -> &[Bucket] {
        &self.0
    }
}

impl DerefMut for Buckets {
    #[inline]
    fn deref_mut(&mut self) -> &mut [Bucket] {
        &mut self.0
    }
}
