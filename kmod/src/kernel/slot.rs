// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The exported function pointers of the contract.

use core::ffi::c_int;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::sys;
use crate::flow::{Endpoint, FiveTuple};

/// One exported slot: eight bytes of data that hold a C function or NULL.
///
/// # Invariants
///
/// The slot is NULL or holds a function of type `F` whose text stays mapped
/// until the machine is halted. That is the contract's demand on whoever
/// stores into it (`include/cl_inet.h`); the kernel linker gives the address
/// of a slot to any module that asks by name, so the type system cannot
/// enforce it.
#[repr(transparent)]
pub struct Slot<F> {
    function: AtomicPtr<()>,
    kind: PhantomData<F>,
}

/// `int (uint8_t, boolean_t, sa_family_t, uint8_t *, in_port_t, uint8_t *,
/// in_port_t)`.
pub type Connect = unsafe extern "C" fn(
    u8,
    sys::boolean_t,
    sys::sa_family_t,
    *mut u8,
    sys::in_port_t,
    *mut u8,
    sys::in_port_t,
) -> c_int;

/// `void (uint8_t, sa_family_t, uint8_t *, in_port_t, uint8_t *, in_port_t)`.
pub type Disconnect =
    unsafe extern "C" fn(u8, sys::sa_family_t, *mut u8, sys::in_port_t, *mut u8, sys::in_port_t);

/// `void (uint8_t, sa_family_t, uint8_t *, in_port_t)`.
pub type Local = unsafe extern "C" fn(u8, sys::sa_family_t, *mut u8, sys::in_port_t);

impl<F> Slot<F> {
    /// An empty slot.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            function: AtomicPtr::new(ptr::null_mut()),
            kind: PhantomData,
        }
    }

    /// Has somebody associated a function?
    pub fn is_set(&self) -> bool {
        !self.function.load(Ordering::Acquire).is_null()
    }

    /// The one load of a question. Acquire: what the provider set up before
    /// it associated itself is visible to the call.
    fn load(&self) -> Option<ptr::NonNull<()>> {
        ptr::NonNull::new(self.function.load(Ordering::Acquire))
    }

    fn associate(&self, function: *mut ()) -> bool {
        self.function
            .compare_exchange(
                ptr::null_mut(),
                function,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}

impl<F> Default for Slot<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl Slot<Connect> {
    /// Calls the provider with copies of the addresses. `None`: no provider.
    pub fn ask(&self, tuple: &FiveTuple, outgoing: bool) -> Option<c_int> {
        let function = self.load()?;
        // SAFETY: by the invariant of Slot this is a C function of this type.
        let connect = unsafe { core::mem::transmute::<ptr::NonNull<()>, Connect>(function) };
        let (mut laddr, mut faddr) = (tuple.local.addr.wire(), tuple.foreign.addr.wire());
        // SAFETY: the text stays mapped (invariant of Slot); both pointers are
        // to 16 live bytes, at least what the family promises, and the callee
        // may not keep them.
        Some(unsafe {
            connect(
                tuple.protocol.number(),
                sys::boolean_t::from(outgoing),
                tuple.local.addr.family().number(),
                laddr.as_mut_ptr(),
                tuple.local.port,
                faddr.as_mut_ptr(),
                tuple.foreign.port,
            )
        })
    }

    /// Stores `function` if the slot is empty.
    pub fn set(&self, function: Connect) -> bool {
        self.associate(function as *mut ())
    }
}

impl Slot<Disconnect> {
    /// Calls the provider with copies of the addresses. False: nobody there.
    pub fn tell(&self, tuple: &FiveTuple) -> bool {
        let Some(function) = self.load() else {
            return false;
        };
        // SAFETY: by the invariant of Slot this is a C function of this type.
        let disconnect = unsafe { core::mem::transmute::<ptr::NonNull<()>, Disconnect>(function) };
        let (mut laddr, mut faddr) = (tuple.local.addr.wire(), tuple.foreign.addr.wire());
        // SAFETY: as in `ask`.
        unsafe {
            disconnect(
                tuple.protocol.number(),
                tuple.local.addr.family().number(),
                laddr.as_mut_ptr(),
                tuple.local.port,
                faddr.as_mut_ptr(),
                tuple.foreign.port,
            );
        }
        true
    }

    /// Stores `function` if the slot is empty.
    pub fn set(&self, function: Disconnect) -> bool {
        self.associate(function as *mut ())
    }
}

impl Slot<Local> {
    /// Calls the provider with a copy of the address. False: nobody there.
    pub fn tell(&self, local: &Endpoint) -> bool {
        let Some(function) = self.load() else {
            return false;
        };
        // SAFETY: by the invariant of Slot this is a C function of this type.
        let told = unsafe { core::mem::transmute::<ptr::NonNull<()>, Local>(function) };
        let mut laddr = local.addr.wire();
        // SAFETY: as in `ask`.
        unsafe {
            told(
                local.protocol.number(),
                local.addr.family().number(),
                laddr.as_mut_ptr(),
                local.port,
            );
        }
        true
    }

    /// Stores `function` if the slot is empty.
    pub fn set(&self, function: Local) -> bool {
        self.associate(function as *mut ())
    }
}
