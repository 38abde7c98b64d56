// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The protocol of a simulated machine's socket.
//!
//! Opening a connection is open(2) of the device, closing it close(2). Frames go
//! both ways in turn: a `u32` with the length of what follows, and the body.
//! All integers are little-endian. A request begins with a byte that says what
//! it is:
//!
//! | | | |
//! |---|---|---|
//! | 1 | ioctl | `u32` command, `u64` address of the argument, `u32` its length, its bytes, `u32` number of regions; each: `u64` address, `u32` length, `u8` writable, its bytes |
//! | 2 | read | `u32` length, `u8` 1: do not wait |
//! | 3 | poll | `i32` milliseconds, -1: for ever |
//! | 16 | machine | a [`MachineRequest`](crate::machine::MachineRequest) in JSON |
//!
//! A reply is an `i32` errno (0: fine), an `i32` result (of poll: 1 if there is
//! something to read), and bytes: of an ioctl the argument and then the writable
//! regions in their order, as the driver left them; of read what was read; of
//! machine a [`MachineReply`](crate::machine::MachineReply) in JSON. An ioctl
//! that failed has its bytes too, since a driver may write before it fails.

use std::io::{self, Read, Write};
use std::time::Duration;

/// The most bytes that the body of a frame may have.
pub const MOST_BYTES: usize = 16 << 20;

const IOCTL: u8 = 1;
const READ: u8 = 2;
const POLL: u8 = 3;
const MACHINE: u8 = 16;

/// What a program asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// ioctl(2).
    Ioctl {
        /// The command.
        command: u32,
        /// Where the argument lies in the program's memory.
        address: u64,
        /// The argument.
        argument: Vec<u8>,
        /// Further memory of the program.
        regions: Vec<SentRegion>,
    },
    /// read(2).
    Read {
        /// Bytes, at most.
        length: u32,
        /// As if the file were open with O_NONBLOCK.
        nonblocking: bool,
    },
    /// poll(2) for POLLIN.
    Poll {
        /// None: wait for ever. Whole milliseconds are sent.
        timeout: Option<Duration>,
    },
    /// What the program would ask its TCP/IP for, in JSON.
    Machine(String),
}

/// Memory of a program that an ioctl's argument points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRegion {
    /// Where it lies in the program's memory.
    pub address: u64,
    /// The driver may write it.
    pub writable: bool,
    /// What is there.
    pub bytes: Vec<u8>,
}

/// What it is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 0, or an error number of illumos.
    pub errno: i32,
    /// What the call returned.
    pub result: i32,
    /// What it left in the program's memory.
    pub bytes: Vec<u8>,
}

/// A frame that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends too early.
    #[error("the frame is cut short")]
    Short,
    /// It goes on after its end.
    #[error("the frame has {0} bytes too many")]
    Long(usize),
    /// There is no such request.
    #[error("there is no request {0}")]
    Unknown(u8),
    /// A value that must be 0 or 1, or a text that is none.
    #[error("the frame has a value that is none")]
    Value,
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl Request {
    /// The body of its frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Ioctl {
                command,
                address,
                argument,
                regions,
            } => {
                body.push(IOCTL);
                body.extend(command.to_le_bytes());
                body.extend(address.to_le_bytes());
                body.extend(length_of(argument).to_le_bytes());
                body.extend(argument);
                body.extend(length_of(regions).to_le_bytes());
                for region in regions {
                    body.extend(region.address.to_le_bytes());
                    body.extend(length_of(&region.bytes).to_le_bytes());
                    body.push(region.writable.into());
                    body.extend(&region.bytes);
                }
            }
            Self::Read {
                length,
                nonblocking,
            } => {
                body.push(READ);
                body.extend(length.to_le_bytes());
                body.push((*nonblocking).into());
            }
            Self::Poll { timeout } => {
                body.push(POLL);
                let milliseconds = timeout.map_or(-1, |time| {
                    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
                });
                body.extend(milliseconds.to_le_bytes());
            }
            Self::Machine(json) => {
                body.push(MACHINE);
                body.extend(json.as_bytes());
            }
        }
        body
    }

    /// The request of a frame with this body.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut rest = Rest(body);
        let request = match rest.byte()? {
            IOCTL => rest.ioctl()?,
            READ => Self::Read {
                length: rest.u32()?,
                nonblocking: rest.flag()?,
            },
            POLL => Self::Poll {
                timeout: match rest.i32()? {
                    -1 => None,
                    time => Some(Duration::from_millis(
                        u64::try_from(time).map_err(|_| WireError::Value)?,
                    )),
                },
            },
            MACHINE => Self::Machine(
                String::from_utf8(rest.take_all().to_vec()).map_err(|_| WireError::Value)?,
            ),
            other => return Err(WireError::Unknown(other)),
        };
        match rest.0.len() {
            0 => Ok(request),
            more => Err(WireError::Long(more)),
        }
    }
}

impl Reply {
    /// The body of its frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(8 + self.bytes.len());
        body.extend(self.errno.to_le_bytes());
        body.extend(self.result.to_le_bytes());
        body.extend(&self.bytes);
        body
    }

    /// The reply of a frame with this body.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut rest = Rest(body);
        Ok(Self {
            errno: rest.i32()?,
            result: rest.i32()?,
            bytes: rest.take_all().to_vec(),
        })
    }
}

/// Sends a body as a frame. InvalidInput if it is too long.
pub fn write_frame(to: &mut impl Write, body: &[u8]) -> io::Result<()> {
    if body.len() > MOST_BYTES {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend(length_of(body).to_le_bytes());
    frame.extend(body);
    to.write_all(&frame)
}

/// Receives the body of a frame; None if the other end closed before it began.
/// InvalidData if it is too long.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let mut have = 0;
    while have < length.len() {
        match from.read(&mut length[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => have += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}

/// Answers requests until the other end closes the connection. What is no
/// request ends it.
pub fn serve(
    stream: &mut (impl Read + Write),
    mut answer: impl FnMut(Request) -> Reply,
) -> io::Result<()> {
    while let Some(body) = read_frame(stream)? {
        let reply = answer(Request::decode(&body)?);
        write_frame(stream, &reply.encode())?;
    }
    Ok(())
}

/// Longer ones than fit do not get past [`write_frame`].
fn length_of<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

/// What of a body is not decoded yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn take_all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Value),
        }
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    fn ioctl(&mut self) -> Result<Request, WireError> {
        let command = self.u32()?;
        let address = self.u64()?;
        let length = self.u32()? as usize;
        let argument = self.take(length)?.to_vec();
        let count = self.u32()?;
        // Not allocated ahead: the count is an allegation.
        let mut regions = Vec::new();
        for _ in 0..count {
            let address = self.u64()?;
            let length = self.u32()? as usize;
            let writable = self.flag()?;
            let bytes = self.take(length)?.to_vec();
            regions.push(SentRegion {
                address,
                writable,
                bytes,
            });
        }
        Ok(Request::Ioctl {
            command,
            address,
            argument,
            regions,
        })
    }
}
