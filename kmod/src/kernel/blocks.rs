// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory in blocks of one size, from a cache of the module's own, and places for
//! them that may be looked at without a lock.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::errno::Errno;
use super::kmem::{BYTES, KmemSlice};
use super::sys;

/// Bytes of a block. A slab of the cache is one block: a power of two of pages
/// leaves nothing over (kmem.c, kmem_cache_create).
pub const BLOCK: usize = if cfg!(test) { 8192 } else { 32768 };

/// The module's cache of blocks. Without magazines, so that what is freed goes back
/// to the machine at once; kmem_alloc would keep it until a reap (measured: 349 MB).
static CACHE: AtomicPtr<sys::kmem_cache_t> = AtomicPtr::new(ptr::null_mut());

/// Makes the cache of blocks; `name` is what kstats call it. Sleeps.
///
/// # Errors
///
/// `ENOMEM`.
///
/// # Safety
///
/// Called by `_init`, once, before there is any block.
pub unsafe fn init_blocks(name: &'static CStr) -> Result<(), Errno> {
    // SAFETY: the name is only read; there are no constructors and no argument,
    // and NULL is the default arena.
    let cache = unsafe {
        sys::kmem_cache_create(
            name.as_ptr().cast_mut(),
            BLOCK,
            align_of::<u64>() * 8,
            None,
            None,
            None,
            ptr::null_mut(),
            ptr::null_mut(),
            sys::KMC_NOMAGAZINE as i32,
        )
    };
    CACHE.store(cache, Ordering::Release);
    if cache.is_null() {
        return Err(Errno::NOMEM);
    }
    Ok(())
}

/// Takes the cache of blocks down. Sleeps.
///
/// # Safety
///
/// Nobody has a block, now or later.
pub unsafe fn fini_blocks() {
    let cache = CACHE.swap(ptr::null_mut(), Ordering::AcqRel);
    if !cache.is_null() {
        // SAFETY: made by `init_blocks`, and all blocks are free.
        unsafe { sys::kmem_cache_destroy(cache) };
    }
}

/// An array that fills a block.
///
/// # Invariants
///
/// `start` is a block of the cache, all elements of which are initialised.
pub struct Block<T, const N: usize> {
    start: NonNull<[T; N]>,
}

// SAFETY: a block owns its elements, as an array does.
unsafe impl<T: Send, const N: usize> Send for Block<T, N> {}

impl<T: Copy, const N: usize> Block<T, N> {
    const FILLS: () = assert!(size_of::<[T; N]>() == BLOCK && align_of::<T>() <= 64);

    /// Allocates a block that is full of `value`. Does not sleep. `None`: there is no
    /// memory, or no cache.
    pub fn new(value: T) -> Option<Self> {
        const { Self::FILLS };
        let cache = CACHE.load(Ordering::Acquire);
        if cache.is_null() {
            return None;
        }
        // SAFETY: a cache that exists.
        let block = unsafe { sys::kmem_cache_alloc(cache, sys::KM_NOSLEEP as i32) };
        let start = NonNull::new(block.cast::<T>())?;
        BYTES.fetch_add(BLOCK, Ordering::Relaxed);
        for index in 0..N {
            // SAFETY: N elements fill the block, which is aligned for them by
            // `FILLS`.
            unsafe { start.add(index).write(value) };
        }
        let start = start.cast();
        Some(Self { start })
    }
}

impl<T, const N: usize> Block<T, N> {
    fn into_raw(self) -> NonNull<[T; N]> {
        let start = self.start;
        core::mem::forget(self);
        start
    }

    /// # Safety
    ///
    /// `start` came from [`Block::into_raw`], and nobody else has it.
    unsafe fn from_raw(start: NonNull<[T; N]>) -> Self {
        Self { start }
    }
}

impl<T, const N: usize> Deref for Block<T, N> {
    type Target = [T; N];

    #[inline]
    fn deref(&self) -> &[T; N] {
        // SAFETY: by the invariant; the elements live as long as self.
        unsafe { self.start.as_ref() }
    }
}

impl<T, const N: usize> DerefMut for Block<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T; N] {
        // SAFETY: as in `deref`, and self is borrowed exclusively.
        unsafe { self.start.as_mut() }
    }
}

impl<T, const N: usize> Drop for Block<T, N> {
    fn drop(&mut self) {
        BYTES.fetch_sub(BLOCK, Ordering::Relaxed);
        // SAFETY: by the invariant a block of the cache, which outlives it
        // (`fini_blocks`). The elements are Copy and need no drop.
        unsafe { sys::kmem_cache_free(CACHE.load(Ordering::Acquire), self.start.as_ptr().cast()) };
    }
}

