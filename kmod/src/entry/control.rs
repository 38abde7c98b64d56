// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the control device sees and sets: `clinet_control_*`.

use core::ffi::{CStr, c_char, c_int};

use crate::attach::{self, state};
use crate::builtin::{self, Deleted};
use crate::contract;
use crate::flow::{Addr, Direction, FiveTuple, Protocol, SockAddr, to_words};
use crate::kernel::errno::{self, Errno};
use crate::kernel::sys;
use crate::settings::{self, Mode, addresses, policy};
use crate::{report, watch, work};

/// Copies a string into an array of C, which ends with a NUL.
fn copy_string(to: &mut [c_char], from: &CStr) {
    let Some((last, rest)) = to.split_last_mut() else {
        return;
    };
    let bytes = from.to_bytes().iter().copied().chain(core::iter::repeat(0));
    for (place, byte) in rest.iter_mut().zip(bytes) {
        *place = byte.cast_signed();
    }
    *last = 0;
}

fn provider() -> u32 {
    match (builtin::is_associated(), contract::is_associated()) {
        (true, _) => sys::CLINETCTL_BUILT_IN_PROVIDER,
        (false, true) => sys::CLINETCTL_FOREIGN_PROVIDER,
        (false, false) => sys::CLINETCTL_NO_PROVIDER,
    }
}

/// Everything but the head.
#[inline(never)]
fn fill_state(cst: &mut sys::clinetctl_state_t) {
    let gauges = builtin::gauges();
    cst.cst_attach = state::get() as u32;
    cst.cst_mode = settings::mode() as u32;
    cst.cst_node = builtin::node();
    cst.cst_provider = provider();
    cst.cst_hooks = state::hooks();
    cst.cst_audits = state::AUDITS.get();
    cst.cst_tuples = gauges.tuples;
    cst.cst_capacity = gauges.capacity;
    cst.cst_udp_tuples = gauges.udp_tuples;
    cst.cst_endpoints = gauges.endpoints;
    cst.cst_addresses = gauges.addresses;
    cst.cst_nodes = gauges.nodes;
    cst.cst_memory = gauges.bytes;
    cst.cst_full = builtin::full_refuses().into();
    cst.cst_incoming = policy::INCOMING.get();
    cst.cst_explicit = policy::EXPLICIT.get();
    cst.cst_other_stack = policy::OTHER_STACK.get();
    cst.cst_fence_action = policy::FENCE_ACTION.get();
    cst.cst_fence_seconds = policy::FENCE_SECONDS.get();
    copy_string(&mut cst.cst_reason, state::reason());
    fill_grants(cst);
}

fn fill_grants(cst: &mut sys::clinetctl_state_t) {
    cst.cst_fence = watch::fence() as u32;
    cst.cst_now = watch::now();
    let Some(snapshot) = builtin::grants().map(|grants| grants.snapshot()) else {
        return;
    };
    let spaces = snapshot.terms.spaces;
    cst.cst_lapsed = snapshot.is_shut().into();
    cst.cst_deadline = snapshot.terms.deadline;
    cst.cst_epoch = snapshot.terms.epoch;
    cst.cst_sequence = snapshot.terms.sequence;
    cst.cst_first = spaces.map(|space| space.first);
    cst.cst_last = spaces.map(|space| space.last);
    cst.cst_granted = snapshot.granted;
}

c_function! {
    /// # Safety
    ///
    /// `cst` is NULL or writable. Thread context, no lock held.
    fn clinet_control_state(cst: *mut sys::clinetctl_state_t) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let Some(cst) = (unsafe { cst.as_mut() }) else {
            return Errno::INVAL.number();
        };
        fill_state(cst);
        0
    }
}

c_function! {
    /// # Safety
    ///
    /// `stat` is NULL or writable. Thread context, no lock held.
    fn clinet_control_stat(number: u32, stat: *mut sys::clinetctl_stat_t) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let Some(stat) = (unsafe { stat.as_mut() }) else {
            return Errno::INVAL.number();
        };
        let Some((name, value)) = report::stat(number as usize) else {
            return Errno::NOENT.number();
        };
        copy_string(&mut stat.cs_name, name);
        stat.cs_value = value;
        0
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_control_clock() -> u64 {
        watch::now()
    }
}

/// The 5-tuple of a structure.
fn tuple(ct: &sys::clinetctl_tuple_t) -> Result<FiveTuple, Errno> {
    let end = |addr, port| SockAddr {
        addr: Addr::from_words(to_words(addr)),
        port,
    };
    Ok(FiveTuple {
        protocol: Protocol::from_number(ct.ct_protocol).ok_or(Errno::PROTONOSUPPORT)?,
        local: end(ct.ct_laddr, ct.ct_lport),
        foreign: end(ct.ct_faddr, ct.ct_fport),
    })
}

