// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The tool as a person or a program calls it.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use clinet_replay::{ModelStack, Options, replay};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn module() -> PathBuf {
    root().join("build/kernel/misc/amd64/clinet")
}

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("lab").expect("the tool is built");
    command.args(arguments);
    match arguments.first() {
        Some(&"replay") => command.arg("--module").arg(module()),
        Some(&"demo") => {
            let foreign = root().join("build/foreign");
            command
                .arg("--module")
                .arg(module())
                .arg("--foreign")
                .arg(foreign)
        }
        _ => &mut command,
    };
    command
}

struct Run {
    status: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Run {
    let output = lab(arguments).output().expect("the tool runs");
    Run {
        status: output.status.code().expect("it ends by itself"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.out).expect("JSON")
}

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

const SHARED: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

#[test]
fn the_demonstration_goes_as_told_and_readme_shows_it() {
    let run = run(&["demo"]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let readme = fs::read_to_string(root().join("README.md")).expect("README");
    assert!(
        readme.contains(&run.out),
        "README shows another output of `lab demo`"
    );
}

#[test]
fn the_demonstration_as_json_has_all_chapters() {
    let run = run(&["demo", "--json"]);
    assert_eq!(run.status, 0);
    let told = json(&run);
    assert_eq!(told["passed"], true);
    assert_eq!(told["chapters"].as_array().expect("chapters").len(), 6);
    assert_eq!(told["counters"][0]["counters"]["tcp_out_asked"], 2);
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
fn readme_shows_a_replay_as_it_is() {
    let path = root().join("tests-user/captures/tcp-two-nodes.snoop");
    let path = path.display().to_string();
    let run = run(&["replay", &path, "--shared", SHARED[0], SHARED[1]]);
    let readme = fs::read_to_string(root().join("README.md")).expect("README");
    assert!(readme.contains(&run.out), "{}", run.out);
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
fn a_module_that_stops_its_kernel_is_an_error_of_a_few_lines() {
    use object::{Object, ObjectSection};
    let mut bytes = fs::read(module()).expect("the module");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    let text = file
        .section_by_name(".text")
        .and_then(|text| text.file_range());
    let (start, size) = text.expect("text");
    drop(file);
    bytes[start as usize..][..size as usize].fill(0x0f);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clinet");
    fs::write(&path, bytes).expect("written");
    let output = Command::cargo_bin("lab")
        .expect("the tool is built")
        .args(["demo", "--module"])
        .arg(&path)
        .output()
        .expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.starts_with("lab: ") && !text.contains("RUST_BACKTRACE"),
        "{text}"
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

#[test]
fn the_released_module_is_good() {
    let run = run(&["check", &module().display().to_string()]);
    assert_eq!(run.status, 0, "{}", run.out);
    assert!(
        run.out.ends_with("good: no rule is broken\n"),
        "{}",
        run.out
    );
}

#[test]
fn a_module_with_other_globals_is_found_out() {
    let example = root()
        .join("build/foreign/example_rust")
        .display()
        .to_string();
    let clinets = root().join("mapfiles/clinet.map").display().to_string();
    let found = run(&["check", "--json", "--mapfile", &clinets, &example]);
    assert_eq!(found.status, 1);
    let rules: Vec<Value> = json(&found)["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| finding["rule"].clone())
        .collect();
    assert!(rules.contains(&Value::from("unlisted-global")), "{rules:?}");
    let map = root()
        .join("examples/provider-rust/provider.map")
        .display()
        .to_string();
    let own = run(&["check", "--mapfile", &map, &example]);
    assert_eq!(own.status, 0, "{}", own.out);
}

/// Whatever the file is called, one symbol too many is found.
#[test]
fn a_global_that_the_mapfile_does_not_list_is_found_under_any_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("renamed");
    let status = std::process::Command::new("objcopy")
        .arg("--globalize-symbol=clinet_log")
        .arg(module())
        .arg(&path)
        .status();
    assert!(status.expect("objcopy").success());
    let run = run(&["check", "--json", &path.display().to_string()]);
    assert_eq!(run.status, 1);
    let report = json(&run);
    let findings = report["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["rule"], "unlisted-global");
    assert_eq!(findings[0]["symbol"], "clinet_log");
}

/// They import what clinet offers, as modules that depend on it.
#[test]
fn the_example_providers_are_good() {
    for example in ["example", "example_rust"] {
        let path = root()
            .join("build/foreign")
            .join(example)
            .display()
            .to_string();
        let run = run(&["check", &path]);
        assert_eq!(run.status, 0, "{example}: {}", run.out);
    }
}

#[test]
fn what_is_no_module_cannot_be_judged() {
    let readme = root().join("README.md").display().to_string();
    for command in ["check", "symbols"] {
        let run = run(&[command, &readme]);
        assert_eq!(run.status, 2, "{command}");
        assert!(run.err.starts_with("lab: "), "{}", run.err);
    }
    assert_eq!(run(&["check", "/no/such/file"]).status, 2);
}

#[test]
fn symbols_come_with_where_they_come_from() {
    let run = run(&[
        "symbols",
        "--undefined",
        "--json",
        &module().display().to_string(),
    ]);
    assert_eq!(run.status, 0);
    let rows = json(&run);
    let rows = rows.as_array().expect("rows");
    let place = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no {name}"))["place"].clone()
    };
    assert_eq!(place("mutex_enter"), "unix");
    assert_eq!(place("kmem_alloc"), "genunix");
    assert!(rows.iter().all(|row| row["place"] != "no kernel module"));
}

#[test]
fn every_command_has_help_with_examples() {
    for command in ["demo", "replay", "check", "symbols"] {
        let output = Command::cargo_bin("lab")
            .expect("built")
            .args([command, "--help"])
            .output();
        let text = String::from_utf8(output.expect("help").stdout).expect("text");
        assert!(
            text.contains("Examples:") && text.contains("  lab "),
            "{command}: {text}"
        );
    }
}

fn traces() -> PathBuf {
    root().join("tests-user/ip/traces")
}

#[test]
fn traces_of_a_stock_kernel_are_as_recorded() {
    let folder = traces();
    let folder = folder.to_str().expect("a path");
    let run = run(&["traces", folder]);
    assert_eq!((run.status, run.err.as_str()), (0, ""), "{}", run.out);
    assert_eq!(run.out, "438 scenarios, 0 differ\n");
    let file = format!("{folder}/2015/other.jsonl");
    let verbose = lab(&["traces", &file, "-v"]).output().expect("it runs");
    assert_eq!(
        String::from_utf8_lossy(&verbose.stdout),
        format!("{file}:2: tcp_and_udp_same_port (inet): the same\n1 scenarios, 0 differ\n")
    );
}

#[test]
fn traces_of_one_kernel_are_not_those_of_another() {
    let file = traces().join("2021/tcp_basic.jsonl");
    let file = file.to_str().expect("a path");
    let run_other = run(&["traces", file, "--release", "2015"]);
    assert_eq!(run_other.status, 1, "{}", run_other.out);
    assert_eq!(run(&["traces", file, "--release", "2021"]).status, 0);
    let unknown = run(&["traces", file, "--release", "2018"]);
    assert_eq!(unknown.status, 2);
    assert!(unknown.err.contains("2015 and 2021"), "{}", unknown.err);
}

#[test]
fn traces_with_the_module_attached_show_what_it_holds_in_the_end() {
    let file = traces().join("2015/late.jsonl");
    let module = module();
    let paths = [&file, &module].map(|path| path.to_str().expect("a path"));
    let run = run(&["traces", paths[0], "--module", paths[1]]);
    assert_eq!((run.status, run.err.as_str()), (0, ""), "{}", run.out);
    let left = |from: u16, to: u16| {
        let place = format!("{}:7: only_connect2 (inet)", paths[0]);
        format!("{place}, left of TCP: 127.0.0.1:{from} to 127.0.0.1:{to}, references: 1\n")
    };
    let expected = left(5001, 32768) + &left(32768, 5001);
    assert!(run.out.contains(&expected), "{}", run.out);
    assert!(run.out.ends_with(" scenarios, 0 differ\n"), "{}", run.out);
}

#[test]
fn a_trace_that_differs_says_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(traces().join("2015/other.jsonl")).expect("a file of scenarios");
    let text = text.lines().last().expect("a scenario").to_owned() + "\n";
    let changed = text.replacen(r#""hook":"listen""#, r#""hook":"bind""#, 1);
    assert_ne!(text, changed);
    let file = folder.path().join("changed.jsonl");
    fs::write(&file, format!("{text}{changed}")).expect("the file is written");
    let file = file.to_str().expect("a path");
    let run_text = run(&["traces", file]);
    assert_eq!(run_text.status, 1);
    let expected = "\
:2: tcp_and_udp_same_port (inet), step 3 (listen l):
  expected bind stack 0 protocol 6 family 2 127.0.0.1 port 5001
  got      listen stack 0 protocol 6 family 2 127.0.0.1 port 5001
2 scenarios, 1 differ
";
    assert_eq!(run_text.out, format!("{file}{expected}"));
    let run_json = run(&["traces", file, "--json"]);
    assert_eq!(run_json.status, 1);
    let report = json(&run_json);
    assert_eq!(
        (&report["scenarios"], &report["differ"]),
        (&2.into(), &1.into())
    );
    let played = &report["played"][0];
    assert_eq!(played["differences"][0]["step"], 3);
    assert_eq!(
        (&played["file"], &played["line"]),
        (&file.into(), &2.into())
    );
    assert_eq!(played["release"], "2015");
}

#[test]
fn what_is_no_trace_is_unusable() {
    let folder = tempfile::tempdir().expect("a folder");
    let empty = folder.path().to_str().expect("a path").to_owned();
    for (argument, expected) in [
        (empty.as_str(), "holds no scenario"),
        ("/nowhere.jsonl", "cannot read /nowhere.jsonl"),
        ("Cargo.toml", "Cargo.toml, line 1: no scenario"),
    ] {
        let run = run(&["traces", argument]);
        assert_eq!(run.status, 2, "{argument}");
        assert!(run.err.contains(expected), "{}", run.err);
    }
}
