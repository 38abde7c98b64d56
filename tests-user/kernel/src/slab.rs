// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What illumos's kmem takes from the machine: slabs of whole pages behind
//! every cache, the size classes of `kmem_alloc`, and the oversize arena.
//!
//! Only the layout is here; pages come from a [`Pages`]. The numbers are those
//! of amd64. The headers of slabs and of magazines are left out: they are less
//! than a fiftieth of slabs of a page and more.

use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// A slab is chosen among those of up to so many buffers, and buffers smaller
/// than this part of a page get slabs of one page.
const VOID_FRACTION: usize = 8;

/// Sizes of the caches behind `kmem_alloc`.
const CLASSES: [usize; 46] = [
    8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640,
    768, 896, 1152, 1344, 1600, 2048, 2688, 4096, 8192, 12288, 16384, 24576, 32768, 40960, 49152,
    57344, 65536, 73728, 81920, 90112, 98304, 106_496, 114_688, 122_880, 131_072,
];

/// Where slabs come from.
pub trait Pages {
    /// The address of `size` bytes, a multiple of [`PAGE`], at a multiple of
    /// it. `None`: there is not that much memory.
    fn take(&mut self, size: usize) -> Option<usize>;

    /// Takes back what [`Pages::take`] gave for this size.
    fn give_back(&mut self, at: usize, size: usize);
}

#[derive(Debug)]
struct Slab {
    /// Addresses of the buffers that nobody has.
    free: Vec<usize>,
}

/// The slabs of one cache.
#[derive(Debug)]
pub struct Slabs {
    /// Bytes of a buffer, with what its alignment adds.
    chunk: usize,
    /// Bytes of a slab.
    slab: usize,
    /// Freed buffers stay in magazines, and their slabs with them.
    has_magazines: bool,
    slabs: BTreeMap<usize, Slab>,
    /// Those with a free buffer.
    partial: BTreeSet<usize>,
}

impl Slabs {
    /// A cache of buffers of `size` bytes at multiples of `align`, a power of
    /// two. Without magazines (`KMC_NOMAGAZINE`) a slab is given back with its
    /// last buffer; with them never, since only a kernel that is short of
    /// memory reaps them.
    #[must_use]
    pub fn new(size: usize, align: usize, has_magazines: bool) -> Self {
        let chunk = size.next_multiple_of(align);
        Self {
            chunk,
            slab: slab_size(chunk),
            has_magazines,
            slabs: BTreeMap::new(),
            partial: BTreeSet::new(),
        }
    }

    /// Bytes of the pages behind all slabs.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.slabs.len() * self.slab
    }

    /// The address of a buffer, or `None` if there is no memory.
    pub fn alloc(&mut self, pages: &mut impl Pages) -> Option<usize> {
        let at = match self.partial.first() {
            Some(&at) => at,
            None => self.add_slab(pages)?,
        };
        let slab = self.slabs.get_mut(&at)?;
        let buffer = slab.free.pop();
        if slab.free.is_empty() {
            self.partial.remove(&at);
        }
        buffer
    }

    fn add_slab(&mut self, pages: &mut impl Pages) -> Option<usize> {
        let at = pages.take(self.slab)?;
        let buffers = self.slab / self.chunk;
        let free = (0..buffers)
            .rev()
            .map(|buffer| at + buffer * self.chunk)
            .collect();
        self.slabs.insert(at, Slab { free });
        self.partial.insert(at);
        Some(at)
    }

    /// Takes a buffer back. False: it is no buffer of this cache, or free.
    pub fn free(&mut self, buffer: usize, pages: &mut impl Pages) -> bool {
        let Some((&at, slab)) = self.slabs.range_mut(..=buffer).next_back() else {
            return false;
        };
        let buffers = self.slab / self.chunk;
        let is_buffer = (buffer - at).is_multiple_of(self.chunk)
            && (buffer - at) / self.chunk < buffers
            && !slab.free.contains(&buffer);
        if !is_buffer {
            return false;
        }
        slab.free.push(buffer);
        if slab.free.len() == buffers && !self.has_magazines {
            self.slabs.remove(&at);
            self.partial.remove(&at);
            pages.give_back(at, self.slab);
        } else {
            self.partial.insert(at);
        }
        true
    }
}

/// The size of a slab: the one that wastes least for each buffer.
fn slab_size(chunk: usize) -> usize {
    if chunk < PAGE / VOID_FRACTION {
        return PAGE;
    }
    (1..=VOID_FRACTION)
        .map(|buffers| (buffers * chunk).next_multiple_of(PAGE))
        .min_by_key(|slab| slab % chunk / (slab / chunk))
        .unwrap_or(PAGE)
}

