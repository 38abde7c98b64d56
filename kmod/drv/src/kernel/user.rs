// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The memory of the program that makes a system call.

use core::ffi::c_void;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::errno::Errno;
use super::sys;

/// How the addresses of an ioctl(2) are meant: a program's of 32 or 64 bits, or
/// a kernel module's.
#[derive(Clone, Copy)]
pub struct User {
    mode: i32,
}

impl User {
    /// # Safety
    ///
    /// This is the mode that `ioctl` was called with, and is used by its thread
    /// until it returns. If it has FKIOCTL, the caller is a part of the kernel and
    /// promises that its addresses are good.
    pub unsafe fn new(mode: i32) -> Self {
        Self { mode }
    }

    /// Copies in. May sleep: no lock may be held.
    ///
    /// # Errors
    ///
    /// [`Errno::FAULT`].
    pub fn read<T: FromBytes + IntoBytes>(self, from: u64, to: &mut [T]) -> Result<(), Errno> {
        let bytes = to.as_mut_bytes();
        // SAFETY: the target is ours and of this size, and good with any bytes in it;
        // ddi_copyin checks the source.
        let result = unsafe {
            sys::ddi_copyin(
                from as *const c_void,
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                self.mode,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }

    /// Copies out. May sleep: no lock may be held.
    ///
    /// # Errors
    ///
    /// [`Errno::FAULT`]; some of it may have been copied.
    pub fn write<T: IntoBytes + Immutable>(self, from: &[T], to: u64) -> Result<(), Errno> {
        let bytes = from.as_bytes();
        // SAFETY: the source is ours, of this size and without gaps; ddi_copyout
        // checks the target.
        let result = unsafe {
            sys::ddi_copyout(
                bytes.as_ptr().cast(),
                to as *mut c_void,
                bytes.len(),
                self.mode,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }
}

/// Where read(2) wants its bytes.
pub struct Request<'a>(&'a mut sys::uio_t);

impl<'a> Request<'a> {
    /// # Safety
    ///
    /// The pointer is NULL or the `uio` that `read` was called with, and nobody
    /// else uses it until that returns.
    pub unsafe fn new(uio: *mut sys::uio_t) -> Option<Self> {
        // SAFETY: as the caller promises.
        unsafe { uio.as_mut() }.map(Self)
    }

    /// For how many bytes there is room.
    pub fn room(&self) -> usize {
        usize::try_from(self.0.uio_resid).unwrap_or(0)
    }

    /// May it wait?
    pub fn may_wait(&self) -> bool {
        u32::from(self.0.uio_fmode) & (sys::FNDELAY | sys::FNONBLOCK) == 0
    }

    /// Gives bytes to the program. May sleep: no lock may be held.
    ///
    /// # Errors
    ///
    /// [`Errno::FAULT`]; some of them may have been given.
    pub fn give<T: IntoBytes + Immutable>(&mut self, from: &[T]) -> Result<(), Errno> {
        let bytes = from.as_bytes();
        // SAFETY: the source is ours, of this size, without gaps, and only read;
        // uiomove checks the target.
        let result = unsafe {
            sys::uiomove(
                bytes.as_ptr().cast_mut().cast(),
                bytes.len(),
                sys::UIO_READ,
                self.0,
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }
}
