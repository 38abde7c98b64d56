// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Blocks of bytes and C strings: the C library's own.

use std::ffi::{c_char, c_void};

use super::imports;

/// # Safety
/// As for memmove.
unsafe extern "C" fn bcopy(from: *const c_void, to: *mut c_void, len: usize) {
    // SAFETY: passed on by the caller.
    unsafe { libc::memmove(to, from, len) };
}

/// # Safety
/// As for memset.
unsafe extern "C" fn bzero(block: *mut c_void, len: usize) {
    // SAFETY: passed on by the caller.
    unsafe { libc::memset(block, 0, len) };
}

/// # Safety
/// `to` has room for `size` bytes and `from` is a C string apart from it.
unsafe extern "C" fn strlcpy(to: *mut c_char, from: *const c_char, size: usize) -> usize {
    // SAFETY: passed on by the caller.
    let len = unsafe { libc::strlen(from) };
    if let Some(room) = size.checked_sub(1) {
        let copied = len.min(room);
        // SAFETY: copied < size and copied <= len, and they do not overlap.
        unsafe {
            to.copy_from_nonoverlapping(from, copied);
            to.add(copied).write(0);
        }
    }
    len
}

imports! {
    libc::memcpy => "memcpy",
    libc::memmove => "memmove",
    libc::memset => "memset",
    libc::memcmp => "memcmp",
    libc::memcmp => "bcmp",
    libc::memchr => "memchr",
    libc::strlen => "strlen",
    libc::strcmp => "strcmp",
    libc::strncmp => "strncmp",
    bcopy => "bcopy",
    bzero => "bzero",
    strlcpy => "strlcpy",
}
