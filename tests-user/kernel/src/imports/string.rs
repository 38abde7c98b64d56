// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `memcpy` and its kin: the memory and string functions of genunix and unix.

use super::imports;
use crate::memory::{self, touching};

fn copy(to: u64, from: u64, length: usize) {
    // SAFETY: the module answers for both ranges: a bad one traps. libc's
    // memmove is right for ranges that overlap as well.
    touching(|| unsafe { libc::memmove(to as *mut _, from as *const _, length) });
}

fn compare(left: u64, right: u64, length: usize) -> i32 {
    // SAFETY: the module answers for both ranges: a bad one traps.
    touching(|| unsafe { libc::memcmp(left as *const _, right as *const _, length) })
}

imports! {
    fn memcpy(to: u64, from: u64, length: usize) -> u64 {
        copy(to, from, length);
        to
    }

    fn memmove(to: u64, from: u64, length: usize) -> u64 {
        copy(to, from, length);
        to
    }

    fn memset(to: u64, byte: i32, length: usize) -> u64 {
        memory::fill(to, byte as u8, length);
        to
    }

    fn memcmp(left: u64, right: u64, length: usize) -> i32 {
        compare(left, right, length)
    }

    fn memchr(from: u64, byte: i32, length: usize) -> u64 {
        // SAFETY: the module answers for the range: a bad one traps.
        touching(|| unsafe { libc::memchr(from as *const _, byte, length) }) as u64
    }

    fn bcmp(left: u64, right: u64, length: usize) -> i32 {
        i32::from(compare(left, right, length) != 0)
    }

    fn bcopy(from: u64, to: u64, length: usize) {
        copy(to, from, length);
    }

    fn bzero(to: u64, length: usize) {
        memory::fill(to, 0, length);
    }

    fn strlen(text: u64) -> usize {
        memory::string_length(text)
    }

    fn strcmp(left: u64, right: u64) -> i32 {
        // SAFETY: the module answers for both strings: a bad one traps.
        touching(|| unsafe { libc::strcmp(left as *const _, right as *const _) })
    }

    fn strncmp(left: u64, right: u64, length: usize) -> i32 {
        // SAFETY: the module answers for both strings: a bad one traps.
        touching(|| unsafe { libc::strncmp(left as *const _, right as *const _, length) })
    }

    fn strlcpy(to: u64, from: u64, size: usize) -> usize {
        let length = memory::string_length(from);
        if size > 0 {
            let copied = length.min(size - 1);
            copy(to, from, copied);
            memory::write(to + copied as u64, 0u8);
        }
        length
    }
}
