// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel memory that frees itself with the size it was allocated with.

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

use super::sys;

/// A slice in kernel memory.
///
/// # Invariants
///
/// `start` is the result of one `kmem_alloc` of `len * size_of::<T>()` bytes,
/// not zero, and all `len` elements are initialised.
pub struct KmemSlice<T: Copy> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: the slice owns its elements as a Vec does.
unsafe impl<T: Copy + Send> Send for KmemSlice<T> {}

impl<T: Copy> KmemSlice<T> {
    /// Allocates `len` copies of `value`. Does not sleep: a table may be too
    /// large for the machine, and then nobody must wait for its memory, least
    /// of all the thread that boots. `None` if there is not that much memory,
    /// or if `len` elements of this type cannot be a slice or have no size.
    pub fn new(len: usize, value: T) -> Option<Self> {
        const { assert!(align_of::<T>() <= 8, "kmem_alloc aligns to 8") };
        let size = len.checked_mul(size_of::<T>())?;
        if size == 0 || isize::try_from(size).is_err() {
            return None;
        }
        // SAFETY: the size is not zero.
        let memory = unsafe { sys::kmem_alloc(size, sys::KM_NOSLEEP as i32) };
        let start = NonNull::new(memory.cast::<T>())?;
        for index in 0..len {
            // SAFETY: index < len elements fit in the allocation, which is
            // aligned to 8 and thus for T.
            unsafe { start.add(index).write(value) };
        }
        Some(Self { start, len })
    }
}

impl<T: Copy> Deref for KmemSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: by the invariant, len initialised elements at start, which
        // live as long as self.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Copy> DerefMut for KmemSlice<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and self is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Copy> Drop for KmemSlice<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant this is the address and the size of one
        // allocation; T: Copy has nothing to drop.
        unsafe { sys::kmem_free(self.start.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}
