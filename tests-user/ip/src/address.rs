// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses as the module wants them: family, bytes and port in network
//! order.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::Errno;

/// The protocol number of TCP.
pub const IPPROTO_TCP: u8 = 6;
/// The protocol number of UDP.
pub const IPPROTO_UDP: u8 = 17;
/// illumos's number of the IPv4 address family.
pub const AF_INET: u16 = 2;
/// illumos's number of the IPv6 address family.
pub const AF_INET6: u16 = 26;

/// A 5-tuple, seen from its local end; addresses are canonical (a v4-mapped
/// IPv6 address is IPv4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// [`IPPROTO_TCP`] or [`IPPROTO_UDP`].
    pub protocol: u8,
    /// The local address and port.
    pub local: SocketAddr,
    /// The foreign address and port.
    pub foreign: SocketAddr,
}

impl FiveTuple {
    /// A TCP 5-tuple.
    pub fn tcp(local: SocketAddr, foreign: SocketAddr) -> Self {
        Self::new(IPPROTO_TCP, local, foreign)
    }

    /// A UDP 5-tuple.
    pub fn udp(local: SocketAddr, foreign: SocketAddr) -> Self {
        Self::new(IPPROTO_UDP, local, foreign)
    }

    fn new(protocol: u8, local: SocketAddr, foreign: SocketAddr) -> Self {
        Self {
            protocol,
            local: canonical(local),
            foreign: canonical(foreign),
        }
    }
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            IPPROTO_TCP => f.write_str("tcp")?,
            IPPROTO_UDP => f.write_str("udp")?,
            other => write!(f, "protocol {other}")?,
        }
        write!(f, " {} - {}", self.local, self.foreign)
    }
}

/// The address with a v4-mapped one as IPv4.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The family that the address is passed with.
pub(crate) fn family_of(ip: IpAddr) -> u16 {
    match ip {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

/// The unspecified address of the family of `ip`.
pub(crate) fn wildcard_like(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The address as it is passed with its own family; IPv4 uses the first four
/// bytes.
pub(crate) fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&ip.octets());
            octets
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The address as one of `family`: `0.0.0.0` is `::`, other IPv4 is v4-mapped.
///
/// # Errors
///
/// `EAFNOSUPPORT` if an IPv6 address has no IPv4 form.
pub(crate) fn in_family(ip: IpAddr, family: u16) -> Result<IpAddr, Errno> {
    match (ip, family) {
        (ip, AF_INET6) if ip.is_unspecified() => Ok(Ipv6Addr::UNSPECIFIED.into()),
        (ip, _) if ip.is_unspecified() => Ok(Ipv4Addr::UNSPECIFIED.into()),
        (IpAddr::V4(ip), AF_INET6) => Ok(ip.to_ipv6_mapped().into()),
        (IpAddr::V6(ip), AF_INET) => ip
            .to_ipv4_mapped()
            .map(IpAddr::V4)
            .ok_or(Errno::EAFNOSUPPORT),
        (ip, _) => Ok(ip),
    }
}

/// The address in the first bytes of `bytes`; `None` for an unknown family.
pub(crate) fn from_bytes(family: u16, bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, ..] = bytes;
    match family {
        AF_INET => Some(Ipv4Addr::new(a, b, c, d).into()),
        AF_INET6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}
