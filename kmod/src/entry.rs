// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The C functions of `include/clinet.h` and `kmod/glue/glue.h`: pointers and
//! numbers become values, one call is made, an errno comes out.
//!
//! Each definition is held against the declaration that C compiles, so that
//! the two cannot drift apart.

use core::ffi::c_int;
use core::ptr;

use crate::contract::{self, LocalEvent};
use crate::flow::{Addr, Endpoint, Family, FiveTuple, Reject, SockAddr};
use crate::kernel::errno::{self, Errno};
use crate::kernel::sys;
use crate::stats::COUNTERS;
use crate::udp::{Ask, LastDestination};
use crate::{builtin, tcp, udp};

use sys::{boolean_t, in_port_t, sa_family_t};

/// Defines a C function and fails to compile if the header declares another.
macro_rules! c_function {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) $(-> $ret)? $body

        const _: [unsafe extern "C" fn($($type),*) $(-> $ret)?; 2] = [$name, sys::$name];
    };
}

/// A caller's 5-tuple that another protocol does not have.
fn checked(tuple: Result<FiveTuple, Reject>) -> Result<Option<FiveTuple>, Errno> {
    match tuple {
        Ok(tuple) => Ok(Some(tuple)),
        Err(reject) => builtin::rejected(reject).map(|()| None),
    }
}

