// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! ip as the module sees it when it attaches: hook variables, one stack, and
//! a walk over connections that somebody lists.

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{imports, work};
use crate::api::ENOENT;
use crate::keys::{Keys, Tuple};

/// The variables of ip that the module looks for.
pub(crate) const VARIABLES: [&str; 6] = [
    "cl_inet_connect2",
    "cl_inet_disconnect",
    "cl_inet_bind",
    "cl_inet_unbind",
    "cl_inet_listen",
    "cl_inet_unlisten",
];
static HOOKS: [AtomicU64; VARIABLES.len()] = [const { AtomicU64::new(0) }; VARIABLES.len()];

/// `netstack_t`, whose members are private: as large as what the module may
/// search for the stack's id (kmod/src/kernel/netstack.rs), or larger.
static STACK: [AtomicU64; 35] = [const { AtomicU64::new(0) }; 35];

/// `cl_tcp_info_t`.
#[repr(C)]
struct TcpInfo {
    version: u16,
    ip_version: u16,
    state: i32,
    lport: u16,
    fport: u16,
    laddr: [u8; 16],
    faddr: [u8; 16],
}

const ESTABLISHED: i32 = 0;

/// The connections that a walk finds: so many, from these keys.
static CONNECTIONS: Mutex<Option<(Keys, u32)>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No hook is set, and there is no connection.
pub(crate) fn reset() {
    for hook in &HOOKS {
        hook.store(0, Ordering::SeqCst);
    }
    *lock(&CONNECTIONS) = None;
}

/// Walks find these connections from now on, all in use.
pub fn connect(keys: &Keys, connections: u32) {
    *lock(&CONNECTIONS) = Some((*keys, connections));
}

/// What a hook variable holds; 0 is none.
#[must_use]
pub fn hook(name: &str) -> u64 {
    let place = VARIABLES.iter().position(|variable| *variable == name);
    place.map_or(0, |place| HOOKS[place].load(Ordering::SeqCst))
}

type Callback = unsafe extern "C" fn(*mut TcpInfo, *mut c_void) -> i32;

fn info(tuple: &Tuple) -> TcpInfo {
    // SAFETY: a tuple's addresses have 16 readable bytes each.
    let [laddr, faddr] =
        [tuple.laddr(), tuple.faddr()].map(|address| unsafe { address.cast::<[u8; 16]>().read() });
    TcpInfo {
        version: 1,
        ip_version: 6,
        state: ESTABLISHED,
        lport: tuple.lport(),
        fport: tuple.fport(),
        laddr,
        faddr,
    }
}

/// # Safety
/// `callback` may be called with `argument`.
unsafe extern "C" fn cl_tcp_walk_list(
    _stack: i32,
    callback: Callback,
    argument: *mut c_void,
) -> i32 {
    work::walks();
    let connections = *lock(&CONNECTIONS);
    let Some((keys, connections)) = connections else {
        return 0;
    };
    for index in 0..connections {
        let mut info = info(&keys.get(index));
        // SAFETY: passed on by the caller; `info` lives during the call.
        if unsafe { callback(&raw mut info, argument) } != 0 {
            return 1;
        }
    }
    0
}

/// # Safety
/// `name` is a string; `error` is NULL or writable.
unsafe extern "C" fn ddi_modopen(name: *const i8, _mode: i32, error: *mut i32) -> *mut c_void {
    // SAFETY: passed on by the caller.
    let name = unsafe { CStr::from_ptr(name) };
    if name == c"drv/ip" {
        return ptr::without_provenance_mut(1);
    }
    // SAFETY: passed on by the caller.
    unsafe { not_found(error) }
}

/// # Safety
/// As for [`ddi_modopen`].
unsafe extern "C" fn ddi_modsym(
    _handle: *mut c_void,
    name: *const i8,
    error: *mut i32,
) -> *mut c_void {
    // SAFETY: passed on by the caller.
    let name = unsafe { CStr::from_ptr(name) };
    if name == c"cl_tcp_walk_list" {
        return cl_tcp_walk_list as *mut c_void;
    }
    let is_it = |variable: &&str| variable.as_bytes() == name.to_bytes();
    match VARIABLES.iter().position(is_it) {
        Some(place) => HOOKS[place].as_ptr().cast(),
        // SAFETY: passed on by the caller.
        None => unsafe { not_found(error) },
    }
}

/// # Safety
/// `error` is NULL or writable.
unsafe fn not_found(error: *mut i32) -> *mut c_void {
    if !error.is_null() {
        // SAFETY: passed on by the caller.
        unsafe { error.write(ENOENT) };
    }
    ptr::null_mut()
}

extern "C" fn ddi_modclose(_handle: *mut c_void) -> i32 {
    0
}

extern "C" fn netstack_find_by_stackid(id: i32) -> *mut c_void {
    if id == 0 {
        return STACK.as_ptr().cast_mut().cast();
    }
    ptr::null_mut()
}

/// # Safety
/// `handle` is writable.
unsafe extern "C" fn netstack_next_init(handle: *mut i32) {
    // SAFETY: passed on by the caller.
    unsafe { handle.write(0) };
}

/// # Safety
/// `handle` is of a walk that has begun.
unsafe extern "C" fn netstack_next(handle: *mut i32) -> *mut c_void {
    // SAFETY: passed on by the caller.
    let walked = unsafe { handle.replace(1) } != 0;
    if walked {
        return ptr::null_mut();
    }
    netstack_find_by_stackid(0)
}

extern "C" fn nothing(_argument: *mut c_void) {}

imports! {
    ddi_modopen => "ddi_modopen",
    ddi_modsym => "ddi_modsym",
    ddi_modclose => "ddi_modclose",
    netstack_next_init => "netstack_next_init",
    netstack_next => "netstack_next",
    nothing => "netstack_next_fini",
    netstack_find_by_stackid => "netstack_find_by_stackid",
    nothing => "netstack_hold",
    nothing => "netstack_rele",
}
