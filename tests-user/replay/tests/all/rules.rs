// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Every rule about flows, on packets built for it.

use crate::common::*;

const LOCAL: &str = "192.0.2.10:40000";
const FOREIGN: &str = "198.51.100.7:80";

fn talk() -> Talk {
    Talk::new(NODE_A, LOCAL, FOREIGN)
}

/// (out, in, midstream, open, refused)
fn tcp(frames: &[Vec<u8>]) -> (u64, u64, u64, u64, u64) {
    let t = replay_frames(frames).totals;
    (t.tcp_out, t.tcp_in, t.tcp_midstream, t.tcp_open, t.refused)
}

/// Frames of `a` with those of `b` behind.
fn then(a: &Talk, b: &Talk) -> Vec<Vec<u8>> {
    [&a.frames[..], &b.frames].concat()
}

#[test]
fn an_outgoing_connection_is_asked_about_once() {
    let mut t = talk();
    t.out(SYN, 1, 0, b"").connect(1);
    assert_eq!(tcp(&t.frames), (1, 0, 0, 1, 0));
    t.close(1);
    assert_eq!(tcp(&t.frames), (1, 0, 0, 0, 0));
}

#[test]
fn an_incoming_connection_is_asked_about_once() {
    let mut t = talk();
    t.back(SYN, 1, 0, b"").back(SYN, 1, 0, b"");
    t.out(SYN | ACK, 9000, 2, b"").back(ACK, 2, 9001, b"");
    assert_eq!(tcp(&t.frames), (0, 1, 0, 1, 0));
}

#[test]
fn one_acknowledged_fin_does_not_end_a_flow() {
    let mut t = talk();
    t.connect(1);
    t.out(FIN | ACK, 2, 9001, b"").back(ACK, 9001, 3, b"data");
    assert_eq!(tcp(&t.frames).3, 1);
    t.back(FIN | ACK, 9005, 3, b"more");
    assert_eq!(tcp(&t.frames).3, 1, "the second FIN is not acknowledged");
    t.out(ACK, 3, 9009, b"");
    assert_eq!(
        tcp(&t.frames).3,
        1,
        "its payload is, but not the FIN itself"
    );
    t.out(ACK, 3, 9010, b"");
    assert_eq!(tcp(&t.frames).3, 0);
}

#[test]
fn fins_are_compared_across_the_wrap_of_sequence_numbers() {
    let mut t = talk();
    let isn = u32::MAX - 1;
    t.out(SYN, isn, 0, b"").back(SYN | ACK, 9000, u32::MAX, b"");
    t.out(FIN | ACK, u32::MAX, 9001, b"abc");
    t.back(FIN | ACK, 9001, u32::MAX, b"");
    t.out(ACK, 3, 9002, b"");
    assert_eq!(tcp(&t.frames).3, 1, "the node's FIN is not acknowledged");
    t.back(ACK, 9002, 3, b"");
    assert_eq!(tcp(&t.frames).3, 0);
}

#[test]
fn a_rst_ends_a_flow_from_either_side() {
    for local in [true, false] {
        let mut t = talk();
        t.connect(1);
        if local {
            t.out(RST, 2, 0, b"");
        } else {
            t.back(RST | ACK, 9001, 77, b"");
        }
        assert_eq!(tcp(&t.frames), (1, 0, 0, 0, 0));
    }
}

#[test]
fn late_packets_of_an_ended_flow_are_no_new_flow() {
    let mut t = talk();
    t.connect(1).close(1);
    t.out(ACK, 3, 9002, b"")
        .back(RST, 9002, 0, b"")
        .out(SYN, 1, 0, b"");
    assert_eq!(tcp(&t.frames), (1, 0, 0, 0, 0));
}

#[test]
fn endings_beyond_the_limit_are_forgotten() {
    let mut first = talk();
    first.connect(1).close(1);
    let mut second = Talk::new(NODE_A, "192.0.2.10:40001", FOREIGN);
    second.connect(1).close(1);
    let mut late = talk();
    late.out(ACK, 3, 9002, b"");
    let frames = [&first.frames[..], &second.frames, &late.frames].concat();
    let mut options = options();
    for (limit, midstream) in [(2, 0), (1, 1)] {
        options.remembered_endings = limit;
        let report = try_replay(&pcap(1, &frames), &options).unwrap();
        assert_eq!(report.totals.tcp_midstream, midstream);
    }
}

