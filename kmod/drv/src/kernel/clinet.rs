// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module clinet offers its control device, as safe Rust. All of it is
//! for a thread that may sleep and holds no lock.

use core::ffi::{CStr, c_int};
use core::ptr;

use super::errno::Errno;
use super::sys;

/// The version of `clinet_control.h` that the module was built with.
pub fn interface() -> u32 {
    // SAFETY: a constant of the module, which stays while this driver is loaded.
    // It is not the compiler's: another module may have another one.
    unsafe { ptr::read_volatile(&raw const sys::clinet_control_version) }
}

/// The version of the module.
pub fn version() -> &'static CStr {
    // SAFETY: the address of a string that stays while this driver is loaded.
    unsafe { CStr::from_ptr((&raw const sys::clinet_version).cast()) }
}

/// The version of the contract.
pub fn contract() -> &'static CStr {
    // SAFETY: a constant of the module that points at such a string.
    unsafe {
        CStr::from_ptr(ptr::read_volatile(
            &raw const sys::cluster_version_supported,
        ))
    }
}

/// Fills in what the module is doing.
pub fn state(state: &mut sys::clinetctl_state_t) -> Result<(), Errno> {
    // SAFETY: a valid structure that nobody else uses.
    Errno::check(unsafe { sys::clinet_control_state(state) })
}

/// The stat of this number.
pub fn stat(number: u32, stat: &mut sys::clinetctl_stat_t) -> Result<(), Errno> {
    // SAFETY: a valid structure that nobody else uses.
    Errno::check(unsafe { sys::clinet_control_stat(number, stat) })
}

/// The module's clock.
pub fn clock() -> u64 {
    // SAFETY: there is nothing to promise.
    unsafe { sys::clinet_control_clock() }
}

/// What a question would be answered.
pub fn query(query: &mut sys::clinetctl_query_t) -> Result<(), Errno> {
    // SAFETY: a valid structure that nobody else uses.
    Errno::check(unsafe { sys::clinet_control_query(query) })
}

/// One bitmap of granted ports, as the module takes it.
pub type Bitmap = [u64; sys::CLINETCTL_BITMAP as usize / 8];

/// The grants, and the bitmaps of TCP and UDP.
pub fn get_grants(
    grants: &mut sys::clinetctl_grants_t,
    [tcp, udp]: &mut [Bitmap; 2],
) -> Result<(), Errno> {
    // SAFETY: a valid structure and bitmaps of the size that the header says,
    // which nobody else uses.
    Errno::check(unsafe {
        sys::clinet_control_get_grants(grants, tcp.as_mut_ptr(), udp.as_mut_ptr())
    })
}

/// Replaces the grants.
pub fn set_grants(
    grants: &mut sys::clinetctl_grants_t,
    [tcp, udp]: &[Bitmap; 2],
) -> Result<(), Errno> {
    // SAFETY: as for `get_grants`; the bitmaps are only read.
    Errno::check(unsafe { sys::clinet_control_set_grants(grants, tcp.as_ptr(), udp.as_ptr()) })
}

/// Moves the deadline.
pub fn set_deadline(deadline: &mut sys::clinetctl_deadline_t) -> Result<(), Errno> {
    // SAFETY: a valid structure that nobody else uses.
    Errno::check(unsafe { sys::clinet_control_set_deadline(deadline) })
}

/// Takes the shared addresses away. Waits until that is done.
pub fn fence() -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_control_fence() })
}

/// Brings the shared addresses back. Waits until that is done.
pub fn unfence(unfence: &sys::clinetctl_unfence_t) -> Result<(), Errno> {
    // SAFETY: a valid structure that nobody changes.
    Errno::check(unsafe { sys::clinet_control_unfence(unfence) })
}

/// Changes a property.
pub fn set(property: u32, value: u64, flags: u32) -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_control_set(property, value, flags) })
}

/// Sets ip's hooks.
pub fn attach() -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_attach_ip() })
}

/// Lets ip's hooks accept everything.
pub fn detach(flags: u32) -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_control_detach(flags) })
}

/// Has audits done soon.
pub fn audit() -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_audit() })
}

/// Drops what is too old, now.
pub fn sweep() {
    // SAFETY: there is nothing to promise.
    unsafe { sys::clinet_sweep() };
}

/// The list of shared addresses: as much as there is room for. Returns how long
/// it is.
pub fn addrs(text: &mut [u8]) -> Result<u32, Errno> {
    let mut length = u32::try_from(text.len()).unwrap_or(0);
    // SAFETY: a buffer of that many bytes, and a number, which nobody else uses.
    Errno::check(unsafe { sys::clinet_control_addrs(text.as_mut_ptr().cast(), &mut length) })?;
    Ok(length)
}

