// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Looking at the built-in provider: announcing, asking without consequences,
//! listing.

use core::ffi::c_int;

use super::{bad, checked};
use crate::builtin;
use crate::flow::{self, FiveTuple, Reject};
use crate::kernel::errno::{self, Errno};
use crate::kernel::sys::{self, in_port_t, sa_family_t};
use crate::registry::{Cursor, Listed, ROOM, Verdict};

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_connect2`](super::clinet_connect2).
    fn clinet_prefetch(
        protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) {
        // SAFETY: passed on by the caller.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        if let Ok(tuple) = tuple {
            builtin::prefetch(0, &tuple);
        }
    }
}

c_function! {
    /// # Safety
    ///
    /// `answer` is NULL or writable; the rest as for
    /// [`clinet_connect2`](super::clinet_connect2).
    fn clinet_query(
        protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
        answer: *mut sys::clinet_answer_t,
    ) -> c_int {
        // SAFETY: passed on by the caller.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        let result = checked(tuple)
            .and_then(|tuple| builtin::query(0, &tuple.ok_or(Errno::PROTONOSUPPORT)?));
        let (verdict, references) = match result {
            Ok(result) => result,
            Err(error) => return error.number(),
        };
        let (reason, owner, error) = reason(verdict);
        // SAFETY: passed on by the caller.
        if let Some(answer) = unsafe { answer.as_mut() } {
            *answer = sys::clinet_answer_t {
                ca_reason: reason,
                ca_owner: owner,
                ca_references: references as u32,
                ca_pad: 0,
            };
        }
        errno::to_c(error.map_or(Ok(()), Err))
    }
}

/// A verdict as C has it: the reason, the owner, and what a question would get.
fn reason(verdict: Verdict) -> (u32, u32, Option<Errno>) {
    let full = || builtin::full_refuses().then_some(Errno::ADDRNOTAVAIL);
    match verdict {
        Verdict::Registered => (sys::CLINET_FREE, 0, None),
        Verdict::Repeated => (sys::CLINET_OURS, builtin::node(), None),
        Verdict::OwnedBy(owner) => (sys::CLINET_OWNED, owner, Some(Errno::ADDRINUSE)),
        Verdict::Full => (sys::CLINET_FULL, 0, full()),
        Verdict::Late => (sys::CLINET_LATE, 0, full()),
        Verdict::NotShared => (sys::CLINET_NOT_SHARED, 0, None),
        Verdict::Unspecified => (sys::CLINET_NO_ADDRESS, 0, None),
    }
}

c_function! {
    /// # Safety
    ///
    /// The pointers are NULL or writable, `entries` for `*count` elements.
    fn clinet_list(
        cursor: *mut sys::clinet_cursor_t, entries: *mut sys::clinet_entry_t, count: *mut u32,
    ) -> c_int {
        // SAFETY: passed on by the caller.
        let (Some(cursor), Some(count)) = (unsafe { cursor.as_mut() }, unsafe { count.as_mut() })
        else {
            return bad(Reject::Null);
        };
        if entries.is_null() {
            return bad(Reject::Null);
        }
        let room = *count as usize;
        *count = 0;
        if room < ROOM {
            return Errno::INVAL.number();
        }
        if !builtin::is_set_up() {
            return Errno::NXIO.number();
        }
        // SAFETY: writable for so many elements, as the caller promises, and
        // any bytes are an entry.
        let entries = unsafe { core::slice::from_raw_parts_mut(entries, room) };
        let from = Cursor { region: cursor.cc_region, fraction: cursor.cc_fraction };
        let mut listed = 0;
        let next = builtin::list(from, room, |entry| {
            if let Some(slot) = entries.get_mut(listed) {
                *slot = to_c(&entry);
                listed += 1;
            }
        });
        *count = listed as u32;
        match next {
            Some(next) => {
                cursor.cc_region = next.region;
                cursor.cc_fraction = next.fraction;
                0
            }
            None => Errno::NOENT.number(),
        }
    }
}

fn to_c(entry: &Listed) -> sys::clinet_entry_t {
    sys::clinet_entry_t {
        ce_laddr: flow::from_words(entry.local),
        ce_faddr: flow::from_words(entry.foreign),
        ce_lport: entry.lport,
        ce_fport: entry.fport,
        ce_protocol: entry.protocol,
        ce_outgoing: entry.outgoing.into(),
        ce_pad: 0,
        ce_stack: entry.stack,
        ce_owner: entry.owner,
        ce_references: entry.references,
        ce_age: builtin::seconds(entry.age),
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_sweep() {
        builtin::sweep();
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_memory() -> u64 {
        builtin::bytes() as u64
    }
}
