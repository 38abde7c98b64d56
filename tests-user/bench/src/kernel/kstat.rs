// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `kstat_*`: enough for a module to fill one in; nobody reads it.

use std::ptr;

use super::imports;

const KS_DATA: usize = 120;
const KS_NDATA: usize = 128;
const KSTAT_SIZE: usize = 184;
const NAMED_SIZE: usize = 48;
const NAMED_NAME_LEN: usize = 31;
const NAMED_TYPE: usize = 31;
const NAMED_VALUE: usize = 32;
const FLAG_VIRTUAL: u8 = 1;

extern "C" fn kstat_create(
    _module: *const u8,
    _instance: i32,
    _name: *const u8,
    _class: *const u8,
    _kind: u8,
    ndata: u32,
    flags: u8,
) -> *mut u8 {
    // A lock of the data may stand between the two.
    let data_at = KSTAT_SIZE + 8;
    // SAFETY: calloc may be called with any numbers.
    let kstat = unsafe { libc::calloc(1, data_at + ndata as usize * NAMED_SIZE) }.cast::<u8>();
    if !kstat.is_null() {
        // SAFETY: the block is larger than a kstat_t and aligned for both.
        unsafe {
            kstat.add(KS_NDATA).cast::<u32>().write(ndata);
            if flags & FLAG_VIRTUAL == 0 {
                kstat
                    .add(KS_DATA)
                    .cast::<*mut u8>()
                    .write(kstat.add(data_at));
            }
        }
    }
    kstat
}

extern "C" fn kstat_install(_kstat: *mut u8) {}

/// # Safety
/// `kstat` is of `kstat_create` and used no more.
unsafe extern "C" fn kstat_delete(kstat: *mut u8) {
    // SAFETY: passed on by the caller; it is of calloc.
    unsafe { libc::free(kstat.cast()) };
}

/// # Safety
/// `named` is room for a `kstat_named_t` and `name` a C string.
unsafe extern "C" fn kstat_named_init(named: *mut u8, name: *const u8, kind: u8) {
    // SAFETY: passed on by the caller; strnlen reads no byte behind the NUL.
    unsafe {
        ptr::write_bytes(named, 0, NAMED_SIZE);
        let len = libc::strnlen(name.cast(), NAMED_NAME_LEN - 1);
        named.copy_from_nonoverlapping(name, len);
        named.add(NAMED_TYPE).write(kind);
    }
}

/// # Safety
/// `named` is a `kstat_named_t`.
unsafe extern "C" fn kstat_named_setstr(named: *mut u8, text: *const u8) {
    // SAFETY: passed on by the caller.
    unsafe { named.add(NAMED_VALUE).cast::<*const u8>().write(text) };
}

imports! {
    kstat_create => "kstat_create",
    kstat_install => "kstat_install",
    kstat_delete => "kstat_delete",
    kstat_named_init => "kstat_named_init",
    kstat_named_setstr => "kstat_named_setstr",
}
