// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory for a module in the low 2 GiB of this process, where sign-extended
//! 32-bit addresses and PC-relative distances reach everything, as they do in
//! the kernel's top 2 GiB.

use std::ffi::c_void;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::LoadError;

/// What an area's memory may be used for once it is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Readable and executable.
    Text,
    /// Readable and writable.
    Data,
}

/// Zeroed memory that is being filled and that nobody else has seen yet.
pub(crate) struct Draft {
    mapping: Mapping,
    /// Bytes from the start of the mapping to the aligned start of the area.
    skip: usize,
    len: usize,
}

/// Filled memory, whose contents belong to the module that runs in it.
pub(crate) struct Area {
    /// Keeps the memory mapped, and unmaps it on drop.
    _mapping: Mapping,
    range: Range<u64>,
    usage: Use,
}

struct Mapping {
    base: NonNull<c_void>,
    size: usize,
}

// SAFETY: a Mapping is the only owner of its memory; no method gives access to
// that memory through a shared reference, and munmap may be called from any
// thread.
unsafe impl Send for Mapping {}

// SAFETY: as above, `&Mapping` allows nothing but reading the two fields.
unsafe impl Sync for Mapping {}

impl Draft {
    /// Maps `len` zeroed bytes whose start is a multiple of `align`, a power of
    /// two.
    pub fn new(len: u64, align: u64) -> Result<Self, LoadError> {
        let too_large = || LoadError::TooLarge {
            what: "the module's sections with their alignment".into(),
        };
        let size = len
            .max(1)
            .checked_add(align)
            .filter(|&size| size <= crate::SIZE_LIMIT)
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(too_large)?;
        let len = usize::try_from(len).map_err(|_| too_large())?;
        let align = usize::try_from(align).map_err(|_| too_large())?;
        let mapping = Mapping::new(size)?;
        let base = mapping.base.addr().get();
        let skip = base.next_multiple_of(align.max(1)) - base;
        Ok(Self { mapping, skip, len })
    }

    /// Address of the first byte.
    pub fn start(&self) -> u64 {
        (self.mapping.base.addr().get() + self.skip) as u64
    }

    /// The memory.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: skip < align and the mapping has at least len + align bytes,
        // so the range is inside it; it is readable, writable and initialised
        // (zeroed by the system); a Draft has not given its address to any
        // code that runs, so `&mut self` is the only access to it.
        unsafe {
            slice::from_raw_parts_mut(
                self.mapping.base.cast::<u8>().as_ptr().add(self.skip),
                self.len,
            )
        }
    }

    /// Ends the filling.
    pub fn finish(self, usage: Use) -> Result<Area, LoadError> {
        if usage == Use::Text {
            self.mapping.make_executable()?;
        }
        let start = self.start();
        // The address leaves Rust's view here: it is in relocated fields.
        let _ = self.mapping.base.as_ptr().expose_provenance();
        Ok(Area {
            range: start..start + self.len as u64,
            _mapping: self.mapping,
            usage,
        })
    }
}

impl Area {
    /// Addresses of the first byte and of the one after the last.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Stores `bytes` at `address`, byte by byte; false if that is not wholly
    /// inside an area of data.
    pub fn store(&self, address: u64, bytes: &[u8]) -> bool {
        let inside = address >= self.range.start
            && address
                .checked_add(bytes.len() as u64)
                .is_some_and(|end| end <= self.range.end);
        if !inside || self.usage != Use::Data {
            return false;
        }
        for (target, byte) in (address..).zip(bytes) {
            let target = ptr::with_exposed_provenance_mut::<u8>(target as usize);
            // SAFETY: target is inside the range, which stays mapped and
            // writable while self lives; its provenance was exposed by
            // Draft::finish; an AtomicU8 has no alignment and no invalid
            // values, and no Rust reference to this memory exists.
            unsafe { AtomicU8::from_ptr(target) }.store(*byte, Ordering::Relaxed);
        }
        true
    }
}

impl Mapping {
    fn new(size: usize) -> Result<Self, LoadError> {
        // SAFETY: a new private anonymous mapping at an address that the
        // system chooses touches no existing memory.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        match NonNull::new(base) {
            Some(base) if base.as_ptr() != libc::MAP_FAILED => Ok(Self { base, size }),
            _ => Err(LoadError::Mapping {
                size,
                error: io::Error::last_os_error(),
            }),
        }
    }

    fn make_executable(&self) -> Result<(), LoadError> {
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the range is exactly the mapping that self owns, and its
        // caller gives up writing to it.
        let result = unsafe { libc::mprotect(self.base.as_ptr(), self.size, protection) };
        if result != 0 {
            return Err(LoadError::Mapping {
                size: self.size,
                error: io::Error::last_os_error(),
            });
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is exactly the mapping that self owns; whoever
        // drops an image guarantees that nothing runs in it or points into it.
        unsafe { libc::munmap(self.base.as_ptr(), self.size) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_inside_of_data_is_stored_to() {
        let area = |usage| Draft::new(8, 1).expect("maps").finish(usage).expect("ends");
        let data = area(Use::Data);
        let start = data.range().start;
        assert!(data.store(start + 4, &[1; 4]));
        assert!(!data.store(start + 5, &[1; 4]));
        assert!(!data.store(start - 1, &[1; 4]));
        assert!(!data.store(u64::MAX, &[1; 4]));
        let text = area(Use::Text);
        assert!(!text.store(text.range().start, &[1; 4]));
    }
}
