// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One open file of the control device, however it is reached.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use crate::{Errno, Error};

/// An open file of the control device. Closed when dropped.
///
/// Calls from several threads wait for one another, so a thread that waits in
/// [`Device::poll`] has an open file of its own.
pub trait Device: Send + Sync {
    /// ioctl(2) with the address of `argument`. The driver may read and write
    /// it, read all of `memory`, and write what is writable there.
    fn ioctl(
        &self,
        command: u32,
        argument: &mut [u8],
        memory: &mut [Region<'_>],
    ) -> Result<i32, Errno>;

    /// read(2), which never waits: EAGAIN if there is nothing.
    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Waits until there is something to read: for ever without a `timeout`.
    /// False if the time is over.
    fn poll(&self, timeout: Option<Duration>) -> Result<bool, Errno>;
}

/// Memory of the caller whose address is a member of an ioctl's argument.
#[derive(Debug)]
pub enum Region<'a> {
    /// The driver reads it.
    Readable(&'a [u8]),
    /// The driver may write it.
    Writable(&'a mut [u8]),
}

impl Region<'_> {
    /// The address that belongs into the argument.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.bytes().as_ptr().expose_provenance() as u64
    }

    /// What is there now.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Readable(bytes) => bytes,
            Self::Writable(bytes) => bytes,
        }
    }
}

/// Opens the device at `path`: what /dev/clinet is on illumos, or the socket of
/// a `lab node`.
pub fn open(path: &Path) -> Result<Box<dyn Device>, Error> {
    let cannot = |why| Error::Open {
        path: path.to_owned(),
        why,
    };
    let kind = fs::metadata(path).map_err(cannot)?.file_type();
    if kind.is_socket() {
        let device = crate::socket::SocketDevice::connect(path).map_err(cannot)?;
        return Ok(Box::new(device));
    }
    #[cfg(target_os = "illumos")]
    if kind.is_char_device() {
        let device = crate::illumos::CharacterDevice::open(path).map_err(cannot)?;
        return Ok(Box::new(device));
    }
    Err(cannot(io::Error::new(
        io::ErrorKind::InvalidInput,
        "neither the control device nor a socket of lab node",
    )))
}
