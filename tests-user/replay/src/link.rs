// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Link types: what stands in front of the IP header.

use std::fmt;

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanHeaderSlice, ether_type};
use pcap_parser::Linktype;

use crate::decode::{Macs, Malformed};
use crate::encapsulation::{self, Carried};

/// A supported link type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkType {
    /// Ethernet II or IEEE 802.3, with or without VLAN tags.
    Ethernet,
    /// IPv4 or IPv6 with nothing in front.
    Raw,
    /// IPv4 with nothing in front.
    Ipv4,
    /// IPv6 with nothing in front.
    Ipv6,
    /// BSD loopback: the address family in either byte order.
    Loopback,
    /// Linux cooked capture, version 1.
    LinuxCooked,
    /// Linux cooked capture, version 2.
    LinuxCooked2,
    /// The IP observability header of Solaris and illumos.
    Ipnet,
}

const SUPPORTED: &str = "Ethernet, raw IP, BSD loopback, Linux cooked (SLL and SLL2), ipnet";

/// A link type that is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedLink {
    number: u32,
    /// From a snoop file, whose numbers are those of DLPI.
    dlpi: bool,
}

impl fmt::Display for UnsupportedLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not supported; supported are {SUPPORTED}",
            self.name()
        )
    }
}

impl UnsupportedLink {
    /// What it is, in words: `link type 249 (USBPcap)`.
    pub fn name(&self) -> String {
        let number = self.number;
        let (kind, name) = if self.dlpi {
            ("snoop datalink type", dlpi_name(number).map(str::to_owned))
        } else {
            ("link type", linktype_name(number))
        };
        match name {
            Some(name) => format!("{kind} {number} ({name})"),
            None => format!("{kind} {number}"),
        }
    }
}

impl LinkType {
    /// By the number in a pcap or pcapng file.
    pub(crate) fn from_linktype(number: u32) -> Result<Self, UnsupportedLink> {
        match number {
            0 | 108 => Ok(Self::Loopback),
            1 => Ok(Self::Ethernet),
            12 | 14 | 101 => Ok(Self::Raw),
            113 => Ok(Self::LinuxCooked),
            226 => Ok(Self::Ipnet),
            228 => Ok(Self::Ipv4),
            229 => Ok(Self::Ipv6),
            276 => Ok(Self::LinuxCooked2),
            _ => Err(UnsupportedLink {
                number,
                dlpi: false,
            }),
        }
    }

    /// By the number in a snoop file.
    pub(crate) fn from_dlpi(number: u32) -> Result<Self, UnsupportedLink> {
        match number {
            0x0 | 0x4 | 0x18 | 0x19 => Ok(Self::Ethernet),
            0x8000_0001 | 0x8000_0002 | 0x8000_0007 => Ok(Self::Raw),
            0x8000_0005 => Ok(Self::Ipnet),
            _ => Err(UnsupportedLink { number, dlpi: true }),
        }
    }

    /// Takes the link-layer header off a frame.
    pub(crate) fn strip(self, frame: &[u8]) -> Result<(Macs, Carried<'_>), Malformed> {
        let raw = |version| Carried::Ip {
            version,
            packet: frame,
        };
        let carried = match self {
            Self::Ethernet => return ethernet(frame),
            Self::Raw => raw(None),
            Self::Ipv4 => raw(Some(4)),
            Self::Ipv6 => raw(Some(6)),
            Self::Loopback => loopback(frame)?,
            Self::LinuxCooked => {
                let (header, rest) = frame.split_first_chunk::<16>().ok_or(Malformed)?;
                behind_ether_type(u16::from_be_bytes([header[14], header[15]]), rest)?
            }
            Self::LinuxCooked2 => {
                let (header, rest) = frame.split_first_chunk::<20>().ok_or(Malformed)?;
                behind_ether_type(u16::from_be_bytes([header[0], header[1]]), rest)?
            }
            Self::Ipnet => {
                let (header, packet) = frame.split_first_chunk::<24>().ok_or(Malformed)?;
                Carried::Ip {
                    version: family_version(header[1].into()),
                    packet,
                }
            }
        };
        Ok((Macs::None, carried))
    }
}

/// Takes an Ethernet header off, and tags behind it.
pub(crate) fn ethernet(frame: &[u8]) -> Result<(Macs, Carried<'_>), Malformed> {
    let header = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| Malformed)?;
    let macs = Macs::Ethernet {
        source: header.source(),
        destination: header.destination(),
    };
    let rest = &frame[header.slice().len()..];
    Ok((macs, behind_ether_type(header.ether_type().0, rest)?))
}