#[test]
fn a_port_used_again_is_asked_about_again() {
    let mut t = talk();
    t.connect(1).close(1).connect(500);
    assert_eq!(tcp(&t.frames), (2, 0, 0, 1, 0));
}

#[test]
fn a_new_connection_on_an_open_5_tuple_ends_the_old_one() {
    let mut a = talk();
    a.connect(1).connect(500).close(500);
    // If the end of the first had not been told, A would still own it.
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.connect(1);
    assert_eq!(tcp(&then(&a, &b)), (3, 0, 0, 1, 0));
    let mut incoming = talk();
    incoming.back(SYN, 1, 0, b"").back(SYN, 2, 0, b"");
    assert_eq!(tcp(&incoming.frames), (0, 2, 0, 1, 0));
}

#[test]
fn both_syns_of_a_simultaneous_open_count_and_are_one_flow() {
    let mut t = talk();
    t.out(SYN, 1, 0, b"")
        .back(SYN, 700, 0, b"")
        .back(SYN, 700, 0, b"");
    t.out(SYN | ACK, 1, 701, b"").back(SYN | ACK, 700, 2, b"");
    assert_eq!(tcp(&t.frames), (1, 1, 0, 1, 0));
    t.back(SYN, 900, 0, b"");
    assert_eq!(tcp(&t.frames), (1, 2, 0, 1, 0), "a third SYN is a new one");
}

#[test]
fn a_flow_first_seen_in_midstream_is_counted_apart() {
    let mut t = talk();
    t.out(ACK, 5, 6, b"x").back(ACK, 6, 6, b"y");
    assert_eq!(tcp(&t.frames), (0, 0, 1, 0, 0));
    let mut syn_ack = talk();
    syn_ack.out(SYN | ACK, 5, 6, b"");
    assert_eq!(tcp(&syn_ack.frames), (0, 0, 1, 0, 0));
    t.connect(500);
    assert_eq!(tcp(&t.frames), (1, 0, 1, 1, 0));
}

#[test]
fn a_5_tuple_of_another_node_is_refused_and_its_packets_ignored() {
    let mut a = talk();
    a.connect(1);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.out(SYN, 7, 0, b"")
        .connect(7)
        .close(7)
        .back(RST, 1, 0, b"");
    let report = replay_frames(&then(&a, &b));
    let t = &report.totals;
    assert_eq!(
        (t.tcp_out, t.tcp_open, t.refused, t.tcp_midstream),
        (2, 1, 1, 0)
    );
    let refusal = &report.refusals[0];
    assert_eq!(refusal.packet, 4);
    assert_eq!(refusal.time.as_deref(), Some("1700000003.123456000"));
    assert_eq!(
        (refusal.protocol.as_str(), refusal.direction.as_str()),
        ("tcp", "out")
    );
    assert_eq!(
        (refusal.local.as_str(), refusal.foreign.as_str()),
        (LOCAL, FOREIGN)
    );
    assert_eq!(
        (refusal.errno, refusal.errno_name.as_str()),
        (125, "EADDRINUSE")
    );
    assert_eq!(refusal.owner.as_deref(), Some("02:00:00:00:00:0a"));
    assert_eq!(refusal.asker, "02:00:00:00:00:0b");
}

#[test]
fn a_refused_connect_is_asked_about_again_with_a_new_isn() {
    let mut a = talk();
    a.connect(1);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.connect(7);
    let mut end = talk();
    end.close(1);
    let mut again = Talk::new(NODE_B, LOCAL, FOREIGN);
    again.out(SYN, 7, 0, b"");
    let frames = [&a.frames[..], &b.frames, &end.frames, &again.frames].concat();
    assert_eq!(tcp(&frames), (2, 0, 0, 0, 1), "the same SYN is not");
    again.connect(8);
    let frames = [&frames[..], &again.frames].concat();
    assert_eq!(tcp(&frames), (3, 0, 0, 1, 1));
}

