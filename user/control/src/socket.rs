// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The device of a simulated machine, over the Unix socket of its `lab node`.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::Errno;
use crate::device::{Device, Region};
use crate::machine::{MachineReply, MachineRequest};
use crate::wire::{self, Reply, Request, SentRegion};

/// A connection, which is one open file of the device.
#[derive(Debug)]
pub struct SocketDevice {
    stream: Mutex<UnixStream>,
}

impl SocketDevice {
    /// Connects to the socket of a `lab node`.
    pub fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: Mutex::new(UnixStream::connect(path)?),
        })
    }

    /// Asks the simulated machine for something that programs do without the
    /// device. The inner result is what its system calls answer.
    pub fn machine(&self, request: &MachineRequest) -> io::Result<Result<MachineReply, Errno>> {
        let reply = self.exchange(&Request::Machine(serde_json::to_string(request)?))?;
        if reply.errno != 0 {
            return Ok(Err(Errno(reply.errno)));
        }
        Ok(Ok(serde_json::from_slice(&reply.bytes)?))
    }

    fn exchange(&self, request: &Request) -> io::Result<Reply> {
        // A call that panicked left no half of a frame that matters: the next
        // reply does not decode then, which is an error.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        wire::write_frame(&mut *stream, &request.encode())?;
        let body = wire::read_frame(&mut *stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Reply::decode(&body)?)
    }

    /// A machine that is gone or speaks nonsense is an I/O error, as a broken
    /// device would be.
    fn call(&self, request: &Request) -> Result<Reply, Errno> {
        let reply = self.exchange(request).map_err(|_| Errno::EIO)?;
        match reply.errno {
            0 => Ok(reply),
            errno => Err(Errno(errno)),
        }
    }
}

impl Device for SocketDevice {
    fn ioctl(
        &self,
        command: u32,
        argument: &mut [u8],
        memory: &mut [Region<'_>],
    ) -> Result<i32, Errno> {
        let regions = memory.iter().map(|region| SentRegion {
            address: region.address(),
            writable: matches!(region, Region::Writable(_)),
            bytes: region.bytes().to_vec(),
        });
        let reply = self.call(&Request::Ioctl {
            command,
            address: Region::Readable(argument).address(),
            argument: argument.to_vec(),
            regions: regions.collect(),
        })?;
        let mut rest = reply.bytes.as_slice();
        let written = memory.iter_mut().filter_map(|region| match region {
            Region::Readable(_) => None,
            Region::Writable(bytes) => Some(&mut **bytes),
        });
        for target in std::iter::once(argument).chain(written) {
            let (bytes, others) = rest.split_at_checked(target.len()).ok_or(Errno::EIO)?;
            target.copy_from_slice(bytes);
            rest = others;
        }
        Ok(reply.result)
    }

    fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let reply = self.call(&Request::Read {
            length,
            nonblocking: true,
        })?;
        let target = buffer.get_mut(..reply.bytes.len()).ok_or(Errno::EIO)?;
        target.copy_from_slice(&reply.bytes);
        Ok(target.len())
    }

    fn poll(&self, timeout: Option<Duration>) -> Result<bool, Errno> {
        // Rounded up, so that a short time is not a busy loop.
        let timeout =
            timeout.map(|time| Duration::from_millis(time.as_micros().div_ceil(1000) as u64));
        let reply = self.call(&Request::Poll { timeout })?;
        Ok(reply.result > 0)
    }
}
