// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Memory that belongs to a module, as imports see it: an address that may be
//! anything.
//!
//! Every access is made while [`Touching`] is set. A bad address then traps,
//! and the trap handler makes that a fault of the module, without returning.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use crate::fault::fault;
use crate::stack;

/// Marks accesses at a module's request until dropped.
struct Touching;

impl Touching {
    #[inline(always)]
    fn new() -> Self {
        // SAFETY: the block is this thread's own.
        unsafe { (*stack::cpu()).touching = 1 };
        Self
    }
}

impl Drop for Touching {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the block is this thread's own.
        unsafe { (*stack::cpu()).touching = 0 };
    }
}

/// Runs `access`, which touches module memory and holds nothing that needs to
/// be dropped.
#[inline(always)]
pub(crate) fn touching<R>(access: impl FnOnce() -> R) -> R {
    let _touching = Touching::new();
    access()
}

/// Reads a value of plain old data at any alignment.
pub(crate) fn read<T: Copy>(address: u64) -> T {
    // SAFETY: a module gave the address and answers for what is there: a bad
    // one traps. Callers only name types that any bytes are valid for.
    touching(|| unsafe { (address as *const T).read_unaligned() })
}

/// Writes a value of plain old data at any alignment.
pub(crate) fn write<T: Copy>(address: u64, value: T) {
    // SAFETY: as for read; the memory is the module's and never borrowed.
    touching(|| unsafe { (address as *mut T).write_unaligned(value) });
}

/// Copies `length` bytes out.
pub(crate) fn bytes(address: u64, length: usize) -> Vec<u8> {
    let mut copy = vec![0u8; length];
    let to = copy.as_mut_ptr();
    // SAFETY: the target is our own and long enough; for the source see read.
    touching(|| unsafe { std::ptr::copy_nonoverlapping(address as *const u8, to, length) });
    copy
}

/// Copies `from` in.
pub(crate) fn write_bytes(address: u64, from: &[u8]) {
    // SAFETY: the source is our own; for the target see write.
    touching(|| unsafe {
        std::ptr::copy_nonoverlapping(from.as_ptr(), address as *mut u8, from.len());
    });
}

/// Fills `length` bytes with `byte`.
pub(crate) fn fill(address: u64, byte: u8, length: usize) {
    // SAFETY: as for write.
    touching(|| unsafe { std::ptr::write_bytes(address as *mut u8, byte, length) });
}

/// The length of the string at `address`, its NUL not counted.
pub(crate) fn string_length(address: u64) -> usize {
    // SAFETY: as for read: the string ends or the end of the mapping traps.
    touching(|| unsafe { libc::strlen(address as *const libc::c_char) })
}

/// The string at `address`.
pub(crate) fn string(address: u64) -> String {
    let bytes = bytes(address, string_length(address));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A string argument that must be there and fit a field of `limit` bytes with
/// its NUL; `what` names it.
pub(crate) fn name(address: u64, limit: usize, what: &str) -> String {
    if address == 0 {
        fault!("{what} is NULL");
    }
    let text = string(address);
    if text.len() >= limit {
        fault!("{what} {text:?} is longer than {} bytes", limit - 1);
    }
    text
}

/// A word of module memory for atomic access.
pub(crate) trait Word: Sized {
    /// The integer that the word holds.
    type Value: Copy;
}

impl Word for AtomicU8 {
    type Value = u8;
}
impl Word for AtomicU16 {
    type Value = u16;
}
impl Word for AtomicU32 {
    type Value = u32;
}
impl Word for AtomicU64 {
    type Value = u64;
}

/// The atomic word at `address`, to be used only inside [`touching`].
#[inline(always)]
pub(crate) fn atomic<'a, A: Word>(address: u64) -> &'a A {
    if !address.is_multiple_of(size_of::<A>() as u64) || address == 0 {
        fault!(
            "{address:#x} is no address of an aligned {}-byte word",
            size_of::<A>()
        );
    }
    // SAFETY: aligned, and any bytes are a valid atomic integer; a module
    // answers for the memory, and a bad address traps.
    unsafe { &*(address as *const A) }
}
