// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a program would ask a machine's TCP/IP for, put to a simulated machine:
//! how the agent and tests do on Linux what ipadm and sockets do on illumos.
//!
//! Sent in JSON, each request as one object whose member `do` says what is
//! wanted. Refusals are error numbers of illumos in the reply around it.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// What is wanted of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum MachineRequest {
    /// Sets the range that ip chooses local ports from. Answered with
    /// [`MachineReply::Done`].
    SetEphemeralRange {
        /// TCP and UDP have one each.
        protocol: Protocol,
        /// The smallest port.
        first: u16,
        /// The greatest.
        last: u16,
    },
    /// Asks for that range: [`MachineReply::EphemeralRange`].
    EphemeralRange {
        /// TCP and UDP have one each.
        protocol: Protocol,
    },
    /// Brings a local address up.
    AddressUp {
        /// Which.
        address: IpAddr,
    },
    /// Takes it down, as ipadm(8) does.
    AddressDown {
        /// Which.
        address: IpAddr,
    },
    /// All local addresses: [`MachineReply::Addresses`].
    Addresses,
    /// The UDP sockets that are bound: [`MachineReply::UdpSockets`].
    UdpSockets,
    /// Opens a socket and connects it, as a program does:
    /// [`MachineReply::Connected`], or the error number of connect(2).
    Connect {
        /// TCP or UDP.
        protocol: Protocol,
        /// Bind to it first; port 0: ip chooses.
        local: Option<SocketAddr>,
        /// The other end.
        foreign: SocketAddr,
    },
    /// Sends a datagram or segment from a connected socket.
    Send {
        /// Of [`MachineReply::Connected`].
        socket: u64,
    },
    /// Closes a socket.
    Close {
        /// Of [`MachineReply::Connected`].
        socket: u64,
    },
    /// Registers connections of programs that have no sockets, from the ports that
    /// ip would choose: [`MachineReply::Registered`].
    Register {
        /// How many.
        count: u64,
    },
    /// What left the machine since then: [`MachineReply::Sent`].
    Sent {
        /// The `next` of the last answer; at first 0.
        since: u64,
    },
    /// The machine's clock runs faster (positive) or slower than the real one.
    SetClockRate {
        /// Millionths.
        ppm: i32,
    },
    /// The machine's clock jumps forward.
    Advance {
        /// By so much.
        milliseconds: u64,
    },
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum MachineReply {
    /// It is done.
    Done,
    /// The range that ip chooses local ports from.
    EphemeralRange {
        /// The smallest port.
        first: u16,
        /// The greatest.
        last: u16,
    },
    /// All local addresses.
    Addresses {
        /// One for each logical interface.
        addresses: Vec<LocalAddress>,
    },
    /// The UDP sockets that are bound.
    UdpSockets {
        /// Each of them.
        sockets: Vec<UdpSocket>,
    },
    /// The socket is connected.
    Connected {
        /// By which other requests name it.
        socket: u64,
        /// Its own end, as ip chose it.
        local: SocketAddr,
    },
    /// The module was asked about these connections.
    Registered {
        /// So many it accepted.
        count: u64,
    },
    /// What left the machine.
    Sent {
        /// Where the next request goes on.
        next: u64,
        /// In the order of sending.
        packets: Vec<SentPacket>,
    },
}

/// A logical interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalAddress {
    /// Its name, such as `net0:1`.
    pub interface: String,
    /// Its address.
    pub address: IpAddr,
    /// It has IFF_UP.
    pub up: bool,
    /// It has IFF_NOLOCAL.
    pub nolocal: bool,
}

/// A UDP socket that is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpSocket {
    /// What it is bound to.
    pub local: SocketAddr,
    /// The peer, if it is connected.
    pub foreign: Option<SocketAddr>,
    /// The program that has it open.
    pub program: String,
    /// Its process.
    pub pid: u32,
}

/// A packet that left the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentPacket {
    /// CLOCK_MONOTONIC of the host, in nanoseconds: one clock for all machines.
    pub time: u64,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Source address and port.
    pub local: SocketAddr,
    /// Destination address and port.
    pub foreign: SocketAddr,
}