/// The memory behind `kmem_alloc`.
#[derive(Debug)]
pub struct General {
    classes: Vec<Slabs>,
    /// Address and bytes of what is larger than every class: whole pages of
    /// its own, which go back at once.
    oversize: BTreeMap<usize, usize>,
}

impl Default for General {
    fn default() -> Self {
        let classes = CLASSES.iter().map(|&size| Slabs::new(size, 8, true));
        Self {
            classes: classes.collect(),
            oversize: BTreeMap::new(),
        }
    }
}

impl General {
    /// Bytes of the pages behind it all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.classes.iter().map(Slabs::bytes).sum::<usize>() + self.oversize.values().sum::<usize>()
    }

    /// The address of `size` bytes, or `None` if there is no memory.
    pub fn alloc(&mut self, size: usize, pages: &mut impl Pages) -> Option<usize> {
        if let Some(class) = self.class(size) {
            return class.alloc(pages);
        }
        let size = size.next_multiple_of(PAGE);
        let at = pages.take(size)?;
        self.oversize.insert(at, size);
        Some(at)
    }

    /// Takes `size` bytes back. False: nobody has that much there.
    pub fn free(&mut self, at: usize, size: usize, pages: &mut impl Pages) -> bool {
        if let Some(class) = self.class(size) {
            return class.free(at, pages);
        }
        let size = size.next_multiple_of(PAGE);
        if self.oversize.get(&at) != Some(&size) {
            return false;
        }
        self.oversize.remove(&at);
        pages.give_back(at, size);
        true
    }

    fn class(&mut self, size: usize) -> Option<&mut Slabs> {
        let class = CLASSES.partition_point(|&class| class < size);
        self.classes.get_mut(class)
    }
}

/// Addresses without memory, which are never used twice.
#[derive(Debug, Default)]
pub struct Numbers(usize);

impl Pages for Numbers {
    fn take(&mut self, size: usize) -> Option<usize> {
        let at = self.0;
        self.0 += size;
        Some(at)
    }

    fn give_back(&mut self, _at: usize, _size: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_waste_little() {
        assert_eq!(slab_size(64), PAGE);
        assert_eq!(slab_size(4096), PAGE);
        assert_eq!(slab_size(8192), 2 * PAGE);
        assert_eq!(slab_size(12288), 3 * PAGE);
        // Three buffers of 2688 bytes leave 128 of two pages.
        assert_eq!(slab_size(2688), 2 * PAGE);
    }

    #[test]
    fn magazines_keep_what_is_freed_and_give_it_out_again() {
        let (mut general, mut pages) = (General::default(), Numbers::default());
        let many: Vec<_> = (0..10)
            .map(|_| general.alloc(100_000, &mut pages).expect("memory"))
            .collect();
        assert_eq!(general.bytes(), 10 * 106_496);
        for &at in &many {
            assert!(general.free(at, 100_000, &mut pages));
        }
        assert_eq!(general.bytes(), 10 * 106_496);
        for _ in 0..10 {
            general.alloc(106_496, &mut pages).expect("memory");
        }
        assert_eq!(general.bytes(), 10 * 106_496);
        general.alloc(90_000, &mut pages).expect("memory");
        assert_eq!(general.bytes(), 10 * 106_496 + 90_112);
    }

    #[test]
    fn the_oversize_arena_gives_back_at_once() {
        let (mut general, mut pages) = (General::default(), Numbers::default());
        let at = general.alloc(131_073, &mut pages).expect("memory");
        assert_eq!(general.bytes(), 33 * PAGE);
        assert!(!general.free(at + PAGE, 131_073, &mut pages));
        assert!(!general.free(at, 140_000, &mut pages));
        assert!(general.free(at, 131_073, &mut pages));
        assert_eq!(general.bytes(), 0);
    }

    #[test]
    fn a_cache_without_magazines_gives_a_slab_back_with_its_last_buffer() {
        let (mut slabs, mut pages) = (Slabs::new(3000, 128, false), Numbers::default());
        // Chunks of 3072 bytes: four of them are three pages.
        let buffers: Vec<_> = (0..5)
            .map(|_| slabs.alloc(&mut pages).expect("memory"))
            .collect();
        assert!(buffers.iter().all(|buffer| buffer % 128 == 0));
        assert_eq!(slabs.bytes(), 2 * 3 * PAGE);
        assert!(slabs.free(buffers[4], &mut pages));
        assert_eq!(slabs.bytes(), 3 * PAGE);
        for &buffer in &buffers[..3] {
            assert!(slabs.free(buffer, &mut pages));
            assert!(!slabs.free(buffer, &mut pages), "free already");
        }
        assert!(!slabs.free(buffers[3] + 8, &mut pages));
        assert_eq!(slabs.bytes(), 3 * PAGE);
        assert!(slabs.free(buffers[3], &mut pages));
        assert_eq!(slabs.bytes(), 0);
    }
}
