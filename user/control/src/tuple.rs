// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! 5-tuples, entries of the registry, and answers to questions.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::abi;
use crate::words::{NoSuchWord, Reason};
use crate::{Errno, Error};

/// The protocols that clinet knows.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Both, in the order of what the device has for each.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// Its number in an IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The protocol of this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.number() == number)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl FromStr for Protocol {
    type Err = NoSuchWord;

    fn from_str(text: &str) -> Result<Self, NoSuchWord> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            other => Err(NoSuchWord {
                given: other.into(),
                words: &["tcp", "udp"],
            }),
        }
    }
}

/// A 5-tuple. An IPv4 address in IPv6 form is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Tuple {
    /// The protocol.
    pub protocol: Protocol,
    /// This node's end.
    pub local: SocketAddr,
    /// The other end.
    pub foreign: SocketAddr,
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.protocol, self.local, self.foreign)
    }
}

/// Sixteen bytes, IPv4 as ::ffff:a.b.c.d.
pub(crate) fn to_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

pub(crate) fn from_bytes(bytes: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(bytes).to_canonical()
}

fn end(address: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(from_bytes(address), u16::from_be(port))
}

impl From<Tuple> for abi::clinetctl_tuple_t {
    fn from(tuple: Tuple) -> Self {
        Self {
            ct_laddr: to_bytes(tuple.local.ip()),
            ct_faddr: to_bytes(tuple.foreign.ip()),
            ct_lport: tuple.local.port().to_be(),
            ct_fport: tuple.foreign.port().to_be(),
            ct_protocol: tuple.protocol.number(),
            ct_pad: [0; 3],
        }
    }
}

impl TryFrom<&abi::clinetctl_tuple_t> for Tuple {
    type Error = Error;

    fn try_from(raw: &abi::clinetctl_tuple_t) -> Result<Self, Error> {
        Ok(Self {
            protocol: known(raw.ct_protocol)?,
            local: end(raw.ct_laddr, raw.ct_lport),
            foreign: end(raw.ct_faddr, raw.ct_fport),
        })
    }
}

fn known(protocol: u8) -> Result<Protocol, Error> {
    Protocol::from_number(protocol).ok_or(Error::Nonsense("a protocol other than TCP and UDP"))
}

/// An entry of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The 5-tuple.
    #[serde(flatten)]
    pub tuple: Tuple,
    /// The IP stack.
    pub stack: u32,
    /// The node that owns it.
    pub owner: u32,
    /// How often this node has it.
    pub references: u32,
    /// Seconds since UDP last asked, roughly.
    pub age: u32,
    /// A TCP connection of this node that came from connect().
    pub outgoing: bool,
}

impl TryFrom<&abi::clinet_entry_t> for Entry {
    type Error = Error;

    fn try_from(raw: &abi::clinet_entry_t) -> Result<Self, Error> {
        Ok(Self {
            tuple: Tuple {
                protocol: known(raw.ce_protocol)?,
                local: end(raw.ce_laddr, raw.ce_lport),
                foreign: end(raw.ce_faddr, raw.ce_fport),
            },
            stack: raw.ce_stack,
            owner: raw.ce_owner,
            references: raw.ce_references,
            age: raw.ce_age,
            outgoing: raw.ce_outgoing != 0,
        })
    }
}

/// What a question about a 5-tuple would be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Why it would be refused; None: it would be accepted.
    #[serde(serialize_with = "name")]
    pub error: Option<Errno>,
    /// Why it would be answered so.
    pub reason: Reason,
    /// Who has it; 0: nobody.
    pub owner: u32,
    /// How often this node has it.
    pub references: u32,
    /// The local port is granted to this node.
    pub granted: bool,
}

/// An error number is its name, or the number if it has none.
pub(crate) fn name<S: Serializer>(errno: &Option<Errno>, serializer: S) -> Result<S::Ok, S::Error> {
    match errno.map(|errno| (errno, errno.name())) {
        None => serializer.serialize_none(),
        Some((_, Some(name))) => serializer.serialize_str(name),
        Some((errno, None)) => serializer.serialize_i32(errno.0),
    }
}
