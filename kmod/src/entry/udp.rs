// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When UDP asks: `clinet_udp_*`.

use core::ffi::c_int;

use super::bad;
use crate::contract::{self, LocalEvent};
use crate::flow::{Endpoint, Family, Reject, SockAddr};
use crate::kernel::errno::{self, Errno};
use crate::kernel::sys::{self, in_port_t, sa_family_t};
use crate::stats::rejected;
use crate::udp::{self, Ask, LastDestination};

const UDP: u8 = sys::IPPROTO_UDP as u8;

/// Reads an address with its port.
///
/// # Safety
///
/// As for [`clinet_ask`](super::clinet_ask).
#[inline]
unsafe fn sock_addr(
    family: sa_family_t,
    addr: *const u8,
    port: in_port_t,
) -> Result<SockAddr, Reject> {
    let null = || Err(Reject::Null);
    let Some(family) = Family::from_number(family) else {
        return if addr.is_null() {
            null()
        } else {
            Err(Reject::Family)
        };
    };
    // SAFETY: the caller promises of the pointers all that this asks for.
    unsafe { SockAddr::read(family, (addr, port)) }.map_or_else(null, Ok)
}

c_function! {
    /// # Safety
    ///
    /// `cu` is NULL or a `clinet_udp_t` whose endpoint lock is held; `ask` is
    /// NULL or writable; the address as for [`clinet_ask`](super::clinet_ask).
    fn clinet_udp_send_begin(
        cu: *const sys::clinet_udp_t, ask: *mut sys::clinet_udp_ask_t,
        family: sa_family_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        if u32::from(family) != sys::AF_INET6 {
            // SAFETY: passed on by the caller.
            return unsafe { begin_v4(cu.cast(), ask.cast(), family, faddr, fport) };
        }
        // SAFETY: passed on by the caller; the twin has the same layout.
        if let Some(last) = unsafe { cu.cast::<LastDestination>().as_ref() }
            && !ask.is_null()
            && !faddr.is_null()
            // SAFETY: passed on by the caller; the address is not NULL.
            && last.is_v6(unsafe { faddr.cast::<[u64; 2]>().read_unaligned() }, fport)
        {
            return 0;
        }
        // SAFETY: passed on by the caller.
        unsafe { begin(cu.cast(), ask.cast(), family, faddr, fport) }
    }
}

/// [`clinet_udp_send_begin`] of IPv4, apart so that either family is tested
/// for once.
///
/// # Safety
///
/// As for [`clinet_udp_send_begin`].
#[inline(never)]
unsafe fn begin_v4(
    cu: *const LastDestination,
    ask: *mut Ask,
    family: sa_family_t,
    faddr: *const u8,
    fport: in_port_t,
) -> c_int {
    // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
    if let Some(last) = unsafe { cu.as_ref() }
        && !ask.is_null()
        && !faddr.is_null()
        && u32::from(family) == sys::AF_INET
        // SAFETY: passed on by the caller; the address is not NULL.
        && last.is_v4(unsafe { faddr.cast::<u32>().read_unaligned() }, fport)
    {
        return 0;
    }
    // SAFETY: passed on by the caller.
    unsafe { begin(cu, ask, family, faddr, fport) }
}

/// [`clinet_udp_send_begin`] where something is wrong or has to be asked, apart
/// so that the usual case needs no stack.
///
/// # Safety
///
/// As for [`clinet_udp_send_begin`].
#[inline(never)]
unsafe fn begin(
    cu: *const LastDestination,
    ask: *mut Ask,
    family: sa_family_t,
    faddr: *const u8,
    fport: in_port_t,
) -> c_int {
    // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
    let Some(last) = (unsafe { cu.as_ref() }) else {
        return bad(Reject::Null);
    };
    // SAFETY: the caller promises of the pointers all that this asks for.
    let peer = match unsafe { sock_addr(family, faddr, fport) } {
        Ok(peer) => peer,
        Err(reject) => return bad(reject),
    };
    if ask.is_null() {
        return bad(Reject::Null);
    }
    if udp::is_most_recent(last, &peer) {
        return 0;
    }
    // SAFETY: writable by the contract of this function.
    unsafe { ask.write(udp::send_begin(last, &peer)) };
    sys::CLINET_UDP_ASK
}

/// # Safety
///
/// `ask` is NULL or was filled by a begin; the rest as for
/// [`clinet_ask`](super::clinet_ask).
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
    // SAFETY: the caller promises of the pointers all that this asks for.
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
        _ => drop(rejected(Reject::Null)),
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
        // SAFETY: the caller promises of the pointers all that this asks for.
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
            None => drop(rejected(Reject::Null)),
        }
    }
}

/// # Safety
///
/// `cu` as for [`clinet_udp_reset`], the address as for
/// [`clinet_ask`](super::clinet_ask).
unsafe fn udp_tell(
    event: LocalEvent,
    cu: *mut sys::clinet_udp_t,
    family: sa_family_t,
    laddr: *const u8,
    lport: in_port_t,
) {
    // SAFETY: passed on by the caller; the twin has the same layout.
    let last = unsafe { cu.cast::<LastDestination>().as_mut() }.ok_or(Reject::Null);
    // SAFETY: the caller promises of the pointers all that this asks for.
    let endpoint = unsafe { Endpoint::read(UDP, family, laddr, lport) };
    match last.and_then(|last| Ok((last, endpoint?))) {
        Ok((last, endpoint)) => {
            udp::reset(last);
            contract::tell(event, &endpoint);
        }
        Err(reject) => drop(rejected(reject)),
    }
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
