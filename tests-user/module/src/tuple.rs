// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! 5-tuples and the structures of `include/clinet.h`, as C has them.

use crate::{INET, INET6};

/// A 5-tuple as C has it. Ports are in network byte order, which the tests
/// write as plain numbers: nobody looks into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// IP protocol number.
    pub protocol: u8,
    /// Address family, illumos.
    pub family: u16,
    /// Local address; IPv4 in the first four bytes.
    pub laddr: [u8; 16],
    /// Local port.
    pub lport: u16,
    /// Foreign address.
    pub faddr: [u8; 16],
    /// Foreign port.
    pub fport: u16,
}

/// 192.0.2.10 as C has it.
pub const SHARED4: [u8; 16] = [192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// 2001:db8::10 as C has it.
pub const SHARED6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
/// 198.51.100.7 as C has it.
pub const PEER4: [u8; 16] = [198, 51, 100, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// 2001:db8:7::7 as C has it.
pub const PEER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];

impl Tuple {
    /// From 192.0.2.10 to 198.51.100.7.
    #[must_use]
    pub const fn v4(protocol: u8, lport: u16, fport: u16) -> Self {
        Self {
            protocol,
            family: INET,
            laddr: SHARED4,
            lport,
            faddr: PEER4,
            fport,
        }
    }

    /// From 2001:db8::10 to 2001:db8:7::7.
    #[must_use]
    pub const fn v6(protocol: u8, lport: u16, fport: u16) -> Self {
        Self {
            protocol,
            family: INET6,
            laddr: SHARED6,
            lport,
            faddr: PEER6,
            fport,
        }
    }
}

/// `clinet_tcp_t`; zeroed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpState {
    words: [u32; 11],
}

/// `clinet_udp_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpState {
    /// `udp_cl_v6lastdst`, IPv4 as `::ffff:a.b.c.d`.
    pub v6lastdst: In6,
    /// `udp_cl_lastdstport`.
    pub lastdstport: u16,
}

/// `in6_addr_t`.
#[repr(C, align(4))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct In6(pub [u8; 16]);

impl UdpState {
    /// No destination.
    pub const NONE: Self = Self {
        v6lastdst: In6([0; 16]),
        lastdstport: 0,
    };

    /// The state whose most recent destination this is.
    #[must_use]
    pub fn at(family: u16, addr: &[u8; 16], port: u16) -> Self {
        let mut bytes = *addr;
        if family == INET {
            bytes = [0; 16];
            bytes[10..12].fill(0xff);
            bytes[12..].copy_from_slice(&addr[..4]);
        }
        Self {
            v6lastdst: In6(bytes),
            lastdstport: port,
        }
    }
}

/// `clinet_udp_ask_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct UdpAsk {
    words: [u32; 12],
}
