// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The functions that the slots call.
//!
//! They are what any other provider's would be: called through the slots only,
//! with anything, which they check.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};

use super::GLOBAL;
use super::decide;
use crate::contract;
use crate::flow::{Direction, Endpoint, FiveTuple};
use crate::kernel::slot::Provider;
use crate::kernel::{errno, log, sys};
use crate::registry::Via;
use crate::stats::rejected;

/// The contract's question is answered here, and for ever.
static ASSOCIATED: AtomicBool = AtomicBool::new(false);

/// Does this provider answer the questions? Does not read the slot.
pub fn is_associated() -> bool {
    ASSOCIATED.load(Ordering::Relaxed)
}

/// Does the slot hold this provider? A module that stores without looking may have
/// put another one there.
pub fn answers() -> bool {
    contract::cl_inet_connect2
        .provider()
        .is_some_and(is_built_in)
}

/// Is what was loaded from the slot this provider?
pub fn is_built_in(provider: Provider) -> bool {
    provider.is(connect2)
}

/// Associates the provider with the contract, if it is set up: companions
/// first, the question last. From then on the module stays.
pub fn associate() {
    if !super::is_set_up() {
        return;
    }
    let taken = contract::cl_inet_disconnect.is_set()
        || contract::cl_inet_unbind.is_set()
        || contract::cl_inet_bind.is_set()
        || contract::cl_inet_connect2.is_set();
    let associated = !taken
        && contract::cl_inet_disconnect.set(disconnect)
        && contract::cl_inet_unbind.set(unbind)
        && contract::cl_inet_bind.set(bind)
        && contract::cl_inet_connect2.set(connect2);
    ASSOCIATED.store(associated, Ordering::Relaxed);
    if !associated {
        log::warn(c"clinet: another provider is associated; the built-in one is not");
    }
}

/// `cl_inet_connect2`.
///
/// # Safety
///
/// The pointers are NULL or point at as many readable bytes as `family` has,
/// which nobody writes during the call. Locks of ip may be held; the thread may
/// be an interrupt's.
pub(super) unsafe extern "C" fn connect2(
    protocol: u8,
    is_outgoing: sys::boolean_t,
    family: sys::sa_family_t,
    laddr: *mut u8,
    lport: sys::in_port_t,
    faddr: *mut u8,
    fport: sys::in_port_t,
) -> c_int {
    // SAFETY: the caller promises of the pointers all that this asks for.
    let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
    let direction = Direction::of(is_outgoing);
    match tuple {
        Ok(tuple) if decide::ignores(&tuple.endpoint(), direction) => 0,
        Ok(tuple) => errno::to_c(decide::connect(GLOBAL, &tuple, direction, Via::Contract)),
        Err(reject) => errno::to_c(rejected(reject)),
    }
}

/// `cl_inet_disconnect`.
///
/// # Safety
///
/// As for [`connect2`].
unsafe extern "C" fn disconnect(
    protocol: u8,
    family: sys::sa_family_t,
    laddr: *mut u8,
    lport: sys::in_port_t,
    faddr: *mut u8,
    fport: sys::in_port_t,
) {
    // SAFETY: the caller promises of the pointers all that this asks for.
    match unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) } {
        Ok(tuple) => drop(decide::disconnect(GLOBAL, &tuple)),
        Err(reject) => drop(rejected(reject)),
    }
}

/// `cl_inet_bind`.
///
/// # Safety
///
/// As for [`connect2`].
unsafe extern "C" fn bind(
    protocol: u8,
    family: sys::sa_family_t,
    laddr: *mut u8,
    lport: sys::in_port_t,
) {
    // SAFETY: the caller promises of the pointers all that this asks for.
    match unsafe { Endpoint::read(protocol, family, laddr, lport) } {
        Ok(endpoint) => decide::bind(GLOBAL, &endpoint, Via::Contract),
        Err(reject) => drop(rejected(reject)),
    }
}

/// `cl_inet_unbind`.
///
/// # Safety
///
/// As for [`connect2`].
unsafe extern "C" fn unbind(
    protocol: u8,
    family: sys::sa_family_t,
    laddr: *mut u8,
    lport: sys::in_port_t,
) {
    // SAFETY: the caller promises of the pointers all that this asks for.
    match unsafe { Endpoint::read(protocol, family, laddr, lport) } {
        Ok(endpoint) => decide::unbind(GLOBAL, &endpoint, Via::Contract),
        Err(reject) => drop(rejected(reject)),
    }
}
