// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A node is a machine, not a MAC address.

use crate::common::*;
use clinet_replay::{NamedNode, Report};

const LOCAL: &str = "192.0.2.10:40000";
const FOREIGN: &str = "198.51.100.7:80";
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 0xf1];
const VIRTUAL: [u8; 6] = [0, 0, 0x5e, 0, 1, 10];
const A: &str = "02:00:00:00:00:0a";
const B: &str = "02:00:00:00:00:0b";

/// Each node with its packets, connections out and in, and refusals.
fn nodes(report: &Report) -> Vec<(&str, u64, u64, u64, u64)> {
    let rows = report.nodes.iter().map(|node| {
        let c = &node.counters;
        (
            node.node.as_str(),
            c.packets,
            c.tcp_out,
            c.tcp_in,
            c.refused,
        )
    });
    rows.collect()
}

/// The frame's other MAC addresses and its time to live, one less.
fn routed(frame: &[u8], source: [u8; 6], destination: [u8; 6]) -> Vec<u8> {
    let mut copy = frame.to_vec();
    copy[..6].copy_from_slice(&destination);
    copy[6..12].copy_from_slice(&source);
    let ttl = if copy[14] >> 4 == 6 { 21 } else { 22 };
    copy[ttl] -= 1;
    copy
}

/// Every frame of a node twice, as on both sides of a router.
fn on_both_sides(frames: &[Vec<u8>], node: [u8; 6]) -> Vec<Vec<u8>> {
    let mut both = Vec::new();
    for frame in frames {
        if frame[6..12] == node {
            both.push(frame.clone());
            both.push(routed(frame, ROUTER, PEER));
        } else {
            let mut outside = frame.clone();
            outside[..6].copy_from_slice(&ROUTER);
            both.push(outside.clone());
            both.push(routed(&outside, ROUTER, node));
        }
    }
    both
}

fn whole(node: [u8; 6], local: &str, foreign: &str, isn: u32) -> Vec<Vec<u8>> {
    let mut t = Talk::new(node, local, foreign);
    t.connect(isn).close(isn);
    t.frames
}

#[test]
fn a_packet_on_both_sides_of_a_router_is_one_packet() {
    for (local, foreign) in [(LOCAL, FOREIGN), ("[2001:db8::10]:1", "[2001:db8::7]:2")] {
        let frames = on_both_sides(&whole(NODE_A, local, foreign, 1000), NODE_A);
        let report = replay_frames(&frames);
        assert_eq!(nodes(&report), [(A, 6, 1, 0, 0)]);
        let t = &report.totals;
        assert_eq!((t.packets, t.tcp_midstream, t.tcp_open), (12, 0, 0));
        assert_eq!(report.routed_copies, 6);
        let mut swapped = frames;
        for pair in swapped.chunks_mut(2) {
            pair.swap(0, 1);
        }
        let t = replay_frames(&swapped).totals;
        assert_eq!(
            (t.tcp_out, t.tcp_midstream, t.tcp_open, t.refused),
            (1, 0, 0, 0)
        );
    }
}

#[test]
fn a_routed_datagram_is_one_send() {
    let first = frame(NODE_A, ROUTER, &datagram(LOCAL, FOREIGN));
    let frames = [first.clone(), routed(&first, ROUTER, PEER)];
    let report = replay_frames(&frames);
    assert_eq!((report.totals.udp_sends, report.totals.refused), (1, 0));
    assert_eq!(report.routed_copies, 1);
}

/// A machine that takes packets for another and passes them on as they are.
#[test]
fn a_relay_without_hops_is_no_node() {
    let mut frames = Vec::new();
    for frame in whole(NODE_A, LOCAL, FOREIGN, 1000) {
        let (to, from) = (frame[..6].to_vec(), frame[6..12].to_vec());
        let link = |source: &[u8], destination: &[u8]| [destination, source, &frame[12..]].concat();
        frames.push(link(&from, &ROUTER));
        frames.push(link(&ROUTER, &to));
    }
    let report = replay_frames(&frames);
    assert_eq!(nodes(&report), [(A, 6, 1, 0, 0)]);
}

