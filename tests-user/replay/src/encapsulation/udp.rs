// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tunnels in UDP, which ports tell.

use etherparse::EtherType;

use super::{IPV6, Inside, Tunnel, closed, mpls, ppp, typed, versioned};

/// The tunnel that a UDP datagram between these ports is, if its header agrees.
pub(crate) fn of_udp(source: u16, destination: u16, payload: &[u8]) -> Option<Tunnel<'_>> {
    match destination {
        2152 => gtp_u(payload),
        // 8472 is what Linux took before there was a number.
        4789 | 8472 => vxlan(payload),
        6081 => geneve(payload),
        // RFC 7510.
        6635 => Some(Tunnel {
            name: "MPLS",
            inside: mpls(payload),
        }),
        // An answer comes from there.
        _ => [destination, source]
            .into_iter()
            .find_map(|port| match port {
                1701 => l2tp(payload),
                3544 => teredo(payload),
                4500 => esp(payload),
                51820 => wireguard(payload),
                _ => None,
            }),
    }
}

/// RFC 7348: one bit says that it is one, the others are to be ignored.
fn vxlan(payload: &[u8]) -> Option<Tunnel<'_>> {
    match payload {
        [flags, _, _, _, _, _, _, _, frame @ ..] if flags & 0x08 != 0 => Some(Tunnel {
            name: "VXLAN",
            inside: Some(Inside::Ethernet(frame)),
        }),
        _ => None,
    }
}

/// RFC 8926.
fn geneve(payload: &[u8]) -> Option<Tunnel<'_>> {
    match payload {
        [options, _, high, low, _, _, _, _, rest @ ..] if options >> 6 == 0 => {
            let rest = rest.get(usize::from(options & 0x3f) * 4..);
            let ether_type = EtherType(u16::from_be_bytes([*high, *low]));
            Some(Tunnel {
                name: "Geneve",
                inside: rest.and_then(|rest| typed(ether_type, rest)),
            })
        }
        _ => None,
    }
}

/// 3GPP TS 29.281: version 1, and message 255, which carries a packet.
fn gtp_u(payload: &[u8]) -> Option<Tunnel<'_>> {
    match payload {
        [flags, 0xff, _, _, _, _, _, _, rest @ ..] if flags >> 4 == 3 => Some(Tunnel {
            name: "GTP-U",
            inside: behind_gtp_extensions(*flags, rest).and_then(versioned),
        }),
        _ => None,
    }
}

/// Each extension header begins with its length in words and ends with the type
/// of the next one.
fn behind_gtp_extensions(flags: u8, rest: &[u8]) -> Option<&[u8]> {
    if flags & 0x07 == 0 {
        return Some(rest);
    }
    let ([_, _, _, first], mut rest) = rest.split_first_chunk::<4>()?;
    let mut next = if flags & 0x04 != 0 { *first } else { 0 };
    while next != 0 {
        let (header, behind) = rest.split_at_checked(usize::from(*rest.first()?) * 4)?;
        next = *header.last()?;
        rest = behind;
    }
    Some(rest)
}

/// Version 2, RFC 2661, or 3, RFC 3931, whose header only its two ends know.
fn l2tp(payload: &[u8]) -> Option<Tunnel<'_>> {
    const NAME: &str = "L2TP";
    match payload {
        // What has the highest bit is control; some others are reserved.
        [flags, 2, ..] if flags & 0xb4 == 0 => match behind_l2tp(*flags, payload) {
            Some(frame) => ppp::tunnel(NAME, frame),
            None => Some(closed(NAME)),
        },
        [0, 3, ..] => Some(closed(NAME)),
        _ => None,
    }
}

/// The flags say what there is: a length, sequence numbers, padding.
fn behind_l2tp(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let length = if flags & 0x40 != 0 { 2 } else { 0 };
    let sequence = if flags & 0x08 != 0 { 4 } else { 0 };
    let rest = payload.get(6 + length + sequence..)?;
    if flags & 0x02 == 0 {
        return Some(rest);
    }
    let (padding, rest) = rest.split_first_chunk::<2>()?;
    rest.get(usize::from(u16::from_be_bytes(*padding))..)
}

/// RFC 4380: perhaps an authentication and where it came from, then IPv6. One
/// of its addresses is of Teredo, or both are of the link.
fn teredo(mut payload: &[u8]) -> Option<Tunnel<'_>> {
    if let [0, 1, id, value, rest @ ..] = payload {
        payload = rest.get(usize::from(*id) + usize::from(*value) + 9..)?;
    }
    if let [0, 0, _, _, _, _, _, _, rest @ ..] = payload {
        payload = rest;
    }
    let is_of_teredo = |prefix: &[u8]| matches!(prefix, [0x20, 0x01, 0, 0] | [0xfe, 0x80, 0, 0]);
    let (source, destination) = (payload.get(8..12)?, payload.get(24..28)?);
    let agrees = payload[0] >> 4 == 6 && (is_of_teredo(source) || is_of_teredo(destination));
    agrees.then_some(Tunnel {
        name: "Teredo",
        inside: Some(Inside::Typed(IPV6, payload)),
    })
}

/// RFC 3948. Key exchange begins with zeros there, and a byte keeps a NAT's
/// mapping.
fn esp(payload: &[u8]) -> Option<Tunnel<'_>> {
    match payload {
        [0, 0, 0, 0, ..] => None,
        [_, _, _, _, ..] => Some(closed("ESP")),
        _ => None,
    }
}

/// Message 4 carries data, the others are of the handshake.
fn wireguard(payload: &[u8]) -> Option<Tunnel<'_>> {
    matches!(payload, [4, 0, 0, 0, ..]).then_some(closed("WireGuard"))
}
