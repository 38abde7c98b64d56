// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What stays in ip's variables after a detach: accepts everything, touches
//! nothing, and is never unloaded.

use core::ffi::{c_int, c_void};

use crate::kernel::sys::{boolean_t, in_port_t, netstackid_t, sa_family_t};

/// # Safety
///
/// None: the pointers are not followed. Called by ip as
/// [`connect2`](super::adapters::connect2) is.
pub unsafe extern "C" fn connect2(
    _stack: netstackid_t,
    _protocol: u8,
    _is_outgoing: boolean_t,
    _family: sa_family_t,
    _laddr: *mut u8,
    _lport: in_port_t,
    _faddr: *mut u8,
    _fport: in_port_t,
    _args: *mut c_void,
) -> c_int {
    0
}

/// # Safety
///
/// None, as for [`connect2`].
pub unsafe extern "C" fn disconnect(
    _stack: netstackid_t,
    _protocol: u8,
    _family: sa_family_t,
    _laddr: *mut u8,
    _lport: in_port_t,
    _faddr: *mut u8,
    _fport: in_port_t,
    _args: *mut c_void,
) {
}

/// listen, unlisten, bind and unbind.
///
/// # Safety
///
/// None, as for [`connect2`].
pub unsafe extern "C" fn local(
    _stack: netstackid_t,
    _protocol: u8,
    _family: sa_family_t,
    _laddr: *mut u8,
    _lport: in_port_t,
    _args: *mut c_void,
) {
}
