// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Capture files of every format.

use super::{NODE_A, Talk};

pub const LOCAL: &str = "192.0.2.10:40000";
pub const FOREIGN: &str = "198.51.100.7:80";

/// A connection and a datagram.
pub fn packets() -> Vec<Vec<u8>> {
    let mut t = Talk::new(NODE_A, LOCAL, FOREIGN);
    t.connect(1).close(1).udp("198.51.100.7:53");
    t.frames
}

pub fn put(out: &mut Vec<u8>, big: bool, number: u32) {
    out.extend(if big {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    });
}

pub fn put16(out: &mut Vec<u8>, big: bool, number: u16) {
    out.extend(if big {
        number.to_be_bytes()
    } else {
        number.to_le_bytes()
    });
}

pub fn pcap_of(magic: u32, big: bool, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, big, magic);
    put16(&mut out, big, 2);
    put16(&mut out, big, 4);
    for number in [0, 0, 65535, 1] {
        put(&mut out, big, number);
    }
    for packet in packets {
        let len = packet.len() as u32;
        for number in [1_700_000_000, 999_999, len, len] {
            put(&mut out, big, number);
        }
        out.extend(packet);
    }
    out
}

pub fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = padded as u32 + 12;
    let mut out = Vec::new();
    put(&mut out, big, kind);
    put(&mut out, big, len);
    out.extend(body);
    out.resize(padded + 8, 0);
    put(&mut out, big, len);
    out
}

pub fn section(big: bool) -> Vec<u8> {
    section_of(1, big)
}

pub fn section_of(major: u16, big: bool) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, big, 0x1a2b_3c4d);
    put16(&mut body, big, major);
    put16(&mut body, big, 0);
    body.extend([0xff; 8]);
    block(big, 0x0a0d_0d0a, &body)
}

pub fn interface(big: bool, link: u16) -> Vec<u8> {
    let mut body = Vec::new();
    put16(&mut body, big, link);
    put16(&mut body, big, 0);
    put(&mut body, big, 0);
    // if_name, if_tsresol (2^-10), if_tsoffset (100 s), end
    put16(&mut body, big, 2);
    put16(&mut body, big, 4);
    body.extend(b"net0");
    put16(&mut body, big, 9);
    put16(&mut body, big, 1);
    body.extend([0x8a, 0, 0, 0]);
    put16(&mut body, big, 14);
    put16(&mut body, big, 8);
    body.extend(if big {
        100i64.to_be_bytes()
    } else {
        100i64.to_le_bytes()
    });
    body.extend([0; 4]);
    block(big, 1, &body)
}

pub fn enhanced(big: bool, interface: u32, packet: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let len = packet.len() as u32;
    for number in [interface, 0, 3 * 1024 + 512, len, len] {
        put(&mut body, big, number);
    }
    body.extend(packet);
    block(big, 6, &body)
}

pub fn simple(big: bool, packet: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put(&mut body, big, packet.len() as u32);
    body.extend(packet);
    block(big, 3, &body)
}

pub fn old(big: bool, packet: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put16(&mut body, big, 0);
    put16(&mut body, big, 0);
    let len = packet.len() as u32;
    for number in [0, 0, len, len] {
        put(&mut body, big, number);
    }
    body.extend(packet);
    block(big, 2, &body)
}

/// Two sections of different byte order, all kinds of packet blocks, and blocks
/// that are none.
pub fn pcapng(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, packet) in packets.iter().enumerate() {
        let big = i >= packets.len() / 2;
        if i == 0 || i == packets.len() / 2 {
            out.extend(section(big));
            out.extend(interface(big, 1));
            out.extend(block(big, 5, &[1; 21]));
        }
        out.extend(match i % 3 {
            0 => enhanced(big, 0, packet),
            1 => simple(big, packet),
            _ => old(big, packet),
        });
    }
    out
}

pub fn snoop(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"snoop\0\0\0".to_vec();
    put(&mut out, true, 2);
    put(&mut out, true, link);
    for packet in packets {
        let len = packet.len() as u32;
        let padding = len.next_multiple_of(4) - len;
        for number in [len, len, 24 + len + padding, 0, 1_700_000_000, 5] {
            put(&mut out, true, number);
        }
        out.extend(packet);
        out.resize(out.len() + padding as usize, 0);
    }
    out
}
