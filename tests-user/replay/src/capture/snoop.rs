// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The format of snoop, RFC 1761. All numbers are big-endian.

use std::io::Read;

use super::window::Window;
use super::{CaptureError, Format, Record, Timestamp, be32, whole_packet};
use crate::link::LinkType;

const FILE_HEADER: usize = 16;
const RECORD_HEADER: usize = 24;

pub(super) struct Snoop {
    link: LinkType,
}

impl Snoop {
    pub(super) fn open<R: Read>(window: &mut Window<R>) -> Result<Self, CaptureError> {
        let io = |error| CaptureError::Io { packet: 1, error };
        if !window.want(FILE_HEADER).map_err(io)? {
            return Err(CaptureError::CutHeader(Format::Snoop));
        }
        let version = be32(window.data(), 8);
        if version != 2 {
            return Err(CaptureError::Version {
                format: Format::Snoop,
                version: version.to_string(),
            });
        }
        let link = LinkType::from_dlpi(be32(window.data(), 12)).map_err(CaptureError::Link)?;
        window.consume(FILE_HEADER);
        Ok(Self { link })
    }

    /// A record: original length, included length, record length (with header
    /// and padding), drops, seconds, microseconds, data, padding.
    pub(super) fn next<'w, R: Read>(
        &mut self,
        window: &'w mut Window<R>,
        number: u64,
    ) -> Result<Option<Record<'w>>, CaptureError> {
        let included = |header: &[u8]| be32(header, 4);
        let Some(len) = whole_packet(window, number, RECORD_HEADER, included)? else {
            return Ok(None);
        };
        let record_len = be32(window.data(), 8) as usize;
        let padding = match record_len.checked_sub(len) {
            Some(padding) if record_len <= super::MAX_RECORD => padding,
            _ => {
                return Err(CaptureError::Damaged {
                    packet: number,
                    what: format!("{len} bytes do not fit its record of {record_len}"),
                });
            }
        };
        // The last record's padding may be missing: the packet is whole.
        window
            .want(len + padding)
            .map_err(|error| CaptureError::Io {
                packet: number,
                error,
            })?;
        let step = window.data().len().min(len + padding);
        window.consume(step);
        let end = window.position();
        let record = window.consumed(step);
        Ok(Some(Record {
            number,
            time: Some(Timestamp {
                seconds: be32(record, 16).into(),
                nanoseconds: be32(record, 20).saturating_mul(1000).min(999_999_999),
            }),
            link: Ok(self.link),
            original_len: be32(record, 0),
            data: &record[RECORD_HEADER..len],
            end,
        }))
    }
}
