// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel's heap for large blocks: extents of 2 MiB pages, present before
//! anybody touches them.

use std::collections::BTreeMap;
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
}

impl Heap {
    /// No memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pages: Vec::new(),
            free: BTreeMap::new(),
        }
    }

    /// The address of `size` bytes at a multiple of a page's size.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn alloc(&mut self, size: usize) -> io::Result<usize> {
        let size = size.next_multiple_of(PAGE);
        let fits = |free: &(&usize, &usize)| *free.1 >= size;
        let found = self.free.iter().find(fits).map(|(at, len)| (*at, *len));
        let (at, len) = match found {
            Some(found) => found,
            None => {
                let pages = Pages::new(size.max(STEP))?;
                let extent = (pages.start().as_ptr().expose_provenance(), pages.len());
                self.pages.push(pages);
                extent
            }
        };
        self.free.remove(&at);
        if len > size {
            self.free.insert(at + size, len - size);
        }
        Ok(at)
    }

    /// Takes back what `alloc` gave for this size.
    pub fn free(&mut self, at: usize, size: usize) {
        let (mut at, mut size) = (at, size.next_multiple_of(PAGE));
        if let Some(after) = self.free.remove(&(at + size)) {
            size += after;
        }
        let before = self.free.range(..at).next_back();
        if let Some((&start, &len)) = before.filter(|(start, len)| **start + **len == at) {
            (at, size) = (start, len + size);
        }
        self.free.insert(at, size);
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
    }
}