/// Follows VLAN tags, and LLC with SNAP, to what they carry.
pub(crate) fn behind_ether_type(
    ether_type: u16,
    mut rest: &[u8],
) -> Result<Carried<'_>, Malformed> {
    let mut ether_type = EtherType(ether_type);
    loop {
        match ether_type {
            ether_type::VLAN_TAGGED_FRAME
            | ether_type::PROVIDER_BRIDGING
            | ether_type::VLAN_DOUBLE_TAGGED_FRAME => {
                let tag = SingleVlanHeaderSlice::from_slice(rest).map_err(|_| Malformed)?;
                ether_type = tag.ether_type();
                rest = &rest[tag.slice().len()..];
            }
            // Below 0x600 it is a length, and LLC follows.
            EtherType(length) if length < 0x600 => match rest {
                [0xaa, 0xaa, 0x03, 0, 0, 0, high, low, packet @ ..] => {
                    ether_type = EtherType(u16::from_be_bytes([*high, *low]));
                    if ether_type.0 < 0x600 {
                        return Ok(Carried::Other);
                    }
                    rest = packet;
                }
                _ => return Ok(Carried::Other),
            },
            _ => return Ok(encapsulation::behind_ether_type(ether_type, rest)),
        }
    }
}

/// The family is a number of the capturing system, in its byte order (type 0)
/// or in network order (type 108).
fn loopback(frame: &[u8]) -> Result<Carried<'_>, Malformed> {
    let (family, packet) = frame.split_first_chunk::<4>().ok_or(Malformed)?;
    let version = family_version(u32::from_be_bytes(*family))
        .or_else(|| family_version(u32::from_le_bytes(*family)));
    Ok(match version {
        None => Carried::Other,
        version => Carried::Ip { version, packet },
    })
}

/// The IP version of an address family. IPv6 is 24, 28 or 30 on the BSDs, 26 on
/// illumos, 10 on Linux, 23 on Windows.
fn family_version(family: u32) -> Option<u8> {
    match family {
        2 => Some(4),
        10 | 23 | 24 | 26 | 28 | 30 => Some(6),
        _ => None,
    }
}

/// The names of link types that are met often and not supported; of others, the
/// library's.
fn linktype_name(number: u32) -> Option<String> {
    let name = match number {
        6 => "IEEE 802.5 Token Ring",
        8 => "SLIP",
        9 => "PPP",
        10 => "FDDI",
        11 | 100 => "ATM, RFC 1483",
        19 | 106 => "classical IP over ATM",
        50 => "PPP over serial",
        51 => "PPP over Ethernet",
        104 => "Cisco HDLC",
        105 => "IEEE 802.11",
        107 => "Frame Relay",
        109 => "OpenBSD enc",
        117 => "OpenBSD pflog",
        119 => "IEEE 802.11 with Prism header",
        122 => "IP over Fibre Channel",
        123 => "SunATM",
        127 => "IEEE 802.11 with radiotap header",
        129 => "ARCNET",
        130..=137 | 164 | 167 | 168 | 174 | 178..=181 | 183 => "Juniper",
        138 => "IP over IEEE 1394",
        139..=142 => "SS7",
        144 => "IrDA",
        147..=162 => "private use",
        163 => "IEEE 802.11 with AVS header",
        165 => "BACnet MS/TP",
        166 => "PPP of pppd",
        182 => "multilink Frame Relay",
        187 => "Bluetooth HCI H4",
        189 => "USB",
        192 => "PPI",
        195 => "IEEE 802.15.4",
        197 => "ERF",
        201 => "Bluetooth HCI H4 with direction",
        220 => "USB with Linux header",
        227 => "CAN",
        230 => "IEEE 802.15.4 without FCS",
        231 => "D-Bus",
        239 => "NFLOG",
        242 => "IP over InfiniBand",
        247 => "InfiniBand",
        249 => "USBPcap",
        251 | 256 => "Bluetooth LE",
        252 => "Wireshark upper PDU",
        253 => "netlink",
        254 => "Bluetooth monitor of Linux",
        258 => "PKTAP",
        270 => "LoRaTap",
        271 => "vsock",
        272 => "Nordic BLE sniffer",
        274 => "Ethernet mPackets",
        281 | 282 => "Ethernet with Broadcom switch tag",
        283 => "IEEE 802.15.4 TAP",
        284 | 285 => "Ethernet with Marvell switch tag",
        _ => {
            let name = Linktype(number as i32).to_string();
            return name
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
                .then_some(name);
        }
    };
    Some(name.to_owned())
}

fn dlpi_name(number: u32) -> Option<&'static str> {
    Some(match number {
        0x1 => "token bus",
        0x2 => "token ring",
        0x3 => "metro net",
        0x5 => "HDLC",
        0x6 => "character synchronous",
        0x7 => "IBM channel-to-channel",
        0x8 => "FDDI",
        0x9 => "other",
        0x0e => "software loopback",
        0x10 => "Fibre Channel",
        0x11 => "ATM",
        0x12 => "classical IP over ATM",
        0x1a => "InfiniBand",
        0x8000_0003 => "virtual network interface",
        0x8000_0004 => "IEEE 802.11",
        0x8000_0006 => "IPMP",
        _ => return None,
    })
}
