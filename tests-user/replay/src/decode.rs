// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! From a frame to its addresses and its TCP or UDP header.

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, ip_number,
};

use crate::capture::Record;

/// A header at or below TCP and UDP is cut off or makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The link-layer addresses of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Macs {
    /// The link type has none, or not both.
    None,
    /// Both.
    Ethernet {
        /// The sender's.
        source: [u8; 6],
        /// The receiver's, perhaps a group.
        destination: [u8; 6],
    },
}

/// An IP packet. Addresses are those of IPv6, IPv4 v4-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) macs: Macs,
    pub(crate) source: u128,
    pub(crate) destination: u128,
    pub(crate) transport: Result<Transport, Malformed>,
}

/// What an IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp {
        source: u16,
        destination: u16,
        header: TcpHeader,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    /// Another protocol, or a fragment that is not the first one.
    Other,
}

/// What the life of a flow depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpHeader {
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    pub(crate) payload: u32,
}

impl TcpHeader {
    /// The sequence number behind this segment.
    pub(crate) fn sequence_end(&self) -> u32 {
        self.sequence
            .wrapping_add(self.payload)
            .wrapping_add(u32::from(self.syn))
            .wrapping_add(u32::from(self.fin))
    }
}

/// Decodes one captured frame; `None` if it is not IP.
pub(crate) fn decode(record: &Record<'_>) -> Result<Option<Packet>, Malformed> {
    let Some((macs, packet)) = record.link.strip(record.data)? else {
        return Ok(None);
    };
    // What the packet was long on the wire, for headers that do not say.
    let cut = record.data.len() - packet.len();
    let on_wire = (record.original_len as usize).max(record.data.len()) - cut;
    match packet.first().ok_or(Malformed)? >> 4 {
        4 => ipv4(macs, packet, on_wire),
        6 => ipv6(macs, packet, on_wire),
        _ => Err(Malformed),
    }
    .map(Some)
}

fn v4_mapped(address: [u8; 4]) -> u128 {
    0xffff_0000_0000 | u128::from(u32::from_be_bytes(address))
}

fn ipv4(macs: Macs, packet: &[u8], on_wire: usize) -> Result<Packet, Malformed> {
    let header = Ipv4HeaderSlice::from_slice(packet).map_err(|_| Malformed)?;
    let header_len = header.slice().len();
    // Zero if the interface was to cut a large segment into packets.
    let total_len = match usize::from(header.total_len()) {
        0 => on_wire,
        len => len,
    };
    let payload_len = total_len.checked_sub(header_len).ok_or(Malformed)?;
    let transport = if header.fragments_offset().value() == 0 {
        let captured = &packet[header_len..];
        match header.protocol() {
            ip_number::AUTH => extensions(header.protocol(), captured, payload_len),
            protocol => transport(protocol, captured, payload_len),
        }
    } else {
        Ok(Transport::Other)
    };
    Ok(Packet {
        macs,
        source: v4_mapped(header.source()),
        destination: v4_mapped(header.destination()),
        transport,
    })
}

fn ipv6(macs: Macs, packet: &[u8], on_wire: usize) -> Result<Packet, Malformed> {
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| Malformed)?;
    let header_len = header.slice().len();
    // Zero for a jumbogram and for a segment that the interface was to cut.
    let payload_len = match usize::from(header.payload_length()) {
        0 => on_wire.saturating_sub(header_len),
        len => len,
    };
    Ok(Packet {
        macs,
        source: u128::from_be_bytes(header.source()),
        destination: u128::from_be_bytes(header.destination()),
        transport: extensions(header.next_header(), &packet[header_len..], payload_len),
    })
}

/// Follows extension headers to the transport header. `captured` may be shorter
/// than `len`, which is what the packet had.
fn extensions(
    mut next: IpNumber,
    mut captured: &[u8],
    mut len: usize,
) -> Result<Transport, Malformed> {
    loop {
        let header_len = match next {
            ip_number::IPV6_HOP_BY_HOP
            | ip_number::IPV6_ROUTE
            | ip_number::IPV6_DEST_OPTIONS
            | ip_number::MOBILITY
            | ip_number::HIP
            | ip_number::SHIM6 => {
                let header = Ipv6RawExtHeaderSlice::from_slice(captured).map_err(|_| Malformed)?;
                next = header.next_header();
                header.slice().len()
            }
            ip_number::IPV6_FRAG => {
                let header =
                    Ipv6FragmentHeaderSlice::from_slice(captured).map_err(|_| Malformed)?;
                if header.fragment_offset().value() != 0 {
                    return Ok(Transport::Other);
                }
                next = header.next_header();
                header.slice().len()
            }
            ip_number::AUTH => {
                let header = IpAuthHeaderSlice::from_slice(captured).map_err(|_| Malformed)?;
                next = header.next_header();
                header.slice().len()
            }
            protocol => return transport(protocol, captured, len),
        };
        captured = &captured[header_len..];
        len = len.checked_sub(header_len).ok_or(Malformed)?;
    }
}

fn transport(protocol: IpNumber, captured: &[u8], len: usize) -> Result<Transport, Malformed> {
    match protocol {
        ip_number::TCP => tcp(captured, len),
        ip_number::UDP => udp(captured, len),
        _ => Ok(Transport::Other),
    }
}

/// Only the first 14 bytes are needed: captures cut to a few dozen bytes often
/// lack the options, without which a library refuses the header.
fn tcp(captured: &[u8], len: usize) -> Result<Transport, Malformed> {
    let header = captured.first_chunk::<14>().ok_or(Malformed)?;
    let [
        s0,
        s1,
        d0,
        d1,
        q0,
        q1,
        q2,
        q3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
    ] = *header;
    let header_len = usize::from(offset >> 4) * 4;
    if header_len < 20 || captured.len().min(len) < 14 {
        return Err(Malformed);
    }
    let payload = len.checked_sub(header_len).ok_or(Malformed)?;
    Ok(Transport::Tcp {
        source: u16::from_be_bytes([s0, s1]),
        destination: u16::from_be_bytes([d0, d1]),
        header: TcpHeader {
            sequence: u32::from_be_bytes([q0, q1, q2, q3]),
            acknowledgment: u32::from_be_bytes([a0, a1, a2, a3]),
            fin: flags & 0x01 != 0,
            syn: flags & 0x02 != 0,
            rst: flags & 0x04 != 0,
            ack: flags & 0x10 != 0,
            payload: payload as u32,
        },
    })
}

fn udp(captured: &[u8], len: usize) -> Result<Transport, Malformed> {
    let [s0, s1, d0, d1] = *captured.first_chunk::<4>().ok_or(Malformed)?;
    if len < 8 {
        return Err(Malformed);
    }
    Ok(Transport::Udp {
        source: u16::from_be_bytes([s0, s1]),
        destination: u16::from_be_bytes([d0, d1]),
    })
}
