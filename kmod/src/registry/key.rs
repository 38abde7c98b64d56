// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an entry is found by: the part of its packed word, and its address.

use super::entry::{ENDPOINT, FOREIGN_PORT, LOCAL, UDP};
use super::hash::{Hash, Secret};
use crate::flow::{Addr, Protocol};

/// What an entry is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub(super) address: [u64; 2],
    pub(super) packed: u64,
}

impl Key {
    /// The key of a 5-tuple. Ports in network byte order.
    #[inline]
    pub fn tuple(protocol: Protocol, local: u16, lport: u16, faddr: &Addr, fport: u16) -> Self {
        let ports = u64::from(lport) | u64::from(fport) << FOREIGN_PORT;
        Self {
            address: faddr.words(),
            packed: udp(protocol) | u64::from(local) << LOCAL.shift | ports,
        }
    }

    /// The key of a local UDP endpoint. Port in network byte order.
    #[inline]
    pub fn endpoint(local: u16, lport: u16) -> Self {
        Self {
            address: [0; 2],
            packed: ENDPOINT | UDP | u64::from(local) << LOCAL.shift | u64::from(lport),
        }
    }

    /// The protocol of the 5-tuple or endpoint.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        match self.packed & UDP {
            0 => Protocol::Tcp,
            _ => Protocol::Udp,
        }
    }

    /// The number of the local name.
    #[inline]
    pub fn local(&self) -> u16 {
        LOCAL.get(self.packed) as u16
    }

    /// The local port, network byte order.
    #[inline]
    pub fn lport(&self) -> u16 {
        self.packed as u16
    }

    /// Where its entry belongs.
    #[inline]
    pub fn hash(&self, secret: &Secret) -> Hash {
        let [a, b] = self.address;
        secret.hash(a, b, self.packed)
    }
}

#[inline]
fn udp(protocol: Protocol) -> u64 {
    match protocol {
        Protocol::Tcp => 0,
        Protocol::Udp => UDP,
    }
}
