// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The addresses of a stack, and the ways from them.

use super::Stack;
use super::interface::Interfaces;
use crate::address::{IpVersion, is_mapped, is_multicast};
use crate::error::Errno;
use crate::lock;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The scope of a group that is for one link, in its second byte.
const LINK_SCOPE: u8 = 2;

/// The interfaces of lo0.
pub(super) fn loopback() -> Interfaces {
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let v6 = |end| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, end));
    Interfaces::new(&[
        ("lo0", v4(127, 0, 0, 1)),
        ("lo0:1", v4(127, 0, 0, 2)),
        ("lo0:2", v4(10, 1, 1, 1)),
        ("lo0:3", v4(10, 1, 1, 2)),
        ("lo0", Ipv6Addr::LOCALHOST.into()),
        ("lo0:1", v6(1)),
        ("lo0:2", v6(2)),
    ])
}

/// What becomes of IPv6 datagrams to groups, which is the machine's affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Groups {
    /// An interface takes them.
    #[default]
    Sent,
    /// Their route rejects them with this error: whoever sends asks first.
    Rejected(Errno),
    /// No interface takes them: nobody is asked, and this is the error.
    NoInterface(Errno),
}

/// Why there is no way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// A route that rejects: a sender finds it out after the question.
    Rejected(Errno),
    /// No route at all: known before anybody is asked.
    None(Errno),
}

impl NoWay {
    /// What a send to it gives.
    pub fn errno(self) -> Errno {
        let (Self::Rejected(errno) | Self::None(errno)) = self;
        errno
    }
}

impl Stack {
    /// Is it an address of this machine that is up?
    pub fn is_local(&self, address: Ipv6Addr) -> bool {
        self.interfaces.is_local(address)
    }

    /// May a program bind to it?
    pub fn may_bind(&self, address: Ipv6Addr) -> bool {
        self.interfaces.is_source(address)
    }

    pub fn set_groups(&self, groups: Groups) {
        *lock(&self.groups) = groups;
    }

    /// The source for a destination.
    pub fn source_for(&self, destination: Ipv6Addr) -> Result<Ipv6Addr, NoWay> {
        if !is_multicast(destination) {
            return if self.is_local(destination) {
                Ok(destination)
            } else if self.link.is_some() {
                Ok(self.first_address(IpVersion::of_address(destination)))
            } else {
                Err(NoWay::Rejected(Errno::EHOSTUNREACH))
            };
        }
        if is_mapped(destination) {
            return Ok(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        }
        match *lock(&self.groups) {
            // The smallest scope that is not smaller than the group's.
            Groups::Sent if destination.octets()[1] & 0xf <= LINK_SCOPE => Ok(Ipv6Addr::LOCALHOST),
            Groups::Sent => Ok(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
            Groups::Rejected(errno) => Err(NoWay::Rejected(errno)),
            Groups::NoInterface(errno) => Err(NoWay::None(errno)),
        }
    }

    /// The source that is chosen for what is not local. A node without an
    /// address has no more than the wildcard, as before it is configured.
    fn first_address(&self, version: IpVersion) -> Ipv6Addr {
        self.interfaces.first(version).unwrap_or(version.any())
    }

    /// The source for a destination that is not cut off. TCP goes on sending to
    /// one that is.
    pub fn reachable_source(&self, destination: Ipv6Addr) -> Result<Ipv6Addr, NoWay> {
        let source = self.source_for(destination)?;
        let is_reachable = self
            .network()
            .is_none_or(|network| network.is_reachable(destination.into()));
        is_reachable
            .then_some(source)
            .ok_or(NoWay::Rejected(Errno::EHOSTUNREACH))
    }
}