#[test]
fn a_refused_incoming_syn_is_asked_about_again_when_it_is_repeated() {
    let mut a = talk();
    a.connect(1);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.back(SYN, 7, 0, b"").back(SYN, 7, 0, b"");
    let known = frame(NODE_B, PEER, &datagram("192.0.2.10:9", FOREIGN));
    let refused = [vec![known], then(&a, &b)].concat();
    assert_eq!(tcp(&refused), (1, 1, 0, 1, 2));
    let mut end = talk();
    end.close(1);
    let frames = [&refused[..], &end.frames, &b.frames].concat();
    assert_eq!(
        tcp(&frames),
        (1, 1, 0, 1, 2),
        "accepted in the end, and only once"
    );
}

#[test]
fn a_frame_between_two_shared_addresses_concerns_two_nodes() {
    let other = "[2001:db8::10]:80";
    let mut frames = Vec::new();
    let local = "[2001:db8::11]:40000";
    frames.push(frame(
        NODE_A,
        NODE_B,
        &segment(local, other, SYN, 1, 0, b""),
    ));
    frames.push(frame(
        NODE_B,
        NODE_A,
        &segment(other, local, SYN | ACK, 5, 2, b""),
    ));
    let mut options = options();
    options.shared.push("2001:db8::11".parse().unwrap());
    let report = try_replay(&pcap(1, &frames), &options).unwrap();
    let t = &report.totals;
    assert_eq!((t.packets, t.tcp_out, t.tcp_in, t.tcp_open), (2, 1, 1, 2));
    let a = &report.nodes[0].counters;
    assert_eq!((a.packets, a.tcp_out, a.tcp_in), (2, 1, 0));
    let b = &report.nodes[1].counters;
    assert_eq!((b.packets, b.tcp_out, b.tcp_in), (2, 0, 1));
}

#[test]
fn what_a_refused_flow_sends_does_not_arrive() {
    let server = "192.0.2.20:80";
    let syn = |isn| segment(LOCAL, server, SYN, isn, 0, b"");
    let frames = [
        frame(NODE_A, PEER, &syn(1)),
        frame(NODE_B, PEER, &syn(2)),
        frame(PEER, NODE_B, &segment(server, LOCAL, SYN | ACK, 9, 3, b"")),
    ];
    let mut options = options();
    options.shared.push("192.0.2.20".parse().unwrap());
    let t = try_replay(&pcap(1, &frames), &options).unwrap().totals;
    assert_eq!(
        (t.tcp_out, t.tcp_in, t.refused, t.tcp_midstream),
        (2, 1, 1, 0)
    );
}

#[test]
fn udp_asks_when_the_destination_changes() {
    let mut t = talk();
    for _ in 0..1000 {
        t.udp("198.51.100.7:53");
    }
    t.udp("198.51.100.7:54")
        .udp("198.51.100.8:54")
        .udp("198.51.100.7:53");
    t.udp("198.51.100.7:53");
    let mut received = Talk::new(NODE_A, "192.0.2.10:1", "198.51.100.7:2");
    received.frames.push(frame(
        PEER,
        NODE_A,
        &datagram("198.51.100.7:2", "192.0.2.10:1"),
    ));
    let totals = replay_frames(&then(&t, &received)).totals;
    assert_eq!((totals.udp_sends, totals.udp_asked), (1004, 4));
    assert_eq!(totals.udp_skipped_share(), Some(1000.0 / 1004.0));
}

#[test]
fn a_refused_udp_send_asks_again() {
    let mut a = talk();
    a.udp(FOREIGN);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.udp("198.51.100.9:9")
        .udp(FOREIGN)
        .udp(FOREIGN)
        .udp("198.51.100.9:9");
    let report = replay_frames(&then(&a, &b));
    let t = &report.totals;
    assert_eq!((t.udp_sends, t.udp_asked, t.refused), (5, 4, 2));
    assert_eq!(report.refusals[0].errno_name, "EHOSTUNREACH");
    assert_eq!(report.refusals[0].protocol, "udp");
}

