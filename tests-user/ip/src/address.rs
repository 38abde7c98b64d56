// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses as ip keeps them, 16 bytes with IPv4 as `::ffff:a.b.c.d`, and as
//! it passes them: family, bytes, and port in network order.

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

/// No address at all, and the wildcard of IPv6.
pub(crate) const UNSET: Ipv6Addr = Ipv6Addr::UNSPECIFIED;
/// The wildcard of IPv4.
pub(crate) const ANY_V4: Ipv6Addr = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();

/// Which packets a conn sends: `conn_ipversion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpVersion {
    V4,
    V6,
}

impl IpVersion {
    /// The number that `cl_tcp_info_t` has.
    pub fn number(self) -> u16 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    pub fn of_family(family: u16) -> Self {
        if family == AF_INET {
            Self::V4
        } else {
            Self::V6
        }
    }

    pub fn of_address(address: Ipv6Addr) -> Self {
        if is_mapped(address) {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// The wildcard.
    pub fn any(self) -> Ipv6Addr {
        match self {
            Self::V4 => ANY_V4,
            Self::V6 => UNSET,
        }
    }

    /// The address as a hook is given it: the last four bytes or all.
    pub fn as_passed(self, address: Ipv6Addr) -> IpAddr {
        match self {
            Self::V4 => {
                let [.., a, b, c, d] = address.octets();
                Ipv4Addr::new(a, b, c, d).into()
            }
            Self::V6 => address.into(),
        }
    }
}

/// The address as ip keeps it.
pub(crate) fn kept(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The address and port as ip keeps them.
pub(crate) fn kept_end(end: SocketAddr) -> (Ipv6Addr, u16) {
    (kept(end.ip()), end.port())
}

/// The address as a socket of `family` shows it.
pub(crate) fn shown(family: u16, address: Ipv6Addr) -> IpAddr {
    if family == AF_INET {
        IpVersion::V4.as_passed(address)
    } else if address == ANY_V4 {
        UNSET.into()
    } else {
        address.into()
    }
}

/// The address that getsockname shows of an endpoint, as ip keeps it: its
/// source, else what it was bound to.
pub(crate) fn shown_source(family: u16, source: Ipv6Addr, bound: Ipv6Addr) -> Ipv6Addr {
    let is_chosen = if family == AF_INET {
        !is_any(source)
    } else {
        source != UNSET
    };
    match if is_chosen { source } else { bound } {
        UNSET if family == AF_INET => ANY_V4,
        address => address,
    }
}

pub(crate) fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

/// Is it unset or a wildcard?
pub(crate) fn is_any(address: Ipv6Addr) -> bool {
    address == UNSET || address == ANY_V4
}

pub(crate) fn is_multicast(address: Ipv6Addr) -> bool {
    address
        .to_ipv4_mapped()
        .map_or(address.is_multicast(), |v4| v4.is_multicast())
}

/// The address that an unspecified destination means.
pub(crate) fn loopback_for_any(address: Ipv6Addr) -> Ipv6Addr {
    match address {
        ANY_V4 => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        UNSET => Ipv6Addr::LOCALHOST,
        other => other,
    }
}

/// Is the connection's end one whose TIME_WAIT the next run of the collector
/// ends, whatever the tunable says?
pub(crate) fn is_loopback(address: Ipv6Addr) -> bool {
    address
        .to_ipv4_mapped()
        .map_or(address.is_loopback(), |v4| v4.octets()[..3] == [127, 0, 0])
}
