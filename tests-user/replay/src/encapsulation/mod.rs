// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Packets inside others: what a tunnel is called and where its inside begins.
//!
//! What a protocol sends to keep itself going carries no packet and is no
//! tunnel.

mod ip;
mod ppp;
mod udp;

pub(crate) use ip::of_protocol;
pub(crate) use udp::of_udp;

use etherparse::EtherType;

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
const MPLS: EtherType = EtherType(0x8847);
/// Transparent Ethernet bridging, in GRE and Geneve.
const BRIDGED: EtherType = EtherType(0x6558);

/// The tunnel that an EtherType names, or what that says of the rest.
pub(crate) fn behind_ether_type(ether_type: EtherType, rest: &[u8]) -> Carried<'_> {
    let tunnel = |name, inside| Carried::Tunnel(Tunnel { name, inside });
    match ether_type.0 {
        0x0800 => of_version(4, rest),
        0x86dd => of_version(6, rest),
        0x8864 => pppoe(rest),
        0x8847 | 0x8848 => tunnel("MPLS", mpls(rest)),
        0x88e5 => tunnel("MACsec", None),
        // IEEE 802.1ah: four bytes of tag, then the customer's frame.
        0x88e7 => tunnel("PBB", rest.get(4..).map(Inside::Ethernet)),
        _ => Carried::Other,
    }
}

fn of_version(version: u8, packet: &[u8]) -> Carried<'_> {
    Carried::Ip {
        version: Some(version),
        packet,
    }
}

/// A PPPoE session, RFC 2516: six bytes, then PPP.
fn pppoe(rest: &[u8]) -> Carried<'_> {
    const NAME: &str = "PPPoE";
    let tunnel = match rest {
        [_, 0, _, _, _, _, frame @ ..] => ppp::tunnel(NAME, frame),
        _ => Some(closed(NAME)),
    };
    tunnel.map_or(Carried::Other, Carried::Tunnel)
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
        0 => rest.get(4..).map(Inside::Ethernet),
        _ => versioned(rest),
    }
}

/// A tunnel that cannot be looked into.
fn closed(name: &'static str) -> Tunnel<'static> {
    Tunnel { name, inside: None }
}

/// Behind a header that names its EtherType.
fn typed(ether_type: EtherType, rest: &[u8]) -> Option<Inside<'_>> {
    match ether_type {
        BRIDGED => Some(Inside::Ethernet(rest)),
        IPV4 | IPV6 | MPLS => Some(Inside::Typed(ether_type, rest)),
        _ => None,
    }
}

/// Behind a header that says nothing: IP begins with its version.
fn versioned(rest: &[u8]) -> Option<Inside<'_>> {
    matches!(rest.first()? >> 4, 4 | 6).then_some(Inside::Ip(rest))
}
