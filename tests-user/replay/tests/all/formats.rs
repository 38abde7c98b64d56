// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! File formats and damage.

use crate::common::files::*;
use crate::common::*;
use clinet_replay::{CaptureError, ReplayError, ReplayFailure};
use proptest::prelude::*;

fn cause(result: Result<clinet_replay::Report, ReplayError>) -> (CaptureError, u64) {
    let error = result.expect_err("a broken capture");
    let packets = error.report.totals.packets;
    match error.cause {
        ReplayFailure::Capture(cause) => (cause, packets),
        other => panic!("{other}"),
    }
}

#[test]
fn all_formats_and_byte_orders_say_the_same() {
    let packets = packets();
    let expected = replay_frames(&packets);
    assert_eq!(expected.totals.tcp_out, 1);
    assert_eq!(expected.totals.udp_sends, 1);
    for (magic, big) in [
        (0xa1b2_c3d4, true),
        (0xa1b2_c3d4, false),
        (0xa1b2_3c4d, true),
        (0xa1b2_3c4d, false),
    ] {
        assert_eq!(replay_file(&pcap_of(magic, big, &packets)), expected);
    }
    assert_eq!(replay_file(&pcapng(&packets)), expected);
    for link in [0, 4] {
        assert_eq!(replay_file(&snoop(link, &packets)), expected);
    }
}

#[test]
fn times_have_the_resolution_of_the_file() {
    let a = frame(NODE_A, PEER, &datagram(LOCAL, FOREIGN));
    let b = frame(NODE_B, PEER, &datagram(LOCAL, FOREIGN));
    let both = [a, b];
    let time = |file: &[u8]| replay_file(file).refusals[0].time.clone();
    let expected = |text: &str| Some(text.to_owned());
    assert_eq!(
        time(&pcap_of(0xa1b2_c3d4, true, &both)),
        expected("1700000000.999999000")
    );
    assert_eq!(
        time(&pcap_of(0xa1b2_3c4d, false, &both)),
        expected("1700000000.000999999")
    );
    assert_eq!(time(&snoop(4, &both)), expected("1700000000.000005000"));
    for big in [true, false] {
        let head = [section(big), interface(big, 1)].concat();
        let blocks: Vec<_> = both.iter().flat_map(|p| enhanced(big, 0, p)).collect();
        assert_eq!(
            time(&[head.clone(), blocks].concat()),
            expected("103.500000000")
        );
        let blocks: Vec<_> = both.iter().flat_map(|p| simple(big, p)).collect();
        assert_eq!(time(&[head, blocks].concat()), None);
    }
}

#[test]
fn a_cut_capture_reports_what_it_had() {
    let packets = packets();
    for file in [pcap(1, &packets), snoop(4, &packets)] {
        let (cause, had) = cause(try_replay(&file[..file.len() - 5], &options()));
        assert!(matches!(cause, CaptureError::Cut { packet: 7 }), "{cause}");
        assert_eq!(had, 6);
    }
    let file = pcapng(&packets);
    let error = try_replay(&file[..file.len() - 1], &options()).expect_err("cut");
    assert_eq!(
        error.to_string(),
        "the capture ends inside packet 7; the report covers packets 1 to 6"
    );
    assert_eq!(error.report.totals.tcp_out, 1);
}

#[test]
fn a_record_of_absurd_length_is_damage() {
    let mut file = pcap(1, &packets());
    file[24 + 8..24 + 12].fill(0xff);
    let (cause, had) = cause(try_replay(&file, &options()));
    assert!(
        matches!(cause, CaptureError::Damaged { packet: 1, .. }),
        "{cause}"
    );
    assert_eq!(had, 0);
}

#[test]
fn unknown_types_are_named() {
    let says = |file: &[u8], text: &str| {
        let error = try_replay(file, &options())
            .expect_err("not supported")
            .to_string();
        assert!(error.contains(text), "{error}");
    };
    says(b"", "the file is empty");
    says(
        b"\x7fELF\x02\x01\x01\0\0",
        "unknown file type (it begins with 7f 45 4c 46 02 01 01 00)",
    );
    says(b"PK\x03\x04....", "packed by gzip, bzip2, zstd or xz");
    says(
        &pcap(105, &[]),
        "link type 105 (IEEE 802.11) is not supported; supported are Ethernet",
    );
    says(&pcap(9999, &[]), "link type 9999 is not supported");
    says(&pcap(8, &[]), "link type 8 (SLIP) is not supported");
    says(
        &snoop(8, &[]),
        "snoop datalink type 8 (FDDI) is not supported",
    );
    says(&pcap(1, &[])[..20], "the pcap file ends inside its header");
    says(
        &section(true)[..20],
        "the pcapng file ends inside its header",
    );
    says(
        &snoop(4, &[])[..12],
        "the snoop file ends inside its header",
    );
    let packet = &packets()[0];
    let only = [
        section(false),
        interface(false, 127),
        enhanced(false, 0, packet),
    ];
    says(
        &only.concat(),
        "link type 127 (IEEE 802.11 with radiotap header) is not supported",
    );
    says(&section_of(2, false), "pcapng version 2.0 is not supported");
    let missing = [section(false), enhanced(false, 0, packet)].concat();
    says(&missing, "interface 0, which is not there");
}

