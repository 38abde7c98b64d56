// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `kmem_*`: slabs as illumos's kmem has them, of pages of the [`Heap`].

use std::io;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clinet_kernel::slab::{General, Pages, Slabs};

use super::heap::Heap;
use super::imports;

const KMC_NOMAGAZINE: i32 = 0x0004_0000;

struct Cache {
    size: usize,
    slabs: Slabs,
}

struct Memory {
    heap: Heap,
    general: Option<General>,
    /// A cache is known by its index and one; a destroyed one is empty.
    caches: Vec<Option<Cache>>,
    bytes: u64,
    most: u64,
}

static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    heap: Heap::new(),
    general: None,
    caches: Vec::new(),
    bytes: 0,
    most: 0,
});

impl Pages for Heap {
    fn take(&mut self, size: usize) -> Option<usize> {
        self.alloc(size).ok()
    }

    fn give_back(&mut self, at: usize, size: usize) {
        self.free(at, size);
    }
}

impl Memory {
    /// The pointer to a buffer of so many bytes that was allocated.
    fn allocated(&mut self, buffer: Option<usize>, size: usize) -> *mut u8 {
        let Some(buffer) = buffer else {
            return ptr::null_mut();
        };
        self.bytes += size as u64;
        self.most = self.most.max(self.bytes);
        ptr::with_exposed_provenance_mut(buffer)
    }

    fn cache(&mut self, cache: *mut ()) -> (&mut Cache, &mut Heap) {
        let index = cache.addr().wrapping_sub(1);
        let cache = self.caches.get_mut(index).and_then(Option::as_mut);
        (cache.expect("a kmem cache that is there"), &mut self.heap)
    }
}

fn memory() -> MutexGuard<'static, Memory> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that the module has allocated.
#[must_use]
pub fn bytes() -> u64 {
    memory().bytes
}

/// The most that it had at any time.
#[must_use]
pub fn most() -> u64 {
    memory().most
}

/// Bytes of the pages that the machine has lost to the module: whole slabs,
/// with what was freed and stays in magazines.
#[must_use]
pub fn lost() -> u64 {
    let memory = memory();
    let caches = memory.caches.iter().flatten();
    let general = memory.general.as_ref().map_or(0, General::bytes);
    (general + caches.map(|cache| cache.slabs.bytes()).sum::<usize>()) as u64
}

/// Has so many bytes ready, as a kernel has that does not wait for memory.
///
/// # Errors
/// The system has no memory.
pub fn reserve(bytes: usize) -> io::Result<()> {
    memory().heap.reserve(bytes)
}

/// Touches all memory of the heap, whoever uses it.
pub fn touch() {
    memory().heap.touch();
}

/// Frees all that the module left.
///
/// # Safety
/// Nobody uses it any more.
pub unsafe fn free_all() {
    let mut memory = memory();
    memory.general = None;
    memory.caches.clear();
    memory.heap.free_all();
    memory.bytes = 0;
    memory.most = 0;
}

extern "C" fn kmem_alloc(size: usize, _flags: i32) -> *mut u8 {
    if size == 0 {
        return ptr::null_mut();
    }
    let memory = &mut *memory();
    let general = memory.general.get_or_insert_default();
    let buffer = general.alloc(size, &mut memory.heap);
    memory.allocated(buffer, size)
}

extern "C" fn kmem_zalloc(size: usize, flags: i32) -> *mut u8 {
    let buffer = kmem_alloc(size, flags);
    if !buffer.is_null() {
        // SAFETY: a new buffer of this size.
        unsafe { buffer.write_bytes(0, size) };
    }
    buffer
}

extern "C" fn kmem_free(buffer: *mut u8, size: usize) {
    if size == 0 {
        return;
    }
    let memory = &mut *memory();
    let general = memory.general.get_or_insert_default();
    let known = general.free(buffer.addr(), size, &mut memory.heap);
    assert!(known, "kmem_free of {size} bytes at {buffer:p}");
    memory.bytes -= size as u64;
}

extern "C" fn kmem_cache_create(
    _name: *const u8,
    size: usize,
    align: usize,
    _constructor: *const (),
    _destructor: *const (),
    _reclaim: *const (),
    _private: *const (),
    _vmem: *const (),
    flags: i32,
) -> *mut () {
    let slabs = Slabs::new(size, align.max(8), flags & KMC_NOMAGAZINE == 0);
    let mut memory = memory();
    memory.caches.push(Some(Cache { size, slabs }));
    ptr::without_provenance_mut(memory.caches.len())
}

extern "C" fn kmem_cache_destroy(cache: *mut ()) {
    let mut memory = memory();
    memory.cache(cache);
    memory.caches[cache.addr() - 1] = None;
}

extern "C" fn kmem_cache_alloc(cache: *mut (), _flags: i32) -> *mut u8 {
    let mut memory = memory();
    let (cache, heap) = memory.cache(cache);
    let (buffer, size) = (cache.slabs.alloc(heap), cache.size);
    memory.allocated(buffer, size)
}

extern "C" fn kmem_cache_free(cache: *mut (), buffer: *mut u8) {
    let mut memory = memory();
    let (cache, heap) = memory.cache(cache);
    let known = cache.slabs.free(buffer.addr(), heap);
    assert!(known, "kmem_cache_free of {buffer:p}");
    let size = cache.size as u64;
    memory.bytes -= size;
}

imports! {
    kmem_alloc => "kmem_alloc",
    kmem_zalloc => "kmem_zalloc",
    kmem_free => "kmem_free",
    kmem_cache_create => "kmem_cache_create",
    kmem_cache_destroy => "kmem_cache_destroy",
    kmem_cache_alloc => "kmem_cache_alloc",
    kmem_cache_free => "kmem_cache_free",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magazines_keep_what_a_cache_without_them_gives_back() {
        let general = kmem_alloc(100_000, 0);
        let none = ptr::null();
        let cache = kmem_cache_create(
            c"test".as_ptr().cast(),
            8192,
            128,
            none,
            none,
            none,
            none,
            none,
            KMC_NOMAGAZINE,
        );
        let buffers: Vec<_> = (0..10).map(|_| kmem_cache_alloc(cache, 0)).collect();
        assert!(buffers.iter().all(|buffer| buffer.addr() % 128 == 0));
        assert_eq!((bytes(), lost()), (100_000 + 81_920, 106_496 + 81_920));
        kmem_free(general, 100_000);
        for buffer in buffers {
            kmem_cache_free(cache, buffer);
        }
        assert_eq!((bytes(), most(), lost()), (0, 181_920, 106_496));
        kmem_cache_destroy(cache);
        // SAFETY: all is freed.
        unsafe { free_all() };
        assert_eq!(lost(), 0);
    }
}
