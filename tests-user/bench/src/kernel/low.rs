// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory in the low 2 GiB, where a module's 32-bit distances reach: the fast
//! functions, a jump to each other one, and the kernel's variables.

use std::collections::HashMap;
use std::io;
use std::ptr::{self, NonNull};

use super::fast;

/// Bytes of code, and as many of variables.
const HALF: usize = 64 << 10;
/// `jmp *(%rip)`, two bytes of padding after the address.
const JUMP: usize = 16;

/// Code and variables; unmapped on drop.
#[derive(Debug)]
pub struct Low {
    base: NonNull<u8>,
    code: usize,
    data: usize,
    known: HashMap<String, u64>,
}

// SAFETY: the mapping belongs to Low, which writes to it through &mut self
// only.
unsafe impl Send for Low {}

// SAFETY: as above; `&Low` gives no access to the memory.
unsafe impl Sync for Low {}

impl Low {
    /// Maps the memory and copies the fast functions to it.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a new private anonymous mapping at an address that the
        // system chooses touches no existing memory.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                2 * HALF,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(io::Error::last_os_error)?;
        let mut low = Self {
            base,
            code: 0,
            data: HALF,
            known: HashMap::new(),
        };
        let code = fast::code();
        low.write(0, &code);
        low.code = code.len().next_multiple_of(JUMP);
        Ok(low)
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= 2 * HALF);
        // SAFETY: the range is inside the mapping, which self owns and which
        // is writable until `finish`.
        unsafe {
            self.base
                .as_ptr()
                .add(at)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    fn address(&self, at: usize) -> u64 {
        (self.base.as_ptr().expose_provenance() + at) as u64
    }

    /// The address of a fast function.
    pub(crate) fn fast(&self, name: &str) -> Option<u64> {
        Some(self.address(fast::entry(name)?))
    }

    /// The address of a jump to `target`. None: no room.
    pub(crate) fn function(&mut self, name: &str, target: *const ()) -> Option<u64> {
        if let Some(address) = self.known.get(name) {
            return Some(*address);
        }
        let at = self.code;
        if at + JUMP > HALF {
            return None;
        }
        let mut jump = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        jump[6..].copy_from_slice(&target.expose_provenance().to_le_bytes());
        self.write(at, &jump);
        self.code += JUMP;
        self.known.insert(name.to_owned(), self.address(at));
        Some(self.address(at))
    }

    /// The address of a variable of the kernel. None: no room.
    pub(crate) fn variable(&mut self, name: &str, size: usize, value: u64) -> Option<u64> {
        if let Some(address) = self.known.get(name) {
            return Some(*address);
        }
        let at = self.data;
        if at + size > 2 * HALF {
            return None;
        }
        let bytes = value.to_le_bytes();
        self.write(at, &bytes[..size.min(bytes.len())]);
        self.data += size.next_multiple_of(64);
        self.known.insert(name.to_owned(), self.address(at));
        Some(self.address(at))
    }

    /// Makes the code executable; it is not written any more.
    pub(crate) fn finish(self) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        // SAFETY: the first half of the mapping that self owns.
        if unsafe { libc::mprotect(self.base.as_ptr().cast(), HALF, protection) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(self)
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: the mapping that self owns; whoever drops it has seen to it
        // that nothing runs in it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), 2 * HALF) };
    }
}
