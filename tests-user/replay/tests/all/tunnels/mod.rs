// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Packets inside others.

mod ip;
mod udp;

use crate::common::*;
use clinet_replay::{Options, Report};

const LOCAL: &str = "192.0.2.10:40000";
const FOREIGN: &str = "198.51.100.7:80";

fn inner() -> Vec<u8> {
    segment(LOCAL, FOREIGN, SYN, 1, 0, b"")
}

fn inner6() -> Vec<u8> {
    segment("[2001:db8::10]:1", "[2001:db8::1]:2", SYN, 1, 0, b"")
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let ether_type = ether_type.to_be_bytes();
    [&PEER[..], &NODE_A, &ether_type, payload].concat()
}

/// An IPv4 packet between two addresses that are not shared.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len() as u16).to_be_bytes();
    let header = [0x45, 0, len[0], len[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    [&header, &[203, 0, 113, 1, 203, 0, 113, 2][..], payload].concat()
}

fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    let header = [0x60, 0, 0, 0, len[0], len[1], protocol, 64];
    [&header, &[0x20; 32][..], payload].concat()
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let (port, len) = (port.to_be_bytes(), (8 + payload.len() as u16).to_be_bytes());
    let header = [0xc0, 0, port[0], port[1], len[0], len[1], 0, 0];
    ipv4(17, &[&header, payload].concat())
}

fn replay_one(frame: Vec<u8>, inner: bool) -> Report {
    let options = Options { inner, ..options() };
    try_replay(&pcap(1, &[frame]), &options).expect("a whole capture")
}

/// A SYN of the shared address is in a tunnel of this name.
fn assert_tunnel(name: &str, frame: Vec<u8>) {
    let closed = replay_one(frame.clone(), false);
    let t = &closed.totals;
    assert_eq!((t.packets, t.not_shared, t.tcp_out), (1, 0, 0), "{name}");
    let count: Vec<_> = closed.not_looked_into.iter().collect();
    assert_eq!(count, [(&name.to_owned(), &1)], "{frame:x?}");
    let open = replay_one(frame.clone(), true);
    let t = &open.totals;
    assert_eq!((t.packets, t.undecodable, t.tcp_out), (1, 0, 1), "{name}");
    assert!(open.not_looked_into.is_empty());
    // A SYN needs 14 bytes behind the last header of IP.
    let needed = frame.len() - 6;
    for len in 0..frame.len() {
        let cut = replay_one(frame[..len].to_vec(), true).totals;
        assert_eq!(cut.packets, 1);
        assert_eq!(cut.tcp_out, u64::from(len >= needed), "{name} cut to {len}");
    }
    assert_eq!(open.nodes[0].node, "02:00:00:00:00:0a");
}

/// Nobody can look into it.
fn assert_closed(name: &str, frame: Vec<u8>) {
    for inner in [false, true] {
        let report = replay_one(frame.clone(), inner);
        let count: Vec<_> = report.not_looked_into.iter().collect();
        assert_eq!(count, [(&name.to_owned(), &1)], "{frame:x?}");
        let t = &report.totals;
        assert_eq!((t.not_shared, t.undecodable), (0, 0), "{name}");
    }
}

/// It carries no packet.
fn assert_none(frame: Vec<u8>) {
    let report = replay_one(frame.clone(), true);
    assert!(report.not_looked_into.is_empty(), "{frame:x?}");
    let t = &report.totals;
    assert_eq!((t.not_shared, t.undecodable), (1, 0), "{frame:x?}");
}

