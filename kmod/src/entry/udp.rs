// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When UDP asks: `clinet_udp_*`.

use core::ffi::c_int;

use super::{bad, count_bad};
use crate::contract::{self, LocalEvent};
use crate::flow::{self, Endpoint, Reject, SockAddr};
use crate::kernel::errno::{self, Errno};
use crate::kernel::sys::{self, in_port_t, sa_family_t};
use crate::udp::{self, Ask, LastDestination};

const UDP: u8 = sys::IPPROTO_UDP as u8;

/// The most recent destination of an endpoint.
///
/// # Safety
///
/// `cu` is NULL or a `clinet_udp_t` whose endpoint lock is held.
unsafe fn last<'a>(cu: *mut sys::clinet_udp_t) -> Result<&'a mut LastDestination, Reject> {
    // SAFETY: passed on by the caller; the twin has the same layout.
    unsafe { cu.cast::<LastDestination>().as_mut() }.ok_or(Reject::Null)
}

/// A question under way.
///
/// # Safety
///
/// `ask` is NULL or was filled by a begin.
unsafe fn question<'a>(ask: *const sys::clinet_udp_ask_t) -> Result<&'a Ask, Reject> {
    // SAFETY: passed on by the caller; the twin has the same layout.
    unsafe { ask.cast::<Ask>().as_ref() }.ok_or(Reject::Null)
}

/// An address with its port.
///
/// # Safety
///
/// As for [`clinet_ask`](super::clinet_ask).
unsafe fn sock_addr(
    family: sa_family_t,
    addr: *const u8,
    port: in_port_t,
) -> Result<SockAddr, Reject> {
    // SAFETY: the caller promises of the pointers all that this asks for.
    let read = unsafe { SockAddr::read(family, (addr, port)) };
    read.ok_or_else(|| flow::reason(family, addr.is_null()))
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
        // SAFETY: passed on by the caller; the twin has the same layout.
        let last = unsafe { cu.cast::<LastDestination>().as_ref() };
        // SAFETY: the caller promises of the pointers all that this asks for.
        let peer = unsafe { SockAddr::read(family, (faddr, fport)) };
        match (last, peer) {
            (Some(last), Some(peer)) if last.is(&peer) && !ask.is_null() => 0,
            // SAFETY: passed on by the caller; the twin has the same layout.
            _ => unsafe { send_begin(last, ask.cast(), family, faddr, fport) },
        }
    }
}

/// [`clinet_udp_send_begin`] where something is wrong or has to be asked. Not
/// inline: the usual case would need its stack (a quarter more in the row udp-same of
/// `make bench`).
///
/// # Safety
///
/// As for [`clinet_udp_send_begin`].
#[inline(never)]
unsafe fn send_begin(
    last: Option<&LastDestination>,
    ask: *mut Ask,
    family: sa_family_t,
    faddr: *const u8,
    fport: in_port_t,
) -> c_int {
    // SAFETY: the caller promises of the pointers all that this asks for.
    match (last, unsafe { sock_addr(family, faddr, fport) }) {
        (Some(last), Ok(peer)) if !ask.is_null() => {
            // SAFETY: writable by the contract of this function.
            unsafe { ask.write(udp::send_begin(last, &peer)) };
            sys::CLINET_UDP_ASK
        }
        (Some(_), Err(reject)) => bad(reject),
        _ => bad(Reject::Null),
    }
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
    // SAFETY: passed on by the caller.
    let question = unsafe { question(ask) }.and_then(|ask| {
        // SAFETY: the caller promises of the pointers all that this asks for.
        Ok((ask, unsafe { sock_addr(ask.family(), laddr, lport) }?))
    });
    match question {
        Ok((ask, local)) => errno::to_c(udp::ask(ask, local, refusal)),
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

c_function! {
    /// # Safety
    ///
    /// `cu` is NULL or a `clinet_udp_t` whose endpoint lock is held; `ask` is
    /// NULL or was filled by a begin.
    fn clinet_udp_send_end(cu: *mut sys::clinet_udp_t, ask: *const sys::clinet_udp_ask_t) {
        // SAFETY: passed on by the caller.
        let (last, ask) = unsafe { (last(cu), question(ask)) };
        count_bad(last.and_then(|last| ask.map(|ask| udp::send_end(last, ask))));
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_udp_send_end`].
    fn clinet_udp_connect_end(cu: *mut sys::clinet_udp_t, ask: *const sys::clinet_udp_ask_t) {
        // SAFETY: passed on by the caller.
        let (last, ask) = unsafe { (last(cu), question(ask)) };
        count_bad(last.and_then(|last| ask.map(|ask| udp::connect_end(last, ask))));
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
        // SAFETY: passed on by the caller.
        match unsafe { (last(cu), sock_addr(family, faddr, fport)) } {
            (Ok(last), Ok(peer)) if !ask.is_null() => {
                // SAFETY: writable by the contract of this function; the twin
                // has the same layout.
                unsafe { ask.cast::<Ask>().write(udp::connect_begin(last, &peer)) };
                0
            }
            (Ok(_), Err(reject)) if !ask.is_null() => bad(reject),
            _ => bad(Reject::Null),
        }
    }
}

c_function! {
    /// # Safety
    ///
    /// `cu` is NULL or a `clinet_udp_t` whose endpoint lock is held.
    fn clinet_udp_reset(cu: *mut sys::clinet_udp_t) {
        // SAFETY: passed on by the caller.
        count_bad(unsafe { last(cu) }.map(udp::reset));
    }
}

/// # Safety
///
/// `cu` as for [`clinet_udp_reset`], the address as for
/// [`clinet_ask`](super::clinet_ask).
unsafe fn local_event(
    event: LocalEvent,
    cu: *mut sys::clinet_udp_t,
    family: sa_family_t,
    laddr: *const u8,
    lport: in_port_t,
) -> Result<(), Reject> {
    // SAFETY: passed on by the caller.
    let last = unsafe { last(cu) }?;
    // SAFETY: the caller promises of the pointers all that this asks for.
    let endpoint = unsafe { Endpoint::read(UDP, family, laddr, lport) }?;
    udp::reset(last);
    contract::notify(event, &endpoint);
    Ok(())
}

c_function! {
    /// # Safety
    ///
    /// As for `local_event`.
    fn clinet_udp_bind(
        cu: *mut sys::clinet_udp_t, family: sa_family_t, laddr: *const u8, lport: in_port_t,
    ) {
        // SAFETY: passed on by the caller.
        count_bad(unsafe { local_event(LocalEvent::Bind, cu, family, laddr, lport) });
    }
}

c_function! {
    /// # Safety
    ///
    /// As for `local_event`.
    fn clinet_udp_unbind(
        cu: *mut sys::clinet_udp_t, family: sa_family_t, laddr: *const u8, lport: in_port_t,
    ) {
        // SAFETY: passed on by the caller.
        count_bad(unsafe { local_event(LocalEvent::Unbind, cu, family, laddr, lport) });
    }
}
