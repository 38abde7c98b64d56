// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! ip as it is found: the module held open, its hook variables, its walk.

use core::ffi::{CStr, c_void};

use super::hooks::{Hook, Variable};
use crate::kernel::errno::Errno;
use crate::kernel::modsym::OpenModule;
use crate::kernel::sys;

const WALK: &CStr = c"cl_tcp_walk_list";

const NO_IP: &CStr = c"clinet: not attached: drv/ip cannot be opened";
const NO_WALK: &CStr = c"clinet: not attached: ip has no function cl_tcp_walk_list; clinet does not know this kernel's ip";

/// Why ip is left as it was, or as it is.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// For the caller of `clinet_attach_ip`.
    pub errno: Errno,
    /// For the log and the kstat: names what is in the way.
    pub reason: &'static CStr,
}

/// ip, which stays loaded while this lives.
pub struct Ip {
    module: OpenModule,
    walk: Walk,
}

impl Ip {
    /// Opens ip. Sleeps.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or has no walk.
    pub fn open() -> Result<Self, Refusal> {
        let module = OpenModule::open(c"drv/ip").map_err(|_| Refusal {
            errno: Errno::NXIO,
            reason: NO_IP,
        })?;
        // SAFETY: ip's function of that name has this type, which C checks against
        // ip's declaration where there is one; ip is held open.
        let walk = unsafe { module.function(WALK) }.ok_or(Refusal {
            errno: Errno::NOTSUP,
            reason: NO_WALK,
        })?;
        Ok(Self {
            module,
            walk: Walk(walk),
        })
    }

    /// The variable of a hook. Sleeps.
    ///
    /// # Errors
    ///
    /// There is none of that name.
    pub fn variable(&self, hook: Hook) -> Result<Variable, Refusal> {
        let address = self.module.symbol(hook.name()).ok_or(Refusal {
            errno: Errno::NOTSUP,
            reason: hook.missing(),
        })?;
        // SAFETY: ip's symbol of that name; ip cannot be unloaded while it is
        // held open, and whoever stores into a variable keeps it open for
        // ever.
        Ok(unsafe { Variable::new(hook, address) })
    }

    /// Its walk.
    pub fn walk(&self) -> Walk {
        self.walk
    }
}

/// `cl_tcp_walk_list`.
#[derive(Clone, Copy)]
pub struct Walk(sys::clinet_walk_fn);

/// What the walk calls for each connection.
pub type Look = unsafe extern "C" fn(*mut sys::clinet_tcp_info_t, *mut c_void) -> core::ffi::c_int;

impl Walk {
    /// Calls `look` for each TCP connection of a stack. False: the stack is
    /// gone. Sleeps.
    ///
    /// # Safety
    ///
    /// `look` can be called with `argument`, in this thread, until this
    /// returns.
    pub unsafe fn call(self, stack: sys::netstackid_t, look: Look, argument: *mut c_void) -> bool {
        // SAFETY: passed on by the caller; the stack id may be any; ip is held open.
        self.0
            .is_some_and(|walk| unsafe { walk(stack, Some(look), argument) } == 0)
    }
}
