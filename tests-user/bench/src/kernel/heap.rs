// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel's pages: extents of 2 MiB pages, present before anybody touches
//! them. The best fit is found without a search, and memory that was freed
//! stays: a kernel's allocator does not wait for a host.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::pages::Pages;

const PAGE: usize = 4096;
/// The heap grows by at least this.
const STEP: usize = 64 << 20;

/// Free extents and the pages they are of.
#[derive(Debug, Default)]
pub struct Heap {
    pages: Vec<Pages>,
    /// Address and length, none beside another.
    free: BTreeMap<usize, usize>,
    /// The same by length.
    by_len: BTreeSet<(usize, usize)>,
}

impl Heap {
    /// No memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: BTreeMap::new(),
            by_len: BTreeSet::new(),
        }
    }

    /// Has so many bytes, if they were not there before. To be called when
    /// nothing is in use.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        let has: usize = self.pages.iter().map(Pages::len).sum();
        match bytes.saturating_sub(has) {
            0 => Ok(()),
            more => self.grow(more),
        }
    }

    fn grow(&mut self, size: usize) -> io::Result<()> {
        let pages = Pages::new(size.max(STEP))?;
        self.give(pages.start().as_ptr().expose_provenance(), pages.len());
        self.pages.push(pages);
        Ok(())
    }

    /// Touches all pages. Under some virtual machines the first store to a page
    /// that was left alone for a while takes a hundred microseconds.
    pub fn touch(&self) {
        for pages in &self.pages {
            pages.touch();
        }
    }

    /// Nothing is in use any more.
    pub fn free_all(&mut self) {
        self.free.clear();
        self.by_len.clear();
        for index in 0..self.pages.len() {
            let pages = &self.pages[index];
            self.give(pages.start().as_ptr().addr(), pages.len());
        }
    }

    /// The address of `size` bytes at a multiple of a page's size.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn alloc(&mut self, size: usize) -> io::Result<usize> {
        let size = size.next_multiple_of(PAGE);
        if self.by_len.range((size, 0)..).next().is_none() {
            self.grow(size)?;
        }
        let Some(&(len, at)) = self.by_len.range((size, 0)..).next() else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        self.take(at, len);
        if len > size {
            self.insert(at + size, len - size);
        }
        Ok(at)
    }

    /// Takes back what `alloc` gave for this size.
    pub fn free(&mut self, at: usize, size: usize) {
        self.give(at, size.next_multiple_of(PAGE));
    }

    fn give(&mut self, mut at: usize, mut size: usize) {
        if let Some(&after) = self.free.get(&(at + size)) {
            self.take(at + size, after);
            size += after;
        }
        let before = self.free.range(..at).next_back();
        if let Some((&start, &len)) = before.filter(|(start, len)| **start + **len == at) {
            self.take(start, len);
            (at, size) = (start, len + size);
        }
        self.insert(at, size);
    }

    fn insert(&mut self, at: usize, len: usize) {
        self.free.insert(at, len);
        self.by_len.insert((len, at));
    }

    fn take(&mut self, at: usize, len: usize) {
        self.free.remove(&at);
        self.by_len.remove(&(len, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_is_one_extent_again() {
        let mut heap = Heap::new();
        let blocks: Vec<_> = (1..9)
            .map(|n| (heap.alloc(n * 10_000).expect("memory"), n * 10_000))
            .collect();
        for pair in blocks.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0);
        }
        for index in [1, 3, 2, 0, 7, 5, 6, 4] {
            let (at, size) = blocks[index];
            heap.free(at, size);
        }
        assert_eq!(heap.free.values().copied().collect::<Vec<_>>(), [STEP]);
        let by_len: Vec<_> = heap.by_len.iter().map(|(len, _)| *len).collect();
        assert_eq!(by_len, [STEP]);
    }

    #[test]
    fn a_hole_is_filled_by_what_fits_it_best() {
        let mut heap = Heap::new();
        let blocks = [3, 1, 2, 1, 1].map(|pages| heap.alloc(pages * PAGE).expect("memory"));
        heap.free(blocks[0], 3 * PAGE);
        heap.free(blocks[2], 2 * PAGE);
        assert_eq!(heap.alloc(2 * PAGE).expect("memory"), blocks[2]);
        assert_eq!(heap.alloc(PAGE).expect("memory"), blocks[0]);
    }

    #[test]
    fn what_is_reserved_stays() {
        let mut heap = Heap::new();
        heap.reserve(3 * STEP).expect("memory");
        heap.reserve(2 * STEP).expect("memory");
        for _ in 0..3 {
            heap.alloc(2 * STEP).expect("memory");
            heap.free_all();
        }
        assert_eq!(heap.pages.len(), 1);
    }
}
