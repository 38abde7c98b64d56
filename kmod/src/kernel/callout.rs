// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A call by the kernel's clock at a later time.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr;
use core::time::Duration;

use super::{sys, time};

/// A call of a function that is to come, or none.
pub struct Callout {
    id: sys::timeout_id_t,
    function: fn(),
}

// SAFETY: the id is a number to the kernel, which any thread may use.
unsafe impl Send for Callout {}

impl Callout {
    /// One that is not set, of a function that is called in an interrupt thread, so
    /// that no thread of the machine can keep it from running. It must not sleep, nor
    /// wait for anything that whoever sets the callout holds.
    pub const fn unset(function: fn()) -> Self {
        Self {
            id: ptr::null_mut(),
            function,
        }
    }

    /// Has the function called once after so much time, rounded up to ticks, or up to
    /// a tick earlier; a call that was set before does not come. May wait for a call
    /// that runs.
    pub fn set(&mut self, span: Duration) {
        self.cancel();
        let function = self.function as *mut c_void;
        // SAFETY: `run` takes such a function; its text stays until the callout is
        // cancelled or has run.
        self.id = unsafe { sys::realtime_timeout(Some(run), function, time::ticks(span)) };
    }

    /// The call does not come, if it has not yet; one that runs has returned.
    pub fn cancel(&mut self) {
        let id = core::mem::replace(&mut self.id, ptr::null_mut());
        if !id.is_null() {
            // SAFETY: an id that `set` got and that is cancelled once; one whose
            // call was made is known to be over.
            unsafe { sys::untimeout(id) };
        }
    }
}

/// What the clock calls.
///
/// # Safety
///
/// `function` is a `fn()`.
unsafe extern "C" fn run(function: *mut c_void) {
    // SAFETY: as the caller promises.
    let function = unsafe { transmute::<*mut c_void, fn()>(function) };
    function();
}
