// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! MAC addresses that are no machine's own: of hosts that send for their virtual
//! machines, of several routers in turn, of groups, damaged, or not there.

use crate::common::files::{enhanced, interface, section};
use crate::common::*;
use clinet_replay::{Options, Report};

const LOCAL: &str = "192.0.2.10:40000";
const FOREIGN: &str = "198.51.100.7:80";
const HOST: [u8; 6] = [2, 0, 0, 0, 0, 0xee];
const GROUP: [u8; 6] = [0x03, 0, 0, 0, 0, 1];

/// A frame with a datagram, and the identification of its IPv4 header.
fn send(mac: [u8; 6], local: &str, foreign: &str, number: u16) -> Vec<u8> {
    let mut frame = frame(mac, PEER, &datagram(local, foreign));
    frame[18..20].copy_from_slice(&number.to_be_bytes());
    frame
}

/// The same, sent by somebody else.
fn resent(frame: &[u8], mac: [u8; 6]) -> Vec<u8> {
    [&frame[..6], &mac, &frame[12..]].concat()
}

fn replay_with(shared: &[&str], frames: &[Vec<u8>]) -> Report {
    let shared = shared.iter().map(|a| a.parse().expect("an address"));
    let options = Options::new(shared.collect());
    try_replay(&pcap(1, frames), &options).expect("a whole capture")
}

/// Copies, datagrams that were sent, refusals, nodes.
fn found(report: &Report) -> (u64, u64, u64, usize) {
    let t = &report.totals;
    assert_eq!(t.refused, report.refusals.len() as u64);
    (
        report.routed_copies,
        t.udp_sends,
        t.refused,
        report.nodes.len(),
    )
}

#[test]
fn what_a_host_sends_again_for_its_virtual_machine_is_one_packet() {
    let mut frames = Vec::new();
    for number in [7, 8, 9] {
        let sent = send(NODE_A, LOCAL, FOREIGN, number);
        frames.push(sent.clone());
        frames.push(resent(&sent, HOST));
    }
    assert_eq!(found(&replay_frames(&frames)), (3, 3, 0, 1));
}

/// Some stacks number nothing, or everything 1. What two nodes send may be equal
/// then.
#[test]
fn packets_without_a_number_of_their_own_are_no_copies() {
    for number in [0, 1] {
        let sent = send(NODE_A, LOCAL, FOREIGN, number);
        let other = resent(&sent, NODE_B);
        assert_eq!(found(&replay_frames(&[sent, other])), (0, 2, 1, 2));
    }
}

#[test]
fn other_packets_of_a_host_that_sends_again_are_known() {
    let six = frame(
        NODE_A,
        PEER,
        &datagram("[2001:db8::10]:1", "[2001:db8::7]:2"),
    );
    let again = resent(&six, HOST);
    let four = send(NODE_A, LOCAL, FOREIGN, 7);
    let proof = [four.clone(), resent(&four, HOST)];
    let before = [&proof[..], &[six.clone(), again.clone()]].concat();
    assert_eq!(found(&replay_frames(&before)), (2, 2, 0, 1));
    // What was refused before that was known was not.
    let after = [&[six, again], &proof[..]].concat();
    assert_eq!(found(&replay_frames(&after)).2, 0);
}

/// A direct-mapped memory of packets forgets some at once.
#[test]
fn no_copy_is_missed_for_want_of_a_place() {
    let mut frames = Vec::new();
    for round in 0..40 {
        let port = |i| format!("192.0.2.10:{}", 1000 + round * 100 + i);
        let sent: Vec<_> = (0..100)
            .map(|i| send(NODE_A, &port(i), FOREIGN, 7))
            .collect();
        frames.extend(sent.iter().cloned());
        frames.extend(sent.iter().map(|frame| resent(frame, HOST)));
    }
    assert_eq!(found(&replay_frames(&frames)), (4000, 4000, 0, 1));
}

/// Of HSRP, GLBP: who is active sends with it, from his own address.
#[test]
fn a_virtual_address_is_whose_who_sends_from_there() {
    let (first, second) = ("192.0.2.2", "192.0.2.3");
    for virtual_mac in [[0, 0, 0x0c, 7, 0xac, 1], [0, 7, 0xb4, 0, 1, 1]] {
        let hello = |mac, address| send(mac, &format!("{address}:1985"), "224.0.0.2:1985", 0);
        let frames = [
            hello(virtual_mac, first),
            hello(NODE_B, second),
            hello(virtual_mac, first),
            hello(virtual_mac, second),
            hello(NODE_A, first),
            hello(virtual_mac, second),
            hello(virtual_mac, first),
        ];
        let report = replay_with(&[first, second], &frames);
        assert_eq!(found(&report), (0, 7, 0, 2));
        let packets: Vec<_> = report.nodes.iter().map(|n| n.counters.packets).collect();
        assert_eq!(packets, [4, 3]);
    }
}

#[test]
fn nobody_sends_with_the_address_of_a_group() {
    // Made-up addresses, another one for each packet.
    let mut t = Talk::new(GROUP, LOCAL, FOREIGN);
    t.connect(1).close(1).udp(FOREIGN);
    t.frames.push(send(NODE_A, LOCAL, FOREIGN, 0));
    let report = replay_frames(&t.frames);
    let totals = &report.totals;
    assert_eq!(
        (totals.tcp_out, totals.tcp_midstream, totals.tcp_open),
        (1, 0, 0)
    );
    assert_eq!((totals.udp_sends, totals.refused), (2, 0));
    let frames = [
        send(NODE_A, LOCAL, FOREIGN, 0),
        send(GROUP, LOCAL, FOREIGN, 0),
    ];
    assert_eq!(found(&replay_frames(&frames)), (0, 2, 0, 1));
}

