// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Looking at the built-in provider: asking without consequences, listing.

use core::ffi::c_int;

use super::{bad, checked, copy_out};
use crate::builtin;
use crate::flow::{self, Direction, FiveTuple, Reject};
use crate::kernel::errno::{self, Errno};
use crate::kernel::kmem;
use crate::kernel::sys::{self, in_port_t, sa_family_t};
use crate::registry::{Cursor, ROOM, TableEntry};

c_function! {
    /// # Safety
    ///
    /// `answer` is NULL or writable for `size` bytes; the rest as for
    /// [`clinet_ask`](super::clinet_ask).
    fn clinet_query(
        protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
        answer: *mut sys::clinet_answer_t, size: usize,
    ) -> c_int {
        // SAFETY: the caller promises of the pointers all that this asks for.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        let result = checked(tuple).and_then(|tuple| {
            let tuple = tuple.ok_or(Errno::PROTONOSUPPORT)?;
            builtin::query(builtin::GLOBAL, &tuple, Direction::Outgoing)
        });
        let (outcome, references) = match result {
            Ok(found) => found,
            Err(error) => return error.number(),
        };
        if !answer.is_null() {
            let found = sys::clinet_answer_t {
                ca_reason: outcome.reason,
                ca_owner: outcome.owner,
                ca_references: references as u32,
                ca_pad: 0,
            };
            // SAFETY: passed on by the caller; the structure has no padding.
            unsafe { copy_out(&found, answer, size) };
        }
        errno::to_c(outcome.errno.map_or(Ok(()), Err))
    }
}

c_function! {
    /// # Safety
    ///
    /// The pointers are NULL or writable, `entries` for `*count` elements of `size`
    /// bytes.
    fn clinet_list(
        cursor: *mut sys::clinet_cursor_t, entries: *mut sys::clinet_entry_t, count: *mut u32,
        size: usize,
    ) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let (Some(cursor), Some(count)) = (unsafe { cursor.as_mut() }, unsafe { count.as_mut() })
        else {
            return bad(Reject::Null);
        };
        if entries.is_null() {
            return bad(Reject::Null);
        }
        let room = *count as usize;
        *count = 0;
        if room < ROOM || size == 0 {
            return Errno::INVAL.number();
        }
        if !builtin::is_set_up() {
            return Errno::NXIO.number();
        }
        let from = Cursor { shard: cursor.cc_shard, fraction: cursor.cc_fraction };
        let mut listed = 0_usize;
        let next = builtin::list(from, room, |entry| {
            let place = entries.cast::<u8>().wrapping_add(listed.wrapping_mul(size));
            // SAFETY: no more than `room` entries are listed, so this is one of the
            // elements that the caller promises. There is no padding.
            unsafe { copy_out(&to_c(&entry), place.cast(), size) };
            listed += 1;
        });
        *count = listed as u32;
        match next {
            Some(next) => {
                cursor.cc_shard = next.shard;
                cursor.cc_fraction = next.fraction;
                0
            }
            None => Errno::NOENT.number(),
        }
    }
}

fn to_c(entry: &TableEntry) -> sys::clinet_entry_t {
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
        kmem::bytes() as u64
    }
}
