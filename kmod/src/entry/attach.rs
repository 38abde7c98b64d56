// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Attaching to a stock ip, for other modules.

use core::ffi::{CStr, c_char, c_int};

use super::{bad, copy_out};
use crate::attach::{self, state};
use crate::builtin;
use crate::flow::Reject;
use crate::kernel::errno::{self, Errno};
use crate::kernel::kmem::KmemSlice;
use crate::kernel::log;
use crate::kernel::sys;
use crate::kernel::text::Text;
use crate::settings;
use crate::settings::addresses;
use crate::settings::list::ListError;
use crate::stats::sum;
use crate::watch;

c_function! {
    /// # Safety
    ///
    /// Thread context, no lock held.
    fn clinet_attach_ip() -> c_int {
        errno::to_c(attach::attach())
    }
}

c_function! {
    /// # Safety
    ///
    /// Thread context, no lock held.
    fn clinet_detach_ip() -> c_int {
        errno::to_c(watch::disarm(false, attach::detach))
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_audit() -> c_int {
        errno::to_c(attach::audit())
    }
}

/// Says where a list is wrong: which list it is comes first, what is done about it last.
#[inline(never)]
pub(super) fn warn_of_list(name: &str, error: ListError, after: &str) -> Errno {
    let mut text = Text::empty();
    text.string("clinet: ")
        .string(name)
        .string(": what begins at character ")
        .number(error.position)
        .string(" ")
        .string(error.problem)
        .string(after);
    log::warn(text.as_c_str());
    Errno::INVAL
}

/// Has the addresses of a list shared; an empty one is all but loopback. `name`
/// says in a warning which list it is, and `after` what is done about it.
pub(super) fn share(list: &[u8], name: &str, after: &str) -> Result<(), Errno> {
    let mut shared = KmemSlice::from_fn(addresses::MAX, |_| [0; 2]).ok_or(Errno::NOMEM)?;
    let mut count = 0;
    for addr in addresses::parse(list) {
        let addr = addr.map_err(|error| warn_of_list(name, error, after))?;
        // One more than there are places is an error by now.
        if let Some(place) = shared.get_mut(count) {
            *place = addr.words();
            count += 1;
        }
    }
    builtin::set_addresses(shared.get(..count).filter(|list| !list.is_empty()))
}

fn set_addresses(list: &[u8]) -> Result<(), Errno> {
    if !builtin::is_set_up() {
        return Err(Errno::NXIO);
    }
    share(list, "clinet_set_addrs", "; not changed")?;
    // Connections of an address that was not shared were never registered.
    // If ip is not asking there is nothing to add.
    let _ = attach::audit();
    Ok(())
}

c_function! {
    /// # Safety
    ///
    /// `list` is NULL or a C string that nobody writes during the call.
    /// Thread context, no lock held.
    fn clinet_set_addrs(list: *const c_char) -> c_int {
        if list.is_null() {
            return bad(Reject::Null);
        }
        // SAFETY: a C string, as the caller promises.
        let list = unsafe { CStr::from_ptr(list) };
        errno::to_c(set_addresses(list.to_bytes()))
    }
}

c_function! {
    /// # Safety
    ///
    /// `cst` is NULL or `size` bytes that may be written.
    fn clinet_state(cst: *mut sys::clinet_state_t, size: usize) -> c_int {
        if cst.is_null() {
            return bad(Reject::Null);
        }
        let now = sys::clinet_state_t {
            cst_state: state::get() as u32,
            cst_mode: settings::mode() as u32,
            cst_hooks: state::hooks(),
            cst_audits: state::AUDITS.get(),
            cst_added: sum(|counters| &counters.cs_audit_added),
            cst_removed: sum(|counters| &counters.cs_audit_removed),
            cst_conflicts: sum(|counters| &counters.cs_audit_conflicts),
            cst_reason: state::reason().as_ptr(),
        };
        // SAFETY: passed on by the caller; the structure has no padding.
        unsafe { copy_out(&now, cst, size) };
        0
    }
}
