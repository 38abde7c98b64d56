// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Events for the control device: `clinet_control_events*`.

use core::ffi::c_int;

use crate::kernel::errno::{self, Errno};
use crate::kernel::sys;
use crate::{builtin, events};

c_function! {
    /// # Safety
    ///
    /// `cursor` is NULL or writable; `wake` may be called until a call of
    /// `clinet_control_events_close` has returned. Thread context, no lock held.
    fn clinet_control_events_open(
        wake: Option<unsafe extern "C" fn()>, mask: u32, cursor: *mut u64,
    ) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let (Some(wake), Some(cursor)) = (wake, unsafe { cursor.as_mut() }) else {
            return Errno::INVAL.number();
        };
        if mask == 0 || mask & !sys::CLINETCTL_EVENTS_ALL != 0 {
            return Errno::INVAL.number();
        }
        if !builtin::is_set_up() {
            return Errno::NXIO.number();
        }
        errno::to_c(events::open(wake, mask).map(|next| *cursor = next))
    }
}

c_function! {
    /// # Safety
    ///
    /// Thread context, no lock held.
    fn clinet_control_events_close(mask: u32) {
        events::close(mask);
    }
}

c_function! {
    /// # Safety
    ///
    /// The pointers are NULL or writable, `to` for `*count` events.
    fn clinet_control_events(
        cursor: *mut u64, mask: u32, to: *mut sys::clinetctl_event_t, count: *mut u32,
    ) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let (Some(cursor), Some(count)) = (unsafe { cursor.as_mut() }, unsafe { count.as_mut() })
        else {
            return Errno::INVAL.number();
        };
        if to.is_null() {
            return Errno::INVAL.number();
        }
        let room = core::mem::take(count);
        events::read(cursor, mask, |event| {
            if *count == room {
                return false;
            }
            // SAFETY: one of the `room` places that the caller promises.
            unsafe { to.wrapping_add(*count as usize).write(event) };
            *count = count.wrapping_add(1);
            true
        });
        0
    }
}
