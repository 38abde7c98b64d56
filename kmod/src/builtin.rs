// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The provider that comes with the module: the registry behind the slots.
//!
//! The functions here are what any other provider's would be: they are called
//! through the slots only, may be called with anything, and check it.

use core::ffi::{CStr, c_int};

use crate::contract;
use crate::flow::{Endpoint, FiveTuple};
use crate::kernel::errno::{self, Errno};
use crate::kernel::kmem::KmemSlice;
use crate::kernel::mutex::KMutex;
use crate::kernel::once::Once;
use crate::kernel::{log, probe, random, sys};
use crate::registry::{LocalSlot, Node, NotInstalled, Registry, TupleSlot, Verdict};
use crate::stats::{COUNTERS, rejected};

type KernelRegistry = Registry<KmemSlice<TupleSlot>, KmemSlice<LocalSlot>, KmemSlice<u32>>;

/// The provider of this load of the module.
struct Builtin {
    /// Empty once the module is on its way out.
    registry: KMutex<Option<KernelRegistry>>,
    full_refuses: bool,
}

static BUILTIN: Once<Builtin> = Once::new();

/// Tunables out of these limits are replaced by the default.
const MAX_TUPLES: core::ops::RangeInclusive<u32> = 64..=1 << 24;
const DEFAULT_MAX_TUPLES: u32 = 65536;
const DEFAULT_NODE: Node = 1;

/// Sets the provider up, if it is wanted. May sleep.
///
/// # Errors
///
/// `ENOMEM` if there is not that much memory; `EBUSY` if it is set up already,
/// which takes a second call.
pub fn init(tunables: &sys::clinet_tunables_t) -> Result<(), Errno> {
    if tunables.ct_provider == 0 {
        return Ok(());
    }
    let capacity = in_range(
        tunables.ct_max_tuples,
        MAX_TUPLES.contains(&tunables.ct_max_tuples),
        DEFAULT_MAX_TUPLES,
        c"clinet: clinet_max_tuples is not 64 to 16777216; using 65536",
    ) as usize;
    let node = in_range(
        tunables.ct_node_id,
        tunables.ct_node_id != 0,
        DEFAULT_NODE,
        c"clinet: clinet_node_id is 0, which is no node; using 1",
    );
    let registry = new_registry(node, capacity).ok_or(Errno::NOMEM)?;
    let builtin = Builtin {
        registry: KMutex::new(Some(registry)),
        full_refuses: tunables.ct_full_refuse != 0,
    };
    let builtin = BUILTIN.set(builtin).ok_or(Errno::BUSY)?;
    // SAFETY: this runs in _init; nobody else is in the module yet.
    unsafe { builtin.registry.init() };
    Ok(())
}

fn in_range(value: u32, valid: bool, default: u32, message: &CStr) -> u32 {
    if valid {
        return value;
    }
    log::warn(message);
    default
}

/// The secret of the hash. Without one the module still does its work, only
/// remote ends could make it slow.
fn secret() -> [u8; 16] {
    random::key().unwrap_or_else(|| {
        log::warn(c"clinet: no random numbers: who knows this may slow the table down");
        [0; 16]
    })
}

/// One endpoint slot for four tuples: an endpoint has at least one entry or
/// one bind, and sockets with several destinations are the reason for UDP
/// entries to be many.
fn new_registry(node: Node, capacity: usize) -> Option<KernelRegistry> {
    let endpoints = capacity / 4;
    Some(Registry::new(
        node,
        secret(),
        (
            KmemSlice::new(capacity, TupleSlot::default())?,
            KmemSlice::new(capacity, 0)?,
        ),
        (
            KmemSlice::new(endpoints, LocalSlot::default())?,
            KmemSlice::new(endpoints, 0)?,
        ),
    ))
}

