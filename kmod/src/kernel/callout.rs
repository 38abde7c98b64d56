// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A call by the kernel's clock at a later time.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr;
use core::time::Duration;

use super::{sys, time};

/// What is called: in an interrupt thread, so that no thread of the machine can
/// keep it from running.
pub trait Handler: 'static {
    /// Must not sleep, nor wait for anything that whoever sets the callout holds.
    fn run();
}

/// A call of a handler that is to come, or none.
pub struct Callout<H: Handler> {
    id: sys::timeout_id_t,
    handler: PhantomData<fn() -> H>,
}

// SAFETY: the id is a number to the kernel, which any thread may use.
unsafe impl<H: Handler> Send for Callout<H> {}

impl<H: Handler> Callout<H> {
    /// One that is not set.
    pub const fn unset() -> Self {
        Self {
            id: ptr::null_mut(),
            handler: PhantomData,
        }
    }

    /// Has the handler called once after so much time, rounded up to ticks, or up to
    /// a tick earlier; a call that was set before does not come. May wait for a
    /// handler that runs.
    pub fn set(&mut self, span: Duration) {
        self.cancel();
        // SAFETY: a function that takes any argument; its text stays until the
        // callout is cancelled or has run.
        self.id =
            unsafe { sys::realtime_timeout(Some(run::<H>), ptr::null_mut(), time::ticks(span)) };
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
extern "C" fn run<H: Handler>(_: *mut c_void) {
    H::run();
}
