// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The control device of the machine that this runs on.

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Errno;
use crate::device::{Device, Region};

/// /dev/clinet.
#[derive(Debug)]
pub struct CharacterDevice {
    file: File,
}

impl CharacterDevice {
    /// Opens it, so that reading never waits.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        Ok(Self { file })
    }
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno)
}

impl Device for CharacterDevice {
    fn ioctl(
        &self,
        command: u32,
        argument: &mut [u8],
        _memory: &mut [Region<'_>],
    ) -> Result<i32, Errno> {
        // SAFETY: the argument is writable and stays so during the call, and so
        // does each region whose address it holds: the caller's borrows of both
        // last until this returns. The driver copies with copyin and copyout,
        // and no more than the sizes in the argument say.
        let result = unsafe {
            libc::ioctl(
                self.file.as_raw_fd(),
                command as c_int,
                argument.as_mut_ptr(),
            )
        };
        match result {
            -1 => Err(errno(&io::Error::last_os_error())),
            result => Ok(result),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        (&self.file).read(buffer).map_err(|error| errno(&error))
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<bool, Errno> {
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        let mut files = [PollFd::new(&self.file, PollFlags::IN)];
        poll(&mut files, timeout.as_ref())
            .map(|ready| ready > 0)
            .map_err(|error| Errno(error.raw_os_error()))
    }
}
