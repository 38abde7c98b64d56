// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Capture files, one packet at a time.

mod compression;
mod pcap;
mod pcapng;
mod snoop;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

use crate::link::{LinkType, UnsupportedLink};
use window::Window;

/// The largest record that is believed. More is damage, not a packet: libpcap
/// writes at most 256 KiB.
const MAX_RECORD: usize = 16 << 20;

/// A capture's file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The classic format of libpcap, in either byte order, with micro- or
    /// nanoseconds.
    Pcap,
    /// The block format of Wireshark.
    Pcapng,
    /// The format of snoop, RFC 1761.
    Snoop,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
            Self::Snoop => "snoop",
        })
    }
}

/// When a packet was captured, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Whole seconds.
    pub seconds: i64,
    /// The rest, below 10^9.
    pub nanoseconds: u32,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
    }
}

/// One captured packet.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// 1 is the first packet of the capture.
    pub number: u64,
    /// When it was captured, if the file says.
    pub time: Option<Timestamp>,
    /// What `data` begins with.
    pub link: Result<LinkType, UnsupportedLink>,
    /// Its length before it was cut to the capture's limit, in bytes.
    pub original_len: u32,
    /// What was captured.
    pub data: &'a [u8],
    /// Where in the file the record ends, in bytes.
    pub end: u64,
}

/// A capture cannot be read, or no further.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file is empty.
    #[error("the file is empty: not a capture")]
    Empty,
    /// The first bytes are those of no known format.
    #[error(
        "unknown file type (it begins with {}); known are pcap, pcapng and snoop, as they are or \
         packed by gzip, bzip2, zstd or xz",
        hex(.0)
    )]
    UnknownFormat(Vec<u8>),
    /// A format's version that is not known.
    #[error("{format} version {version} is not supported")]
    Version {
        /// The format.
        format: Format,
        /// The version in the file.
        version: String,
    },
    /// The file ends inside its own header.
    #[error("the {0} file ends inside its header")]
    CutHeader(Format),
    /// The file's own header makes no sense.
    #[error("the header of the {0} file is damaged")]
    DamagedHeader(Format),
    /// No packet of the file has a link type that is supported.
    #[error("{0}")]
    Link(UnsupportedLink),
    /// The file ends inside a packet.
    #[error("the capture ends inside packet {packet}")]
    Cut {
        /// 1 is the first packet of the capture.
        packet: u64,
    },
    /// The file ends inside a block that is not a packet.
    #[error("the capture ends inside a block of type {kind:#x}, before packet {packet}")]
    CutBlock {
        /// What the next packet's number would have been.
        packet: u64,
        /// The block's type.
        kind: u32,
    },
    /// A record makes no sense, so what follows cannot be found.
    #[error("the capture is damaged at packet {packet}: {what}")]
    Damaged {
        /// The number of the packet, or of the next one.
        packet: u64,
        /// What makes no sense.
        what: String,
    },
    /// The file cannot be read.
    #[error("cannot read on at packet {packet}: {error}")]
    Io {
        /// The number of the packet, or of the next one.
        packet: u64,
        /// The operating system's word.
        error: io::Error,
    },
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    digits.join(" ")
}

enum Reader {
    Pcap(pcap::Pcap),
    Pcapng(pcapng::Pcapng),
    Snoop(snoop::Snoop),
}

/// A capture file, recognised by its first bytes and unpacked if need be.
pub struct Capture<'r> {
    window: Window<Box<dyn Read + 'r>>,
    reader: Reader,
    packets: u64,
}

impl<'r> Capture<'r> {
    /// Reads the file's header. Needs no buffering: reads are large.
    ///
    /// # Errors
    ///
    /// The file is of no known type, its header is cut short or damaged, or its
    /// link type is not supported.
    pub fn new(reader: impl Read + 'r) -> Result<Self, CaptureError> {
        let io = |error| CaptureError::Io { packet: 1, error };
        let mut window = Window::new(compression::unpacked(reader).map_err(io)?);
        window.want(8).map_err(io)?;
        let reader = match window.data() {
            [] => return Err(CaptureError::Empty),
            [b's', b'n', b'o', b'o', b'p', 0, 0, 0, ..] => {
                Reader::Snoop(snoop::Snoop::open(&mut window)?)
            }
            [0x0a, 0x0d, 0x0d, 0x0a, ..] => Reader::Pcapng(pcapng::Pcapng::default()),
            [a, b, c, d, ..] if pcap::is_magic([*a, *b, *c, *d]) => {
                Reader::Pcap(pcap::Pcap::open(&mut window)?)
            }
            other => {
                return Err(CaptureError::UnknownFormat(
                    other[..other.len().min(8)].to_vec(),
                ));
            }
        };
        Ok(Self {
            window,
            reader,
            packets: 0,
        })
    }

    /// The file's format.
    pub fn format(&self) -> Format {
        match self.reader {
            Reader::Pcap(_) => Format::Pcap,
            Reader::Pcapng(_) => Format::Pcapng,
            Reader::Snoop(_) => Format::Snoop,
        }
    }

    /// How many packets have been read.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// How much of the unpacked file has been read, in bytes.
    pub fn position(&self) -> u64 {
        self.window.position()
    }

    /// How many sections of a pcapng file were skipped, by their version.
    pub fn skipped_sections(&self) -> BTreeMap<String, u64> {
        match &self.reader {
            Reader::Pcapng(pcapng) => pcapng.skipped().clone(),
            Reader::Pcap(_) | Reader::Snoop(_) => BTreeMap::new(),
        }
    }

    /// The next packet; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// The file ends inside the packet, is damaged or cannot be read. Nothing can
    /// be read behind an error.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        let number = self.packets + 1;
        let record = match &mut self.reader {
            Reader::Pcap(pcap) => pcap.next(&mut self.window, number),
            Reader::Pcapng(pcapng) => pcapng.next(&mut self.window, number),
            Reader::Snoop(snoop) => snoop.next(&mut self.window, number),
        }?;
        self.packets += u64::from(record.is_some());
        Ok(record)
    }
}

/// The length of the next packet's header and data, once all of it is in the
/// window; `None` at the end of the file.
fn whole_packet<R: Read>(
    window: &mut Window<R>,
    packet: u64,
    header_len: usize,
    data_len: impl Fn(&[u8]) -> u32,
) -> Result<Option<usize>, CaptureError> {
    let io = |error| CaptureError::Io { packet, error };
    if !window.want(header_len).map_err(io)? {
        return match window.data() {
            [] => Ok(None),
            _ => Err(CaptureError::Cut { packet }),
        };
    }
    let len = header_len + data_len(window.data()) as usize;
    if len > MAX_RECORD {
        return Err(CaptureError::Damaged {
            packet,
            what: format!("its record claims to be {len} bytes long"),
        });
    }
    if !window.want(len).map_err(io)? {
        return Err(CaptureError::Cut { packet });
    }
    Ok(Some(len))
}

/// The 32-bit number at `offset`, which must be inside, in big-endian order.
fn be32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_be_bytes([
        bytes[offset],
        bytes[offset + 1],
        bytes[offset + 2],
        bytes[offset + 3],
    ])
}
