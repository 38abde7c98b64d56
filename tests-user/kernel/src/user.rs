// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The memory of a user program that calls a driver, and who that program is.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

/// The privileges of illumos that drivers of ours ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Privileges {
    /// `PRIV_NET_OBSERVABILITY`.
    pub net_observability: bool,
    /// `PRIV_SYS_IP_CONFIG`.
    pub sys_ip_config: bool,
}

/// Who calls a driver: what is in a `cred_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cred {
    /// The user; 0 is root.
    pub uid: u32,
    /// The zone; 0 is the global one.
    pub zone: i32,
    /// What the program may do.
    pub privileges: Privileges,
}

impl Cred {
    /// Root in the global zone, with all privileges.
    pub const fn root() -> Self {
        Self {
            uid: 0,
            zone: 0,
            privileges: Privileges {
                net_observability: true,
                sys_ip_config: true,
            },
        }
    }

    /// A user of the global zone without privileges.
    pub const fn user(uid: u32) -> Self {
        Self {
            uid,
            zone: 0,
            privileges: Privileges {
                net_observability: false,
                sys_ip_config: false,
            },
        }
    }
}

/// What kind of program calls, and so how its addresses are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// A program of 64 bits.
    Lp64,
    /// A program of 32 bits.
    Ilp32,
    /// A kernel module, through the layered driver interface: addresses are
    /// the kernel's (`FKIOCTL`).
    Kernel,
}

/// What a program has mapped at one place.
#[derive(Debug, Clone)]
struct Region {
    bytes: Vec<u8>,
    writable: bool,
}

/// The memory of one user program. An access outside of what is mapped fails
/// as it does in a kernel, at the first byte that is not there.
#[derive(Debug, Clone, Default)]
pub struct UserMemory {
    regions: BTreeMap<u64, Region>,
    /// How many more copies work, the failing one included.
    failing_copy: Option<u64>,
    /// How many more bytes are copied.
    failing_byte: Option<usize>,
}

/// Where [`UserMemory::add`] maps. Nothing of the process is there, so that a
/// module which uses such an address itself traps; and a program of 32 bits
/// can have it.
const PLACES: Range<u64> = 0x8000_0000..0xf000_0000;
const PAGE: u64 = 4096;

impl UserMemory {
    /// Without anything mapped.
    pub fn new() -> Self {
        keep_places_free();
        Self::default()
    }

    /// Maps `bytes` at a free place, and returns the address. The byte behind
    /// them is not mapped.
    ///
    /// # Panics
    ///
    /// If there is no place left.
    pub fn add(&mut self, bytes: &[u8]) -> u64 {
        let end = |(start, region): (&u64, &Region)| start + region.bytes.len() as u64;
        let last = self.regions.range(PLACES).next_back().map(end);
        let start = last.map_or(PLACES.start, |end| (end + 1).next_multiple_of(PAGE));
        assert!(
            start + (bytes.len() as u64) < PLACES.end,
            "no place in user memory"
        );
        self.map(start, bytes);
        start
    }

    /// Maps `bytes` at `address`, in place of what begins there.
    ///
    /// # Panics
    ///
    /// If something else is mapped there.
    pub fn map(&mut self, address: u64, bytes: &[u8]) {
        self.regions.remove(&address);
        let end = address.checked_add(bytes.len() as u64);
        let end = end.expect("memory that ends");
        let before = self.regions.range(..end).next_back();
        let is_free = before.is_none_or(|(start, region)| {
            start + region.bytes.len() as u64 <= address || *start >= end
        });
        assert!(is_free, "something is mapped at {address:#x}");
        let region = Region {
            bytes: bytes.to_owned(),
            writable: true,
        };
        self.regions.insert(address, region);
    }

    /// Makes what was mapped at `address` fail to be written to.
    ///
    /// # Panics
    ///
    /// If nothing was mapped at just that address.
    pub fn protect(&mut self, address: u64) {
        let region = self.regions.get_mut(&address);
        region.expect("a region begins there").writable = false;
    }

    /// Unmaps what was mapped at `address`.
    pub fn unmap(&mut self, address: u64) {
        self.regions.remove(&address);
    }

    /// What the program sees at `address`, or `None` if not all of it is
    /// mapped.
    pub fn read(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut found = Vec::new();
        while found.len() < length {
            let at = address.checked_add(found.len() as u64)?;
            let (start, region) = self.region_at(at)?;
            let rest = &region.bytes[(at - start) as usize..];
            found.extend_from_slice(&rest[..rest.len().min(length - found.len())]);
        }
        Some(found)
    }

    /// Makes the `n`th copy from now fail before its first byte, 1 being the
    /// next; 0 makes none fail.
    pub fn fail_copy(&mut self, n: u64) {
        self.failing_copy = (n > 0).then_some(n);
    }

    /// Lets `bytes` more bytes be copied, and none after these; `None` is no
    /// such limit.
    pub fn fail_after(&mut self, bytes: Option<usize>) {
        self.failing_byte = bytes;
    }

    fn region_at(&self, address: u64) -> Option<(u64, &Region)> {
        let (start, region) = self.regions.range(..=address).next_back()?;
        (address - start < region.bytes.len() as u64).then_some((*start, region))
    }

