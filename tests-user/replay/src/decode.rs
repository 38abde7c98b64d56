// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! From a frame to its addresses and its TCP or UDP header.

use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice,
    Ipv6RawExtHeaderSlice, TcpOptionElement, TcpOptionsIterator, ip_number,
};

use crate::capture::Record;
use crate::copies::Identity;
use crate::encapsulation::{self, Carried, Inside, Tunnel};
use crate::link::{LinkType, behind_ether_type, ethernet};

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

/// What a frame is found to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decoded {
    /// The innermost IP packet that was looked at.
    pub(crate) packet: Option<Packet>,
    /// The tunnel that was not looked into.
    pub(crate) closed: Option<&'static str>,
}

/// An IP packet. Addresses are those of IPv6, IPv4 v4-mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) macs: Macs,
    pub(crate) source: u128,
    pub(crate) destination: u128,
    /// Time to live or hop limit.
    pub(crate) ttl: u8,
    pub(crate) identity: Identity,
    pub(crate) transport: Result<Transport, Malformed>,
}

impl Packet {
    /// Has it passed a router? Senders begin with one of a few numbers.
    pub(crate) fn is_routed(&self) -> bool {
        !matches!(self.ttl, 0 | 1 | 30 | 32 | 60 | 64 | 128 | 255)
    }

    /// The source and destination port, if it has them.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Ok(
                Transport::Tcp {
                    source,
                    destination,
                    ..
                }
                | Transport::Udp {
                    source,
                    destination,
                },
            ) => Some((source, destination)),
            _ => None,
        }
    }

    /// The transport with ports of its own that it is of, but for TCP and UDP.
    pub(crate) fn other_transport(&self) -> Option<&'static str> {
        match self.transport {
            Ok(Transport::Other(ip_number::SCTP)) => Some("SCTP"),
            Ok(Transport::Other(ip_number::DCCP)) => Some("DCCP"),
            Ok(Transport::Other(ip_number::UDP_LITE)) => Some("UDP-Lite"),
            _ => None,
        }
    }
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
    Other(IpNumber),
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
    /// Unscaled; `None` if it was cut off.
    pub(crate) window: Option<u16>,
    /// The window scale option, of a SYN only.
    pub(crate) window_scale: Option<u8>,
}

impl TcpHeader {
    /// Is it the SYN of one who begins?
    pub(crate) fn is_first(&self) -> bool {
        self.syn && !self.ack && !self.rst
    }

    /// The sequence number behind this segment.
    pub(crate) fn sequence_end(&self) -> u32 {
        self.sequence
            .wrapping_add(self.payload)
            .wrapping_add(u32::from(self.syn))
            .wrapping_add(u32::from(self.fin))
    }
}

/// Decodes one captured frame. `inner`: looks into tunnels.
pub(crate) fn decode(
    link: LinkType,
    record: &Record<'_>,
    inner: bool,
) -> Result<Decoded, Malformed> {
    let (mut macs, mut carried) = link.strip(record.data)?;
    let mut decoded = Decoded::default();
    loop {
        let tunnel = match carried {
            Carried::Other => return Ok(decoded),
            Carried::Tunnel(tunnel) => Some(tunnel),
            Carried::Ip { version, packet } => {
                // What it was long on the wire, for headers that do not say.
                let cut = record.data.len() - packet.len();
                let on_wire = (record.original_len as usize).max(record.data.len()) - cut;
                let found = match (packet.first().ok_or(Malformed)? >> 4, version) {
                    (4, None | Some(4)) => ipv4(macs, packet, on_wire)?,
                    (6, None | Some(6)) => ipv6(macs, packet, on_wire)?,
                    _ => return Err(Malformed),
                };
                decoded.packet = Some(found.0);
                found.1
            }
        };
        let Some(tunnel) = tunnel else {
            return Ok(decoded);
        };
        let Some(inside) = tunnel.inside.filter(|_| inner) else {
            decoded.closed = Some(tunnel.name);
            return Ok(decoded);
        };
        match inside {
            Inside::Ethernet(frame) => (macs, carried) = ethernet(frame)?,
            Inside::Typed(ether_type, rest) => carried = behind_ether_type(ether_type.0, rest)?,
            Inside::Ip(packet) => {
                carried = Carried::Ip {
                    version: None,
                    packet,
                };
            }
        }
    }
}

/// What an IP packet carries, and the tunnel that this is.
type Payload<'a> = (Result<Transport, Malformed>, Option<Tunnel<'a>>);

const MALFORMED: Payload<'_> = (Err(Malformed), None);

fn v4_mapped(address: [u8; 4]) -> u128 {
    0xffff_0000_0000 | u128::from(u32::from_be_bytes(address))
}

