// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Modules: ours installs itself, and there is no other.

use super::imports;

const ENOENT: i32 = 2;
const KMOD_INFO_DONE: i32 = 1;

extern "C" fn mod_install(_linkage: *mut ()) -> i32 {
    0
}

extern "C" fn mod_info(_linkage: *mut (), _info: *mut ()) -> i32 {
    KMOD_INFO_DONE
}

/// # Safety
/// `error` is NULL or writable.
unsafe extern "C" fn ddi_modopen(_name: *const u8, _mode: i32, error: *mut i32) -> *mut () {
    if !error.is_null() {
        // SAFETY: passed on by the caller.
        unsafe { error.write(ENOENT) };
    }
    std::ptr::null_mut()
}

/// # Safety
/// As for [`ddi_modopen`].
unsafe extern "C" fn ddi_modsym(_handle: *mut (), name: *const u8, error: *mut i32) -> *mut () {
    // SAFETY: passed on by the caller.
    unsafe { ddi_modopen(name, 0, error) }
}

imports! {
    mod_install => "mod_install",
    mod_install => "mod_remove",
    mod_info => "mod_info",
    ddi_modopen => "ddi_modopen",
    ddi_modsym => "ddi_modsym",
    mod_install => "ddi_modclose",
}
