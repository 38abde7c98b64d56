// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The captures in `tests-user/captures`. Packets, SYNs, UDP sends and changes
//! of destination were counted with tshark as well; that every flow ends, and
//! which node began which flow, is read off the packet list where it matters.

use std::path::Path;

use crate::common::*;
use clinet_replay::{NodeReport, Report};

const A: &str = "02:00:00:00:00:0a";
const B: &str = "02:00:00:00:00:0b";

fn shipped(name: &str) -> Report {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    replay_file(&std::fs::read(folder.join(name)).expect("a shipped capture"))
}

/// (node, packets, out, in, sends, asked, refused)
fn row(n: &NodeReport) -> (&str, u64, u64, u64, u64, u64, u64) {
    let c = &n.counters;
    (
        &n.node,
        c.packets,
        c.tcp_out,
        c.tcp_in,
        c.udp_sends,
        c.udp_asked,
        c.refused,
    )
}

#[track_caller]
fn expect(name: &str, packets: u64, rows: &[(&str, u64, u64, u64, u64, u64, u64)]) -> Report {
    let report = shipped(name);
    assert_eq!(
        report.nodes.iter().map(row).collect::<Vec<_>>(),
        rows,
        "{name}"
    );
    let t = &report.totals;
    assert_eq!(t.packets, packets, "{name}");
    assert_eq!(
        (t.undecodable, t.tcp_midstream, t.tcp_open),
        (0, 0, 0),
        "{name}"
    );
    assert_eq!(t.tcp_out, rows.iter().map(|r| r.2).sum::<u64>(), "{name}");
    assert_eq!(t.refused, report.refusals.len() as u64, "{name}");
    report
}

#[test]
fn two_nodes_with_one_5_tuple() {
    let rows = [(A, 34, 4, 0, 0, 0, 0), (B, 32, 3, 0, 0, 0, 1)];
    let pcap = expect("tcp-two-nodes.pcap", 67, &rows);
    assert_eq!(pcap.totals.not_shared, 1);
    let refusal = &pcap.refusals[0];
    assert_eq!((refusal.packet, refusal.direction.as_str()), (39, "out"));
    assert_eq!(refusal.local, "192.0.2.10:40000");
    assert_eq!(refusal.foreign, "192.0.2.1:5001");
    assert_eq!(
        (refusal.owner.as_deref(), refusal.asker.as_str()),
        (Some(A), B)
    );
    for other in ["tcp-two-nodes.pcapng", "tcp-two-nodes.snoop"] {
        assert_eq!(shipped(other), pcap, "{other}");
    }
}

#[test]
fn incoming_tcp() {
    expect("tcp-in.pcap", 34, &[(A, 34, 0, 3, 0, 0, 0)]);
    expect("tcp-in-raw.pcap", 34, &[("all", 34, 0, 3, 0, 0, 0)]);
}

#[test]
fn udp_with_and_without_vlan_tag() {
    for name in ["udp.pcap", "udp-vlan.pcap"] {
        let rows = [(A, 12, 0, 0, 5, 3, 0), (B, 4, 0, 0, 2, 2, 1)];
        let report = expect(name, 16, &rows);
        assert_eq!(report.refusals[0].packet, 7, "{name}");
        assert_eq!(report.refusals[0].errno_name, "EHOSTUNREACH", "{name}");
    }
}

#[test]
fn ipv6() {
    let rows = [(A, 42, 2, 1, 1, 1, 0), (B, 8, 1, 0, 0, 0, 1)];
    let report = expect("ipv6.pcap", 50, &rows);
    assert_eq!(report.refusals[0].packet, 40);
    assert_eq!(report.refusals[0].local, "[2001:db8::10]:40000");
}

#[test]
fn linux_cooked() {
    expect("cooked-v1.pcap", 35, &[("all", 35, 1, 1, 1, 1, 0)]);
    expect("cooked-v2.pcap", 34, &[("all", 34, 1, 1, 1, 1, 0)]);
}

#[test]
fn cut_to_96_bytes() {
    expect("iperf3-cut.pcap", 165, &[(A, 165, 4, 0, 67, 1, 0)]);
}

/// In two parts each, as files are that were appended to.
#[test]
fn packed() {
    let plain = shipped("tcp-in.pcap");
    for packed in ["gz", "bz2", "zst", "xz"] {
        assert_eq!(shipped(&format!("tcp-in.pcap.{packed}")), plain, "{packed}");
    }
}

#[test]
fn packed_and_cut() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    for packed in ["gz", "bz2", "zst", "xz"] {
        let file = std::fs::read(folder.join(format!("tcp-in.pcap.{packed}"))).expect("a capture");
        let error = try_replay(&file[..file.len() - 30], &options()).expect_err("it is cut");
        let text = error.to_string();
        assert!(text.contains("packet "), "{packed}: {text}");
    }
}
