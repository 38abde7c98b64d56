// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory on 2 MiB pages.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};

/// The size of a large page on amd64.
pub const LARGE_PAGE: usize = 2 << 20;

/// A zeroed mapping that starts at a multiple of [`LARGE_PAGE`]; unmapped on
/// drop.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: Pages owns its mapping and gives no access to it but its address;
// munmap may be called from any thread.
unsafe impl Send for Pages {}

impl Pages {
    /// Maps at least `len` bytes and makes them present: whoever touches them
    /// later meets no page fault.
    ///
    /// # Errors
    /// What mmap said.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(LARGE_PAGE);
        let start = map(len).ok_or_else(io::Error::last_os_error)?;
        let pages = Self { start, len };
        // SAFETY: the range is the mapping that was just made, which holds
        // zeros; to write there changes nothing.
        let populated =
            unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_POPULATE_WRITE) };
        if populated != 0 {
            pages.touch();
        }
        Ok(pages)
    }

    /// Stores to each page what is there already: for kernels older than
    /// `MADV_POPULATE_WRITE`, and for pages that were not used for a while.
    pub fn touch(&self) {
        for offset in (0..self.len).step_by(4096) {
            // SAFETY: offset < len, so the byte is in the mapping, which is
            // readable and writable, and nobody makes a reference to it.
            let byte = unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(offset)) };
            // Others may use it: what they store meanwhile stays.
            let is = byte.load(Ordering::Relaxed);
            let _stored = byte.compare_exchange(is, is, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The first byte.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes, a multiple of [`LARGE_PAGE`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// A mapping is never empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the range is exactly the mapping that self owns.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Maps `len` bytes, a multiple of [`LARGE_PAGE`], at such a multiple, and
/// asks for large pages. None: no memory.
pub(crate) fn map(len: usize) -> Option<NonNull<u8>> {
    let size = len.checked_add(LARGE_PAGE)?;
    // SAFETY: a new private anonymous mapping at an address that the system
    // chooses touches no existing memory.
    let base = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return None;
    }
    let skip = base.addr().next_multiple_of(LARGE_PAGE) - base.addr();
    let start = base.cast::<u8>().wrapping_add(skip);
    // SAFETY: [base, start) and [start + len, base + size) are the ends of
    // the mapping made above, page aligned, and nobody uses them; the advice
    // concerns the rest of it.
    unsafe {
        if skip > 0 {
            libc::munmap(base, skip);
        }
        libc::munmap(start.wrapping_add(len).cast(), LARGE_PAGE - skip);
        libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE);
    }
    NonNull::new(start)
}