/// Associates the provider with the contract, if it is set up: companions
/// first, the question last. From then on the module stays.
pub fn associate() {
    if BUILTIN.get().is_none() {
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
    if !associated {
        log::warn(c"clinet: another provider is associated; the built-in one is not");
    }
}

/// Frees the memory.
///
/// # Safety
///
/// The provider was never associated, and nobody else is in the module.
pub unsafe fn fini() {
    let Some(builtin) = BUILTIN.get() else {
        return;
    };
    let registry = builtin.registry.lock().take();
    drop(registry);
    // SAFETY: nobody else is in the module, as the caller promises.
    unsafe { builtin.registry.destroy() };
}

/// Calls `f` with the registry, locked. `None`: there is none.
fn with<R>(f: impl FnOnce(&mut KernelRegistry, &Builtin) -> R) -> Option<R> {
    let builtin = BUILTIN.get()?;
    builtin
        .registry
        .lock()
        .as_mut()
        .map(|registry| f(registry, builtin))
}

/// Entries in use and at most.
pub fn gauges() -> (u64, u64) {
    with(|registry, _| (registry.len() as u64, registry.capacity() as u64)).unwrap_or((0, 0))
}

fn decide(tuple: &FiveTuple) -> Result<(), Errno> {
    let Some((verdict, full_refuses)) =
        with(|registry, builtin| (registry.connect(tuple), builtin.full_refuses))
    else {
        return Ok(());
    };
    match verdict {
        Verdict::Registered => COUNTERS.cs_registered.bump(),
        Verdict::Repeated => COUNTERS.cs_repeated.bump(),
        Verdict::Unspecified => COUNTERS.cs_unspecified.bump(),
        Verdict::OwnedBy(_) => {
            COUNTERS.cs_owned_elsewhere.bump();
            return Err(Errno::ADDRINUSE);
        }
        Verdict::Full if full_refuses => {
            COUNTERS.cs_full_refused.bump();
            return Err(Errno::ADDRNOTAVAIL);
        }
        Verdict::Full => COUNTERS.cs_full_admitted.bump(),
    }
    Ok(())
}

/// `cl_inet_connect2`.
///
/// # Safety
///
/// The pointers are NULL or point at as many readable bytes as `family` has,
/// which nobody writes during the call. Locks of ip may be held; the thread may
/// be an interrupt's.
unsafe extern "C" fn connect2(
    protocol: u8,
    _is_outgoing: sys::boolean_t,
    family: sys::sa_family_t,
    laddr: *mut u8,
    lport: sys::in_port_t,
    faddr: *mut u8,
    fport: sys::in_port_t,
) -> c_int {
    // SAFETY: passed on by the caller.
    let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
    errno::to_c(tuple.map_or_else(rejected, |tuple| decide(&tuple)))
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
    // SAFETY: passed on by the caller.
    let tuple = unsafe { FiveTuple::read(protocol, family, (laddr, lport), (faddr, fport)) };
    match tuple {
        Ok(tuple) => match with(|registry, _| registry.disconnect(&tuple)).flatten() {
            Some(true) => COUNTERS.cs_removed.bump(),
            Some(false) => {}
            None => COUNTERS.cs_unknown.bump(),
        },
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
    // SAFETY: passed on by the caller.
    match unsafe { Endpoint::read(protocol, family, laddr, lport) } {
        Ok(endpoint) => {
            if with(|registry, _| registry.bind(&endpoint)) == Some(false) {
                COUNTERS.cs_binds_uncounted.bump();
            }
        }
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
    // SAFETY: passed on by the caller.
    match unsafe { Endpoint::read(protocol, family, laddr, lport) } {
        Ok(endpoint) if !endpoint.addr.is_unspecified() => {
            if with(|registry, _| registry.unbind(&endpoint)) == Some(false) {
                COUNTERS.cs_unknown.bump();
            }
        }
        Ok(_) => {}
        Err(reject) => drop(rejected(reject)),
    }
}

/// Records another node's 5-tuple.
///
/// # Errors
///
/// As `clinet_install` says.
pub fn install(owner: Node, tuple: &FiveTuple) -> Result<(), Errno> {
    match with(|registry, builtin| (registry.install(owner, tuple), builtin.full_refuses)) {
        None => Err(Errno::NXIO),
        Some((Ok(()), _)) => Ok(()),
        Some((Err(NotInstalled::Invalid), _)) => Err(Errno::INVAL),
        Some((Err(NotInstalled::Full), _)) => Err(Errno::NOSPC),
        Some((Err(NotInstalled::OwnedBy(holder)), _)) => {
            COUNTERS.cs_conflicts.bump();
            probe::install_conflict(
                tuple.protocol.number(),
                (tuple.local.addr.v6_form(), tuple.local.port),
                (tuple.foreign.addr.v6_form(), tuple.foreign.port),
                holder,
            );
            Err(Errno::ADDRINUSE)
        }
    }
}

/// Takes another node's 5-tuple back.
///
/// # Errors
///
/// As `clinet_withdraw` says.
pub fn withdraw(owner: Node, tuple: &FiveTuple) -> Result<(), Errno> {
    match with(|registry, _| registry.withdraw(owner, tuple)) {
        None => Err(Errno::NXIO),
        Some(Some(true)) => Ok(()),
        Some(Some(false)) => Err(Errno::NOENT),
        Some(None) => Err(Errno::INVAL),
    }
}

/// Drops all that another node owns.
///
/// # Errors
///
/// As `clinet_purge` says.
pub fn purge(owner: Node) -> Result<(), Errno> {
    match with(|registry, _| registry.purge(owner)) {
        None => Err(Errno::NXIO),
        Some(true) => Ok(()),
        Some(false) => Err(Errno::INVAL),
    }
}
