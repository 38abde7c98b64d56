// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab replay`.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::PathBuf;

use clinet_replay::{ModelStack, Options, replay};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{SHARED, finished, json, lab, module, root, run};

fn captures() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("tests-user/captures")).expect("captures");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let mut captures: Vec<PathBuf> = files
        .filter(|path| {
            let kind = path.extension().and_then(|kind| kind.to_str());
            kind.is_some_and(|kind| ["pcap", "pcapng", "snoop"].contains(&kind))
        })
        .collect();
    captures.sort();
    assert!(captures.len() >= 10);
    captures
}

#[test]
fn the_module_answers_a_capture_as_a_plain_model_does() {
    for path in captures() {
        for nodes in [None, Some(2), Some(3)] {
            let options = Options {
                nodes,
                ..Options::new(
                    SHARED
                        .map(|addr| addr.parse::<IpAddr>().expect("one"))
                        .to_vec(),
                )
            };
            let file = File::open(&path).expect("a capture");
            let expected = replay(file, &options, &mut ModelStack::new(), &mut |_, _| ());
            let expected = serde_json::to_value(expected.expect("a report")).expect("JSON");
            let path = path.display().to_string();
            let count = nodes.map(|nodes| nodes.to_string());
            let mut arguments = vec!["replay", &path, "--json"];
            if let Some(count) = &count {
                arguments.extend(["--nodes", count]);
            }
            arguments.extend(["--shared", SHARED[0], SHARED[1]]);
            let run = run(&arguments);
            assert_eq!(run.status, 0, "{path}: {}", run.err);
            let report = json(&run);
            for part in ["totals", "nodes", "refusals"] {
                assert_eq!(report[part], expected[part], "{path} with {nodes:?} nodes");
            }
            assert_eq!(report["undecided"], 0);
        }
    }
}

#[test]
fn a_capture_that_ends_inside_a_packet_gives_what_it_had() {
    let whole = fs::read(root().join("tests-user/captures/tcp-in.pcap")).expect("a capture");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.pcap");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    let run = run(&[
        "replay",
        &path.display().to_string(),
        "--json",
        "--shared",
        SHARED[0],
    ]);
    assert_eq!(run.status, 2);
    assert!(run.err.contains("packet 34"), "{}", run.err);
    assert_eq!(json(&run)["totals"]["packets"], 33);
}

#[test]
fn a_capture_cut_anywhere_after_its_header_gives_a_report() {
    let whole = fs::read(root().join("tests-user/captures/tcp-in.pcap")).expect("a capture");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.pcap");
    let replay = |length: usize| {
        fs::write(&path, &whole[..length]).expect("written");
        let path = path.display().to_string();
        run(&["replay", &path, "--json", "--shared", SHARED[0]])
    };
    for length in [24, 25, 40, 60] {
        let run = replay(length);
        assert_eq!(run.status, if length == 24 { 0 } else { 2 }, "{length}");
        assert_eq!(json(&run)["totals"]["packets"], 0);
        assert_eq!(run.err.contains("packet 1"), length != 24, "{}", run.err);
    }
    let run = replay(23);
    assert_eq!((run.status, run.out.as_str()), (2, ""));
}

/// A machine of more interfaces than one is one node.
#[test]
fn nodes_that_are_named_are_not_guessed() {
    let path = root().join("tests-user/captures/tcp-two-nodes.pcap");
    let path = path.display().to_string();
    let (a, b) = ("02:00:00:00:00:0a", "02:00:00:00:00:0b");
    let named = [format!("left={a}"), "right=2:0:0:0:0:b".to_owned()];
    let shared = "192.0.2.10,2001:db8::10";
    let run_named = |named: &[String], more: &[&str]| {
        let mut arguments = vec!["replay", &path, "--shared", shared];
        for node in named {
            arguments.extend(["--node", node]);
        }
        arguments.extend(more);
        run(&arguments)
    };
    let two = json(&run_named(&named, &["--json"]));
    assert_eq!(two["refusals"][0]["owner"], "left");
    assert_eq!(two["refusals"][0]["asker"], "right");
    assert_eq!(two["refusals"][0]["guessed_nodes"], false);
    assert!(!run_named(&named, &[]).out.contains("guessed"));
    let one = json(&run_named(&[format!("one={a},{b}")], &["--json"]));
    assert_eq!(one["totals"]["refused"], 0);
    let guessed = json(&run_named(&[], &["--json"]));
    assert_eq!(guessed["refusals"][0]["guessed_nodes"], true);
    for bad in [
        "left",
        "=02:00:00:00:00:0a",
        "left=02:00:00:00:00",
        "left=x",
    ] {
        let run = run_named(&[bad.to_owned()], &[]);
        assert_eq!(run.status, 2, "{bad}");
        assert!(run.err.contains("NAME=MAC[,MAC...]"), "{}", run.err);
    }
}