#[test]
fn an_unsupported_interface_costs_its_own_packets_only() {
    let packets = packets();
    let mut file = [
        section(false),
        interface(false, 1),
        interface(false, 249),
        interface(false, 9999),
    ]
    .concat();
    for packet in &packets {
        file.extend(enhanced(false, 0, packet));
        file.extend(enhanced(false, 1, b"usb"));
    }
    file.extend(enhanced(false, 2, b"?"));
    let report = replay_file(&file);
    let t = &report.totals;
    assert_eq!((t.packets, t.not_shared), (15, 0));
    assert_eq!((t.tcp_out, t.tcp_open, t.udp_sends), (1, 0, 1));
    let names: Vec<_> = report.not_looked_into.into_iter().collect();
    let usb = ("link type 249 (USBPcap)".to_owned(), 7);
    assert_eq!(names, [usb, ("link type 9999".to_owned(), 1)]);
}

#[test]
fn a_section_of_another_version_is_skipped_and_told() {
    let packets = packets();
    for big in [true, false] {
        let section = |major, packets: &[Vec<u8>]| {
            let mut out = [section_of(major, big), interface(big, 1)].concat();
            out.extend(packets.iter().flat_map(|packet| enhanced(big, 0, packet)));
            out
        };
        let other = section(2, &packets[..3]);
        let (first, last) = packets.split_at(3);
        let file = [section(1, first), other.clone(), section(1, last)].concat();
        let report = replay_file(&file);
        assert_eq!(report.totals, replay_frames(&packets).totals);
        assert_eq!(report.skipped_sections["2.0"], 1);
        let file = [other.clone(), other, section(1, &packets)].concat();
        let report = replay_file(&file);
        assert_eq!(report.totals, replay_frames(&packets).totals);
        assert_eq!(report.skipped_sections["2.0"], 2);
    }
}

#[test]
fn records_larger_than_the_window_are_read() {
    let big = segment(LOCAL, FOREIGN, SYN, 1, 0, &[0; 60_000]);
    let mut frames = vec![frame(NODE_A, PEER, &big); 40];
    frames[20].resize(3 << 20, 0);
    let t = replay_frames(&frames).totals;
    assert_eq!((t.packets, t.tcp_out), (40, 1));
}

/// Packets add up, and what nodes count adds up to the totals.
fn adds_up(report: &clinet_replay::Report) {
    let t = &report.totals;
    assert!(t.undecodable + t.not_shared <= t.packets);
    assert!(t.tcp_open <= t.tcp_out + t.tcp_in);
    assert!(t.udp_asked <= t.udp_sends);
    let sum = |field: fn(&clinet_replay::Counters) -> u64| {
        report.nodes.iter().map(|n| field(&n.counters)).sum::<u64>()
    };
    assert_eq!(t.tcp_out, sum(|c| c.tcp_out));
    assert_eq!(t.tcp_in, sum(|c| c.tcp_in));
    assert_eq!(t.tcp_midstream, sum(|c| c.tcp_midstream));
    assert_eq!(t.tcp_open, sum(|c| c.tcp_open));
    assert_eq!(t.refused, sum(|c| c.refused));
    assert_eq!(
        t.refused,
        report.refusals.len() as u64 + report.refusals_omitted
    );
}

fn any_format(which: u8, packets: &[Vec<u8>]) -> Vec<u8> {
    match which {
        0 => pcap(1, packets),
        1 => pcapng(packets),
        _ => snoop(4, packets),
    }
}

proptest! {
    #[test]
    fn truncation_and_flips_never_panic(
        format in 0u8..3,
        cut in any::<proptest::sample::Index>(),
        flips in prop::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut file = any_format(format, &packets());
        file.truncate(cut.index(file.len() + 1));
        for (at, with) in flips {
            if !file.is_empty() {
                let at = at.index(file.len());
                file[at] ^= with;
            }
        }
        match try_replay(&file, &options()) {
            Ok(report) => adds_up(&report),
            Err(error) => adds_up(&error.report),
        }
    }

    #[test]
    fn any_bytes_as_packets_never_panic(
        link in prop::sample::select(vec![0u32, 1, 101, 108, 113, 226, 276]),
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8),
    ) {
        adds_up(&replay_file(&pcap(link, &packets)));
    }

    #[test]
    fn any_interleaving_adds_up(
        steps in prop::collection::vec((0usize..2, any::<bool>(), 0u8..32, 0u32..4, 0u32..4), 0..60),
    ) {
        let mut talks = [Talk::new(NODE_A, LOCAL, FOREIGN), Talk::new(NODE_B, LOCAL, FOREIGN)];
        let mut frames = Vec::new();
        for (who, out, flags, seq, ack) in steps {
            let talk = &mut talks[who];
            if out {
                talk.out(flags, seq, ack, b"");
            } else {
                talk.back(flags, seq, ack, b"");
            }
            frames.append(&mut talk.frames);
        }
        let report = replay_frames(&frames);
        adds_up(&report);
        // One 5-tuple, one owner.
        prop_assert!(report.totals.tcp_open <= 1);
    }
}
