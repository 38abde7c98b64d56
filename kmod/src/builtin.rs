// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The provider that comes with the module: the registry behind the slots.
//!
//! The functions here are what any other provider's would be: they are called
//! through the slots only, may be called with anything, and check it.

use core::ffi::c_int;

use crate::contract;
use crate::flow::{Direction, Endpoint, FiveTuple};
use crate::kernel::errno::{self, Errno};
use crate::kernel::kmem::KmemSlice;
use crate::kernel::mutex::KMutex;
use crate::kernel::once::Once;
use crate::kernel::{log, probe, random, sys};
use crate::registry::{
    Audit, LocalSlot, Node, NotInstalled, Registry, StackId, TupleSlot, Verdict,
};
use crate::settings::{self, Settings};
use crate::stats::{COUNTERS, rejected};

type KernelRegistry = Registry<KmemSlice<TupleSlot>, KmemSlice<LocalSlot>, KmemSlice<u32>>;

/// The provider of this load of the module.
struct Builtin {
    /// Empty once the module is on its way out.
    registry: KMutex<Option<KernelRegistry>>,
    full_refuses: bool,
}

static BUILTIN: Once<Builtin> = Once::new();

/// Sets the provider up, if it is wanted. May sleep.
///
/// # Errors
///
/// `ENOMEM` if there is not that much memory; `EBUSY` if it is set up already,
/// which takes a second call.
pub fn init(settings: &Settings) -> Result<(), Errno> {
    if !settings.provider {
        return Ok(());
    }
    let capacity = (settings.max_tuples as usize).min(65536);
    let registry = new_registry(settings.node, capacity).ok_or(Errno::NOMEM)?;
    let builtin = Builtin {
        registry: KMutex::new(Some(registry)),
        full_refuses: settings.full_refuses,
    };
    let builtin = BUILTIN.set(builtin).ok_or(Errno::BUSY)?;
    // SAFETY: this runs in _init; nobody else is in the module yet.
    unsafe { builtin.registry.init() };
    Ok(())
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
        && contract::cl_inet_disconnect.set(disconnect7)
        && contract::cl_inet_unbind.set(unbind7)
        && contract::cl_inet_bind.set(bind7)
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

/// Memory and entries.
pub struct Gauges {
    /// Entries.
    pub tuples: u64,
    /// Entries at most.
    pub capacity: u64,
    /// Endpoints.
    pub endpoints: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Gauges.
pub fn gauges() -> Gauges {
    let (tuples, capacity) =
        with(|registry, _| (registry.len() as u64, registry.capacity() as u64)).unwrap_or((0, 0));
    Gauges {
        tuples,
        capacity,
        endpoints: 0,
        bytes: 0,
    }
}

/// Stub.
#[derive(Clone, Copy)]
struct Shadow {
    used: bool,
    stack: StackId,
    tuple: Option<FiveTuple>,
    references: u32,
    unseen: u32,
}

struct Shadows {
    all: [Shadow; 1024],
    addresses: [[u64; 2]; 256],
    count: usize,
}

static SHADOWS: KMutex<Shadows> = KMutex::new(Shadows {
    all: [Shadow {
        used: false,
        stack: 0,
        tuple: None,
        references: 0,
        unseen: 0,
    }; 1024],
    addresses: [[0; 2]; 256],
    count: 0,
});

fn same(a: &FiveTuple, b: &FiveTuple) -> bool {
    a.protocol == b.protocol
        && a.local.addr.v6_form() == b.local.addr.v6_form()
        && a.foreign.addr.v6_form() == b.foreign.addr.v6_form()
        && a.local.port == b.local.port
        && a.foreign.port == b.foreign.port
}

fn shared(tuple: &FiveTuple) -> bool {
    let shadows = SHADOWS.lock();
    let wanted = tuple.local.addr.v6_form();
    let words = tuple.local.addr.words();
    if shadows.count == 0 {
        return !(wanted.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127]));
    }
    shadows
        .addresses
        .iter()
        .take(shadows.count)
        .any(|a| *a == words)
}

fn shadow<R>(stack: StackId, tuple: &FiveTuple, f: impl FnOnce(&mut Shadow) -> R) -> Option<R> {
    let mut shadows = SHADOWS.lock();
    shadows
        .all
        .iter_mut()
        .find(|s| s.used && s.stack == stack && s.tuple.as_ref().is_some_and(|t| same(t, tuple)))
        .map(f)
}

