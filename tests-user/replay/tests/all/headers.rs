// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Headers, from the link layer's to TCP's and UDP's.

use crate::common::files::*;
use crate::common::*;

#[test]
fn every_link_type_leads_to_the_ip_header() {
    let ip = segment(LOCAL, FOREIGN, SYN, 1, 0, b"");
    let ip6 = segment("[2001:db8::10]:1", "[2001:db8::1]:2", SYN, 1, 0, b"");
    let with = |header: &[u8], packet: &[u8]| [header, packet].concat();
    let ethernet = [&PEER[..], &NODE_A].concat();
    let mut sll = [0; 16];
    sll[14] = 8;
    let mut sll6 = sll;
    (sll6[14], sll6[15]) = (0x86, 0xdd);
    let mut sll2 = [0; 20];
    sll2[0] = 8;
    let mut ipnet = [0; 24];
    ipnet[1] = 2;
    let cases = [
        (1, with(&ethernet, &with(&[8, 0], &ip))),
        (1, with(&ethernet, &with(&[0x81, 0, 0, 7, 8, 0], &ip))),
        (
            1,
            with(
                &ethernet,
                &with(
                    &[0x88, 0xa8, 0, 1, 0x91, 0, 0, 2, 0x81, 0, 0, 3, 0x86, 0xdd],
                    &ip6,
                ),
            ),
        ),
        (
            1,
            with(
                &ethernet,
                &with(&[0, 60, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip),
            ),
        ),
        (12, ip.clone()),
        (14, ip.clone()),
        (101, ip6.clone()),
        (228, ip.clone()),
        (229, ip6.clone()),
        (0, with(&[2, 0, 0, 0], &ip)),
        (0, with(&[0, 0, 0, 30], &ip6)),
        (108, with(&[0, 0, 0, 24], &ip6)),
        (113, with(&sll, &ip)),
        (113, with(&sll6, &ip6)),
        (276, with(&sll2, &ip)),
        (226, with(&ipnet, &ip)),
    ];
    for (link, packet) in cases {
        let t = replay_file(&pcap(link, &[packet])).totals;
        assert_eq!(
            (t.tcp_out, t.undecodable, t.not_shared),
            (1, 0, 0),
            "link type {link}"
        );
    }
    for link in [0x8000_0001, 0x8000_0002] {
        assert_eq!(
            replay_file(&snoop(link, std::slice::from_ref(&ip)))
                .totals
                .tcp_out,
            1
        );
    }
    let t = replay_file(&snoop(0x8000_0005, &[with(&ipnet, &ip)])).totals;
    assert_eq!(t.tcp_out, 1);
}

#[test]
fn ipv6_extension_headers_are_followed() {
    let plain = segment("[2001:db8::10]:1", "[2001:db8::1]:2", SYN, 1, 0, b"");
    let extend = |chain: &[(u8, &[u8])]| {
        let mut packet = plain[..40].to_vec();
        packet[6] = chain[0].0;
        for (i, (_, body)) in chain.iter().enumerate() {
            let at = packet.len();
            packet.extend(*body);
            packet[at] = chain.get(i + 1).map_or(6, |next| next.0);
        }
        packet.extend(&plain[40..]);
        let len = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
        packet
    };
    let count = |packet: Vec<u8>| replay_file(&pcap(101, &[packet])).totals;
    let all: &[(u8, &[u8])] = &[
        (0, &[0; 8]),
        (60, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (43, &[0; 8]),
        (44, &[0, 0, 0, 1, 0, 0, 0, 9]),
        (51, &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ];
    assert_eq!(count(extend(all)).tcp_out, 1);
    let later = count(extend(&[(44, &[0, 0, 0x10, 1, 0, 0, 0, 9])]));
    assert_eq!((later.tcp_out, later.undecodable, later.packets), (0, 0, 1));
    assert_eq!(count(extend(&[(59, &[0; 8])])).tcp_out, 0);
}

#[test]
fn a_packet_cut_behind_the_tcp_flags_is_decoded() {
    let file = |cut: usize| {
        let mut frames = packets();
        let mut out = pcap(1, &[]);
        for frame in &mut frames {
            let original = frame.len() as u32;
            frame.truncate(cut);
            for number in [0, 0, frame.len() as u32, original] {
                put(&mut out, false, number);
            }
            out.extend(&*frame);
        }
        replay_file(&out).totals
    };
    let t = file(14 + 20 + 14);
    assert_eq!(
        (t.tcp_out, t.tcp_open, t.udp_sends, t.undecodable),
        (1, 0, 1, 0)
    );
    let t = file(14 + 20 + 13);
    assert_eq!((t.tcp_out, t.udp_sends, t.undecodable), (0, 1, 6));
}

#[test]
fn a_total_length_of_zero_is_the_length_on_the_wire() {
    let mut t = Talk::new(NODE_A, LOCAL, FOREIGN);
    t.connect(1).out(FIN | ACK, 2, 9001, b"abc");
    t.frames[3][16..18].fill(0);
    t.back(FIN | ACK, 9001, 5, b"").out(ACK, 6, 9002, b"");
    assert_eq!(replay_frames(&t.frames).totals.tcp_open, 1);
    t.back(ACK, 9002, 6, b"");
    assert_eq!(replay_frames(&t.frames).totals.tcp_open, 0);
}

#[test]
fn malformed_packets_are_counted_and_passed() {
    let good = frame(NODE_A, PEER, &segment(LOCAL, FOREIGN, SYN, 1, 0, b""));
    let change = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let bad = [
        good[..10].to_vec(),
        Vec::new(),
        change(14, 0x44),
        change(14, 0x75),
        change(17, 19),
        change(14 + 20 + 12, 0x40),
        change(14 + 20 + 12, 0xf0),
    ];
    let mut frames = bad.to_vec();
    frames.push(good);
    let t = replay_frames(&frames).totals;
    assert_eq!((t.packets, t.undecodable, t.tcp_out), (8, 7, 1));
}
