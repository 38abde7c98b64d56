// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel sockets: datagram ones, for the ioctls that they have.

use core::ffi::{c_int, c_void};
use core::ptr;

use super::errno::Errno;
use super::modsym::OpenModule;
use super::sys;

/// The functions of misc/ksocket, which stays loaded while this lives.
pub struct Ksockets {
    socket: sys::clinet_ksocket_socket_fn,
    ioctl: sys::clinet_ksocket_ioctl_fn,
    close: sys::clinet_ksocket_close_fn,
    _module: OpenModule,
}

impl Ksockets {
    /// Opens the module. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENXIO` if it cannot be opened, `ENOTSUP` if it lacks a function.
    pub fn open() -> Result<Self, Errno> {
        let module = OpenModule::open(c"misc/ksocket").map_err(|_| Errno::NXIO)?;
        // SAFETY: the functions of these names have these types, which C takes from
        // their declarations; the module stays loaded as long as they are kept.
        let functions = unsafe {
            (
                module.function(c"ksocket_socket"),
                module.function(c"ksocket_ioctl"),
                module.function(c"ksocket_close"),
            )
        };
        let (Some(socket), Some(ioctl), Some(close)) = functions else {
            return Err(Errno::NOTSUP);
        };
        Ok(Self {
            socket,
            ioctl,
            close,
            _module: module,
        })
    }

    /// A datagram socket of a family. Sleeps.
    ///
    /// # Errors
    ///
    /// The kernel's; `ENXIO` where UDP is not loaded.
    pub fn datagram(&self, family: sys::sa_family_t) -> Result<Ksocket<'_>, Errno> {
        let function = self.socket.ok_or(Errno::NOTSUP)?;
        let mut socket = ptr::null_mut();
        // SAFETY: a place for the socket, and credentials that are always there.
        let error = unsafe {
            function(
                &mut socket,
                family.into(),
                sys::SOCK_DGRAM as c_int,
                0,
                sys::KSOCKET_SLEEP as c_int,
                sys::kcred,
            )
        };
        Errno::check(error)?;
        Ok(Ksocket {
            socket,
            family,
            of: self,
        })
    }
}

/// A socket, which is closed when this is dropped.
pub struct Ksocket<'a> {
    socket: sys::ksocket_t,
    family: sys::sa_family_t,
    of: &'a Ksockets,
}

impl Ksocket<'_> {
    /// Its family.
    pub fn family(&self) -> sys::sa_family_t {
        self.family
    }

    /// An ioctl. Sleeps.
    ///
    /// # Errors
    ///
    /// The kernel's.
    ///
    /// # Safety
    ///
    /// `T` is what the command reads and writes, and what it points to may be
    /// read and written so, too.
    pub unsafe fn ioctl<T>(&self, command: u32, argument: &mut T) -> Result<(), Errno> {
        let function = self.of.ioctl.ok_or(Errno::NOTSUP)?;
        let argument: *mut c_void = ptr::from_mut(argument).cast();
        let mut value = 0;
        // SAFETY: the socket is open until this is dropped; the argument is the
        // caller's promise; there is a place for the value.
        let error = unsafe {
            function(
                self.socket,
                command.cast_signed(),
                argument as i64,
                &mut value,
                sys::kcred,
            )
        };
        Errno::check(error)
    }
}

impl Drop for Ksocket<'_> {
    fn drop(&mut self) {
        if let Some(function) = self.of.close {
            // SAFETY: opened by `datagram` and closed nowhere else. Nothing was
            // sent, so nobody is interested in an error.
            unsafe { function(self.socket, sys::kcred) };
        }
    }
}
