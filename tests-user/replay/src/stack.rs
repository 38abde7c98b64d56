// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a replay drives: the stacks of all nodes.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, protocol number 6.
    Tcp,
    /// UDP, protocol number 17.
    Udp,
}

impl Protocol {
    /// The protocol number of IP.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Who began a flow, seen from the shared address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The node did.
    Outgoing,
    /// The foreign end did.
    Incoming,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outgoing => "out",
            Self::Incoming => "in",
        })
    }
}

/// A flow's 5-tuple, seen from the shared address. Ports are in host order,
/// v4-mapped IPv6 addresses are IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The shared address and its port.
    pub local: (IpAddr, u16),
    /// The other end.
    pub foreign: (IpAddr, u16),
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (local, foreign) = (SocketAddr::from(self.local), SocketAddr::from(self.foreign));
        write!(f, "{} {local} - {foreign}", self.protocol)
    }
}

/// What tells nodes apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeId {
    /// The only node of a capture without MAC addresses; shown as `all`.
    All,
    /// A MAC address, shown as `02:00:00:00:00:01`.
    Mac([u8; 6]),
    /// A local port modulo the number of nodes, shown as that number.
    Modulo(u32),
    /// A name that was given to MAC addresses.
    Named(Arc<str>),
}

impl NodeId {
    /// Is it not known but concluded from a MAC address?
    pub fn is_guessed(&self) -> bool {
        matches!(self, Self::Mac(_))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Modulo(n) => write!(f, "{n}"),
            Self::Named(name) => f.write_str(name),
            Self::Mac([a, b, c, d, e, g]) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
            }
        }
    }
}

/// The answer to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The 5-tuple is unique and registered now.
    Accepted,
    /// It is not.
    Refused {
        /// What the program sees: a positive illumos error number.
        errno: i32,
        /// The index of the node that owns the 5-tuple, if known.
        owner: Option<usize>,
    },
}

/// What came of a UDP send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpAnswer {
    /// Whether it took a question.
    pub asked: bool,
    /// The answer; [`Answer::Accepted`] if nobody was asked.
    pub answer: Answer,
}

/// A stack cannot go on: a node's module did not load, for instance.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct StackError(#[from] pub Box<dyn Error + Send + Sync>);

/// The TCP/IP stacks of all nodes in a capture.
pub trait Stack {
    /// A node is seen for the first time. Returns the index by which the other
    /// methods name it.
    ///
    /// # Errors
    ///
    /// The replay stops.
    fn add_node(&mut self, node: &NodeId) -> Result<usize, StackError>;

    /// A program's `connect()`, or a SYN that would create a connection.
    fn tcp_connect(&mut self, node: usize, direction: Direction, flow: &FiveTuple) -> Answer;

    /// An accepted connection is over. Called once for each.
    fn tcp_end(&mut self, node: usize, flow: &FiveTuple);

    /// A `sendto()` on the node's unconnected socket that is bound to the local
    /// address and port.
    fn udp_send(&mut self, node: usize, flow: &FiveTuple) -> UdpAnswer;
}
