// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The device's node below `/devices`.

use core::ptr::NonNull;

use super::errno::Errno;
use super::sys;

/// The `dev_info_t` of an instance.
#[derive(Clone, Copy)]
pub struct DevInfo(NonNull<sys::dev_info_t>);

impl DevInfo {
    /// # Safety
    ///
    /// The pointer is NULL or what `attach` or `detach` was called with, and
    /// the result is used until the instance is detached.
    pub unsafe fn new(dev_info: *mut sys::dev_info_t) -> Option<Self> {
        NonNull::new(dev_info).map(Self)
    }

    /// The pointer.
    pub fn as_ptr(self) -> *mut sys::dev_info_t {
        self.0.as_ptr()
    }

    /// Makes the node that devlink makes `/dev/clinet` of. May sleep.
    ///
    /// # Errors
    ///
    /// [`Errno::NXIO`] if the kernel does not make it.
    pub fn create_node(self) -> Result<(), Errno> {
        // SAFETY: an instance that is attaching; the strings are only read.
        let result = unsafe {
            sys::ddi_create_minor_node(
                self.as_ptr(),
                c"clinet".as_ptr().cast_mut(),
                sys::S_IFCHR as i32,
                0,
                sys::DDI_PSEUDO.as_ptr().cast_mut().cast(),
                0,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(Errno::NXIO),
        }
    }

    /// Removes it. May sleep.
    pub fn remove_node(self) {
        // SAFETY: an instance that is attached; NULL is all of its nodes.
        unsafe { sys::ddi_remove_minor_node(self.as_ptr(), core::ptr::null_mut()) };
    }
}