c_function! {
    /// # Safety
    ///
    /// The pointers are NULL or point at as many readable bytes as the family
    /// has. Any lock of ip may be held; the thread may be an interrupt's.
    fn clinet_connect2(
        protocol: u8, is_outgoing: boolean_t, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: passed on by the caller.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        errno::to_c(checked(tuple).and_then(|tuple| match tuple {
            Some(tuple) => contract::ask(&tuple, is_outgoing != sys::B_FALSE).map(|_| ()),
            None => Ok(()),
        }))
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_connect2`].
    fn clinet_disconnect(
        protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) {
        // SAFETY: passed on by the caller.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        if let Ok(Some(tuple)) = checked(tuple) {
            contract::end(&tuple);
        }
    }
}

/// # Safety
///
/// As for [`clinet_connect2`].
unsafe fn tell(
    event: LocalEvent,
    protocol: u8,
    family: sa_family_t,
    laddr: *const u8,
    lport: in_port_t,
) {
    // SAFETY: passed on by the caller.
    match unsafe { Endpoint::read(protocol, family, laddr, lport) } {
        Ok(endpoint) => contract::tell(event, &endpoint),
        Err(reject) => drop(builtin::rejected(reject)),
    }
}

macro_rules! local_event {
    ($name:ident, $event:ident) => {
        c_function! {
            /// # Safety
            ///
            /// As for [`clinet_connect2`].
            fn $name(protocol: u8, family: sa_family_t, laddr: *const u8, lport: in_port_t) {
                // SAFETY: passed on by the caller.
                unsafe { tell(LocalEvent::$event, protocol, family, laddr, lport) }
            }
        }
    };
}

local_event!(clinet_listen, Listen);
local_event!(clinet_unlisten, Unlisten);
local_event!(clinet_bind, Bind);
local_event!(clinet_unbind, Unbind);

const TCP: u8 = sys::IPPROTO_TCP as u8;
const UDP: u8 = sys::IPPROTO_UDP as u8;

c_function! {
    /// # Safety
    ///
    /// `ct` is NULL or a `clinet_tcp_t` that nobody else uses during the call
    /// (the caller is inside the squeue); the rest as for [`clinet_connect2`].
    fn clinet_tcp_connect(
        ct: *mut sys::clinet_tcp_t, is_outgoing: boolean_t, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: passed on by the caller.
        let tuple = unsafe { FiveTuple::read(TCP, family, (laddr, lport), (faddr, fport)) };
        // SAFETY: passed on by the caller.
        let Some(ct) = (unsafe { ct.as_mut() }) else {
            return errno::to_c(builtin::rejected(Reject::Null));
        };
        errno::to_c(checked(tuple).and_then(|tuple| match tuple {
            Some(tuple) => tcp::connect(ct, &tuple, is_outgoing != sys::B_FALSE),
            None => Ok(()),
        }))
    }
}

c_function! {
    /// # Safety
    ///
    /// `ct` as for [`clinet_tcp_connect`].
    fn clinet_tcp_disconnect(ct: *mut sys::clinet_tcp_t) {
        // SAFETY: passed on by the caller.
        match unsafe { ct.as_mut() } {
            Some(ct) => tcp::disconnect(ct),
            None => drop(builtin::rejected(Reject::Null)),
        }
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_connect2`].
    fn clinet_tcp_listen(family: sa_family_t, laddr: *const u8, lport: in_port_t) {
        // SAFETY: passed on by the caller.
        unsafe { tell(LocalEvent::Listen, TCP, family, laddr, lport) }
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_connect2`].
    fn clinet_tcp_unlisten(family: sa_family_t, laddr: *const u8, lport: in_port_t) {
        // SAFETY: passed on by the caller.
        unsafe { tell(LocalEvent::Unlisten, TCP, family, laddr, lport) }
    }
}

/// Reads an address with its port.
///
/// # Safety
///
/// As for [`clinet_connect2`].
unsafe fn sock_addr(
    family: sa_family_t,
    addr: *const u8,
    port: in_port_t,
) -> Result<SockAddr, Reject> {
    if addr.is_null() {
        return Err(Reject::Null);
    }
    let family = Family::from_number(family).ok_or(Reject::Family)?;
    // SAFETY: passed on by the caller.
    let addr = unsafe { Addr::read(family, addr)? };
    Ok(SockAddr { addr, port })
}

/// What a bad argument of a UDP call returns.
fn bad(reject: Reject) -> c_int {
    errno::to_c(builtin::rejected(reject))
}

c_function! {
    /// # Safety
    ///
    /// `cu` is NULL or a `clinet_udp_t` whose endpoint lock is held; `ask` is
    /// NULL or writable; the address as for [`clinet_connect2`].
    fn clinet_udp_send_begin(
        cu: *const sys::clinet_udp_t, ask: *mut sys::clinet_udp_ask_t,
        family: sa_family_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: passed on by the caller; the twin has the same layout.
        let Some(last) = (unsafe { cu.cast::<LastDestination>().as_ref() }) else {
            return bad(Reject::Null);
        };
        // SAFETY: passed on by the caller.
        let peer = match unsafe { sock_addr(family, faddr, fport) } {
            Ok(peer) => peer,
            Err(reject) => return bad(reject),
        };
        if udp::is_most_recent(last, &peer) {
            return 0;
        }
        if ask.is_null() {
            return bad(Reject::Null);
        }
        // SAFETY: writable by the contract of this function; the twin has the
        // same layout.
        unsafe { ask.cast::<Ask>().write(udp::send_begin(last, &peer)) };
        sys::CLINET_UDP_ASK
    }
}

/// # Safety
///
/// `ask` is NULL or was filled by a begin; the rest as for
/// [`clinet_connect2`].
unsafe fn udp_ask(
    ask: *const sys::clinet_udp_ask_t,
    laddr: *const u8,
    lport: in_port_t,
    refusal: Errno,
) -> c_int {
    // SAFETY: passed on by the caller; the twin has the same layout.
    let Some(ask) = (unsafe { ask.cast::<Ask>().as_ref() }) else {
        return bad(Reject::Null);
    };
    // SAFETY: passed on by the caller.
    match unsafe { sock_addr(ask.family(), laddr, lport) } {
        Ok(local) => errno::to_c(udp::ask(ask, local, refusal)),
        Err(reject) => bad(reject),
    }
}

c_function! {
    /// # Safety
    ///
    /// As for `udp_ask`. The endpoint lock is not held.
    fn clinet_udp_send_ask(
        ask: *const sys::clinet_udp_ask_t, laddr: *const u8, lport: in_port_t,
    ) -> c_int {
        // SAFETY: passed on by the caller.
        unsafe { udp_ask(ask, laddr, lport, Errno::HOSTUNREACH) }
    }
}

c_function! {
    /// # Safety
    ///
    /// As for `udp_ask`. The endpoint lock is not held.
    fn clinet_udp_connect_ask(
        ask: *const sys::clinet_udp_ask_t, laddr: *const u8, lport: in_port_t,
    ) -> c_int {
        // SAFETY: passed on by the caller.
        unsafe { udp_ask(ask, laddr, lport, Errno::ADDRNOTAVAIL) }
    }
}

/// # Safety
///
/// `cu` is NULL or a `clinet_udp_t` whose endpoint lock is held; `ask` is
/// NULL or was filled by a begin.
unsafe fn udp_end(
    cu: *mut sys::clinet_udp_t,
    ask: *const sys::clinet_udp_ask_t,
    end: fn(&mut LastDestination, &Ask),
) {
    // SAFETY: passed on by the caller; the twins have the same layout.
    let last = unsafe { cu.cast::<LastDestination>().as_mut() };
    // SAFETY: passed on by the caller; the twins have the same layout.
    let ask = unsafe { ask.cast::<Ask>().as_ref() };
    match (last, ask) {
        (Some(last), Some(ask)) => end(last, ask),
        _ => drop(builtin::rejected(Reject::Null)),
    }
}

c_function! {
    /// # Safety
    ///
    /// As for `udp_end`.
    fn clinet_udp_send_end(cu: *mut sys::clinet_udp_t, ask: *const sys::clinet_udp_ask_t) {
        // SAFETY: passed on by the caller.
        unsafe { udp_end(cu, ask, udp::send_end) }
    }
}

c_function! {
    /// # Safety
    ///
    /// As for `udp_end`.
    fn clinet_udp_connect_end(cu: *mut sys::clinet_udp_t, ask: *const sys::clinet_udp_ask_t) {
        // SAFETY: passed on by the caller.
        unsafe { udp_end(cu, ask, udp::connect_end) }
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_udp_send_begin`].
    fn clinet_udp_connect_begin(
        cu: *mut sys::clinet_udp_t, ask: *mut sys::clinet_udp_ask_t,
        family: sa_family_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        if ask.is_null() {
            return bad(Reject::Null);
        }
        // SAFETY: passed on by the caller; the twin has the same layout.
        let Some(last) = (unsafe { cu.cast::<LastDestination>().as_mut() }) else {
            return bad(Reject::Null);
        };
        // SAFETY: passed on by the caller.
        match unsafe { sock_addr(family, faddr, fport) } {
            Ok(peer) => {
                // SAFETY: writable by the contract of this function; the twin
                // has the same layout.
                unsafe { ask.cast::<Ask>().write(udp::connect_begin(last, &peer)) };
                0
            }
            Err(reject) => bad(reject),
        }
    }
}

