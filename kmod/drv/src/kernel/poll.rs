// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Whom poll(2) has waiting.

use core::cell::UnsafeCell;
use core::ptr;

use super::sys;

/// A `pollhead_t`.
pub struct Pollhead(UnsafeCell<sys::pollhead_t>);

// SAFETY: only the kernel's functions look into it, and they serialise
// themselves.
unsafe impl Sync for Pollhead {}

impl Pollhead {
    /// One that nobody waits on.
    pub const fn zeroed() -> Self {
        Self(UnsafeCell::new(sys::pollhead_t {
            ph_list: ptr::null_mut(),
            ph_pad1: ptr::null_mut(),
            ph_pad2: 0,
        }))
    }

    /// For chpoll(9E), which tells the kernel where to wait.
    pub const fn as_ptr(&self) -> *mut sys::pollhead_t {
        self.0.get()
    }

    /// Takes off whoever still waits: a set of /dev/poll keeps what was closed, and
    /// would look here when it is closed itself. Sleeps; no lock that chpoll takes
    /// may be held.
    pub fn clean(&self) {
        // SAFETY: zeroed, and alive as long as self.
        unsafe { sys::pollhead_clean(self.0.get()) };
    }

    /// Wakes who waits for one of `events`. No lock that chpoll takes may be
    /// held.
    pub fn wake(&self, events: i16) {
        // SAFETY: zeroed, and alive as long as self.
        unsafe { sys::pollwakeup(self.0.get(), events) };
    }
}
