// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Statically defined DTrace probes (`sdt:clinet::NAME`).
//!
//! The kernel linker replaces each call by no-operations until somebody
//! enables the probe. So the call must be a call: were it the last thing that
//! a function does, the compiler would make it a jump, and control would run
//! on into the next function. Every wrapper therefore does something the
//! compiler cannot remove after it.

use core::arch::asm;
use core::ffi::CStr;

use super::sys::clinet_probe_tuple_t as Tuple;

unsafe extern "C" {
    fn __dtrace_probe_ask(tuple: usize, stack: usize, outgoing: usize);
    fn __dtrace_probe_accept(tuple: usize, stack: usize, outgoing: usize, reason: usize);
    fn __dtrace_probe_refuse(
        tuple: usize,
        stack: usize,
        outgoing: usize,
        owner: usize,
        reason: usize,
        enforced: usize,
    );
    fn __dtrace_probe_register(tuple: usize, stack: usize);
    fn __dtrace_probe_remove(tuple: usize, stack: usize, reason: usize);
    fn __dtrace_probe_age(tuple: usize, stack: usize, seconds: usize);
    fn __dtrace_probe_audit__fix(tuple: usize, stack: usize, what: usize, owner: usize);
    fn __dtrace_probe_install__conflict(
        protocol: usize,
        laddr: usize,
        lport: usize,
        faddr: usize,
        fport: usize,
        owner: usize,
    );
}

/// Keeps the call before it from becoming a tail call.
#[inline(always)]
fn not_last() {
    // SAFETY: no instruction at all.
    unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
}

/// A pointer as a probe gets it.
#[inline(always)]
fn pointer<T: ?Sized>(to: &T) -> usize {
    core::ptr::from_ref(to).cast::<()>().expose_provenance()
}

/// `ask`: a question was put. Arguments of the probe: the 5-tuple
/// (`clinet_probe_tuple_t *`), stack id, 1 for outgoing and 0 for incoming.
/// The same three come first in all that follow where they have them.
#[inline(always)]
pub fn ask(tuple: &Tuple, stack: u32, outgoing: bool) {
    // SAFETY: never reached as a function; see the module documentation. The
    // pointer lives as long as the probe fires.
    unsafe { __dtrace_probe_ask(pointer(tuple), stack as usize, usize::from(outgoing)) };
    not_last();
}

/// `accept`: ... and the answer was yes. 5-tuple, stack id, direction, reason.
#[inline(always)]
pub fn accept(tuple: &Tuple, stack: u32, outgoing: bool, reason: &'static CStr) {
    // SAFETY: as in `ask`.
    unsafe {
        __dtrace_probe_accept(
            pointer(tuple),
            stack as usize,
            usize::from(outgoing),
            pointer(reason),
        );
    }
    not_last();
}

/// `refuse`: ... or it was no. 5-tuple, stack id, direction, owner (0 if the
/// reason is another one), reason, and 1 if the stack is told so, 0 if the
/// mode is *observe*.
#[inline(always)]
pub fn refuse(
    tuple: &Tuple,
    stack: u32,
    outgoing: bool,
    owner: u32,
    reason: &'static CStr,
    enforced: bool,
) {
    // SAFETY: as in `ask`.
    unsafe {
        __dtrace_probe_refuse(
            pointer(tuple),
            stack as usize,
            usize::from(outgoing),
            owner as usize,
            pointer(reason),
            usize::from(enforced),
        );
    }
    not_last();
}

/// `register`: a new entry of this node. 5-tuple, stack id.
#[inline(always)]
pub fn register(tuple: &Tuple, stack: u32) {
    // SAFETY: as in `ask`.
    unsafe { __dtrace_probe_register(pointer(tuple), stack as usize) };
    not_last();
}

/// `remove`: an entry of this node went. 5-tuple, stack id, reason.
#[inline(always)]
pub fn remove(tuple: &Tuple, stack: u32, reason: &'static CStr) {
    // SAFETY: as in `ask`.
    unsafe { __dtrace_probe_remove(pointer(tuple), stack as usize, pointer(reason)) };
    not_last();
}

/// `age`: an entry of UDP went because nobody asked for it for so many
/// seconds. 5-tuple, stack id, seconds.
#[inline(always)]
pub fn age(tuple: &Tuple, stack: u32, seconds: u32) {
    // SAFETY: as in `ask`.
    unsafe { __dtrace_probe_age(pointer(tuple), stack as usize, seconds as usize) };
    not_last();
}

/// `audit-fix`: the audit found the registry and the stack to differ. 5-tuple,
/// stack id, what was done (`added`, `removed` or `conflict`), owner if it is
/// a conflict.
#[inline(always)]
pub fn audit_fix(tuple: &Tuple, stack: u32, what: &'static CStr, owner: u32) {
    // SAFETY: as in `ask`.
    unsafe {
        __dtrace_probe_audit__fix(
            pointer(tuple),
            stack as usize,
            pointer(what),
            owner as usize,
        );
    }
    not_last();
}

/// `install-conflict`: another node wants a 5-tuple that `owner` holds.
/// Arguments of the probe: protocol, local address, local port, foreign
/// address, foreign port, owner. Addresses are pointers to sixteen bytes,
/// IPv4 as `::ffff:a.b.c.d`; ports are in network byte order.
#[inline(never)]
pub fn install_conflict(
    protocol: u8,
    local: ([u8; 16], u16),
    foreign: ([u8; 16], u16),
    owner: u32,
) {
    // SAFETY: never reached as a function; see the module documentation. The
    // pointers live as long as the probe fires.
    unsafe {
        __dtrace_probe_install__conflict(
            protocol.into(),
            local.0.as_ptr().expose_provenance(),
            local.1.into(),
            foreign.0.as_ptr().expose_provenance(),
            foreign.1.into(),
            owner as usize,
        );
    }
    not_last();
}
