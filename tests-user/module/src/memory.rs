// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory with an end that is known.

/// Some bytes at the very end of a page that has none behind it.
pub struct LastBytes {
    map: *mut libc::c_void,
}

/// The size of a page, in bytes.
pub(crate) const PAGE: usize = 4096;

impl LastBytes {
    /// The address of the last `len` bytes before memory ends; they are zero.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    #[must_use]
    pub fn new(len: usize) -> (Self, u64) {
        // SAFETY: a new anonymous mapping of two pages.
        let map = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(map, libc::MAP_FAILED);
        // SAFETY: the second page of the mapping, which nobody uses.
        let protected = unsafe { libc::mprotect(map.byte_add(PAGE), PAGE, libc::PROT_NONE) };
        assert_eq!(protected, 0);
        let address = map.expose_provenance() + PAGE - len;
        (Self { map }, address as u64)
    }
}

impl Drop for LastBytes {
    fn drop(&mut self) {
        // SAFETY: the two pages of `new`.
        unsafe { libc::munmap(self.map, 2 * PAGE) };
    }
}
