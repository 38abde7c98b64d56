// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `cmn_err` and its kin: to stderr.

use std::ffi::{CStr, c_char};

use super::imports;

const CE_NOTE: i32 = 1;
const CE_WARN: i32 = 2;
const CE_PANIC: i32 = 3;

/// A variable number of arguments comes in the registers of ordinary ones.
///
/// # Safety
/// `format` is a C string; so is `argument`, if `format` is "%s".
unsafe extern "C" fn cmn_err(level: i32, format: *const c_char, argument: *const c_char) {
    // SAFETY: passed on by the caller.
    let mut text = unsafe { CStr::from_ptr(format) };
    if text == c"%s" {
        // SAFETY: passed on by the caller.
        text = unsafe { CStr::from_ptr(argument) };
    }
    let text = text.to_string_lossy();
    match level {
        CE_NOTE => eprintln!("NOTICE: {text}"),
        CE_WARN => eprintln!("WARNING: {text}"),
        CE_PANIC => panic!("the module panicked: {text}"),
        _ => eprintln!("{text}"),
    }
}

imports! {
    cmn_err => "cmn_err",
    libc::snprintf => "snprintf",
}