#[test]
fn only_the_first_fragment_of_a_datagram_is_a_send() {
    let mut first = datagram(LOCAL, FOREIGN);
    first[6] = 0x20;
    let mut second = first.clone();
    second[7] = 0xb9;
    let frames = [frame(NODE_A, PEER, &first), frame(NODE_A, PEER, &second)];
    let t = replay_frames(&frames).totals;
    assert_eq!(
        (t.packets, t.udp_sends, t.undecodable, t.not_shared),
        (2, 1, 0, 0)
    );
}

#[test]
fn nodes_can_be_taken_from_ports() {
    let mut frames = Vec::new();
    for port in [40000, 40001, 40002, 40005] {
        let mut t = Talk::new(NODE_A, &format!("192.0.2.10:{port}"), FOREIGN);
        t.connect(1);
        frames.extend(t.frames);
    }
    let mut options = options();
    options.nodes = Some(4);
    let report = try_replay(&pcap(1, &frames), &options).unwrap();
    let nodes: Vec<_> = report
        .nodes
        .iter()
        .map(|n| (n.node.as_str(), n.counters.tcp_out))
        .collect();
    assert_eq!(nodes, [("0", 1), ("1", 2), ("2", 1)]);
    options.nodes = Some(0);
    assert!(try_replay(&pcap(1, &frames), &options).is_err());
}

#[test]
fn a_group_address_is_no_node() {
    let packet = segment(FOREIGN, LOCAL, SYN, 1, 0, b"");
    let frames = [
        frame(PEER, [0xff; 6], &packet),
        frame(PEER, [0x33, 0x33, 0, 0, 0, 1], &packet),
    ];
    let report = replay_frames(&frames);
    assert_eq!((report.totals.packets, report.totals.tcp_in), (2, 0));
    assert!(report.nodes.is_empty());
}

#[test]
fn a_v4_mapped_shared_address_is_the_ipv4_address() {
    let mut t = talk();
    t.connect(1);
    let mut options = options();
    options.shared = vec!["::ffff:192.0.2.10".parse().unwrap()];
    let report = try_replay(&pcap(1, &t.frames), &options).unwrap();
    assert_eq!(report.totals.tcp_out, 1);
    options.shared = vec!["192.0.2.11".parse().unwrap()];
    let report = try_replay(&pcap(1, &t.frames), &options).unwrap();
    assert_eq!((report.totals.not_shared, report.totals.packets), (3, 3));
}

#[test]
fn refusals_beyond_the_limit_are_counted_only() {
    let mut a = talk();
    a.udp(FOREIGN);
    let mut b = Talk::new(NODE_B, LOCAL, FOREIGN);
    b.udp(FOREIGN).udp(FOREIGN).udp(FOREIGN);
    let mut options = options();
    options.listed_refusals = 1;
    let report = try_replay(&pcap(1, &then(&a, &b)), &options).unwrap();
    assert_eq!((report.refusals.len(), report.refusals_omitted), (1, 2));
    assert_eq!(report.totals.refused, 3);
}

#[test]
fn the_report_serialises_flat() {
    let mut t = talk();
    t.connect(1);
    let json = serde_json::to_value(replay_frames(&t.frames)).unwrap();
    let counters = serde_json::json!({
        "packets": 3, "undecodable": 0, "not_shared": 0, "tcp_out": 1, "tcp_in": 0,
        "tcp_midstream": 0, "tcp_open": 1, "udp_sends": 0, "udp_asked": 0,
        "udp_skipped_share": null, "refused": 0,
    });
    let mut node = counters.clone();
    node["node"] = "02:00:00:00:00:0a".into();
    let whole = serde_json::json!({
        "totals": counters, "routed_copies": 0, "not_looked_into": {}, "other_transports": {},
        "skipped_sections": {}, "no_node": 0,
        "nodes": [node], "refusals": [], "refusals_omitted": 0,
    });
    assert_eq!(json, whole);
}