/// What a copy that is no copy is: another node's connect() with the same port.
#[test]
fn two_nodes_behind_one_router_are_two() {
    let mut a = Talk::new(NODE_A, LOCAL, FOREIGN);
    a.connect(1000);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.out(SYN, 2000, 0, b"");
    let mut frames = on_both_sides(&a.frames, NODE_A);
    frames.extend(on_both_sides(&b.frames, NODE_B));
    let report = replay_frames(&frames);
    assert_eq!(nodes(&report), [(A, 3, 1, 0, 0), (B, 1, 1, 0, 1)]);
}

/// Frames to `node` go to `mac` instead.
fn by_way_of(frames: &[Vec<u8>], node: [u8; 6], mac: [u8; 6]) -> Vec<Vec<u8>> {
    let mut frames = frames.to_vec();
    for frame in &mut frames {
        if frame[..6] == node {
            frame[..6].copy_from_slice(&mac);
        }
    }
    frames
}

#[test]
fn a_virtual_address_belongs_to_the_node_that_answers() {
    for mac in [VIRTUAL, [2, 0, 0, 0, 0, 0x77]] {
        let out = by_way_of(&whole(NODE_A, LOCAL, FOREIGN, 1000), NODE_A, mac);
        let report = replay_frames(&out);
        assert_eq!(nodes(&report), [(A, 6, 1, 0, 0)]);
        assert_eq!(
            (report.totals.tcp_midstream, report.totals.tcp_open),
            (0, 0)
        );
        let report = replay_frames(&by_way_of(&accepted(NODE_A, 1), NODE_A, mac));
        assert_eq!(nodes(&report), [(A, 6, 0, 1, 0)]);
        assert_eq!(
            (report.totals.tcp_midstream, report.totals.tcp_open),
            (0, 0)
        );
    }
}

/// A connection that comes in to `node` from this port, begins and ends.
fn accepted(node: [u8; 6], port: u16) -> Vec<Vec<u8>> {
    let mut t = Talk::new(node, "192.0.2.10:80", &format!("198.51.100.7:{port}"));
    t.back(SYN, 500, 0, b"")
        .out(SYN | ACK, 9000, 501, b"")
        .back(ACK, 501, 9001, b"")
        .back(FIN | ACK, 501, 9001, b"")
        .out(FIN | ACK, 9001, 502, b"")
        .back(ACK, 502, 9002, b"");
    t.frames
}

#[test]
fn a_failover_moves_a_virtual_address() {
    let mut frames = Vec::new();
    for (node, port) in [(NODE_A, 1), (NODE_B, 2), (NODE_A, 3)] {
        frames.extend(by_way_of(&accepted(node, port), node, VIRTUAL));
    }
    let report = replay_frames(&frames);
    let t = &report.totals;
    assert_eq!((t.tcp_in, t.tcp_midstream, t.tcp_open), (3, 0, 0));
    let connections: Vec<_> = nodes(&report)
        .iter()
        .map(|(name, _, _, tcp_in, refused)| ((*name).to_owned(), *tcp_in, *refused))
        .collect();
    assert_eq!(connections, [(A.to_owned(), 2, 0), (B.to_owned(), 1, 0)]);
}

/// The peer's old connection was the first node's; it begins anew from the same
/// port when the second has the address.
#[test]
fn a_failover_ends_what_the_foreign_end_begins_anew() {
    let mut open = accepted(NODE_A, 1);
    open.truncate(3);
    let mut frames = by_way_of(&open, NODE_A, VIRTUAL);
    let mut again = Talk::new(NODE_B, "192.0.2.10:80", "198.51.100.7:1");
    again
        .back(SYN, 700, 0, b"")
        .out(SYN | ACK, 8000, 701, b"")
        .back(ACK, 701, 8001, b"");
    frames.extend(by_way_of(&again.frames, NODE_B, VIRTUAL));
    let t = replay_frames(&frames).totals;
    assert_eq!((t.tcp_in, t.tcp_open, t.refused), (2, 1, 0));
}

#[test]
fn datagrams_to_a_virtual_address_are_for_the_node_that_answers() {
    let question = datagram("198.51.100.7:1000", "192.0.2.10:53");
    let answer = datagram("192.0.2.10:53", "198.51.100.7:1000");
    let frames = [
        frame(PEER, VIRTUAL, &question),
        frame(NODE_A, PEER, &answer),
        frame(PEER, VIRTUAL, &question),
    ];
    assert_eq!(nodes(&replay_frames(&frames)), [(A, 3, 0, 0, 0)]);
}