/// Replaces the list of shared addresses.
pub fn set_addrs(list: &CStr) -> Result<(), Errno> {
    // SAFETY: a string that lives during the call.
    Errno::check(unsafe { sys::clinet_set_addrs(list.as_ptr()) })
}

/// A function of clinet.h about another node's 5-tuple.
type OtherNode = unsafe extern "C" fn(
    sys::clinet_node_t,
    u8,
    sys::sa_family_t,
    *const u8,
    sys::in_port_t,
    *const u8,
    sys::in_port_t,
) -> c_int;

fn other_node(
    function: OtherNode,
    owner: u32,
    tuple: &sys::clinetctl_tuple_t,
) -> Result<(), Errno> {
    // SAFETY: one of the two functions below, which only read the sixteen bytes
    // that an address of this family has, during the call.
    Errno::check(unsafe {
        function(
            owner,
            tuple.ct_protocol,
            sys::AF_INET6 as sys::sa_family_t,
            tuple.ct_laddr.as_ptr(),
            tuple.ct_lport,
            tuple.ct_faddr.as_ptr(),
            tuple.ct_fport,
        )
    })
}

/// Records that another node owns a 5-tuple.
pub fn install(owner: u32, tuple: &sys::clinetctl_tuple_t) -> Result<(), Errno> {
    other_node(sys::clinet_install, owner, tuple)
}

/// Takes that back.
pub fn withdraw(owner: u32, tuple: &sys::clinetctl_tuple_t) -> Result<(), Errno> {
    other_node(sys::clinet_withdraw, owner, tuple)
}

/// Drops all that a node owns.
pub fn purge(owner: u32) -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_purge(owner) })
}

/// A node is going to name all that it owns.
pub fn resync_begin(owner: u32) -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_resync_begin(owner) })
}

/// It has done so.
pub fn resync_end(owner: u32) -> Result<(), Errno> {
    // SAFETY: there is nothing to promise.
    Errno::check(unsafe { sys::clinet_resync_end(owner) })
}

/// Deletes an entry.
pub fn delete(tuple: &sys::clinetctl_tuple_t, stack: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: a valid structure that nobody changes.
    Errno::check(unsafe { sys::clinet_control_delete(tuple, stack, flags) })
}

/// Lists entries from a cursor on, which moves on. Returns their number and
/// whether those were the last.
pub fn list(
    cursor: &mut sys::clinet_cursor_t,
    entries: &mut [sys::clinet_entry_t],
) -> Result<(usize, bool), Errno> {
    let mut count = u32::try_from(entries.len()).unwrap_or(0);
    // SAFETY: the buffer has room for that many elements of this size, and nobody
    // else uses it.
    let answer = Errno::check(unsafe {
        sys::clinet_list(
            cursor,
            entries.as_mut_ptr(),
            &mut count,
            size_of::<sys::clinet_entry_t>(),
        )
    });
    match answer {
        Ok(()) => Ok((count as usize, false)),
        Err(Errno::NOENT) => Ok((count as usize, true)),
        Err(error) => Err(error),
    }
}

/// Has the events of a mask recorded; `wake` is called after new ones came. Returns
/// where reading begins.
pub fn events_open(wake: extern "C" fn(), mask: u32) -> Result<u64, Errno> {
    let mut cursor = 0;
    // SAFETY: a function of this driver that anybody may call; the driver stays
    // until `events_close`, since it is not detached while a file is open. A
    // number that nobody else uses.
    Errno::check(unsafe { sys::clinet_control_events_open(Some(wake), mask, &mut cursor) })?;
    Ok(cursor)
}

/// Takes one `events_open` of this mask back. Waits until nobody is in `wake` any
/// more.
pub fn events_close(mask: u32) {
    // SAFETY: there is nothing to promise.
    unsafe { sys::clinet_control_events_close(mask) };
}

/// The events from a cursor on that a mask wants; the cursor moves on. Returns
/// how many there are.
pub fn events(
    cursor: &mut u64,
    mask: u32,
    events: &mut [sys::clinetctl_event_t],
) -> Result<usize, Errno> {
    let mut count = u32::try_from(events.len()).unwrap_or(0);
    // SAFETY: the buffer has room for that many, and nobody else uses it.
    Errno::check(unsafe {
        sys::clinet_control_events(cursor, mask, events.as_mut_ptr(), &mut count)
    })?;
    Ok(count as usize)
}
