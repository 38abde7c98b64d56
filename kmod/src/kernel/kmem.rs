// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel memory that frees itself with the size it was allocated with.

use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::sys;

/// What the module has allocated, in bytes.
pub(super) static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Bytes of kernel memory that the module has now.
pub fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

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
        Self::try_from_fn(len, |index| Some(value(index)))
    }

    /// As [`KmemSlice::from_fn`]; `None` also if there is no value for an element.
    pub fn try_from_fn(len: usize, value: impl Fn(usize) -> Option<T>) -> Option<Self> {
        const { Self::ALIGNED };
        let size = len.checked_mul(size_of::<T>())?;
        if size == 0 || isize::try_from(size).is_err() {
            return None;
        }
        // SAFETY: the size is not zero.
        let memory = unsafe { sys::kmem_alloc(size, sys::KM_NOSLEEP as i32) };
        let start = NonNull::new(memory.cast::<T>())?;
        BYTES.fetch_add(size, Ordering::Relaxed);
        for index in 0..len {
            let Some(value) = value(index) else {
                // SAFETY: `index` elements are initialised, in an allocation of this
                // size, and nobody uses them.
                unsafe { free(start, index, size) };
                return None;
            };
            // SAFETY: index < len elements fit in the allocation, which is
            // aligned for T by `ALIGNED`.
            unsafe { start.add(index).write(value) };
        }
        Some(Self { start, len })
    }

    /// The elements without the owner.
    pub(super) fn into_raw(self) -> NonNull<[T]> {
        let elements = NonNull::slice_from_raw_parts(self.start, self.len);
        core::mem::forget(self);
        elements
    }

    /// # Safety
    ///
    /// `elements` came from [`KmemSlice::into_raw`], and nobody else has them.
    pub(super) unsafe fn from_raw(elements: NonNull<[T]>) -> Self {
        Self {
            start: elements.cast(),
            len: elements.len(),
        }
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
        if self.len > 0 {
            // SAFETY: by the invariant the elements are initialised and this is one
            // allocation of this size; nobody uses them any more.
            unsafe { free(self.start, self.len, self.size()) };
        }
    }
}

/// Drops the first elements of an allocation, and frees it.
///
/// # Safety
///
/// `start` is the result of a `kmem_alloc` of `size` bytes, its first `len` elements
/// are initialised, and nobody uses them.
unsafe fn free<T>(start: NonNull<T>, len: usize, size: usize) {
    let elements = ptr::slice_from_raw_parts_mut(start.as_ptr(), len);
    // SAFETY: `len` elements are initialised and nobody uses them: the caller promises it.
    unsafe { ptr::drop_in_place(elements) };
    BYTES.fetch_sub(size, Ordering::Relaxed);
    // SAFETY: an allocation of this size, as the caller promises.
    unsafe { sys::kmem_free(start.as_ptr().cast(), size) };
}