#[test]
fn what_is_not_an_address_is_named() {
    let path = root().join("tests-user/captures/tcp-in.pcap");
    let path = path.display().to_string();
    for (address, word) in [
        (path.as_str(), "the capture goes before --shared"),
        ("192.0.2", "no IPv4 or IPv6 address"),
        ("::", "nobody can share"),
    ] {
        let run = run(&["replay", "-", "--shared", "192.0.2.10", address]);
        assert_eq!(run.status, 2, "{address}");
        assert!(run.err.contains(word), "{}", run.err);
    }
}

/// The modules take loopback addresses for shared if they are told to.
#[test]
fn a_loopback_address_is_shared_if_it_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("loopback.pcap");
    fs::write(&path, two_syns()).expect("written");
    let path = path.display().to_string();
    let run = run(&["replay", &path, "--json", "--shared", "127.0.0.1"]);
    let totals = &json(&run)["totals"];
    assert_eq!(
        (&totals["tcp_out"], &totals["refused"]),
        (&2.into(), &1.into())
    );
}

/// Two SYNs from 127.0.0.1 with one 5-tuple and two MAC addresses.
fn two_syns() -> Vec<u8> {
    let mut capture = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65535, 1] {
        capture.extend(word.to_le_bytes());
    }
    for node in [0x0a, 0x0b] {
        for word in [0, 0, 54, 54u32] {
            capture.extend(word.to_le_bytes());
        }
        capture.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, node, 8, 0]);
        capture.extend([0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0]);
        capture.extend([127, 0, 0, 1, 127, 0, 0, 2]);
        capture.extend([
            0, 5, 0, 6, 0, 0, 0, node, 0, 0, 0, 0, 0x50, 2, 32, 0, 0, 0, 0, 0,
        ]);
    }
    capture
}

#[test]
fn other_transports_are_told_by_name() {
    let mut capture = two_syns();
    let protocol = 24 + 16 + 14 + 9;
    capture[protocol] = 132;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sctp.pcap");
    fs::write(&path, capture).expect("written");
    let path = path.display().to_string();
    let arguments = ["replay", &path, "--shared", "127.0.0.1"];
    let text = run(&arguments).out;
    assert!(text.contains("other transports: SCTP: 1\n"), "{text}");
    let report = json(&run(&[&arguments[..], &["--json"]].concat()));
    assert_eq!(report["other_transports"]["SCTP"], 1);
    assert_eq!(report["totals"]["tcp_out"], 1);
}

/// Two frames of somebody else, of PPPoE, of MACsec, and to everybody.
#[test]
fn silence_is_explained() {
    let mut capture = two_syns();
    let hint = "does --shared name the right ones?";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("capture.pcap");
    let replayed_with = |capture: &[u8], options: &[&str]| {
        fs::write(&path, capture).expect("written");
        let path = path.display().to_string();
        run(&[&["replay", &path, "--shared", "192.0.2.10"], options].concat()).out
    };
    let replayed = |capture: &[u8]| replayed_with(capture, &[]);
    assert!(replayed(&capture).contains(hint));
    let mut to_all = capture[..24 + 16 + 54].to_vec();
    to_all[24 + 16..24 + 16 + 6].fill(0xff);
    to_all[24 + 16 + 14 + 16..][..4].copy_from_slice(&[192, 0, 2, 10]);
    let text = replayed(&to_all);
    assert!(text.starts_with("1 packet: 0 without"), "{text}");
    assert!(text.contains("1 of no node") && text.contains("frames to a group"));
    assert!(!text.contains("No packet is from or to"), "{text}");
    let (first, second) = (24 + 16 + 12, 24 + 16 + 54 + 16 + 12);
    for frame in [first, second] {
        capture[frame..frame + 2].copy_from_slice(&[0x88, 0x64]);
        capture[frame + 2..frame + 10].copy_from_slice(&[0x11, 0, 0, 1, 0, 42, 0, 0x21]);
    }
    let text = replayed(&capture);
    assert!(text.contains("Not looked into: PPPoE: 2"), "{text}");
    assert!(text.contains("--inner") && !text.contains(hint), "{text}");
    for frame in [first, second] {
        capture[frame..frame + 2].copy_from_slice(&[0x88, 0xe5]);
    }
    assert!(replayed(&capture).contains("--inner"));
    let text = replayed_with(&capture, &["--inner"]);
    assert!(text.contains("may have some\n") && !text.contains("--inner"));
}

