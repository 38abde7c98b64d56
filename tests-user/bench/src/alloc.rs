// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The allocator of this process: what the peers' memory comes from.
//!
//! Large blocks lie on 2 MiB pages, as the module's do, so that nobody is
//! faster for its pages. Bytes are counted per thread: a shared count would
//! cost the peers that allocate in every insert.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::pages::{self, LARGE_PAGE};

/// The system's allocator, with large pages for large blocks.
#[derive(Debug)]
pub struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

thread_local! {
    static NET: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that this thread allocated minus those that it freed, as asked for.
#[must_use]
pub fn net_bytes() -> isize {
    NET.get()
}

fn count(bytes: isize) {
    // A thread that ends may free after its counter is gone.
    let _ = NET.try_with(|net| net.set(net.get().wrapping_add(bytes)));
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE_PAGE && layout.align() <= LARGE_PAGE
}

// SAFETY: small blocks are System's. Large ones are mappings of their own,
// aligned to LARGE_PAGE >= align, at least size bytes long, which dealloc
// unmaps with the same length, computed from the same layout. Nothing here
// panics or allocates.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        if is_large(layout) {
            let len = layout.size().next_multiple_of(LARGE_PAGE);
            return pages::map(len).map_or(ptr::null_mut(), NonNull::as_ptr);
        }
        // SAFETY: passed on by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            // SAFETY: passed on by the caller; a new mapping is zeroed.
            return unsafe { self.alloc(layout) };
        }
        count(layout.size().cast_signed());
        // SAFETY: passed on by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        if is_large(layout) {
            let len = layout.size().next_multiple_of(LARGE_PAGE);
            // SAFETY: the block is the mapping of this length that alloc made.
            unsafe { libc::munmap(block.cast(), len) };
            return;
        }
        // SAFETY: passed on by the caller; a small block is System's.
        unsafe { System.dealloc(block, layout) }
    }
}
