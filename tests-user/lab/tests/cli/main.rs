// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The tool as a person or a program calls it.

mod check;
mod cluster;
mod damaged;
mod node;
mod replay;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn module() -> PathBuf {
    root().join("build/kernel/misc/amd64/clinet")
}

fn driver() -> PathBuf {
    root().join("build/kernel/drv/amd64/clinetctl")
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
                .arg("--driver")
                .arg(root().join("build/kernel/drv/amd64/clinetctl"))
                .arg("--clinetadm")
                .arg(root().join("build/clinetadm"))
                .arg("--foreign")
                .arg(foreign)
        }
        _ => &mut command,
    };
    command
}

/// No command takes a tenth of that.
const LONGEST: Duration = Duration::from_secs(600);

struct Run {
    /// -1 if a signal ended it.
    status: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Run {
    let output = lab(arguments).timeout(LONGEST).output();
    let output = output.expect("the tool runs");
    Run {
        status: output.status.code().expect("it ends by itself"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// Waits for a process that was started; one that does not end is killed.
fn finished(child: Child) -> Output {
    let process = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    receiver
        .recv_timeout(LONGEST)
        .unwrap_or_else(|_| {
            let killed = kill_process(process, Signal::KILL);
            panic!("it does not end; kill: {killed:?}")
        })
        .expect("it ends")
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.out).expect("JSON")
}

const SHARED: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

#[test]
fn the_demonstration_goes_as_told() {
    let run = run(&["demo"]);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
}

#[test]
fn the_demonstration_as_json_has_all_chapters() {
    let run = run(&["demo", "--json"]);
    assert_eq!(run.status, 0);
    let told = json(&run);
    assert_eq!(told["passed"], true);
    assert_eq!(told["chapters"].as_array().expect("chapters").len(), 7);
    assert_eq!(told["counters"][0]["counters"]["tcp_out_asked"], 2);
}

/// What reads the output may stop reading.
#[test]
fn a_closed_pipe_ends_the_tool_quietly() {
    let capture = root().join("tests-user/captures/tcp-in.pcap");
    let capture = capture.display().to_string();
    for arguments in [
        vec!["demo"],
        vec!["demo", "--json"],
        vec!["replay", &capture, "--shared", SHARED[0]],
    ] {
        let tool = lab(&arguments);
        let mut command = std::process::Command::new(tool.get_program());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        command.args(tool.get_args()).stdin(Stdio::null());
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
        let output = finished(child.expect("it runs"));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn every_command_has_help_with_examples() {
    for command in [
        "demo",
        "replay",
        "check",
        "symbols",
        "traces",
        "node",
        "cluster",
        "chaos",
        "bench-cluster",
        "",
    ] {
        let output = Command::cargo_bin("lab")
            .expect("built")
            .args(command.split_whitespace())
            .arg("--help")
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