/// What was read is told, if only by its link type.
#[test]
fn packets_of_an_unsupported_link_type_are_reported() {
    let word = |number: u32| number.to_le_bytes();
    let section = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28];
    let interface = [1, 20, 105, 0, 20];
    let packet = [6, 36, 0, 0, 0, 4, 4, 0, 36];
    let words = [&section[..], &interface, &packet].concat();
    let capture: Vec<u8> = words.into_iter().flat_map(word).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("capture.pcapng");
    fs::write(&path, capture).expect("written");
    let path = path.display().to_string();
    let run = run(&["replay", &path, "--json", "--shared", "192.0.2.10"]);
    assert_eq!(run.status, 2);
    assert!(
        run.err.contains("the report covers packet 1"),
        "{}",
        run.err
    );
    let report: Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(report["not_looked_into"]["link type 105 (IEEE 802.11)"], 1);
}

/// Ctrl-C goes to the program that writes the capture as well, which writes
/// what it still has.
#[test]
fn an_interrupted_capture_is_reported() {
    use std::io::Write;
    use std::process::Stdio;

    let whole = fs::read(root().join("tests-user/captures/tcp-in.pcap")).expect("a capture");
    let (first, rest) = whole.split_at(20_000);
    for (after, packets) in [(rest, 34), (&[], 11)] {
        let tool = lab(&["replay", "-", "--json", "--shared", SHARED[0]]);
        let mut child = std::process::Command::new(tool.get_program())
            .args(tool.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(first).expect("written");
        wait_for_handler(child.id());
        kill_process(Pid::from_child(&child), Signal::INT).expect("it lives");
        input.write_all(after).expect("written");
        // Open as long as it runs, as a writer that does not end keeps it.
        let output = finished(child);
        assert_eq!(output.status.code(), Some(0));
        drop(input);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["totals"]["packets"], packets);
    }
}

/// Waits until a process has a handler for SIGINT.
fn wait_for_handler(process: u32) {
    for _ in 0..1000 {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.expect("a mask").trim(), 16).expect("a mask");
        if caught & 1 << (2 - 1) != 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no handler for SIGINT");
}

/// Two nodes take one port to a peer whose address is shared too. What the
/// refused SYN would have led to did not happen, on either side.
#[test]
fn replies_to_a_refused_flow_are_ignored() {
    let path = root().join("tests-user/captures/tcp-two-nodes.pcap");
    let path = path.display().to_string();
    let run = run(&[
        "replay",
        &path,
        "--json",
        "--shared",
        SHARED[0],
        "192.0.2.1",
    ]);
    let totals = &json(&run)["totals"];
    assert_eq!(
        (&totals["refused"], &totals["tcp_out"]),
        (&1.into(), &7.into())
    );
    assert_eq!(
        (&totals["tcp_in"], &totals["tcp_midstream"]),
        (&6.into(), &0.into())
    );
}

#[test]
fn what_is_no_capture_is_named() {
    let path = module().display().to_string();
    let run = run(&["replay", &path, "--shared", SHARED[0]]);
    assert_eq!(run.status, 2);
    assert!(
        run.err.contains("pcap") && run.err.contains("snoop"),
        "{}",
        run.err
    );
    assert_eq!(run.out, "");
}

#[test]
fn a_limit_out_of_range_is_refused() {
    let path = root()
        .join("tests-user/captures/iperf3-cut.pcap")
        .display()
        .to_string();
    for limit in ["63", "16777217"] {
        let run = run(&[
            "replay",
            &path,
            "--max-tuples",
            limit,
            "--shared",
            SHARED[0],
        ]);
        assert_eq!(run.status, 2, "{limit}");
    }
}