fn add_shadow(stack: StackId, tuple: &FiveTuple) {
    if shadow(stack, tuple, |s| {
        s.references += 1;
        s.unseen = u32::MAX;
    })
    .is_some()
    {
        return;
    }
    let mut shadows = SHADOWS.lock();
    if let Some(free) = shadows.all.iter_mut().find(|s| !s.used) {
        *free = Shadow {
            used: true,
            stack,
            tuple: Some(*tuple),
            references: 1,
            unseen: u32::MAX,
        };
    }
}

/// Stub.
pub fn connect(stack: StackId, tuple: &FiveTuple, direction: Direction) -> Result<(), Errno> {
    probe::ask(tuple.as_probe(), stack, direction == Direction::Outgoing);
    if settings::mode() == settings::Mode::Off || !shared(tuple) {
        return Ok(());
    }
    let answer = if stack == 0 { decide(tuple) } else { Ok(()) };
    match answer {
        Ok(()) => {
            add_shadow(stack, tuple);
            probe::accept(tuple.as_probe(), stack, true, c"registered");
            probe::register(tuple.as_probe(), stack);
        }
        Err(_) => probe::refuse(tuple.as_probe(), stack, true, 2, c"owned", true),
    }
    if settings::mode() == settings::Mode::Observe {
        return Ok(());
    }
    answer
}

/// Stub.
pub fn disconnect(stack: StackId, tuple: &FiveTuple) {
    if stack == 0 {
        with(|registry, _| registry.disconnect(tuple));
    }
    shadow(stack, tuple, |s| {
        s.references -= 1;
        s.used = s.references > 0;
    });
    probe::remove(tuple.as_probe(), stack, c"disconnect");
}

/// Stub.
pub fn bind(_stack: StackId, endpoint: &Endpoint) {
    with(|registry, _| registry.bind(endpoint));
}

/// Stub.
pub fn unbind(_stack: StackId, endpoint: &Endpoint) {
    with(|registry, _| registry.unbind(endpoint));
}

/// Stub.
pub fn is_set_up() -> bool {
    BUILTIN.get().is_some()
}

/// Stub.
pub fn clear_local() {
    let mut shadows = SHADOWS.lock();
    for s in &mut shadows.all {
        if s.used
            && let Some(tuple) = s.tuple
        {
            for _ in 0..s.references {
                with(|registry, _| registry.disconnect(&tuple));
            }
        }
        s.used = false;
    }
}

/// Stub.
pub fn maintain(_now: u32) {}

/// Stub.
pub fn set_waker(_waker: fn()) {}

/// Stub.
pub fn audit_seen(stack: StackId, tuple: &FiveTuple) -> Audit {
    if !shared(tuple) {
        return Audit::NotShared;
    }
    if shadow(stack, tuple, |s| s.unseen = u32::MAX).is_some() {
        return Audit::Present;
    }
    if stack == 0 {
        let probe = with(|registry, _| match registry.connect(tuple) {
            Verdict::OwnedBy(node) => Some(node),
            _ => {
                registry.disconnect(tuple);
                None
            }
        });
        if let Some(Some(node)) = probe {
            return Audit::OwnedBy(node);
        }
    }
    Audit::Absent
}

/// Stub.
pub fn audit_add(stack: StackId, tuple: &FiveTuple) -> bool {
    probe::audit_fix(tuple.as_probe(), stack, c"added", 0);
    if stack == 0 && decide(tuple).is_err() {
        return false;
    }
    add_shadow(stack, tuple);
    true
}

/// Stub.
pub fn audit_finish() -> u64 {
    let mut removed = 0;
    let mut shadows = SHADOWS.lock();
    for s in &mut shadows.all {
        if s.used
            && s.tuple
                .is_some_and(|t| t.protocol == crate::flow::Protocol::Tcp)
        {
            s.unseen = s.unseen.wrapping_add(1);
            if s.unseen > 1
                && let Some(tuple) = s.tuple
            {
                s.used = false;
                removed += 1;
                probe::age(tuple.as_probe(), s.stack, 0);
                if s.stack == 0 {
                    for _ in 0..s.references {
                        with(|registry, _| registry.disconnect(&tuple));
                    }
                }
            }
        }
    }
    removed
}

/// Stub.
pub fn set_mode(_mode: u32) {}

/// Stub.
pub fn set_addresses(list: Option<&[[u64; 2]]>) -> Result<(), Errno> {
    let mut shadows = SHADOWS.lock();
    shadows.count = list.map_or(0, |list| list.len());
    for (place, words) in shadows.addresses.iter_mut().zip(list.unwrap_or(&[])) {
        *place = *words;
    }
    Ok(())
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
unsafe extern "C" fn disconnect7(
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
unsafe extern "C" fn bind7(
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
unsafe extern "C" fn unbind7(
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
