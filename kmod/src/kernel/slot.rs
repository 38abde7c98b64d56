// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The exported function pointers of the contract.

use core::ffi::c_int;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::sys;

/// One end as a provider gets it: at least as many bytes as the family has,
/// which the callee may write, and a port in network byte order.
pub type End<'a> = (&'a mut [u8; 16], sys::in_port_t);

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

/// A provider's function, loaded from the slot once.
#[derive(Clone, Copy)]
pub struct Provider(ptr::NonNull<()>);

impl Provider {
    /// Is it this function?
    #[must_use]
    pub fn is(self, function: Connect) -> bool {
        self.0.as_ptr() == function as *mut ()
    }

    /// Calls it.
    #[must_use]
    pub fn ask(
        self,
        protocol: u8,
        outgoing: bool,
        family: sys::sa_family_t,
        local: End<'_>,
        foreign: End<'_>,
    ) -> c_int {
        // SAFETY: by the invariant of Slot this is a C function of this type.
        let connect = unsafe { core::mem::transmute::<ptr::NonNull<()>, Connect>(self.0) };
        // SAFETY: the text stays mapped (invariant of Slot); both pointers are
        // to 16 bytes that are borrowed for the call, no family has more, and
        // the contract forbids the callee to keep them.
        unsafe {
            connect(
                protocol,
                sys::boolean_t::from(outgoing),
                family,
                local.0.as_mut_ptr(),
                local.1,
                foreign.0.as_mut_ptr(),
                foreign.1,
            )
        }
    }
}

impl Slot<Connect> {
    /// Who is to be asked. `None`: nobody.
    pub fn provider(&self) -> Option<Provider> {
        self.load().map(Provider)
    }

    /// Stores `function` if the slot is empty.
    pub fn set(&self, function: Connect) -> bool {
        self.associate(function as *mut ())
    }
}

impl Slot<Disconnect> {
    /// Calls the provider. False: there is none.
    pub fn tell(
        &self,
        protocol: u8,
        family: sys::sa_family_t,
        local: End<'_>,
        foreign: End<'_>,
    ) -> bool {
        let Some(function) = self.load() else {
            return false;
        };
        // SAFETY: by the invariant of Slot this is a C function of this type.
        let disconnect = unsafe { core::mem::transmute::<ptr::NonNull<()>, Disconnect>(function) };
        // SAFETY: as in `ask`.
        unsafe {
            disconnect(
                protocol,
                family,
                local.0.as_mut_ptr(),
                local.1,
                foreign.0.as_mut_ptr(),
                foreign.1,
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
    /// Calls the provider. False: there is none.
    pub fn tell(&self, protocol: u8, family: sys::sa_family_t, local: End<'_>) -> bool {
        let Some(function) = self.load() else {
            return false;
        };
        // SAFETY: by the invariant of Slot this is a C function of this type.
        let told = unsafe { core::mem::transmute::<ptr::NonNull<()>, Local>(function) };
        // SAFETY: as in `ask`.
        unsafe { told(protocol, family, local.0.as_mut_ptr(), local.1) };
        true
    }

    /// Stores `function` if the slot is empty.
    pub fn set(&self, function: Local) -> bool {
        self.associate(function as *mut ())
    }
}