#[test]
fn tunnels_are_counted_by_name_and_looked_into_on_request() {
    let with = |header: &[u8], payload: &[u8]| [header, payload].concat();
    let inside = ethernet(0x0800, &inner());
    let vxlan = with(&[8, 0, 0, 0, 0, 0, 7, 0], &inside);
    let cases = [
        (
            "PPPoE",
            ethernet(0x8864, &with(&[0x11, 0, 0, 1, 0, 42, 0, 0x21], &inner())),
        ),
        (
            "PPPoE",
            ethernet(0x8864, &with(&[0x11, 0, 0, 1, 0, 62, 0, 0x57], &inner6())),
        ),
        (
            "PPPoE",
            ethernet(0x8864, &with(&[0x11, 0, 0, 1, 0, 41, 0x21], &inner())),
        ),
        (
            "PPPoE",
            ethernet(0x8864, &with(&[0x11, 0, 0, 1, 0, 61, 0x57], &inner6())),
        ),
        (
            "MPLS",
            ethernet(0x8847, &with(&[0, 1, 0, 64, 0, 2, 1, 64], &inner())),
        ),
        ("MPLS", ethernet(0x8848, &with(&[0, 2, 1, 64], &inner6()))),
        (
            "MPLS",
            ethernet(0x8847, &with(&[0, 2, 1, 64, 0, 0, 0, 0], &inside)),
        ),
        (
            "GRE",
            ethernet(0x0800, &ipv4(47, &with(&[0, 0, 8, 0], &inner()))),
        ),
        (
            "GRE",
            ethernet(0x0800, &ipv4(47, &with(&[0, 0, 0x86, 0xdd], &inner6()))),
        ),
        (
            "GRE",
            ethernet(
                0x0800,
                &ipv4(
                    47,
                    &with(
                        &[[0xb0, 0, 0x65, 0x58], [0; 4], [0; 4], [0; 4]].concat(),
                        &inside,
                    ),
                ),
            ),
        ),
        ("IP-in-IP", ethernet(0x0800, &ipv4(4, &inner()))),
        ("IP-in-IP", ethernet(0x0800, &ipv4(41, &inner6()))),
        ("IP-in-IP", ethernet(0x86dd, &ipv6(4, &inner()))),
        ("IP-in-IP", ethernet(0x86dd, &ipv6(41, &inner6()))),
        ("VXLAN", ethernet(0x0800, &udp(4789, &vxlan))),
        (
            "VXLAN",
            ethernet(0x8100, &with(&[0, 7, 8, 0], &udp(8472, &vxlan))),
        ),
        (
            "VXLAN",
            ethernet(
                0x0800,
                &udp(4789, &with(&[0x88, 1, 2, 3, 0, 0, 7, 9], &inside)),
            ),
        ),
        (
            "Geneve",
            ethernet(
                0x0800,
                &udp(
                    6081,
                    &with(&[1, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 0], &inside),
                ),
            ),
        ),
        (
            "Geneve",
            ethernet(
                0x0800,
                &udp(6081, &with(&[0, 0, 8, 0, 0, 0, 7, 0], &inner())),
            ),
        ),
        ("PBB", ethernet(0x88e7, &with(&[0, 0, 0, 7], &inside))),
    ];
    for (name, frame) in cases {
        assert_tunnel(name, frame);
    }
}

#[test]
fn a_tunnel_in_a_tunnel_is_looked_into() {
    let gre = ipv4(47, &[&[0, 0, 8, 0], &inner()[..]].concat());
    let frame = ethernet(0x8847, &[&[0, 2, 1, 64], &ipv4(4, &gre)[..]].concat());
    assert_eq!(replay_one(frame, true).totals.tcp_out, 1);
}

#[test]
fn what_cannot_be_looked_into_is_counted() {
    for (name, frame) in [
        ("ESP", ethernet(0x0800, &ipv4(50, &[0; 24]))),
        ("MACsec", ethernet(0x88e5, &[0; 24])),
        // Of an unknown version, with source routes, cut.
        ("GRE", ethernet(0x0800, &ipv4(47, &[0, 2, 8, 0, 0x45, 0]))),
        (
            "GRE",
            ethernet(0x0800, &ipv4(47, &[0x40, 0, 8, 0, 0x45, 0])),
        ),
        ("GRE", ethernet(0x0800, &ipv4(47, &[0]))),
        (
            "PPPoE",
            ethernet(0x8864, &[0x11, 0, 0, 1, 0, 4, 0, 0xfd, 1, 2]),
        ),
        (
            "PPPoE",
            ethernet(0x8864, &[0x11, 0, 0, 1, 0, 3, 0xfd, 1, 2]),
        ),
        ("PPPoE", ethernet(0x8864, &[0x11, 7, 0, 1, 0, 0])),
    ] {
        assert_closed(name, frame);
    }
}

#[test]
fn what_looks_like_a_tunnel_is_none() {
    for frame in [
        ethernet(0x8863, &[0x11, 9, 0, 0, 0, 0]),
        // Link control of PPP.
        ethernet(0x8864, &[0x11, 0, 0, 1, 0, 6, 0xc0, 0x21, 9, 0, 0, 4]),
        ethernet(0x0800, &udp(4789, b"VXLAN it is not")),
        ethernet(0x0800, &udp(6081, b"\xffnot Geneve")),
    ] {
        assert_none(frame);
    }
}

/// The outer packet counts as long as nobody looks into it.
#[test]
fn a_tunnel_of_a_shared_address_is_its_packet() {
    let mut outer = ipv4(4, &inner());
    outer[12..16].copy_from_slice(&[192, 0, 2, 10]);
    let report = replay_one(ethernet(0x0800, &outer), false);
    assert_eq!(report.nodes[0].counters.packets, 1);
    assert_eq!(report.not_looked_into["IP-in-IP"], 1);
}

#[test]
fn a_version_that_the_header_in_front_denies_is_undecodable() {
    let cases = [
        (1, ethernet(0x0800, &inner6())),
        (1, ethernet(0x86dd, &inner())),
        (228, inner6()),
        (229, inner()),
        (0, [&[2, 0, 0, 0], &inner6()[..]].concat()),
        (0, [&[30, 0, 0, 0], &inner()[..]].concat()),
    ];
    for (link, packet) in cases {
        let t = replay_file(&pcap(link, &[packet])).totals;
        assert_eq!((t.undecodable, t.tcp_out), (1, 0), "link type {link}");
    }
    for (protocol, packet) in [(41, inner()), (4, inner6())] {
        let frame = ethernet(0x0800, &ipv4(protocol, &packet));
        let t = replay_one(frame, true).totals;
        assert_eq!((t.undecodable, t.tcp_out), (1, 0), "protocol {protocol}");
    }
}