/// The words behind [`Blocks`] and [`BlockAddresses`]: the addresses of blocks.
///
/// # Invariants
///
/// `words` is the result of [`KmemSlice::into_raw`]. The last word is NULL while both
/// holders live and is not when one of them is gone; the other one frees the slice.
struct Places {
    words: NonNull<[AtomicPtr<()>]>,
}

impl Places {
    fn at(&self, place: usize) -> Option<&AtomicPtr<()>> {
        // SAFETY: by the invariant the words live as long as a holder does, and
        // are only ever reached as shared atomics.
        let (_, places) = unsafe { self.words.as_ref() }.split_last()?;
        places.get(place)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // SAFETY: as in `at`.
        let last = unsafe { self.words.as_ref() }.last();
        let gone = ptr::dangling_mut();
        if last.is_some_and(|last| !last.swap(gone, Ordering::AcqRel).is_null()) {
            // SAFETY: the other holder is gone, by the invariant.
            drop(unsafe { KmemSlice::from_raw(self.words) });
        }
    }
}

/// Places for blocks, which own them.
///
/// # Invariants
///
/// Each place holds NULL or the address of a [`Block`] that was put there, and
/// nobody else has it; only this type, borrowed exclusively, writes places.
pub struct Blocks<T: Copy, const N: usize> {
    addresses: Places,
    owns: PhantomData<Block<T, N>>,
}

// SAFETY: it owns blocks, and the words are atomics.
unsafe impl<T: Copy + Send, const N: usize> Send for Blocks<T, N> {}

/// Tells where blocks are, without a claim to them.
pub struct BlockAddresses(Places);

// SAFETY: the words are atomics, of which nobody follows the addresses.
unsafe impl Send for BlockAddresses {}
// SAFETY: as above.
unsafe impl Sync for BlockAddresses {}

impl BlockAddresses {
    /// The address of the block at a place, now or a moment ago; 0: there is none.
    #[inline]
    pub fn get(&self, place: usize) -> usize {
        let word = self.0.at(place);
        word.map_or(0, |word| word.load(Ordering::Relaxed).addr())
    }
}

impl<T: Copy, const N: usize> Blocks<T, N> {
    /// So many empty places, and what tells of them. `None`: there is no memory.
    pub fn new(len: usize) -> Option<(Self, BlockAddresses)> {
        let words = KmemSlice::from_fn(len.checked_add(1)?, |_| AtomicPtr::new(ptr::null_mut()))?
            .into_raw();
        let blocks = Self {
            addresses: Places { words },
            owns: PhantomData,
        };
        Some((blocks, BlockAddresses(Places { words })))
    }

    /// How many places there are.
    pub fn places(&self) -> usize {
        self.addresses.words.len().saturating_sub(1)
    }

    /// The address of the block at a place. Not an atomic load, so that a compiler need
    /// not repeat it.
    #[inline]
    fn block(&self, place: usize) -> Option<*mut [T; N]> {
        let word = self.addresses.at(place)?.as_ptr();
        // SAFETY: a word that is there. Only who borrows self exclusively writes it, by
        // the invariant, and all others load it atomically: no load races with a load.
        Some(unsafe { word.read() }.cast())
    }

    /// The block at a place.
    #[inline]
    pub fn get(&self, place: usize) -> Option<&[T; N]> {
        // SAFETY: NULL or a block of ours, by the invariant, which nobody writes while
        // self is borrowed.
        unsafe { self.block(place)?.as_ref() }
    }

    /// As [`Blocks::get`].
    #[inline]
    pub fn get_mut(&mut self, place: usize) -> Option<&mut [T; N]> {
        // SAFETY: as in `get`, and self is borrowed exclusively.
        unsafe { self.block(place)?.as_mut() }
    }

    /// Puts a block into an empty place; gives it back if there is no such place.
    pub fn put(&mut self, place: usize, block: Block<T, N>) -> Option<Block<T, N>> {
        match self.addresses.at(place) {
            Some(word) if word.load(Ordering::Relaxed).is_null() => {
                word.store(block.into_raw().as_ptr().cast(), Ordering::Relaxed);
                None
            }
            _ => Some(block),
        }
    }

    /// Takes the block at a place.
    pub fn take(&mut self, place: usize) -> Option<Block<T, N>> {
        let block = self
            .addresses
            .at(place)?
            .swap(ptr::null_mut(), Ordering::Relaxed);
        let start = NonNull::new(block.cast::<[T; N]>())?;
        // SAFETY: by the invariant it was put here as a block, and nobody has it.
        Some(unsafe { Block::from_raw(start) })
    }
}

impl<T: Copy, const N: usize> Drop for Blocks<T, N> {
    fn drop(&mut self) {
        for place in 0..self.places() {
            drop(self.take(place));
        }
    }
}
