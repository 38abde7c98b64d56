// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Messages on the console and in the system log.

use core::ffi::CStr;

use super::sys;

/// Warns. The message is data, never a format. Not for hooks.
pub fn warn(message: &CStr) {
    // SAFETY: a NUL-terminated string that lives during the call.
    unsafe { sys::clinet_log(sys::CE_WARN as i32, message.as_ptr()) };
}

/// Panics the machine, because an administrator wants that. The message is data.
pub fn panic(message: &CStr) {
    // SAFETY: a NUL-terminated string; the kernel does not return.
    unsafe { sys::clinet_log(sys::CE_PANIC as i32, message.as_ptr()) };
}
