// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `kmem_*`: small blocks from malloc, large ones from the [`Heap`]; bytes
//! are counted as asked for.

use std::collections::HashMap;
use std::io;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::heap::Heap;
use super::imports;

/// From here on a block is made of pages: memory of malloc would have page
/// faults.
const LARGE: usize = 2 << 10;

struct Memory {
    heap: Heap,
    /// Address and size of all that is not freed.
    blocks: Option<HashMap<usize, usize>>,
    bytes: u64,
    most: u64,
}

static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    heap: Heap::new(),
    blocks: None,
    bytes: 0,
    most: 0,
});

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
    for (address, size) in memory.blocks.take().unwrap_or_default() {
        if size < LARGE {
            // SAFETY: a small block comes from posix_memalign, and nobody
            // uses it, as the caller promises.
            unsafe { libc::free(ptr::with_exposed_provenance_mut(address)) };
        }
    }
    memory.heap.free_all();
    memory.bytes = 0;
    memory.most = 0;
}

/// Blocks of 64 bytes and more start a cache line, as kmem's do.
fn small(size: usize) -> *mut u8 {
    let mut block = ptr::null_mut();
    let align = if size >= 64 { 64 } else { 16 };
    // SAFETY: the pointer is a local variable, the alignment a power of two
    // and a multiple of a pointer's size.
    match unsafe { libc::posix_memalign(&raw mut block, align, size) } {
        0 => block.cast(),
        _ => ptr::null_mut(),
    }
}

extern "C" fn kmem_alloc(size: usize, _flags: i32) -> *mut u8 {
    if size == 0 {
        return ptr::null_mut();
    }
    let mut memory = memory();
    let block = if size < LARGE {
        small(size)
    } else {
        let address = memory.heap.alloc(size).unwrap_or(0);
        ptr::with_exposed_provenance_mut(address)
    };
    if !block.is_null() {
        let blocks = memory.blocks.get_or_insert_default();
        blocks.insert(block.expose_provenance(), size);
        memory.bytes += size as u64;
        memory.most = memory.most.max(memory.bytes);
    }
    block
}

extern "C" fn kmem_zalloc(size: usize, flags: i32) -> *mut u8 {
    let block = kmem_alloc(size, flags);
    if !block.is_null() {
        // SAFETY: a new block of this size.
        unsafe { block.write_bytes(0, size) };
    }
    block
}

/// # Safety
/// Nobody uses the block any more.
unsafe extern "C" fn kmem_free(block: *mut u8, size: usize) {
    if size == 0 {
        return;
    }
    let mut memory = memory();
    let blocks = memory.blocks.get_or_insert_default();
    let known = blocks.remove(&block.addr());
    assert_eq!(known, Some(size), "kmem_free of {block:p}");
    memory.bytes -= size as u64;
    if size < LARGE {
        // SAFETY: it comes from posix_memalign, and by the caller's promise
        // nobody uses it.
        unsafe { libc::free(block.cast()) };
    } else {
        memory.heap.free(block.addr(), size);
    }
}

imports! {
    kmem_alloc => "kmem_alloc",
    kmem_zalloc => "kmem_zalloc",
    kmem_free => "kmem_free",
}
