// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Machines that the tests begin with: a stock ip with recording hooks, one with
//! the module attached, and a cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use clinet_ip::{
    AF_INET, AF_INET6, AttachedNode, Cluster, End, Errno, Hook, HookRecorder, Ip, Node, Policy,
    Recorded, Release, Socket, released_module,
};

pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
pub const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99));

/// The six hooks that are set unless a test says otherwise.
pub const SET: [Hook; 6] = [
    Hook::Listen,
    Hook::Unlisten,
    Hook::Connect2,
    Hook::Disconnect,
    Hook::Bind,
    Hook::Unbind,
];

pub fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}

pub struct Lab {
    pub ip: Ip,
    pub recorder: Arc<HookRecorder>,
}

impl Lab {
    pub fn new() -> Self {
        Self::of_release(Release::default())
    }

    pub fn of_release(release: Release) -> Self {
        let recorder = Arc::new(HookRecorder::new());
        recorder.set(&SET);
        Self {
            ip: Ip::of_release(recorder.clone(), release),
            recorder,
        }
    }

    pub fn tcp(&self) -> Socket {
        self.ip.tcp(0, AF_INET)
    }

    pub fn tcp6(&self) -> Socket {
        self.ip.tcp(0, AF_INET6)
    }

    pub fn udp(&self) -> Socket {
        self.ip.udp(0, AF_INET)
    }

    pub fn udp6(&self) -> Socket {
        self.ip.udp(0, AF_INET6)
    }

    /// A TCP socket that is bound.
    pub fn bound(&self, address: IpAddr, port: u16) -> Socket {
        let socket = self.tcp();
        socket.bind(Some(address), port).expect("the port is free");
        socket
    }

    /// A listener on 127.0.0.1, port 5001.
    pub fn listener(&self) -> Socket {
        let listener = self.bound(LOCAL, 5001);
        listener.listen(5).expect("it is bound");
        self.calls();
        listener
    }

    /// A UDP socket on every address, port 7001.
    pub fn receiver(&self) -> Socket {
        let socket = self.udp();
        socket.bind(None, 7001).expect("the port is free");
        self.calls();
        socket
    }

    /// Answers the next `count` questions of one direction so, or all.
    pub fn answer(&self, outgoing: Option<bool>, count: Option<u64>, value: i32) {
        self.recorder.set_policy(Some(Policy {
            outgoing,
            count,
            value,
            ..Policy::default()
        }));
    }

    pub fn accept_all(&self) {
        self.recorder.set_policy(None);
    }

    /// The calls since this was asked last. Ephemeral ports are counted from
    /// `p0`.
    pub fn calls(&self) -> Vec<String> {
        self.ip.settle();
        self.recorder.take().iter().map(write).collect()
    }
}

fn write_end(address: IpAddr, port: u16) -> String {
    match port {
        32768.. => SocketAddr::new(address, 0)
            .to_string()
            .replace(":0", &format!(":p{}", port % (1 << 14))),
        _ => SocketAddr::new(address, port).to_string(),
    }
}

fn write(recorded: &Recorded) -> String {
    let call = &recorded.call;
    let mut text = call.hook.name().to_owned();
    if let Some(outgoing) = call.outgoing {
        text += if outgoing { " out" } else { " in" };
    }
    if call.stack != 0 {
        text += &format!(" stack {}", call.stack);
    }
    text += " ";
    text += &call
        .lport
        .map_or(call.laddr.to_string(), |port| write_end(call.laddr, port));
    if let Some(address) = call.faddr {
        text += " ";
        text += &call
            .fport
            .map_or(address.to_string(), |port| write_end(address, port));
    }
    if recorded.answer != 0 {
        text += &format!(" = {}", recorded.answer);
    }
    text
}

/// Sends four bytes.
pub fn send_to(socket: &Socket, address: IpAddr, port: u16) -> Result<usize, Errno> {
    socket.send_to(Some((address, port)), false, 4)
}

pub const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A machine with the released module attached, whose first audits are over.
pub fn node(tunables: &[(&str, u64)]) -> AttachedNode {
    let file = clinet_ip::released_module().unwrap_or_else(|error| panic!("{error}"));
    let node = AttachedNode::new(&file, tunables).unwrap_or_else(|error| panic!("{error}"));
    node.seconds(3);
    node
}

