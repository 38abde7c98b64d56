// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The exported function pointers of the contract.

use core::ffi::c_int;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::{mem, ptr};

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

/// A type of the functions above.
pub trait Function: Copy {}

impl Function for Connect {}
impl Function for Disconnect {}
impl Function for Local {}

impl<F: Function> Slot<F> {
    const POINTER: () = assert!(size_of::<F>() == size_of::<*mut ()>());

    /// An empty slot.
    #[must_use]
    pub const fn empty() -> Self {
        const { Self::POINTER };
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
    fn load(&self) -> Option<F> {
        let function = ptr::NonNull::new(self.function.load(Ordering::Acquire))?;
        // SAFETY: by the invariant a function of this type, which is a pointer.
        Some(unsafe { mem::transmute_copy(&function) })
    }

    /// Stores `function` if the slot is empty.
    pub fn set(&self, function: F) -> bool {
        // SAFETY: functions of these types are pointers.
        let function = unsafe { mem::transmute_copy(&function) };
        let (empty, order) = (ptr::null_mut(), Ordering::AcqRel);
        self.function
            .compare_exchange(empty, function, order, Ordering::Relaxed)
            .is_ok()
    }
}

/// A provider's function, loaded from the slot once.
#[derive(Clone, Copy)]
pub struct Provider(Connect);

impl Provider {
    /// Is it this function?
    #[must_use]
    pub fn is(self, function: Connect) -> bool {
        ptr::fn_addr_eq(self.0, function)
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
        // SAFETY: the text stays mapped (invariant of Slot); both pointers are
        // to 16 bytes that are borrowed for the call, no family has more, and
        // the contract forbids the callee to keep them.
        unsafe {
            (self.0)(
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
}

impl Slot<Disconnect> {
    /// Calls the provider. False: there is none.
    pub fn notify(
        &self,
        protocol: u8,
        family: sys::sa_family_t,
        local: End<'_>,
        foreign: End<'_>,
    ) -> bool {
        let Some(disconnect) = self.load() else {
            return false;
        };
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
}

impl Slot<Local> {
    /// Calls the provider. False: there is none.
    pub fn notify(&self, protocol: u8, family: sys::sa_family_t, local: End<'_>) -> bool {
        let Some(happened) = self.load() else {
            return false;
        };
        // SAFETY: as in `ask`.
        unsafe { happened(protocol, family, local.0.as_mut_ptr(), local.1) };
        true
    }
}