fn ipv4(
    macs: Macs,
    packet: &[u8],
    on_wire: usize,
) -> Result<(Packet, Option<Tunnel<'_>>), Malformed> {
    let header = Ipv4HeaderSlice::from_slice(packet).map_err(|_| Malformed)?;
    let header_len = header.slice().len();
    // Zero if the interface was to cut a large segment into packets.
    let total_len = match usize::from(header.total_len()) {
        0 => on_wire,
        len => len,
    };
    let payload_len = total_len.checked_sub(header_len).ok_or(Malformed)?;
    let captured = &packet[header_len..];
    let protocol = header.protocol();
    let (transport, tunnel) = if header.fragments_offset().value() != 0 {
        later_fragment(protocol)
    } else if protocol == ip_number::AUTH {
        extensions(protocol, captured, payload_len)
    } else {
        transport(protocol, captured, payload_len)
    };
    let [_, _, _, _, i0, i1, f0, f1, ..] = *packet else {
        return Err(Malformed);
    };
    let fragment = u32::from_be_bytes([i0, i1, f0, f1]);
    let packet = Packet {
        macs,
        source: v4_mapped(header.source()),
        destination: v4_mapped(header.destination()),
        ttl: header.ttl(),
        identity: Identity::new(fragment, protocol, payload_len, captured),
        transport,
    };
    Ok((packet, tunnel))
}

fn ipv6(
    macs: Macs,
    packet: &[u8],
    on_wire: usize,
) -> Result<(Packet, Option<Tunnel<'_>>), Malformed> {
    let header = Ipv6HeaderSlice::from_slice(packet).map_err(|_| Malformed)?;
    let header_len = header.slice().len();
    // Zero for a jumbogram and for a segment that the interface was to cut.
    let payload_len = match usize::from(header.payload_length()) {
        0 => on_wire.saturating_sub(header_len),
        len => len,
    };
    let (protocol, captured) = (header.next_header(), &packet[header_len..]);
    let (transport, tunnel) = extensions(protocol, captured, payload_len);
    let packet = Packet {
        macs,
        source: u128::from_be_bytes(header.source()),
        destination: u128::from_be_bytes(header.destination()),
        ttl: header.hop_limit(),
        identity: Identity::new(0, protocol, payload_len, captured),
        transport,
    };
    Ok((packet, tunnel))
}

/// Follows extension headers to the transport header. `captured` may be shorter
/// than `len`, which is what the packet had.
fn extensions(next: IpNumber, captured: &[u8], len: usize) -> Payload<'_> {
    match behind_extensions(next, captured, len) {
        Err(Malformed) => MALFORMED,
        Ok((protocol, None)) => later_fragment(protocol),
        Ok((protocol, Some((captured, len)))) => transport(protocol, captured, len),
    }
}

/// The transport protocol, and where and how long it is; `None` in a fragment
/// that is not the first.
type Found<'a> = (IpNumber, Option<(&'a [u8], usize)>);

fn behind_extensions(
    mut next: IpNumber,
    mut captured: &[u8],
    mut len: usize,
) -> Result<Found<'_>, Malformed> {
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
                    return Ok((header.next_header(), None));
                }
                next = header.next_header();
                header.slice().len()
            }
            ip_number::AUTH => {
                let header = IpAuthHeaderSlice::from_slice(captured).map_err(|_| Malformed)?;
                next = header.next_header();
                header.slice().len()
            }
            protocol => return Ok((protocol, Some((captured, len)))),
        };
        captured = &captured[header_len..];
        len = len.checked_sub(header_len).ok_or(Malformed)?;
    }
}

fn later_fragment(protocol: IpNumber) -> Payload<'static> {
    let tunnel = encapsulation::of_protocol(protocol, None);
    (Ok(Transport::Other(protocol)), tunnel)
}

fn transport(protocol: IpNumber, captured: &[u8], len: usize) -> Payload<'_> {
    match protocol {
        ip_number::TCP => (tcp(captured, len), None),
        ip_number::UDP => udp(captured, len),
        _ => {
            let tunnel = encapsulation::of_protocol(protocol, Some(captured));
            (Ok(Transport::Other(protocol)), tunnel)
        }
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
            window: captured
                .get(14..16)
                .map(|window| u16::from_be_bytes([window[0], window[1]])),
            window_scale: (flags & 0x02 != 0)
                .then(|| window_scale(captured, header_len))
                .flatten(),
        },
    })
}

fn window_scale(captured: &[u8], header_len: usize) -> Option<u8> {
    let options = captured.get(20..header_len.min(captured.len()))?;
    TcpOptionsIterator::from_slice(options)
        .map_while(Result::ok)
        .find_map(|option| match option {
            TcpOptionElement::WindowScale(bits) => Some(bits),
            _ => None,
        })
}

fn udp(captured: &[u8], len: usize) -> Payload<'_> {
    let Some([s0, s1, d0, d1]) = captured.first_chunk() else {
        return MALFORMED;
    };
    if len < 8 {
        return MALFORMED;
    }
    let source = u16::from_be_bytes([*s0, *s1]);
    let destination = u16::from_be_bytes([*d0, *d1]);
    let udp = Transport::Udp {
        source,
        destination,
    };
    let payload = captured.get(8..).unwrap_or_default();
    (Ok(udp), encapsulation::of_udp(source, destination, payload))
}
