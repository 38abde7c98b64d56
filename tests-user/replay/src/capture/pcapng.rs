// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The block format of Wireshark.

use std::collections::BTreeMap;
use std::io::Read;

use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, InterfaceDescriptionBlock, parse_block_be, parse_block_le};

use super::window::Window;
use super::{CaptureError, Format, MAX_RECORD, Record, Timestamp, be32};
use crate::link::{LinkType, UnsupportedLink};

/// The same in either byte order.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

struct Interface {
    link: Result<LinkType, UnsupportedLink>,
    snap_len: u32,
    /// Timestamp units in a second; `None` if the file names an absurd one.
    units: Option<u64>,
    /// Seconds to add to every timestamp.
    offset: i64,
}

impl Interface {
    fn new(block: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let resolution = block.if_tsresol;
        let exponent = u32::from(resolution & 0x7f);
        let units = if resolution & 0x80 == 0 {
            10u64.checked_pow(exponent)
        } else {
            1u64.checked_shl(exponent)
        };
        Self {
            link: LinkType::from_linktype(block.linktype.0 as u32),
            snap_len: block.snaplen,
            units,
            // The library reads this number as little-endian always.
            offset: if big_endian {
                block.if_tsoffset.swap_bytes()
            } else {
                block.if_tsoffset
            },
        }
    }

    fn time(&self, units_since_epoch: u64) -> Option<Timestamp> {
        let units = self.units?;
        let seconds = i64::try_from(units_since_epoch / units).ok()?;
        let fraction = u128::from(units_since_epoch % units);
        Some(Timestamp {
            seconds: seconds.checked_add(self.offset)?,
            nanoseconds: (fraction * 1_000_000_000 / u128::from(units)) as u32,
        })
    }
}

/// A packet, whichever block it came in.
struct Found<'a> {
    interface: u32,
    time: Option<u64>,
    original_len: u32,
    data: &'a [u8],
}

#[derive(Default)]
pub(super) struct Pcapng {
    big_endian: bool,
    /// Those of the current section.
    interfaces: Vec<Interface>,
    in_section: bool,
    /// The current section has a version whose blocks are not known.
    skips: bool,
    /// Sections that were skipped, by their version.
    skipped: BTreeMap<String, u64>,
    /// A section was not skipped.
    has_read: bool,
}

impl Pcapng {
    pub(super) fn skipped(&self) -> &BTreeMap<String, u64> {
        &self.skipped
    }

