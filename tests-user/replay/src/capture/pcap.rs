// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The classic format of libpcap.

use std::io::Read;

use pcap_parser::nom::IResult;
use pcap_parser::{
    LegacyPcapBlock, PcapError, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

use super::window::Window;
use super::{CaptureError, Format, Record, Timestamp, be32, whole_packet};
use crate::link::LinkType;

type ParseFrame =
    for<'a> fn(&'a [u8]) -> IResult<&'a [u8], LegacyPcapBlock<'a>, PcapError<&'a [u8]>>;

pub(super) struct Pcap {
    link: LinkType,
    big_endian: bool,
    /// Nanoseconds in the unit of a timestamp's fraction.
    unit: u32,
    /// The length of the header in front of each packet.
    header_len: usize,
    parse: ParseFrame,
}

/// Whether a file that begins so is a pcap file.
pub(super) fn is_magic(bytes: [u8; 4]) -> bool {
    matches!(
        u32::from_le_bytes(bytes),
        0xa1b2_c3d4 | 0xd4c3_b2a1 | 0xa1b2_3c4d | 0x4d3c_b2a1 | 0xa1b2_cd34
    )
}

impl Pcap {
    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<Self, CaptureError> {
        let io = |error| CaptureError::Io { packet: 1, error };
        if !window.want(24).map_err(io)? {
            return Err(CaptureError::CutHeader(Format::Pcap));
        }
        let (_, header) = parse_pcap_header(window.data())
            .map_err(|_| CaptureError::DamagedHeader(Format::Pcap))?;
        if header.version_major != 2 {
            return Err(CaptureError::Version {
                format: Format::Pcap,
                version: header.version_major.to_string(),
            });
        }
        // The upper bits say whether frames end in a checksum; IP does not care.
        let link = LinkType::from_linktype(header.network.0 as u32 & 0x03ff_ffff)
            .map_err(CaptureError::Link)?;
        window.consume(24);
        let big_endian = header.is_bigendian();
        let (header_len, parse): (usize, ParseFrame) = if header.is_modified_format() {
            (24, parse_pcap_frame_modified)
        } else if big_endian {
            (16, parse_pcap_frame_be)
        } else {
            (16, parse_pcap_frame)
        };
        let unit = if header.is_nanosecond_precision() {
            1
        } else {
            1000
        };
        Ok(Self {
            link,
            big_endian,
            unit,
            header_len,
            parse,
        })
    }

    pub(super) fn next<'w, R: Read>(
        &mut self,
        window: &'w mut Window<R>,
        number: u64,
    ) -> Result<Option<Record<'w>>, CaptureError> {
        let captured = |header: &[u8]| match be32(header, 8) {
            len if self.big_endian => len,
            len => len.swap_bytes(),
        };
        let Some(len) = whole_packet(window, number, self.header_len, captured)? else {
            return Ok(None);
        };
        window.consume(len);
        let end = window.position();
        let (_, frame) =
            (self.parse)(window.consumed(len)).map_err(|_| CaptureError::Cut { packet: number })?;
        Ok(Some(Record {
            number,
            time: Some(Timestamp {
                seconds: frame.ts_sec.into(),
                nanoseconds: frame.ts_usec.saturating_mul(self.unit).min(999_999_999),
            }),
            link: Ok(self.link),
            original_len: frame.origlen,
            data: frame.data,
            end,
        }))
    }
}
