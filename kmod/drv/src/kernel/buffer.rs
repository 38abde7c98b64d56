// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel memory for what an ioctl copies, as long as it needs it.

use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;

use zerocopy::FromZeros;

use super::sys;

/// Plain data in kernel memory.
///
/// # Invariants
///
/// Either `len` is 0 or `start` is the result of one `kmem_zalloc` of `len`
/// elements.
pub struct Buffer<T> {
    start: NonNull<T>,
    len: usize,
}

impl<T: FromZeros> Buffer<T> {
    /// kmem_zalloc(9F) aligns to 8.
    const ALIGNED: () = assert!(align_of::<T>() <= 8 && size_of::<T>() > 0);

    /// `len` elements of zeros. Waits for the memory: the caller asks for a
    /// bounded number of them. Empty if there cannot be so many.
    pub fn zeroed(len: usize) -> Self {
        const { Self::ALIGNED };
        let size = len.checked_mul(size_of::<T>()).unwrap_or(0);
        let memory = match size {
            0 => core::ptr::null_mut(),
            // SAFETY: the size is not zero, and the caller may sleep: no ioctl
            // or read holds a lock here.
            _ => unsafe { sys::kmem_zalloc(size, sys::KM_SLEEP as i32) },
        };
        match NonNull::new(memory.cast::<T>()) {
            Some(start) => Self { start, len },
            None => Self {
                start: NonNull::dangling(),
                len: 0,
            },
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: by the invariant `len` elements, which zeros have made valid
        // and which live as long as self.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and self is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.len > 0 {
            let size = self.len.wrapping_mul(size_of::<T>());
            // SAFETY: by the invariant one allocation of this size, which did not
            // overflow when it was made; nobody uses it any more.
            unsafe { sys::kmem_free(self.start.as_ptr().cast(), size) };
        }
    }
}
