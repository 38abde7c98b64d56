// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The cluster's side of the built-in provider, and the counters.

use core::ffi::c_int;
use core::ptr;

use super::{bad, checked};
use crate::builtin;
use crate::flow::{FiveTuple, Reject};
use crate::kernel::errno::{self, Errno};
use crate::kernel::sys::{self, in_port_t, sa_family_t};
use crate::stats;

/// Another node's 5-tuple, which has to be one of TCP or UDP.
fn foreign(tuple: Result<FiveTuple, Reject>) -> Result<FiveTuple, Errno> {
    checked(tuple)?.ok_or(Errno::PROTONOSUPPORT)
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_ask`](super::clinet_ask).
    fn clinet_install(
        owner: sys::clinet_node_t, protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: the caller promises of the pointers all that this asks for.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        errno::to_c(foreign(tuple).and_then(|tuple| builtin::install(owner, &tuple)))
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_ask`](super::clinet_ask).
    fn clinet_withdraw(
        owner: sys::clinet_node_t, protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: the caller promises of the pointers all that this asks for.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        errno::to_c(foreign(tuple).and_then(|tuple| builtin::withdraw(owner, &tuple)))
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_purge(owner: sys::clinet_node_t) -> c_int {
        errno::to_c(builtin::purge(owner))
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_resync_begin(owner: sys::clinet_node_t) -> c_int {
        errno::to_c(builtin::resync_begin(owner))
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_resync_end(owner: sys::clinet_node_t) -> c_int {
        errno::to_c(builtin::resync_end(owner))
    }
}

c_function! {
    /// # Safety
    ///
    /// `cs` is NULL or points at `size` writable bytes.
    fn clinet_stats(cs: *mut sys::clinet_stats_t, size: usize) -> c_int {
        if cs.is_null() {
            return bad(Reject::Null);
        }
        let gauges = builtin::collect_counts();
        stats::snapshot(gauges.tuples, gauges.capacity, |offset, value| {
            let bytes = value.to_ne_bytes();
            let room = size.saturating_sub(offset).min(bytes.len());
            // SAFETY: offset + room is at most `size`, and a local variable
            // does not overlap the caller's memory.
            unsafe {
                let to = cs.cast::<u8>().wrapping_add(offset);
                ptr::copy_nonoverlapping(bytes.as_ptr(), to, room);
            }
        });
        0
    }
}