    /// Counts a copy; is it the one that fails?
    fn copy_fails(&mut self) -> bool {
        let Some(left) = &mut self.failing_copy else {
            return false;
        };
        *left -= 1;
        let fails = *left == 0;
        if fails {
            self.failing_copy = None;
        }
        fails
    }

    /// Of `wanted` bytes, so many may be copied.
    fn allowed(&mut self, wanted: usize) -> usize {
        let Some(left) = &mut self.failing_byte else {
            return wanted;
        };
        let allowed = wanted.min(*left);
        *left -= allowed;
        allowed
    }

    /// What a kernel copies in, or `None` for a fault.
    pub(crate) fn copy_in(&mut self, address: u64, length: usize) -> Option<Vec<u8>> {
        if self.copy_fails() || self.allowed(length) < length {
            return None;
        }
        self.read(address, length)
    }

    /// Copies out what can be; returns how many bytes that was.
    pub(crate) fn copy_out(&mut self, bytes: &[u8], address: u64) -> usize {
        if self.copy_fails() {
            return 0;
        }
        let allowed = self.allowed(bytes.len());
        let mut done = 0;
        while done < allowed
            && let Some(at) = address.checked_add(done as u64)
            && let Some((&start, region)) = self.regions.range_mut(..=at).next_back()
            && region.writable
            && let Some(place) = region.bytes.get_mut((at - start) as usize..)
            && !place.is_empty()
        {
            let count = place.len().min(allowed - done);
            place[..count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        done
    }
}

/// Keeps the host from mapping anything where user memory is.
fn keep_places_free() {
    static KEPT: OnceLock<()> = OnceLock::new();
    KEPT.get_or_init(|| {
        let length = (PLACES.end - PLACES.start) as usize;
        // SAFETY: MAP_FIXED_NOREPLACE maps nothing over what is there.
        let place = unsafe {
            libc::mmap(
                PLACES.start as *mut libc::c_void,
                length,
                libc::PROT_NONE,
                libc::MAP_PRIVATE
                    | libc::MAP_ANONYMOUS
                    | libc::MAP_NORESERVE
                    | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        assert_eq!(
            place as u64, PLACES.start,
            "the process uses the place of user memory"
        );
    });
}

/// Who is inside a driver with the current thread.
#[derive(Clone, Copy)]
pub(crate) struct Caller {
    /// Its memory, for the time of the call; NULL where it passes none.
    pub memory: *mut UserMemory,
    pub model: Model,
    /// The open file that it uses: whom a signal is for.
    pub file: u64,
}

thread_local! {
    static CALLER: Cell<Option<Caller>> = const { Cell::new(None) };
}

/// Who called the driver that the current thread is in.
pub(crate) fn caller() -> Option<Caller> {
    CALLER.get()
}

/// Makes a caller the current one until dropped.
pub(crate) struct Calling(Option<Caller>);

impl Calling {
    pub fn new(caller: Caller) -> Self {
        Self(CALLER.replace(Some(caller)))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        CALLER.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_end_where_memory_does() {
        let mut memory = UserMemory::new();
        let address = memory.add(b"0123456789");
        assert_eq!(memory.copy_in(address + 2, 3).as_deref(), Some(&b"234"[..]));
        assert_eq!(memory.copy_in(address + 8, 3), None);
        assert_eq!(memory.copy_in(address - 1, 2), None);
        assert_eq!(memory.copy_in(u64::MAX, 2), None);
        assert_eq!(memory.copy_out(b"abc", address + 8), 2);
        assert_eq!(
            memory.read(address, 10).as_deref(),
            Some(&b"01234567ab"[..])
        );
        assert_ne!(memory.add(b"x"), address + 10);
    }

    #[test]
    fn copies_go_on_in_the_next_region() {
        let mut memory = UserMemory::new();
        memory.map(0x9000_0000, b"abc");
        memory.map(0x9000_0003, b"def");
        assert_eq!(
            memory.copy_in(0x9000_0001, 4).as_deref(),
            Some(&b"bcde"[..])
        );
        assert_eq!(memory.copy_out(b"12345", 0x9000_0002), 4);
        assert_eq!(memory.read(0x9000_0000, 6).as_deref(), Some(&b"ab1234"[..]));
    }

    #[test]
    fn what_is_protected_is_read_only() {
        let mut memory = UserMemory::new();
        let address = memory.add(b"abc");
        memory.protect(address);
        assert_eq!(memory.copy_out(b"x", address), 0);
        assert_eq!(memory.copy_in(address, 3).as_deref(), Some(&b"abc"[..]));
        memory.unmap(address);
        assert_eq!(memory.copy_in(address, 3), None);
    }

    #[test]
    fn copies_fail_when_they_are_told_to() {
        let mut memory = UserMemory::new();
        let address = memory.add(b"abcdef");
        memory.fail_copy(2);
        assert!(memory.copy_in(address, 1).is_some());
        assert!(memory.copy_in(address, 1).is_none());
        assert!(memory.copy_in(address, 1).is_some());
        memory.fail_after(Some(4));
        assert!(memory.copy_in(address, 2).is_some());
        assert_eq!(memory.copy_out(b"xyz", address), 2);
        assert_eq!(memory.copy_out(b"z", address), 0);
        memory.fail_after(None);
        assert_eq!(memory.read(address, 3).as_deref(), Some(&b"xyc"[..]));
        assert_eq!(memory.copy_out(b"z", address), 1);
    }
}
