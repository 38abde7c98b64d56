// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One buffer of kernel memory: guards on both sides, and patterns in it.

use std::alloc::{self, Layout};
use std::ops::Range;

const UNINITIALISED: [u8; 4] = 0xbadd_cafe_u32.to_le_bytes();
const FREED: [u8; 4] = 0xdead_beef_u32.to_le_bytes();
const GUARD: u8 = 0xbb;
/// The least that a guard has.
const GUARDED: usize = 64;

/// Where a buffer was allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// By `kmem_alloc`.
    General,
    /// In the cache with this address.
    Cache(u64),
}

/// One buffer with its guards.
pub(crate) struct Block {
    base: *mut u8,
    layout: Layout,
    before: usize,
    pub size: usize,
    pub source: Source,
    /// Its address in the layout of [`crate::slab`].
    pub place: usize,
    /// The places in a module that allocated it and freed it.
    pub allocated_by: u64,
    pub freed_by: u64,
}

// SAFETY: a block owns its memory; only the accounts' lock gives access.
unsafe impl Send for Block {}

impl Block {
    /// A buffer at an odd multiple of `align`, so that nobody comes to rely
    /// on more.
    pub fn new(size: usize, align: usize, source: Source, place: usize, by: u64) -> Self {
        let before = GUARDED.next_multiple_of(2 * align) + align;
        let layout = Layout::from_size_align(before + size + GUARDED, GUARDED.max(2 * align))
            .expect("sizes are limited by the machine's memory");
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc::alloc(layout) };
        if base.is_null() {
            alloc::handle_alloc_error(layout);
        }
        let mut block = Self {
            base,
            layout,
            before,
            size,
            source,
            place,
            allocated_by: by,
            freed_by: 0,
        };
        let payload = before..before + size;
        let all = block.all();
        all.fill(GUARD);
        fill_pattern(&mut all[payload], UNINITIALISED);
        block
    }

    pub fn address(&self) -> u64 {
        self.base as u64 + self.before as u64
    }

    pub fn range(&self) -> Range<u64> {
        self.address()..self.address() + self.size as u64
    }

    /// The whole memory. The module may be writing to its part only if it is
    /// at fault already.
    fn all(&mut self) -> &mut [u8] {
        // SAFETY: base and layout are those of the allocation, all of which
        // was initialised by new (which calls this first to fill it: alloc
        // gave at least uninitialised bytes that fill overwrites unread).
        unsafe { std::slice::from_raw_parts_mut(self.base, self.layout.size()) }
    }

    /// The offset from the block's first byte of a guard that was written to.
    pub fn damage(&mut self) -> Option<isize> {
        let (before, size) = (self.before, self.size);
        self.all()
            .iter()
            .enumerate()
            .find(|&(at, &byte)| !(before..before + size).contains(&at) && byte != GUARD)
            .map(|(at, _)| at as isize - before as isize)
    }

    /// The offset of a byte that was written to after the block was freed.
    pub fn written_after_free(&mut self) -> Option<usize> {
        let payload = self.before..self.before + self.size;
        self.all()[payload]
            .iter()
            .zip(FREED.iter().cycle())
            .position(|(byte, freed)| byte != freed)
    }

    pub fn poison(&mut self) {
        let payload = self.before..self.before + self.size;
        fill_pattern(&mut self.all()[payload], FREED);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: base came from alloc with this layout.
        unsafe { alloc::dealloc(self.base, self.layout) };
    }
}

fn fill_pattern(bytes: &mut [u8], pattern: [u8; 4]) {
    for chunk in bytes.chunks_mut(4) {
        chunk.copy_from_slice(&pattern[..chunk.len()]);
    }
}
