// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tunnels in UDP.

use super::*;

fn to(port: u16, header: &[u8], payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &udp(port, &[header, payload].concat()))
}

/// What its receiver answers.
fn from(port: u16, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = to(port, header, payload);
    let ports = frame[34..38].to_vec();
    frame[34..36].copy_from_slice(&ports[2..]);
    frame[36..38].copy_from_slice(&ports[..2]);
    frame
}

#[test]
fn gtp_u_is_looked_into() {
    let plain = [0x30, 0xff, 0, 40, 0, 0, 0, 7];
    assert_tunnel("GTP-U", to(2152, &plain, &inner()));
    assert_tunnel("GTP-U", to(2152, &plain, &inner6()));
    // A sequence number; what would be the next header is not one.
    let numbered = [0x32, 0xff, 0, 44, 0, 0, 0, 7, 0, 1, 0, 0x85];
    assert_tunnel("GTP-U", to(2152, &numbered, &inner()));
    // Two extension headers, of one word and of two.
    let mut extended = vec![0x34, 0xff, 0, 56, 0, 0, 0, 7, 0, 0, 0, 0x85];
    extended.extend([1, 9, 9, 0xc0, 2, 9, 9, 9, 9, 9, 9, 0]);
    assert_tunnel("GTP-U", to(2152, &extended, &inner()));
    // Something that is not IP, a header of no length, cut.
    assert_closed("GTP-U", to(2152, &plain, &[0x0a; 40]));
    extended[12] = 0;
    assert_closed("GTP-U", to(2152, &extended, &inner()));
    assert_closed("GTP-U", to(2152, &extended[..11], &[]));
    assert_closed("GTP-U", to(2152, &plain, &[]));
}

#[test]
fn l2tp_is_looked_into() {
    let ppp = [&[0xff, 3, 0, 0x21], &inner()[..]].concat();
    let plain = [0, 2, 0, 1, 0, 2];
    assert_tunnel("L2TP", to(1701, &plain, &ppp));
    assert_tunnel("L2TP", from(1701, &plain, &ppp));
    let all = [0x4b, 2, 0, 60, 0, 1, 0, 2, 0, 3, 0, 4, 0, 2, 9, 9];
    assert_tunnel("L2TP", to(1701, &all, &ppp));
    assert_tunnel("L2TP", to(1701, &plain, &ppp[3..]));
    assert_closed("L2TP", to(1701, &all[..12], &[]));
    assert_closed("L2TP", to(1701, &plain, &[0, 0xfd, 1]));
    // Version 3.
    assert_closed("L2TP", to(1701, &[0, 3, 0, 0, 0, 0, 0, 9], &inner()));
}

#[test]
fn teredo_is_looked_into() {
    let teredo = |from: [u8; 4], to: [u8; 4]| {
        // The SYN is in IPv4, as its shared address is.
        let mut packet = ipv6(4, &inner());
        packet[8..12].copy_from_slice(&from);
        packet[24..28].copy_from_slice(&to);
        packet
    };
    let (client, native, link) = ([0x20, 1, 0, 0], [0x20, 1, 0xd, 0xb8], [0xfe, 0x80, 0, 0]);
    assert_tunnel("Teredo", to(3544, &[], &teredo(client, native)));
    assert_tunnel("Teredo", from(3544, &[], &teredo(native, client)));
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    assert_tunnel("Teredo", from(3544, &origin, &teredo(native, client)));
    let mut both = vec![0, 1, 2, 1, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    assert_tunnel("Teredo", to(3544, &both, &teredo(link, link)));
    both.extend(origin);
    assert_tunnel("Teredo", from(3544, &both, &teredo(link, link)));
    assert_none(to(3544, &[], &teredo(native, native)));
}

#[test]
fn mpls_in_udp_is_looked_into() {
    assert_tunnel("MPLS", to(6635, &[0, 2, 1, 64], &inner()));
}

#[test]
fn what_is_encrypted_is_named() {
    for frame in [to, from] {
        assert_closed("ESP", frame(4500, &[0, 0, 1, 2, 0, 0, 0, 1], &[7; 32]));
        assert_closed(
            "WireGuard",
            frame(51820, &[4, 0, 0, 0, 1, 2, 3, 4], &[7; 32]),
        );
    }
}

#[test]
fn what_keeps_a_tunnel_going_is_none() {
    for (port, payload) in [
        // An echo request, and version 2.
        (2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0][..]),
        (2152, &[0x48, 0xff, 0, 4, 0, 0, 0, 0]),
        (2152, &[0x30]),
        (1701, &[0xc8, 2, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0]),
        (1701, &[0xc8, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0]),
        (1701, &[0, 2, 0, 1, 0, 2, 0xc0, 0x21, 9, 0, 0, 4]),
        (1701, b"not L2TP"),
        (1701, &[]),
        (3544, &[0x60; 20]),
        (3544, &[0, 1, 200, 200]),
        (3544, &[]),
        // Key exchange, and what keeps the mapping of a NAT.
        (4500, &[0, 0, 0, 0, 1, 2, 3, 4]),
        (4500, &[0xff]),
        // The first message of a handshake.
        (51820, &[1, 0, 0, 0, 1, 2, 3, 4]),
        (51820, &[]),
    ] {
        assert_none(to(port, payload, &[]));
    }
}

/// The datagram around a tunnel is one of its own as long as nobody looks into
/// it, or can.
#[test]
fn a_tunnel_is_a_datagram_of_the_shared_address() {
    let shared = |mut frame: Vec<u8>| {
        frame[26..30].copy_from_slice(&[192, 0, 2, 10]);
        frame
    };
    let gtp = shared(to(2152, &[0x30, 0xff, 0, 40, 0, 0, 0, 7], &inner()));
    let wireguard = shared(to(51820, &[4, 0, 0, 0], &[7; 28]));
    for (frame, inner, sends, name) in [
        (&gtp, false, 1, Some("GTP-U")),
        (&gtp, true, 0, None),
        (&wireguard, false, 1, Some("WireGuard")),
        (&wireguard, true, 1, Some("WireGuard")),
    ] {
        let report = replay_one(frame.clone(), inner);
        let t = &report.totals;
        assert_eq!((t.udp_sends, t.udp_asked), (sends, sends));
        assert_eq!(t.tcp_out, 1 - sends);
        assert!(report.not_looked_into.keys().eq(name));
    }
}
