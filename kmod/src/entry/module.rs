// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Setting the module up and taking it down, for the C glue.

use core::ffi::c_int;

use crate::kernel::errno::{self, Errno};
use crate::kernel::sys;
use crate::{builtin, contract, service};

c_function! {
    /// # Safety
    ///
    /// `tunables` is NULL or readable. Called by `_init`, once, before anybody
    /// else is in the module.
    fn clinet_module_init(tunables: *const sys::clinet_tunables_t) -> c_int {
        // SAFETY: passed on by the caller.
        match unsafe { tunables.as_ref() } {
            Some(tunables) => errno::to_c(builtin::init(tunables).and_then(|()| {
                // SAFETY: this is _init.
                unsafe { service::start() }.inspect_err(|_| {
                    // SAFETY: nobody else is in the module.
                    unsafe { builtin::fini() }
                })
            })),
            None => Errno::INVAL.number(),
        }
    }
}

c_function! {
    /// # Safety
    ///
    /// Called by `_init`, once, when it cannot fail any more.
    fn clinet_module_start() {
        builtin::associate();
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_module_busy() -> c_int {
        errno::to_c(if contract::is_associated() { Err(Errno::BUSY) } else { Ok(()) })
    }
}

c_function! {
    /// # Safety
    ///
    /// Nobody else is in the module, and nothing is associated.
    fn clinet_module_fini() {
        // SAFETY: passed on by the caller, and _init started it.
        unsafe { service::stop() };
        // SAFETY: passed on by the caller.
        unsafe { builtin::fini() }
    }
}
