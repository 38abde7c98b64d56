// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An ip with recording hooks.

#![allow(dead_code, reason = "not every test file uses all of it")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use clinet_stock::{
    AF_INET, AF_INET6, Errno, Hook, Ip, Node, Policy, Recorded, Recorder, Release, Socket,
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
    pub recorder: Arc<Recorder>,
}

impl Lab {
    pub fn new() -> Self {
        Self::of_release(Release::default())
    }

    pub fn of_release(release: Release) -> Self {
        let recorder = Arc::new(Recorder::new());
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

fn end(address: IpAddr, port: u16) -> String {
    match port {
        32768.. => SocketAddr::new(address, 0)
            .to_string()
            .replace(":0", &format!(":p{}", port - 32768)),
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
        .map_or(call.laddr.to_string(), |port| end(call.laddr, port));
    if let Some(address) = call.faddr {
        text += " ";
        text += &call
            .fport
            .map_or(address.to_string(), |port| end(address, port));
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
pub fn node(tunables: &[(&str, u64)]) -> Node {
    let file = clinet_ip::released_module().unwrap_or_else(|error| panic!("{error}"));
    let node = Node::new(&file, tunables).unwrap_or_else(|error| panic!("{error}"));
    node.seconds(3);
    node
}

/// The entries of a registry in their order, such as
/// `tcp 127.0.0.1:5001 127.0.0.1:p0 x1`; of another node `node 2` in place of
/// the references. Ephemeral ports are counted from `p0`.
pub fn entries(node: &Node) -> Vec<String> {
    let write = |entry: &clinet_stock::Entry| {
        let protocol = match entry.protocol {
            6 => "tcp",
            _ => "udp",
        };
        let held = match entry.references {
            0 => format!("node {}", entry.owner),
            references => format!("x{references}"),
        };
        let local = end(entry.local.ip(), entry.local.port());
        let foreign = end(entry.foreign.ip(), entry.foreign.port());
        format!("{protocol} {local} {foreign} {held}")
    };
    node.ip().settle();
    node.entries().iter().map(write).collect()
}

/// A listener on 127.0.0.1, port 5001.
pub fn listener(node: &Node) -> Socket {
    let listener = node.ip().tcp(0, AF_INET);
    listener.bind(Some(LOCAL), 5001).expect("the port is free");
    listener.listen(5).expect("it is bound");
    listener
}

/// A TCP socket that is bound to 127.0.0.1.
pub fn bound(node: &Node, port: u16) -> Socket {
    let socket = node.ip().tcp(0, AF_INET);
    socket.bind(Some(LOCAL), port).expect("the port is free");
    socket
}