/// As clusters have it of which all nodes see what comes in.
#[test]
fn a_connection_that_comes_in_to_a_group_is_for_who_answers() {
    let mut t = Talk::new(GROUP, LOCAL, FOREIGN);
    t.back(SYN, 1, 0, b"");
    t.node = NODE_B;
    t.out(SYN | ACK, 9000, 2, b"");
    t.node = GROUP;
    t.back(ACK, 2, 9001, b"").back(FIN | ACK, 2, 9001, b"");
    t.node = NODE_B;
    t.out(FIN | ACK, 9001, 3, b"");
    t.node = GROUP;
    t.back(ACK, 3, 9002, b"");
    let report = replay_frames(&t.frames);
    let counters = &report.nodes[0].counters;
    assert_eq!(report.nodes[0].node, "02:00:00:00:00:0b");
    assert_eq!((counters.tcp_in, counters.tcp_midstream), (1, 0));
    assert_eq!((counters.tcp_open, report.no_node), (0, 1));
}

#[test]
fn what_names_no_node_is_counted() {
    let packet = datagram("198.51.100.7:1", "192.0.2.10:2");
    let report = replay_frames(&[frame(PEER, [0xff; 6], &packet)]);
    assert_eq!((report.no_node, report.nodes.len()), (1, 0));
    let mut ping = frame(PEER, NODE_A, &packet);
    ping[23] = 1;
    let options = Options {
        nodes: Some(2),
        ..options()
    };
    let report = try_replay(&pcap(1, &[ping]), &options).expect("a whole capture");
    assert_eq!((report.no_node, report.nodes.len()), (1, 0));
}

/// Ethernet and raw IP, in one file.
fn two_interfaces(packets: &[(u32, &[u8])]) -> Report {
    let mut file = [section(false), interface(false, 1), interface(false, 101)].concat();
    for (index, packet) in packets {
        file.extend(enhanced(false, *index, packet));
    }
    replay_file(&file)
}

#[test]
fn an_interface_without_mac_addresses_is_of_the_same_machine() {
    let raw = datagram(LOCAL, FOREIGN);
    let framed = send(NODE_A, LOCAL, FOREIGN, 0);
    let other = send(NODE_A, "[2001:db8::10]:1", "[2001:db8::7]:2", 0);
    for packets in [
        [(0, &framed[..]), (1, &raw)],
        [(1, &raw), (0, &framed)],
        [(0, &framed), (1, &raw)],
    ] {
        let report = two_interfaces(&packets);
        assert_eq!(found(&report), (0, 2, 0, 1));
        assert_eq!(report.nodes[0].node, "02:00:00:00:00:0a");
    }
    let report = two_interfaces(&[(0, &other[..]), (1, &raw), (0, &framed)]);
    assert_eq!((report.totals.refused, report.nodes.len()), (0, 1));
    // With a number it is one packet.
    let numbered = send(NODE_A, LOCAL, FOREIGN, 7);
    let report = two_interfaces(&[(0, &numbered[..]), (1, &numbered[14..])]);
    assert_eq!(found(&report), (1, 1, 0, 1));
}

#[test]
fn a_mac_address_of_zeros_is_none() {
    let frames = [
        send([0; 6], LOCAL, FOREIGN, 0),
        send(NODE_A, LOCAL, FOREIGN, 0),
    ];
    assert_eq!(found(&replay_frames(&frames)), (0, 2, 0, 1));
}

#[test]
fn a_damaged_mac_address_does_not_stop_a_count() {
    let frames = |numbers: [u16; 3]| {
        [NODE_A, NODE_A, NODE_B]
            .iter()
            .zip(numbers)
            .map(|(mac, number)| send(*mac, LOCAL, FOREIGN, number))
            .collect::<Vec<_>>()
    };
    for numbers in [[5000, 5003, 5004], [5000, 9999, 5001], [5000, 5003, 4999]] {
        assert_eq!(found(&replay_frames(&frames(numbers))), (0, 3, 0, 1));
    }
    // Another count, one that has just begun, and none.
    for numbers in [[5000, 5003, 5100], [5, 6, 7], [0, 0, 0], [5000, 5000, 5000]] {
        let (_, _, refused, nodes) = found(&replay_frames(&frames(numbers)));
        let copies = u64::from(numbers[2] == 5000);
        assert_eq!((refused, nodes), (1 - copies, 2 - copies as usize));
    }
}

/// Only its TCP connection shows that both MAC addresses are one machine's.
#[test]
fn what_was_refused_within_one_machine_was_not() {
    let mut t = Talk::new(NODE_A, LOCAL, FOREIGN);
    t.udp("198.51.100.7:53");
    t.node = NODE_B;
    t.udp("198.51.100.7:53");
    t.node = NODE_A;
    t.connect(1);
    t.node = NODE_B;
    t.out(ACK, 2, 9001, b"more");
    let report = replay_frames(&t.frames);
    assert_eq!(found(&report), (0, 2, 0, 1));
    // Not listed, they are taken back as well.
    let options = Options {
        listed_refusals: 0,
        ..options()
    };
    let report = try_replay(&pcap(1, &t.frames), &options).expect("a whole capture");
    assert_eq!((report.totals.refused, report.refusals_omitted), (0, 0));
}
