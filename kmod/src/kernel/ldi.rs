// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Devices that the module opens itself, and the TCP connections that one of them
//! ends.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::{mem, ptr};

use super::errno::Errno;
use super::kmem::KmemSlice;
use super::sys;

/// How devices are opened.
const FLAGS: c_int = (sys::FREAD | sys::FWRITE) as c_int;

/// Who opens; released when dropped.
struct Ident(sys::ldi_ident_t);

impl Ident {
    fn new() -> Result<Self, Errno> {
        let mut ident = ptr::null_mut();
        // SAFETY: a place for it.
        Errno::check(unsafe { sys::clinet_ident(&mut ident) })?;
        Ok(Self(ident))
    }
}

impl Drop for Ident {
    fn drop(&mut self) {
        // SAFETY: made by `new` and released nowhere else.
        unsafe { sys::ldi_ident_release(self.0) };
    }
}

/// An open STREAMS device, which is closed when this is dropped.
pub struct Device {
    handle: sys::ldi_handle_t,
    /// Outlives the handle.
    _ident: Ident,
}

impl Device {
    /// Opens the device of a driver with minor number 0. Sleeps.
    ///
    /// # Errors
    ///
    /// The kernel's; `ENXIO` if there is no such driver.
    fn open(driver: &CStr) -> Result<Self, Errno> {
        // SAFETY: a string, which is only read.
        let major = unsafe { sys::ddi_name_to_major(driver.as_ptr().cast_mut()) };
        if major == sys::major_t::MAX {
            return Err(Errno::NXIO);
        }
        let ident = Ident::new()?;
        // SAFETY: takes any numbers.
        let mut device = unsafe { sys::makedevice(major, 0) };
        let mut handle = ptr::null_mut();
        // SAFETY: places for the device and the handle, credentials that are always
        // there, and an ident.
        let error = unsafe {
            sys::ldi_open_by_dev(
                &mut device,
                sys::OTYP_CHR as c_int,
                FLAGS,
                sys::kcred,
                &mut handle,
                ident.0,
            )
        };
        Errno::check(error)?;
        Ok(Self {
            handle,
            _ident: ident,
        })
    }

    /// An ioctl that is passed down the stream. Sleeps.
    ///
    /// # Errors
    ///
    /// The kernel's.
    ///
    /// # Safety
    ///
    /// `T` is what the command reads and writes.
    unsafe fn ioctl<T>(&self, command: u32, argument: &mut T) -> Result<(), Errno> {
        let argument: *mut T = argument;
        let mut request = sys::strioctl {
            ic_cmd: command.cast_signed(),
            ic_timout: 0,
            ic_len: c_int::try_from(size_of::<T>()).map_err(|_| Errno::INVAL)?,
            ic_dp: argument.cast::<c_char>(),
        };
        let request: *mut c_void = (&raw mut request).cast();
        let mut value = 0;
        // SAFETY: the handle is open until this is dropped; the request points at
        // so many bytes, about which the caller promises the rest; there is a
        // place for the value.
        let error = unsafe {
            sys::ldi_ioctl(
                self.handle,
                sys::CLINET_I_STR.cast_signed(),
                request as isize,
                sys::FKIOCTL.cast_signed(),
                sys::kcred,
                &mut value,
            )
        };
        Errno::check(error)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: opened by `open` and closed nowhere else. It was only asked
        // things, so nobody is interested in an error.
        unsafe { sys::ldi_close(self.handle, FLAGS, sys::kcred) };
    }
}

/// TCP of the global stack.
pub struct Tcp {
    device: Device,
    /// One request, which is large for a stack.
    request: KmemSlice<sys::tcp_ioc_abort_conn_s>,
}

impl Tcp {
    /// Opens its device. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and the kernel's.
    pub fn open() -> Result<Self, Errno> {
        // SAFETY: numbers and arrays of them, for which zeros are valid.
        let request = KmemSlice::from_fn(1, |_| unsafe { mem::zeroed() });
        Ok(Self {
            request: request.ok_or(Errno::NOMEM)?,
            device: Device::open(c"tcp")?,
        })
    }

    /// Has all connections with a local address (in IPv6 form) ended, at this end
    /// and without a word to the other; listeners stay. `ENOENT` once there are
    /// none any more: until then they are ended soon. Sleeps.
    ///
    /// TCP compares one of `AF_INET` with the last four bytes of any address, so
    /// that one of IPv6 could be meant too; in IPv6 form it is compared as a whole.
    ///
    /// # Errors
    ///
    /// `ENOENT`, and the kernel's.
    pub fn abort(&mut self, local: [u8; 16]) -> Result<(), Errno> {
        let Some(request) = self.request.first_mut() else {
            return Err(Errno::NOMEM);
        };
        for (place, address) in [
            (&raw mut request.ac_local, local),
            (&raw mut request.ac_remote, [0; 16]),
        ] {
            // SAFETY: zeros are valid, as above.
            let mut end: sys::sockaddr_in6 = unsafe { mem::zeroed() };
            end.sin6_family = sys::AF_INET6 as sys::sa_family_t;
            // SAFETY: sixteen bytes in network order, in each form of the union.
            end.sin6_addr = unsafe { mem::transmute::<[u8; 16], sys::in6_addr_t>(address) };
            // SAFETY: the member has room for it, at any alignment.
            unsafe { place.cast::<sys::sockaddr_in6>().write_unaligned(end) };
        }
        request.ac_start = sys::TCPS_SYN_SENT;
        request.ac_end = sys::TCPS_TIME_WAIT as i32;
        request.ac_zoneid = sys::ALL_ZONES;
        // SAFETY: the structure of this command, without pointers.
        unsafe { self.device.ioctl(sys::CLINET_TCP_IOC_ABORT_CONN, request) }
    }
}