c_function! {
    /// # Safety
    ///
    /// `cu` is NULL or a `clinet_udp_t` whose endpoint lock is held.
    fn clinet_udp_reset(cu: *mut sys::clinet_udp_t) {
        // SAFETY: passed on by the caller; the twin has the same layout.
        match unsafe { cu.cast::<LastDestination>().as_mut() } {
            Some(last) => udp::reset(last),
            None => drop(builtin::rejected(Reject::Null)),
        }
    }
}

/// # Safety
///
/// `cu` as for [`clinet_udp_reset`], the address as for [`clinet_connect2`].
unsafe fn udp_tell(
    event: LocalEvent,
    cu: *mut sys::clinet_udp_t,
    family: sa_family_t,
    laddr: *const u8,
    lport: in_port_t,
) {
    // SAFETY: passed on by the caller.
    unsafe { clinet_udp_reset(cu) };
    // SAFETY: passed on by the caller.
    unsafe { tell(event, UDP, family, laddr, lport) }
}

c_function! {
    /// # Safety
    ///
    /// As for `udp_tell`.
    fn clinet_udp_bind(
        cu: *mut sys::clinet_udp_t, family: sa_family_t, laddr: *const u8, lport: in_port_t,
    ) {
        // SAFETY: passed on by the caller.
        unsafe { udp_tell(LocalEvent::Bind, cu, family, laddr, lport) }
    }
}

c_function! {
    /// # Safety
    ///
    /// As for `udp_tell`.
    fn clinet_udp_unbind(
        cu: *mut sys::clinet_udp_t, family: sa_family_t, laddr: *const u8, lport: in_port_t,
    ) {
        // SAFETY: passed on by the caller.
        unsafe { udp_tell(LocalEvent::Unbind, cu, family, laddr, lport) }
    }
}

/// Another node's 5-tuple, which has to be one of TCP or UDP.
fn foreign(tuple: Result<FiveTuple, Reject>) -> Result<FiveTuple, Errno> {
    checked(tuple)?.ok_or(Errno::PROTONOSUPPORT)
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_connect2`].
    fn clinet_install(
        owner: sys::clinet_node_t, protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: passed on by the caller.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        errno::to_c(foreign(tuple).and_then(|tuple| builtin::install(owner, &tuple)))
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_connect2`].
    fn clinet_withdraw(
        owner: sys::clinet_node_t, protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: passed on by the caller.
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
    /// `cs` is NULL or points at `size` writable bytes.
    fn clinet_stats(cs: *mut sys::clinet_stats_t, size: usize) -> c_int {
        if cs.is_null() {
            return bad(Reject::Null);
        }
        let (tuples, capacity) = builtin::gauges();
        let stats = COUNTERS.snapshot(tuples, capacity);
        let size = size.min(size_of_val(&stats));
        // SAFETY: both have at least `size` bytes, and a local variable does
        // not overlap the caller's memory.
        unsafe { ptr::copy_nonoverlapping((&raw const stats).cast::<u8>(), cs.cast::<u8>(), size) };
        0
    }
}

c_function! {
    /// # Safety
    ///
    /// `tunables` is NULL or readable. Called by `_init`, once, before anybody
    /// else is in the module.
    fn clinet_module_init(tunables: *const sys::clinet_tunables_t) -> c_int {
        // SAFETY: passed on by the caller.
        match unsafe { tunables.as_ref() } {
            Some(tunables) => errno::to_c(builtin::init(tunables)),
            None => Errno::INVAL.number(),
        }
    }
}

c_function! {
    /// # Safety
    ///
    /// Called by `_init`, once, when it cannot fail any more.
    fn clinet_module_start() {
        builtin::associate();
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_module_busy() -> c_int {
        errno::to_c(if contract::is_associated() { Err(Errno::BUSY) } else { Ok(()) })
    }
}

c_function! {
    /// # Safety
    ///
    /// Nobody else is in the module, and nothing is associated.
    fn clinet_module_fini() {
        // SAFETY: passed on by the caller.
        unsafe { builtin::fini() }
    }
}