/// The entries of a registry in their order, such as
/// `tcp 127.0.0.1:5001 127.0.0.1:p0 x1`; of another node `node 2` in place of
/// the references. Ephemeral ports are counted from `p0`.
pub fn entries(node: &AttachedNode) -> Vec<String> {
    let write = |entry: &clinet_ip::Entry| {
        let protocol = match entry.protocol {
            6 => "tcp",
            _ => "udp",
        };
        let held = match entry.references {
            0 => format!("node {}", entry.owner),
            references => format!("x{references}"),
        };
        let local = write_end(entry.local.ip(), entry.local.port());
        let foreign = write_end(entry.foreign.ip(), entry.foreign.port());
        format!("{protocol} {local} {foreign} {held}")
    };
    node.ip().settle();
    node.entries().iter().map(write).collect()
}

/// A listener on 127.0.0.1, port 5001.
pub fn listener(node: &AttachedNode) -> Socket {
    let listener = node.ip().tcp(0, AF_INET);
    listener.bind(Some(LOCAL), 5001).expect("the port is free");
    listener.listen(5).expect("it is bound");
    listener
}

/// A TCP socket that is bound to 127.0.0.1.
pub fn bound(node: &AttachedNode, port: u16) -> Socket {
    let socket = node.ip().tcp(0, AF_INET);
    socket.bind(Some(LOCAL), port).expect("the port is free");
    socket
}

/// A UDP socket that is bound to 127.0.0.1.
pub fn bound_udp(node: &AttachedNode, port: u16) -> Socket {
    let socket = node.ip().udp(0, AF_INET);
    socket.bind(Some(LOCAL), port).expect("the port is free");
    socket
}

/// The node that owns what is refused.
pub const OWNER: u32 = 2;

/// The other node owns a 5-tuple from now on.
pub fn install(node: &AttachedNode, protocol: u8, local: End, foreign: End) {
    let clinet = node.clinet();
    let installed = clinet.install(OWNER, protocol, local.into(), foreign.into());
    installed.expect("it is free");
}

/// And no more.
pub fn withdraw(node: &AttachedNode, protocol: u8, local: End, foreign: End) {
    let clinet = node.clinet();
    let withdrawn = clinet.withdraw(OWNER, protocol, local.into(), foreign.into());
    withdrawn.expect("it was installed");
}

pub const SHARED: &str = "192.0.2.10";
pub const SHARED6: &str = "2001:db8::10";
pub const SERVER: &str = "198.51.100.1";
pub const SERVER6: &str = "2001:db8:1::1";

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn end(text: &str) -> End {
    let addr = addr(text);
    (addr.ip(), addr.port())
}

/// Connects, and waits for it.
pub fn connect(socket: &Socket, peer: &str) -> Result<(), Errno> {
    let (address, port) = end(peer);
    socket.connect(address, port)
}

/// Sends the SYN of a connect, and does not wait for the answer.
pub fn start_connect(socket: &Socket, peer: &str) {
    socket.set_nonblocking(true);
    assert_eq!(connect(socket, peer), Err(Errno::EINPROGRESS));
}

/// Sends four bytes.
pub fn sendto(socket: &Socket, to: &str) -> Result<usize, Errno> {
    socket.send_to(Some(end(to)), false, 4)
}

/// Nodes a and b share two addresses; the host has its own.
pub struct Pair {
    pub cluster: Cluster,
    pub a: Node,
    pub b: Node,
    pub host: Node,
}

pub fn pair() -> Pair {
    pair_with(&[])
}

pub fn pair_with(tunables: &[(&str, u64)]) -> Pair {
    let mut cluster = Cluster::new(&released_module().unwrap());
    for (name, value) in tunables {
        cluster.set_tunable(name, *value);
    }
    let shared = [SHARED.parse().unwrap(), SHARED6.parse().unwrap()];
    let a = cluster.add_node("a", &shared).unwrap();
    let b = cluster.add_node("b", &shared).unwrap();
    let host = cluster.add_host("host", &[SERVER.parse().unwrap(), SERVER6.parse().unwrap()]);
    Pair {
        cluster,
        a,
        b,
        host,
    }
}
