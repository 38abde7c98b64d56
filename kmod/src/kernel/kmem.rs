// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel memory that frees itself with the size it was allocated with.

use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::slice;

use super::sys;

/// A slice in kernel memory.
///
/// # Invariants
///
/// All `len` elements at `start` are initialised, and either `len` is 0 or
/// `start` is the result of one `kmem_alloc` of `len * size_of::<T>()` bytes.
pub struct KmemSlice<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the slice owns its elements as a Vec does.
unsafe impl<T: Send> Send for KmemSlice<T> {}

// SAFETY: a shared slice gives out shared elements and nothing else.
unsafe impl<T: Sync> Sync for KmemSlice<T> {}

impl<T> KmemSlice<T> {
    /// kmem_alloc(9F) aligns to 8, and sizes that are multiples of 64 to 64.
    const ALIGNED: () = assert!(
        align_of::<T>() <= 8 || (align_of::<T>() == 64 && size_of::<T>().is_multiple_of(64))
    );

    /// No element, and no memory.
    pub const fn empty() -> Self {
        Self {
            start: NonNull::dangling(),
            len: 0,
        }
    }

    /// Allocates and fills `len` elements. Does not sleep: a table may be too
    /// large for the machine, and then nobody must wait for its memory, least
    /// of all the thread that boots. `None` if there is not that much memory,
    /// or if `len` elements of this type cannot be a slice or have no size.
    #[inline]
    pub fn from_fn(len: usize, value: impl Fn(usize) -> T) -> Option<Self> {
        const { Self::ALIGNED };
        let size = len.checked_mul(size_of::<T>())?;
        if size == 0 || isize::try_from(size).is_err() {
            return None;
        }
        // SAFETY: the size is not zero.
        let memory = unsafe { sys::kmem_alloc(size, sys::KM_NOSLEEP as i32) };
        let start = NonNull::new(memory.cast::<T>())?;
        for index in 0..len {
            // SAFETY: index < len elements fit in the allocation, which is
            // aligned for T by `ALIGNED`.
            unsafe { start.add(index).write(value(index)) };
        }
        Some(Self { start, len })
    }

    /// Its size in bytes.
    pub fn size(&self) -> usize {
        self.len.wrapping_mul(size_of::<T>())
    }
}

impl<T> Deref for KmemSlice<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: by the invariant, len initialised elements at start, which
        // live as long as self.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for KmemSlice<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and self is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for KmemSlice<T> {
    fn drop(&mut self) {
        if self.len == 0 {
            return;
        }
        // SAFETY: the elements are initialised and nobody uses them any more.
        unsafe { ptr::drop_in_place(ptr::from_mut::<[T]>(self)) };
        // SAFETY: by the invariant this is the address and the size of one
        // allocation.
        unsafe { sys::kmem_free(self.start.as_ptr().cast(), self.size()) };
    }
}
