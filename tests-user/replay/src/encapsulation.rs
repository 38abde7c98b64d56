// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Packets inside others: what a tunnel is called and where its inside begins.

use etherparse::{EtherType, IpNumber, ip_number};

/// What a header carries.
#[derive(Clone, Copy)]
pub(crate) enum Carried<'a> {
    /// An IP packet, of the version that the header says, if it does.
    Ip {
        version: Option<u8>,
        packet: &'a [u8],
    },
    /// Another frame or packet.
    Tunnel(Tunnel<'a>),
    /// Neither.
    Other,
}

/// Something that carries frames or packets of others.
#[derive(Clone, Copy)]
pub(crate) struct Tunnel<'a> {
    pub(crate) name: &'static str,
    /// `None` if it is not known how, or encrypted.
    pub(crate) inside: Option<Inside<'a>>,
}

/// What a tunnel carries.
#[derive(Clone, Copy)]
pub(crate) enum Inside<'a> {
    Ethernet(&'a [u8]),
    /// What an EtherType names.
    Typed(EtherType, &'a [u8]),
    /// IP of either version.
    Ip(&'a [u8]),
}

const IPV4: EtherType = EtherType(0x0800);
const IPV6: EtherType = EtherType(0x86dd);
/// Transparent Ethernet bridging, in GRE and Geneve.
const BRIDGED: EtherType = EtherType(0x6558);

/// The tunnel that an EtherType names, or what that says of the rest.
pub(crate) fn behind_ether_type(ether_type: EtherType, rest: &[u8]) -> Carried<'_> {
    let tunnel = |name, inside| Carried::Tunnel(Tunnel { name, inside });
    match ether_type.0 {
        0x0800 => ip(4, rest),
        0x86dd => ip(6, rest),
        0x8864 => pppoe(rest),
        0x8847 | 0x8848 => tunnel("MPLS", mpls(rest)),
        0x88e5 => tunnel("MACsec", None),
        // IEEE 802.1ah: four bytes of tag, then the customer's frame.
        0x88e7 => tunnel("PBB", rest.get(4..).map(Inside::Ethernet)),
        _ => Carried::Other,
    }
}

fn ip(version: u8, packet: &[u8]) -> Carried<'_> {
    Carried::Ip {
        version: Some(version),
        packet,
    }
}

/// A PPPoE session, RFC 2516: six bytes, and the protocol of PPP. What belongs
/// to PPP itself carries no packet.
fn pppoe(rest: &[u8]) -> Carried<'_> {
    let inside = match rest {
        [_, 0, _, _, _, _, 0x00, 0x21, packet @ ..] => Some(Inside::Typed(IPV4, packet)),
        [_, 0, _, _, _, _, 0x00, 0x57, packet @ ..] => Some(Inside::Typed(IPV6, packet)),
        // Compressed to one byte, which is odd then, RFC 1661 section 6.5.
        [_, 0, _, _, _, _, 0x21, packet @ ..] => Some(Inside::Typed(IPV4, packet)),
        [_, 0, _, _, _, _, 0x57, packet @ ..] => Some(Inside::Typed(IPV6, packet)),
        [_, 0, _, _, _, _, high, _, ..] if *high >= 0x80 => return Carried::Other,
        _ => None,
    };
    Carried::Tunnel(Tunnel {
        name: "PPPoE",
        inside,
    })
}

/// RFC 3032. Nothing names what is behind the last label: IP begins with its
/// version, Ethernet of a pseudowire with a control word, RFC 4385.
fn mpls(mut rest: &[u8]) -> Option<Inside<'_>> {
    loop {
        let (label, behind) = rest.split_first_chunk::<4>()?;
        rest = behind;
        if label[2] & 1 != 0 {
            break;
        }
    }
    match rest.first()? >> 4 {
        4 | 6 => Some(Inside::Ip(rest)),
        0 => rest.get(4..).map(Inside::Ethernet),
        _ => None,
    }
}

/// The tunnel that a protocol number of IP names, if any. `payload` is `None`
/// for a fragment that is not the first.
pub(crate) fn of_protocol(protocol: IpNumber, payload: Option<&[u8]>) -> Option<Tunnel<'_>> {
    let (name, inside) = match protocol {
        ip_number::IPV4 => ("IP-in-IP", payload.map(|ip| Inside::Typed(IPV4, ip))),
        ip_number::IPV6 => ("IP-in-IP", payload.map(|ip| Inside::Typed(IPV6, ip))),
        ip_number::GRE => ("GRE", payload.and_then(gre)),
        ip_number::ENCAP_SEC => ("ESP", None),
        ip_number::LAYER2_TUNNELING_PROTOCOL => ("L2TP", None),
        _ => return None,
    };
    Some(Tunnel { name, inside })
}

/// RFC 2784 and RFC 2890. Not the version of PPTP, and no source routes.
fn gre(packet: &[u8]) -> Option<Inside<'_>> {
    let ([flags, version, high, low], mut rest) = packet.split_first_chunk::<4>()?;
    if flags & 0x40 != 0 || version & 7 != 0 {
        return None;
    }
    for option in [0x80, 0x20, 0x10] {
        if flags & option != 0 {
            rest = rest.get(4..)?;
        }
    }
    match (u16::from_be_bytes([*high, *low]), flags & 0x10 != 0) {
        // ERSPAN: with a sequence number eight bytes come before the frame.
        (0x88be, true) => rest.get(8..).map(Inside::Ethernet),
        (0x88be, false) => Some(Inside::Ethernet(rest)),
        (ether_type, _) => typed(EtherType(ether_type), rest),
    }
}

fn typed(ether_type: EtherType, rest: &[u8]) -> Option<Inside<'_>> {
    match ether_type {
        BRIDGED => Some(Inside::Ethernet(rest)),
        IPV4 | IPV6 | EtherType(0x8847) => Some(Inside::Typed(ether_type, rest)),
        _ => None,
    }
}

/// The tunnel that a UDP datagram to this port is, if its header agrees.
pub(crate) fn of_udp(destination: u16, payload: &[u8]) -> Option<Tunnel<'_>> {
    let (name, inside) = match (destination, payload) {
        // RFC 7348: one bit says that it is one, the others are to be ignored.
        // 8472 is what Linux took before there was a number.
        (4789 | 8472, [flags, _, _, _, _, _, _, _, frame @ ..]) if flags & 0x08 != 0 => {
            ("VXLAN", Some(Inside::Ethernet(frame)))
        }
        // RFC 8926.
        (6081, [options, _, high, low, _, _, _, _, rest @ ..]) if options >> 6 == 0 => {
            let rest = rest.get(usize::from(options & 0x3f) * 4..);
            let ether_type = EtherType(u16::from_be_bytes([*high, *low]));
            ("Geneve", rest.and_then(|rest| typed(ether_type, rest)))
        }
        _ => return None,
    };
    Some(Tunnel { name, inside })
}
