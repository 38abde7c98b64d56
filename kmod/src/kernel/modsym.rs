// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Other modules, and what is in them by name.

use core::ffi::{CStr, c_int};
use core::mem;
use core::ptr::NonNull;

use super::sys;

/// A module that stays loaded while this lives.
pub struct OpenModule(NonNull<sys::__ddi_modhandle>);

// SAFETY: the handle is the kernel's; any thread may use and close it.
unsafe impl Send for OpenModule {}

impl OpenModule {
    /// Loads a module unless it is loaded, and holds it. Sleeps.
    ///
    /// # Errors
    ///
    /// The errno of the kernel.
    pub fn open(name: &CStr) -> Result<Self, c_int> {
        let mut error = 0;
        // SAFETY: a string and a place for the error.
        let handle =
            unsafe { sys::ddi_modopen(name.as_ptr(), sys::KRTLD_MODE_FIRST as c_int, &mut error) };
        NonNull::new(handle).map(Self).ok_or(error)
    }

    /// The address of one of its symbols; `None` if it has no such one.
    /// Sleeps.
    #[must_use]
    pub fn symbol(&self, name: &CStr) -> Option<NonNull<()>> {
        let mut error = 0;
        // SAFETY: an open handle, a string, and a place for the error.
        let address = unsafe { sys::ddi_modsym(self.0.as_ptr(), name.as_ptr(), &mut error) };
        NonNull::new(address.cast())
    }

    /// The function of a name; `None` if there is none. Sleeps.
    ///
    /// # Safety
    ///
    /// The function of that name is an `F`, which is a pointer, and is called only while
    /// this lives.
    pub unsafe fn function<F>(&self, name: &CStr) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<NonNull<()>>()) };
        let address = self.symbol(name)?;
        // SAFETY: of this size, and an `F` as the caller promises.
        Some(unsafe { mem::transmute_copy(&address) })
    }
}

impl Drop for OpenModule {
    fn drop(&mut self) {
        // SAFETY: opened by `open` and closed nowhere else. The result says
        // whether the module could be unloaded, which is nobody's concern.
        unsafe { sys::ddi_modclose(self.0.as_ptr()) };
    }
}
