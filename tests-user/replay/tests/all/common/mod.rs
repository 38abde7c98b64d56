// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Builds packets and capture files, and replays them with the model.

pub mod files;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clinet_replay::{ModelStack, Options, ReplayError, Report, replay};
use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder,
    TcpHeader,
};

pub const SHARED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
pub const SHARED6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));
pub const NODE_A: [u8; 6] = [2, 0, 0, 0, 0, 0x0a];
pub const NODE_B: [u8; 6] = [2, 0, 0, 0, 0, 0x0b];
pub const PEER: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn ip(from: IpAddr, to: IpAddr) -> IpHeaders {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => IpHeaders::Ipv4(
            Ipv4Header::new(0, 64, IpNumber(0), from.octets(), to.octets()).expect("a header"),
            Ipv4Extensions::default(),
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => IpHeaders::Ipv6(
            Ipv6Header {
                hop_limit: 64,
                source: from.octets(),
                destination: to.octets(),
                ..Ipv6Header::default()
            },
            Ipv6Extensions::default(),
        ),
        _ => panic!("two families"),
    }
}

/// A TCP segment without link-layer header.
pub fn segment(from: &str, to: &str, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (socket(from), socket(to));
    let mut tcp = TcpHeader::new(from.port(), to.port(), seq, 1000);
    tcp.acknowledgment_number = ack;
    tcp.fin = flags & FIN != 0;
    tcp.syn = flags & SYN != 0;
    tcp.rst = flags & RST != 0;
    tcp.ack = flags & ACK != 0;
    let builder = PacketBuilder::ip(ip(from.ip(), to.ip())).tcp_header(tcp);
    let mut out = Vec::new();
    builder.write(&mut out, payload).expect("a packet");
    out
}

/// A UDP datagram without link-layer header.
pub fn datagram(from: &str, to: &str) -> Vec<u8> {
    let (from, to) = (socket(from), socket(to));
    let mut out = Vec::new();
    PacketBuilder::ip(ip(from.ip(), to.ip()))
        .udp(from.port(), to.port())
        .write(&mut out, b"datagram")
        .expect("a packet");
    out
}

/// An Ethernet frame around an IP packet.
pub fn frame(from: [u8; 6], to: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let ether_type = if packet[0] >> 4 == 6 {
        [0x86, 0xdd]
    } else {
        [8, 0]
    };
    [&to[..], &from, &ether_type, packet].concat()
}

/// A conversation, step by step, between one shared address and one peer.
pub struct Talk {
    pub node: [u8; 6],
    pub local: String,
    pub foreign: String,
    pub frames: Vec<Vec<u8>>,
}

impl Talk {
    pub fn new(node: [u8; 6], local: &str, foreign: &str) -> Self {
        Self {
            node,
            local: local.to_owned(),
            foreign: foreign.to_owned(),
            frames: Vec::new(),
        }
    }

    pub fn out(&mut self, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        let packet = segment(&self.local, &self.foreign, flags, seq, ack, payload);
        self.frames.push(frame(self.node, PEER, &packet));
        self
    }

    pub fn back(&mut self, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> &mut Self {
        let packet = segment(&self.foreign, &self.local, flags, seq, ack, payload);
        self.frames.push(frame(PEER, self.node, &packet));
        self
    }

    pub fn udp(&mut self, foreign: &str) -> &mut Self {
        let packet = datagram(&self.local, foreign);
        self.frames.push(frame(self.node, PEER, &packet));
        self
    }

    /// A handshake that the node begins.
    pub fn connect(&mut self, isn: u32) -> &mut Self {
        self.out(SYN, isn, 0, b"")
            .back(SYN | ACK, 9000, isn + 1, b"")
            .out(ACK, isn + 1, 9001, b"")
    }

    /// The orderly end of what `connect(isn)` began.
    pub fn close(&mut self, isn: u32) -> &mut Self {
        self.out(FIN | ACK, isn + 1, 9001, b"")
            .back(FIN | ACK, 9001, isn + 2, b"")
            .out(ACK, isn + 2, 9002, b"")
    }
}

/// A little-endian pcap file of uncut packets.
pub fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0xa1b2_c3d4u32.to_le_bytes());
    out.extend([2, 0, 4, 0]);
    out.extend([0; 8]);
    out.extend(262_144u32.to_le_bytes());
    out.extend(link.to_le_bytes());
    for (i, packet) in packets.iter().enumerate() {
        out.extend((1_700_000_000 + i as u32).to_le_bytes());
        out.extend(123_456u32.to_le_bytes());
        out.extend((packet.len() as u32).to_le_bytes());
        out.extend((packet.len() as u32).to_le_bytes());
        out.extend(packet);
    }
    out
}

pub fn options() -> Options {
    Options::new(vec![SHARED, SHARED6])
}

pub fn try_replay(file: &[u8], options: &Options) -> Result<Report, ReplayError> {
    replay(file, options, &mut ModelStack::new(), &mut |_, _| {})
}

pub fn replay_file(file: &[u8]) -> Report {
    try_replay(file, &options()).expect("a whole capture")
}

pub fn replay_frames(frames: &[Vec<u8>]) -> Report {
    replay_file(&pcap(1, frames))
}
