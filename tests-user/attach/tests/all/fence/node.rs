// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A machine with a stock ip and the module, whose shared addresses are fenced.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use clinet_ip::{AF_INET, AF_INET6, Attached, AttachedNode, Interface, Ip, Kernel, Socket};
use clinet_module_tests::{Args, Control, Grants, abi, module_file};
use zerocopy::FromZeros;

/// Shared addresses, and others of the machine.
pub const SHARED: [IpAddr; 2] = [v4(1), v6(1)];
pub const OWN: [IpAddr; 2] = [v4(2), v6(2)];

/// The seconds that a fence may take.
pub const F: u64 = 5;

const fn v4(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 1, 1, last))
}

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last))
}

pub fn family(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => AF_INET,
        IpAddr::V6(_) => AF_INET6,
    }
}

pub struct Node(pub AttachedNode);

impl Control for Node {
    fn control(&self, function: &str, args: Args<'_>) -> i32 {
        self.0.call(function, args)
    }
}

impl Node {
    /// The shared addresses are those of [`SHARED`].
    pub fn new(tunables: &[(&str, u64)]) -> Self {
        Self::with_addresses(Some("10.1.1.1,fd00::1"), tunables)
    }

    /// Without a list, all addresses but loopback are.
    pub fn with_addresses(list: Option<&str>, tunables: &[(&str, u64)]) -> Self {
        let attached = Attached::new(Arc::new(Kernel::new()));
        let list = list.map_or(0, |list| attached.kernel().string(list));
        let tunables = [&[("clinet_addrs", list)], tunables].concat();
        let node = AttachedNode::on(attached, &module_file(), &tunables);
        Self(node.expect("the module loads"))
    }

    pub fn ip(&self) -> &Ip {
        self.0.ip()
    }

    pub fn kernel(&self) -> &Arc<Kernel> {
        self.0.attached().kernel()
    }

    pub fn fence_state(&self) -> u32 {
        self.state().cst_fence
    }

    /// Grants all ports but 0 for so many seconds.
    pub fn grant(&self, sequence: u64, seconds: u64) {
        let deadline = self.clock() + seconds * 1_000_000_000;
        let grants = Grants::with_space(1024..=u16::MAX).and(1..=u16::MAX);
        let mut grants = grants.until(deadline);
        grants.terms.cg_sequence = sequence;
        assert_eq!(self.set_grants(&mut grants), 0);
        // They count once the thread that watches them has seen them.
        self.kernel().settle();
    }

    pub fn fence(&self) -> i32 {
        self.0.call("clinet_control_fence", &[])
    }

    /// Brings the addresses back.
    pub fn unfence(&self, sequence: u64, flags: u32) -> i32 {
        let unfence = abi::clinetctl_unfence_t {
            cu_sequence: sequence,
            cu_flags: flags,
            ..FromZeros::new_zeroed()
        };
        let args = [(&raw const unfence) as u64];
        self.0.call("clinet_control_unfence", &args)
    }

    pub fn interfaces(&self) -> Vec<Interface> {
        self.ip().interfaces(0)
    }

    /// The interfaces that have an address of these.
    pub fn having(&self, addresses: &[IpAddr]) -> Vec<Interface> {
        let mut all = self.interfaces();
        all.retain(|one| addresses.contains(&one.address));
        all
    }

    pub fn set_flags(&self, interface: &Interface, flags: u64) {
        let name = &interface.name;
        let set = self
            .ip()
            .set_interface_flags(0, interface.address, name, flags);
        set.expect("the interface is there");
    }

    pub fn warnings(&self) -> Vec<String> {
        let log = self.kernel().log();
        log.into_iter().map(|message| message.text).collect()
    }

    /// A UDP socket that is bound.
    pub fn udp(&self, address: IpAddr, port: u16) -> Socket {
        let socket = self.ip().udp(0, family(address));
        socket.bind(Some(address), port).expect("a free port");
        socket
    }

    /// A connection from one address to another, both of which it has.
    pub fn connection(&self, from: (IpAddr, u16), to: (IpAddr, u16)) -> (Socket, Socket) {
        let listener = self.ip().tcp(0, family(to.0));
        listener.bind(Some(to.0), to.1).expect("a free port");
        listener.listen(8).expect("it is bound");
        let client = self.ip().tcp(0, family(from.0));
        client.bind(Some(from.0), from.1).expect("a free port");
        client.connect(to.0, to.1).expect("a listener");
        let server = listener.accept().expect("a connection");
        listener.close();
        (client, server)
    }
}