fn query(cq: &mut sys::clinetctl_query_t) -> Result<(), Errno> {
    let tuple = tuple(&cq.cq_tuple)?;
    let direction = match cq.cq_incoming {
        0 => Direction::Outgoing,
        1 => Direction::Incoming,
        _ => return Err(Errno::INVAL),
    };
    let (outcome, references) = builtin::query(builtin::GLOBAL, &tuple, direction)?;
    let port = u16::from_be(tuple.local.port);
    let granted = builtin::grants().is_some_and(|grants| grants.is_granted(tuple.protocol, port));
    cq.cq_error = outcome.errno.map_or(0, Errno::number);
    cq.cq_reason = outcome.reason;
    cq.cq_owner = outcome.owner;
    cq.cq_references = references as u32;
    cq.cq_granted = granted.into();
    Ok(())
}

c_function! {
    /// # Safety
    ///
    /// `cq` is NULL or writable. Thread context, no lock held.
    fn clinet_control_query(cq: *mut sys::clinetctl_query_t) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        match unsafe { cq.as_mut() } {
            Some(cq) => errno::to_c(query(cq)),
            None => Errno::INVAL.number(),
        }
    }
}

/// Is the flag set? There is no other.
fn is_forced(flags: u32) -> Result<bool, Errno> {
    match flags & !sys::CLINETCTL_FORCE {
        0 => Ok(flags != 0),
        _ => Err(Errno::INVAL),
    }
}

fn set_mode(value: u64, force: bool) -> Result<(), Errno> {
    let number = u32::try_from(value).map_err(|_| Errno::INVAL)?;
    let mode = Mode::from_number(number).ok_or(Errno::INVAL)?;
    work::set_mode(mode, force)
}

fn set(property: u32, value: u64, flags: u32) -> Result<(), Errno> {
    let force = is_forced(flags)?;
    if !builtin::is_set_up() {
        return Err(Errno::NXIO);
    }
    if property == sys::CLINETCTL_MODE {
        return set_mode(value, force);
    }
    match policy::set_property(property, value) {
        true => Ok(()),
        false => Err(Errno::INVAL),
    }
}

c_function! {
    /// # Safety
    ///
    /// Thread context, no lock held.
    fn clinet_control_set(property: u32, value: u64, flags: u32) -> c_int {
        errno::to_c(set(property, value, flags))
    }
}

c_function! {
    /// # Safety
    ///
    /// Thread context, no lock held.
    fn clinet_control_detach(flags: u32) -> c_int {
        errno::to_c(
            is_forced(flags).and_then(|force| watch::disarm(force, attach::detach)),
        )
    }
}

c_function! {
    /// # Safety
    ///
    /// `length` is NULL or writable, `text` for `*length` bytes. Thread context, no
    /// lock held.
    fn clinet_control_addrs(text: *mut c_char, length: *mut u32) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let Some(length) = (unsafe { length.as_mut() }) else {
            return Errno::INVAL.number();
        };
        if text.is_null() {
            return Errno::INVAL.number();
        }
        let room = core::mem::take(length);
        errno::to_c(each_byte(|byte| {
            if *length < room {
                // SAFETY: one of the `room` bytes that the caller promises.
                unsafe { text.wrapping_add(*length as usize).write(byte.cast_signed()) };
            }
            *length = length.saturating_add(1);
        }))
    }
}

/// Hands the list of shared addresses to `put`, byte by byte.
fn each_byte(mut put: impl FnMut(u8)) -> Result<(), Errno> {
    let mut is_first = true;
    builtin::each_address(|address| {
        if !core::mem::take(&mut is_first) {
            put(b',');
        }
        addresses::write(address, &mut put);
        Ok(())
    })
}

fn delete(ct: &sys::clinetctl_tuple_t, stack: u32, flags: u32) -> Result<(), Errno> {
    let known = sys::CLINETCTL_FORCE | sys::CLINETCTL_DRY_RUN;
    if flags & !known != 0 {
        return Err(Errno::INVAL);
    }
    let force = flags & sys::CLINETCTL_FORCE != 0;
    let only_look = flags & sys::CLINETCTL_DRY_RUN != 0;
    match builtin::delete(stack, &tuple(ct)?, force, only_look)? {
        Deleted::Nothing => Err(Errno::NOENT),
        Deleted::Live => Err(Errno::BUSY),
        Deleted::Ours | Deleted::Others => Ok(()),
    }
}

c_function! {
    /// # Safety
    ///
    /// `ct` is NULL or readable. Thread context, no lock held.
    fn clinet_control_delete(
        ct: *const sys::clinetctl_tuple_t, stack: u32, flags: u32,
    ) -> c_int {
        // SAFETY: NULL, or valid and written by nobody during the call: the caller promises it.
        match unsafe { ct.as_ref() } {
            Some(ct) => errno::to_c(delete(ct, stack, flags)),
            None => Errno::INVAL.number(),
        }
    }
}