/// The active router of HSRP greets with the virtual address, then its own.
#[test]
fn a_virtual_address_that_sends_is_the_node_that_sends_from_there() {
    let hello = datagram("192.0.2.10:1985", "198.51.100.7:1985");
    let own = frame(NODE_A, PEER, &hello);
    let shared = frame([0, 0, 0x0c, 7, 0xac, 1], PEER, &hello);
    for frames in [[&own, &shared, &own], [&shared, &own, &shared]] {
        let report = replay_frames(&frames.map(Clone::clone));
        assert_eq!(nodes(&report), [(A, 3, 0, 0, 0)]);
        assert_eq!(report.totals.udp_sends, 3);
    }
}

/// Two routers, or two interfaces, carry one connection.
#[test]
fn mac_addresses_that_carry_one_connection_are_one_machines() {
    let mut frames = whole(NODE_A, LOCAL, FOREIGN, 1000);
    for number in [2, 5] {
        frames[number][6..12].copy_from_slice(&NODE_B);
    }
    let report = replay_frames(&frames);
    assert_eq!(nodes(&report), [(A, 6, 1, 0, 0)]);
    assert_eq!(
        (report.totals.tcp_midstream, report.totals.tcp_open),
        (0, 0)
    );
    // Even if the other had made itself known before.
    let mut both = vec![frame(NODE_B, PEER, &datagram("192.0.2.10:9", FOREIGN))];
    both.extend(frames);
    let report = replay_frames(&both);
    assert_eq!(nodes(&report), [(B, 7, 1, 0, 0)]);
}

#[test]
fn a_connect_that_is_repeated_by_another_way_is_the_same() {
    let syn = segment(LOCAL, FOREIGN, SYN, 1000, 0, b"");
    let frames = [frame(NODE_A, PEER, &syn), frame(NODE_B, PEER, &syn)];
    let t = replay_frames(&frames).totals;
    assert_eq!((t.tcp_out, t.tcp_open, t.refused), (1, 1, 0));
}

#[test]
fn an_address_that_nobody_answers_for_is_a_node_in_the_end() {
    let mut t = Talk::new(NODE_A, LOCAL, FOREIGN);
    t.back(SYN, 7, 0, b"").back(SYN, 7, 0, b"");
    let report = replay_frames(&t.frames);
    assert_eq!(nodes(&report), [(A, 2, 0, 1, 0)]);
    assert_eq!(report.totals.tcp_open, 1);
}

/// A 5-tuple that a node holds is not asked about for an address that may be
/// its own.
#[test]
fn an_unanswered_syn_contradicts_nobody() {
    let mut a = Talk::new(NODE_A, LOCAL, FOREIGN);
    a.connect(1);
    let mut silent = Talk::new(NODE_B, LOCAL, FOREIGN);
    silent.back(SYN, 7, 0, b"");
    let frames = [a.frames, silent.frames].concat();
    assert_eq!(replay_frames(&frames).totals.refused, 0);
}

fn named(nodes: &[(&str, &[[u8; 6]])]) -> clinet_replay::Options {
    let named = nodes.iter().map(|(name, macs)| NamedNode {
        name: (*name).to_owned(),
        macs: macs.to_vec(),
    });
    clinet_replay::Options {
        named: named.collect(),
        ..options()
    }
}

#[test]
fn nodes_can_be_named() {
    let mut frames = whole(NODE_A, LOCAL, FOREIGN, 1000);
    frames.extend(whole(NODE_B, "192.0.2.10:40001", FOREIGN, 2000));
    frames.extend(by_way_of(&accepted(NODE_A, 9), NODE_A, VIRTUAL));
    let options = named(&[("left", &[NODE_A, VIRTUAL]), ("right", &[NODE_B])]);
    let report = try_replay(&pcap(1, &frames), &options).unwrap();
    assert_eq!(
        nodes(&report),
        [("left", 12, 1, 1, 0), ("right", 6, 1, 0, 0)]
    );
    let one = named(&[("one", &[NODE_A, NODE_B])]);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.connect(5);
    let mut frames = frames[..3].to_vec();
    frames.extend(b.frames);
    let report = try_replay(&pcap(1, &frames), &one).unwrap();
    assert_eq!(nodes(&report), [("one", 6, 2, 0, 0)]);
    let twice = named(&[("a", &[NODE_A]), ("b", &[NODE_B, NODE_A])]);
    let error = try_replay(&pcap(1, &frames), &twice).unwrap_err();
    assert!(error.to_string().contains("given twice"), "{error}");
}

