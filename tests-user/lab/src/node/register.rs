// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Connections without sockets: what the module is asked when there are more than
//! the model of ip could have.

use std::net::{IpAddr, Ipv4Addr};

use clinet_ip::{AF_INET, AttachedNode, IPPROTO_TCP};
use clinet_kernel::Context;

/// The hosts at the other ends are in 203.0.113.0/24.
const HOSTS: u64 = 254;
/// The first of their ports.
const FIRST_PORT: u64 = 1024;

/// Asks about so many outgoing TCP connections from the first shared address of
/// IPv4, by the contract; answers how many were accepted.
pub fn registered(node: &AttachedNode, addresses: &[IpAddr], count: u64) -> u64 {
    let is_v4 = |address: &IpAddr| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    };
    let Some(local) = addresses.iter().find_map(is_v4) else {
        return 0;
    };
    let ports = node.ip().anon_ports(0, IPPROTO_TCP);
    let (first, ports) = (u64::from(*ports.start()), ports.len() as u64);
    let is_accepted = |index: &u64| {
        let (host, round) = (index / ports % HOSTS, index / ports / HOSTS);
        let foreign = Ipv4Addr::new(203, 0, 113, 1 + host as u8);
        let lport = (first + index % ports) as u16;
        let fport = (FIRST_PORT + round) as u16;
        ask(node, (local, lport), (foreign, fport)) == 0
    };
    (0..count).filter(is_accepted).count() as u64
}

fn ask(node: &AttachedNode, local: (Ipv4Addr, u16), foreign: (Ipv4Addr, u16)) -> i32 {
    let module = node.clinet().module();
    let (laddr, faddr) = (local.0.octets(), foreign.0.octets());
    let arguments = [
        u64::from(IPPROTO_TCP),
        1,
        u64::from(AF_INET),
        laddr.as_ptr().expose_provenance() as u64,
        u64::from(local.1.to_be()),
        faddr.as_ptr().expose_provenance() as u64,
        u64::from(foreign.1.to_be()),
    ];
    // SAFETY: `clinet_ask` of include/clinet.h, with four bytes for each
    // address of AF_INET.
    unsafe {
        module.call(
            &Context::no_sleep(),
            module.address("clinet_ask"),
            &arguments,
        ) as i32
    }
}