    pub(super) fn next<'w, R: Read>(
        &mut self,
        window: &'w mut Window<R>,
        number: u64,
    ) -> Result<Option<Record<'w>>, CaptureError> {
        let Some(len) = self.next_packet_block(window, number)? else {
            return Ok(None);
        };
        window.consume(len);
        let end = window.position();
        let found = self
            .packet(window.consumed(len))
            .ok_or_else(|| damaged(number, "its block does not hold what it says"))?;
        let interface = self
            .interfaces
            .get(found.interface as usize)
            .ok_or_else(|| {
                let index = found.interface;
                damaged(
                    number,
                    format!("it names interface {index}, which is not there"),
                )
            })?;
        Ok(Some(Record {
            number,
            time: found.time.and_then(|time| interface.time(time)),
            link: interface.link,
            original_len: found.original_len,
            data: found.data,
            end,
        }))
    }

    /// Reads on to the next block with a packet; its length, once all of it is
    /// in the window.
    fn next_packet_block<R: Read>(
        &mut self,
        window: &mut Window<R>,
        number: u64,
    ) -> Result<Option<usize>, CaptureError> {
        let io = |error| CaptureError::Io {
            packet: number,
            error,
        };
        loop {
            if !window.want(8).map_err(io)? {
                return match window.data() {
                    [] if self.in_section => self.at_end(),
                    _ if !self.in_section => Err(CaptureError::CutHeader(Format::Pcapng)),
                    _ => Err(CaptureError::Cut { packet: number }),
                };
            }
            let kind = self.number(window.data(), 0);
            if kind == SECTION {
                // The byte order is told behind the length.
                if !window.want(12).map_err(io)? {
                    return Err(self.cut(kind, number));
                }
                self.byte_order(window.data(), number)?;
            }
            let len = self.number(window.data(), 4) as usize;
            let absurd = || {
                let what = format!("a block of type {kind:#x} claims to be {len} bytes long");
                Err(damaged(number, what))
            };
            if len < 12 || !len.is_multiple_of(4) {
                return absurd();
            }
            let wanted = match kind {
                SECTION => true,
                INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => !self.skips,
                _ => false,
            };
            if !wanted {
                if !window.skip(len).map_err(io)? {
                    return Err(self.cut(kind, number));
                }
                continue;
            }
            if len > MAX_RECORD {
                return absurd();
            }
            if !window.want(len).map_err(io)? {
                return Err(self.cut(kind, number));
            }
            match kind {
                SECTION => self.section(&window.data()[..len], number)?,
                INTERFACE => self.interface(&window.data()[..len], number)?,
                _ => return Ok(Some(len)),
            }
            self.in_section = true;
            window.consume(len);
        }
    }

    /// Begins a section; one of another major version is skipped.
    fn section(&mut self, block: &[u8], packet: u64) -> Result<(), CaptureError> {
        if block.len() < 16 {
            return Err(damaged(packet, "a section has no version"));
        }
        let (major, minor) = (self.short(block, 12), self.short(block, 14));
        self.interfaces.clear();
        self.skips = major != 1;
        if self.skips {
            *self.skipped.entry(format!("{major}.{minor}")).or_default() += 1;
        } else {
            self.has_read = true;
        }
        Ok(())
    }

    /// A file of which nothing could be read is of an unknown version.
    fn at_end<T>(&self) -> Result<Option<T>, CaptureError> {
        match self.skipped.keys().next() {
            Some(version) if !self.has_read => Err(CaptureError::Version {
                format: Format::Pcapng,
                version: version.clone(),
            }),
            _ => Ok(None),
        }
    }

    fn cut(&self, kind: u32, packet: u64) -> CaptureError {
        match kind {
            _ if !self.in_section => CaptureError::CutHeader(Format::Pcapng),
            OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => CaptureError::Cut { packet },
            _ => CaptureError::CutBlock { packet, kind },
        }
    }

    /// Notes the byte order of the section that begins here.
    fn byte_order(&mut self, block: &[u8], packet: u64) -> Result<(), CaptureError> {
        self.big_endian = match be32(block, 8) {
            0x1a2b_3c4d => true,
            0x4d3c_2b1a => false,
            _ if !self.in_section => return Err(CaptureError::DamagedHeader(Format::Pcapng)),
            _ => return Err(damaged(packet, "a section has no byte order")),
        };
        Ok(())
    }

    /// The 32-bit number at `offset`, which must be inside.
    fn number(&self, block: &[u8], offset: usize) -> u32 {
        let number = be32(block, offset);
        if self.big_endian {
            number
        } else {
            number.swap_bytes()
        }
    }

    /// The 16-bit number at `offset`, which must be inside.
    fn short(&self, block: &[u8], offset: usize) -> u16 {
        let bytes = [block[offset], block[offset + 1]];
        if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }

    fn parse<'a>(&self, block: &'a [u8]) -> Option<Block<'a>> {
        let parse = if self.big_endian {
            parse_block_be
        } else {
            parse_block_le
        };
        parse(block).ok().map(|(_, block)| block)
    }

    fn interface(&mut self, block: &[u8], packet: u64) -> Result<(), CaptureError> {
        match self.parse(block) {
            Some(Block::InterfaceDescription(block)) => {
                self.interfaces
                    .push(Interface::new(&block, self.big_endian));
                Ok(())
            }
            _ => Err(damaged(packet, "an interface is not described")),
        }
    }

    fn packet<'a>(&self, block: &'a [u8]) -> Option<Found<'a>> {
        match self.number(block, 0) {
            OLD_PACKET => self.old_packet(block),
            ENHANCED_PACKET => self.enhanced_packet(block),
            _ => self.simple_packet(block),
        }
    }

    fn enhanced_packet<'a>(&self, block: &'a [u8]) -> Option<Found<'a>> {
        match self.parse(block)? {
            Block::EnhancedPacket(packet) => Some(Found {
                interface: packet.if_id,
                time: Some(u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low)),
                original_len: packet.origlen,
                data: packet.data.get(..packet.caplen as usize)?,
            }),
            _ => None,
        }
    }

    /// On the first interface, cut to its limit, without a time.
    fn simple_packet<'a>(&self, block: &'a [u8]) -> Option<Found<'a>> {
        let Block::SimplePacket(packet) = self.parse(block)? else {
            return None;
        };
        let limit = match self.interfaces.first()?.snap_len {
            0 => u32::MAX,
            limit => limit,
        };
        let original_len = packet.orig_len();
        let captured = (original_len.min(limit) as usize).min(packet.data.len());
        Some(Found {
            interface: 0,
            time: None,
            original_len,
            data: packet.data.get(..captured)?,
        })
    }

    /// The obsolete Packet Block, which the library does not know: as the
    /// enhanced one, but with 16 bits each for interface and drops.
    fn old_packet<'a>(&self, block: &'a [u8]) -> Option<Found<'a>> {
        let body = block.get(8..block.len() - 4)?;
        let (header, data) = body.split_first_chunk::<20>()?;
        let time = u64::from(self.number(header, 4)) << 32 | u64::from(self.number(header, 8));
        Some(Found {
            interface: self.short(header, 0).into(),
            time: Some(time),
            original_len: self.number(header, 16),
            data: data.get(..self.number(header, 12) as usize)?,
        })
    }
}

fn damaged(packet: u64, what: impl Into<String>) -> CaptureError {
    CaptureError::Damaged {
        packet,
        what: what.into(),
    }
}
