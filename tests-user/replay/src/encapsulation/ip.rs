// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tunnels that have a protocol number of IP.

use etherparse::{EtherType, IpNumber, ip_number};

use super::{IPV4, IPV6, Inside, Tunnel, closed, mpls, ppp, typed, versioned};

/// The tunnel that a protocol number of IP names, if any. `payload` is `None`
/// for a fragment that is not the first.
pub(crate) fn of_protocol(protocol: IpNumber, payload: Option<&[u8]>) -> Option<Tunnel<'_>> {
    let (name, inside) = match (protocol, payload) {
        (ip_number::IPV4, _) => ("IP-in-IP", payload.map(|ip| Inside::Typed(IPV4, ip))),
        (ip_number::IPV6, _) => ("IP-in-IP", payload.map(|ip| Inside::Typed(IPV6, ip))),
        (ip_number::GRE, Some(packet)) => return gre(packet),
        (ip_number::GRE, None) => ("GRE", None),
        (ip_number::ENCAP_SEC, _) => ("ESP", None),
        (ip_number::ETHER_IP, _) => ("EtherIP", payload.and_then(ether_ip)),
        // Version 3, RFC 3931: session 0 is control. Only the two ends know how
        // long its cookie is.
        (ip_number::LAYER2_TUNNELING_PROTOCOL, Some([0, 0, 0, 0, ..])) => return None,
        (ip_number::LAYER2_TUNNELING_PROTOCOL, _) => ("L2TP", None),
        // RFC 4023.
        (ip_number::MPLS_IN_IP, _) => ("MPLS", payload.and_then(mpls)),
        _ => return None,
    };
    Some(Tunnel { name, inside })
}

/// RFC 3378.
fn ether_ip(packet: &[u8]) -> Option<Inside<'_>> {
    match packet {
        [0x30, 0, frame @ ..] => Some(Inside::Ethernet(frame)),
        _ => None,
    }
}

/// The flags of GRE that say which optional words follow.
const CHECKSUM: u8 = 0x80;
const ROUTING: u8 = 0x40;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;

/// RFC 2784, RFC 2890 and what carries other things under its number.
fn gre(packet: &[u8]) -> Option<Tunnel<'_>> {
    let Some(([flags, more, high, low], rest)) = packet.split_first_chunk::<4>() else {
        return Some(closed("GRE"));
    };
    let payload = behind_words(*flags, rest);
    let ether_type = u16::from_be_bytes([*high, *low]);
    let (name, inside) = match (more & 7, ether_type) {
        (0, 0x88be) if flags & SEQUENCE == 0 => ("ERSPAN", payload.map(Inside::Ethernet)),
        (0, 0x88be | 0x22eb) => ("ERSPAN", payload.and_then(erspan)),
        (0, 0x880b) => return ppp::tunnel("GRE", payload.unwrap_or_default()),
        (0, _) => (
            "GRE",
            payload.and_then(|rest| typed(EtherType(ether_type), rest)),
        ),
        (1, 0x880b) => return pptp(*flags, *more, rest),
        _ => ("GRE", None),
    };
    Some(Tunnel { name, inside })
}

/// What is behind the optional words of version 0; `None` with source routes.
fn behind_words(flags: u8, rest: &[u8]) -> Option<&[u8]> {
    let words = (flags & (CHECKSUM | KEY | SEQUENCE)).count_ones() as usize;
    let has_routes = flags & ROUTING != 0;
    rest.get(4 * words..).filter(|_| !has_routes)
}

/// Mirrored frames, whose header begins with its version: 1 is type II, 2 is
/// type III. Type I has none.
fn erspan(rest: &[u8]) -> Option<Inside<'_>> {
    match rest.first()? >> 4 {
        1 => rest.get(8..).map(Inside::Ethernet),
        2 => {
            let (header, mut rest) = rest.split_first_chunk::<12>()?;
            let has_platform_header = header[11] & 1 != 0;
            if has_platform_header {
                rest = rest.get(8..)?;
            }
            match header[10] >> 2 & 0x1f {
                0 => Some(Inside::Ethernet(rest)),
                2 => versioned(rest),
                _ => None,
            }
        }
        _ => None,
    }
}

/// RFC 2637: the key is a length and a call. Without a sequence number it only
/// acknowledges.
fn pptp(flags: u8, more: u8, rest: &[u8]) -> Option<Tunnel<'_>> {
    const NAME: &str = "PPTP";
    if flags & SEQUENCE == 0 {
        return None;
    }
    let acknowledges = more & 0x80 != 0;
    let frame = rest.get(if acknowledges { 12 } else { 8 }..);
    match frame.filter(|_| flags & KEY != 0) {
        Some(frame) => ppp::tunnel(NAME, frame),
        None => Some(closed(NAME)),
    }
}
