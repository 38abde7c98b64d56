// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which entries are meant.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use zerocopy::FromZeros;

use crate::Protocol;
use crate::abi;
use crate::tuple::to_bytes;

/// Entries that fit all of what is set here; the default are all entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// Local addresses.
    pub local: Option<IpNet>,
    /// Foreign addresses.
    pub foreign: Option<IpNet>,
    /// Local ports.
    pub lport: Option<RangeInclusive<u16>>,
    /// Foreign ports.
    pub fport: Option<RangeInclusive<u16>>,
    /// The node that owns it.
    pub owner: Option<u32>,
    /// The IP stack.
    pub stack: Option<u32>,
    /// Seconds since UDP last asked.
    pub age: Option<RangeInclusive<u32>>,
    /// TCP connections of this node: came from connect().
    pub outgoing: Option<bool>,
}

/// The prefix as one of IPv6.
fn prefix(network: IpNet) -> ([u8; 16], u8) {
    let bits = match network {
        IpNet::V4(v4) => 96 + v4.prefix_len(),
        IpNet::V6(v6) => v6.prefix_len(),
    };
    (to_bytes(network.network()), bits)
}

fn ends<T: Copy>(range: &RangeInclusive<T>) -> [T; 2] {
    [*range.start(), *range.end()]
}

impl From<&Filter> for abi::clinetctl_filter_t {
    fn from(filter: &Filter) -> Self {
        let mut raw = Self::new_zeroed();
        if let Some(protocol) = filter.protocol {
            raw.cf_by |= abi::CLINETCTL_BY_PROTOCOL;
            raw.cf_protocol = protocol.number();
        }
        if let Some(network) = filter.local {
            raw.cf_by |= abi::CLINETCTL_BY_LADDR;
            (raw.cf_laddr, raw.cf_lprefix) = prefix(network);
        }
        if let Some(network) = filter.foreign {
            raw.cf_by |= abi::CLINETCTL_BY_FADDR;
            (raw.cf_faddr, raw.cf_fprefix) = prefix(network);
        }
        if let Some(ports) = &filter.lport {
            raw.cf_by |= abi::CLINETCTL_BY_LPORT;
            raw.cf_lport = ends(ports);
        }
        if let Some(ports) = &filter.fport {
            raw.cf_by |= abi::CLINETCTL_BY_FPORT;
            raw.cf_fport = ends(ports);
        }
        if let Some(owner) = filter.owner {
            raw.cf_by |= abi::CLINETCTL_BY_OWNER;
            raw.cf_owner = owner;
        }
        if let Some(stack) = filter.stack {
            raw.cf_by |= abi::CLINETCTL_BY_STACK;
            raw.cf_stack = stack;
        }
        if let Some(age) = &filter.age {
            raw.cf_by |= abi::CLINETCTL_BY_AGE;
            raw.cf_age = ends(age);
        }
        if let Some(outgoing) = filter.outgoing {
            raw.cf_by |= abi::CLINETCTL_BY_OUTGOING;
            raw.cf_outgoing = outgoing.into();
        }
        raw
    }
}
