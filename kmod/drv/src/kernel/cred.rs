// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who calls, and what it may do.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::sys;

/// The credentials of the program that makes a system call.
#[derive(Clone, Copy)]
pub struct Cred<'a> {
    cred: NonNull<sys::cred_t>,
    call: PhantomData<&'a ()>,
}

impl Cred<'_> {
    /// # Safety
    ///
    /// The pointer is the `cred_t` that an entry point was called with, which
    /// stays until it returns: that is `'a`.
    pub unsafe fn new(cred: *mut sys::cred_t) -> Option<Self> {
        Some(Self {
            cred: NonNull::new(cred)?,
            call: PhantomData,
        })
    }

    /// Has it PRIV_NET_OBSERVABILITY?
    pub fn may_observe(self) -> bool {
        // SAFETY: a cred_t that lives during the call.
        unsafe { sys::secpolicy_net_observability(self.cred.as_ptr()) == 0 }
    }

    /// Is it of the global zone with PRIV_SYS_IP_CONFIG?
    pub fn may_change(self) -> bool {
        const GLOBAL_ZONE: sys::zoneid_t = 0;
        // SAFETY: a cred_t that lives during the call.
        let zone = unsafe { sys::crgetzoneid(self.cred.as_ptr()) };
        // SAFETY: as above. The zone comes first: a failed secpolicy is audited.
        zone == GLOBAL_ZONE
            && unsafe { sys::secpolicy_ip_config(self.cred.as_ptr(), sys::B_FALSE) == 0 }
    }
}