#[test]
fn a_refusal_says_whether_its_nodes_are_guessed() {
    let frames = [
        frame(NODE_A, PEER, &segment(LOCAL, FOREIGN, SYN, 1, 0, b"")),
        frame(NODE_B, PEER, &segment(LOCAL, FOREIGN, SYN, 2, 0, b"")),
    ];
    let guessed = |options: &clinet_replay::Options| {
        let report = try_replay(&pcap(1, &frames), options).unwrap();
        let guessed: Vec<bool> = report.refusals.iter().map(|r| r.guessed_nodes).collect();
        guessed
    };
    assert_eq!(guessed(&options()), [true]);
    assert_eq!(guessed(&named(&[("a", &[NODE_A])])), [true]);
    let both = named(&[("a", &[NODE_A]), ("b", &[NODE_B])]);
    assert_eq!(guessed(&both), [false]);
}

/// The shared address is behind two routers, of which each passes some on.
#[test]
fn routers_are_not_told_apart() {
    let send = |router, ttl| {
        let mut send = frame(router, PEER, &datagram(LOCAL, FOREIGN));
        send[22] = ttl;
        send
    };
    let far = [send(NODE_A, 57), send(NODE_B, 57), send(NODE_A, 57)];
    let report = replay_frames(&far);
    assert_eq!(nodes(&report), [(A, 3, 0, 0, 0)]);
    let near = [send(NODE_A, 64), send(NODE_B, 64)];
    assert_eq!(replay_frames(&near).totals.refused, 1);
    let other = frame(NODE_B, PEER, &datagram("192.0.2.20:1", FOREIGN));
    let mut options = options();
    options.shared.push("192.0.2.20".parse().unwrap());
    let known = [vec![other], far.to_vec()].concat();
    let report = try_replay(&pcap(1, &known), &options).unwrap();
    assert_eq!((report.nodes.len(), report.totals.refused), (1, 0));
}

/// Its module is asked before another node's question.
#[test]
fn a_syn_waits_no_longer_when_its_address_has_sent() {
    let mut a = Talk::new(NODE_A, LOCAL, FOREIGN);
    a.back(SYN, 7, 0, b"");
    let known = frame(NODE_A, PEER, &datagram("192.0.2.10:9", FOREIGN));
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.out(SYN, 1000, 0, b"");
    let frames = [a.frames.clone(), vec![known.clone()], b.frames].concat();
    assert_eq!(
        nodes(&replay_frames(&frames)),
        [(A, 2, 0, 1, 0), (B, 1, 1, 0, 1)]
    );
    let mut next = Talk::new(NODE_A, LOCAL, FOREIGN);
    next.back(SYN, 8, 0, b"").out(RST | ACK, 0, 9, b"");
    let report = replay_frames(&[a.frames, vec![known], next.frames].concat());
    assert_eq!(nodes(&report), [(A, 4, 0, 2, 0)]);
    assert_eq!(report.totals.tcp_open, 0);
}

#[test]
fn what_goes_to_a_router_is_for_whom_it_forwards() {
    let first = frame(NODE_A, ROUTER, &datagram(LOCAL, FOREIGN));
    let copy = routed(&first, ROUTER, PEER);
    let back = frame(PEER, ROUTER, &datagram("198.51.100.9:1", "192.0.2.10:2"));
    assert_eq!(
        nodes(&replay_frames(&[first, copy, back])),
        [(A, 2, 0, 0, 0)]
    );
}

/// It does not know the connection that it takes over with the address.
#[test]
fn a_reset_does_not_make_one_machine_of_two() {
    let mut a = Talk::new(NODE_A, LOCAL, FOREIGN);
    a.connect(1000);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.out(RST, 1001, 0, b"");
    let mut own = Talk::new(NODE_B, "192.0.2.10:40001", FOREIGN);
    own.connect(2000);
    let frames = [a.frames, b.frames, own.frames].concat();
    let report = replay_frames(&frames);
    assert_eq!(nodes(&report), [(A, 4, 1, 0, 0), (B, 3, 1, 0, 0)]);
    assert_eq!(report.totals.tcp_open, 1);
}
