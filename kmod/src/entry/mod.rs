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
use crate::flow::{Endpoint, FiveTuple, Reject};
use crate::kernel::errno::{self, Errno};
use crate::kernel::sys;
use crate::stats::rejected;
use crate::tcp;

use sys::{boolean_t, in_port_t, sa_family_t};

/// Defines a C function and fails to compile if the header declares another.
macro_rules! c_function {
    (
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$doc])*
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) $(-> $ret)? $body

        const _: [unsafe extern "C" fn($($type),*) $(-> $ret)?; 2] = [$name, sys::$name];
    };
}

mod attach;
mod cluster;
mod control;
mod events;
mod grants;
mod look;
mod module;
mod udp;

/// What a bad argument of a call with a result returns.
#[cold]
fn bad(reject: Reject) -> c_int {
    errno::to_c(rejected(reject))
}

/// A bad argument of a call without a result is counted.
fn count_bad(result: Result<(), Reject>) {
    if let Err(reject) = result {
        let _ = rejected(reject);
    }
}

/// Copies as much of a structure as the caller has room for: the members that it
/// knows.
///
/// # Safety
///
/// `to` is NULL or writable for `size` bytes, which are not the structure's; all
/// bytes of `from` are initialised.
unsafe fn copy_out<T>(from: &T, to: *mut T, size: usize) {
    if !to.is_null() {
        let size = size.min(size_of::<T>());
        // SAFETY: `size` bytes of both, by the contract of this function.
        unsafe { ptr::copy_nonoverlapping(ptr::from_ref(from).cast::<u8>(), to.cast(), size) };
    }
}

/// A caller's 5-tuple that another protocol does not have.
fn checked(tuple: Result<FiveTuple, Reject>) -> Result<Option<FiveTuple>, Errno> {
    match tuple {
        Ok(tuple) => Ok(Some(tuple)),
        Err(reject) => rejected(reject).map(|()| None),
    }
}

c_function! {
    /// # Safety
    ///
    /// The pointers are NULL or point at as many readable bytes as the family
    /// has, which nobody writes during the call. Any lock of ip may be held;
    /// the thread may be an interrupt's.
    fn clinet_ask(
        protocol: u8, is_outgoing: boolean_t, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: the caller promises of the pointers all that this asks for.
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
    /// As for [`clinet_ask`].
    fn clinet_end(
        protocol: u8, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) {
        // SAFETY: the caller promises of the pointers all that this asks for.
        let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
        if let Ok(Some(tuple)) = checked(tuple) {
            contract::end(&tuple);
        }
    }
}

/// # Safety
///
/// As for [`clinet_ask`].
unsafe fn notify(
    event: LocalEvent,
    protocol: u8,
    family: sa_family_t,
    laddr: *const u8,
    lport: in_port_t,
) {
    // SAFETY: the caller promises of the pointers all that this asks for.
    let endpoint = unsafe { Endpoint::read(protocol, family, laddr, lport) };
    count_bad(endpoint.map(|endpoint| contract::notify(event, &endpoint)));
}

macro_rules! local_event {
    ($name:ident, $event:ident) => {
        c_function! {
            /// # Safety
            ///
            /// As for [`clinet_ask`].
            fn $name(protocol: u8, family: sa_family_t, laddr: *const u8, lport: in_port_t) {
                // SAFETY: passed on by the caller.
                unsafe { notify(LocalEvent::$event, protocol, family, laddr, lport) }
            }
        }
    };
}

local_event!(clinet_listen, Listen);
local_event!(clinet_unlisten, Unlisten);
local_event!(clinet_bind, Bind);
local_event!(clinet_unbind, Unbind);

const TCP: u8 = sys::IPPROTO_TCP as u8;

c_function! {
    /// # Safety
    ///
    /// `ct` is NULL or a `clinet_tcp_t` that nobody else uses during the call
    /// (the caller is inside the squeue); the rest as for [`clinet_ask`].
    fn clinet_tcp_connect(
        ct: *mut sys::clinet_tcp_t, is_outgoing: boolean_t, family: sa_family_t,
        laddr: *const u8, lport: in_port_t, faddr: *const u8, fport: in_port_t,
    ) -> c_int {
        // SAFETY: the caller promises of the pointers all that this asks for.
        let tuple = unsafe { FiveTuple::read(TCP, family, (laddr, lport), (faddr, fport)) };
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        let Some(ct) = (unsafe { ct.as_mut() }) else {
            return bad(Reject::Null);
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
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        count_bad(unsafe { ct.as_mut() }.map(tcp::disconnect).ok_or(Reject::Null));
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_ask`].
    fn clinet_tcp_listen(family: sa_family_t, laddr: *const u8, lport: in_port_t) {
        // SAFETY: passed on by the caller.
        unsafe { notify(LocalEvent::Listen, TCP, family, laddr, lport) }
    }
}

c_function! {
    /// # Safety
    ///
    /// As for [`clinet_ask`].
    fn clinet_tcp_unlisten(family: sa_family_t, laddr: *const u8, lport: in_port_t) {
        // SAFETY: passed on by the caller.
        unsafe { notify(LocalEvent::Unlisten, TCP, family, laddr, lport) }
    }
}
