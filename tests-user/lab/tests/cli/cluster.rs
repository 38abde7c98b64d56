// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab cluster` and `lab chaos`: all the programs of a cluster.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{finished, json, root, run};

/// Where the programs and the module files are.
fn files(adm: bool) -> Vec<String> {
    let mut options = vec![
        ("--clinetd", "build/clinetd"),
        ("--module", "build/kernel/misc/amd64/clinet"),
        ("--driver", "build/kernel/drv/amd64/clinetctl"),
    ];
    if adm {
        options.push(("--clinetadm", "build/clinetadm"));
    }
    let words =
        |(option, path): (&str, &str)| [option.to_owned(), root().join(path).display().to_string()];
    options.into_iter().flat_map(words).collect()
}

fn run_with(command: &str, more: &[&str], adm: bool) -> super::Run {
    let files = files(adm);
    let mut words = vec![command];
    words.extend(more);
    words.extend(files.iter().map(String::as_str));
    run(&words)
}

/// Processes that have a word in their command line.
fn processes_with(word: &str) -> usize {
    let entries = fs::read_dir("/proc").expect("processes");
    let command = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("cmdline")).ok();
    let commands = entries.flatten().filter_map(command);
    commands.filter(|command| command.contains(word)).count()
}

#[test]
fn the_demonstration_of_a_cluster_goes_as_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let files = files(true);
    let mut command = super::lab(&["cluster"]);
    command.args(&files).env("TMPDIR", &path);
    let output = command.timeout(super::LONGEST).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert_eq!(processes_with(&path), 0, "it leaves processes");
}

#[test]
fn a_minute_of_faults_breaks_no_promise() {
    let run = run_with("chaos", &["--seconds", "60", "--json"], false);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    let report = json(&run);
    assert!(report["faults"].as_u64() > Some(5), "{report}");
}

#[test]
fn a_fault_that_is_none_is_unusable() {
    let run = run_with("chaos", &["--only", "earthquake"], false);
    assert_eq!(run.status, 2);
    assert!(
        run.err.contains("there is no fault earthquake: kill-agent"),
        "{}",
        run.err
    );
}

/// One that the agents do not have would never be found.
#[test]
fn a_mutant_that_is_not_there_is_unusable() {
    let run_unknown = run_with("chaos", &["--mutant", "no-brakes"], false);
    assert_eq!(run_unknown.status, 2, "{}", run_unknown.out);
    assert!(
        run_unknown.err.contains("short-wait"),
        "{}",
        run_unknown.err
    );
    let run_missing = run_with("chaos", &["--mutant", "no-wait"], false);
    assert_eq!(run_missing.status, 2, "{}", run_missing.out);
    assert!(
        run_missing.err.contains("--features mutants"),
        "{}",
        run_missing.err
    );
}

#[test]
fn numbers_that_are_none_are_unusable() {
    for words in [
        ["bench-cluster", "--sizes=0"],
        ["bench-cluster", "--sizes=129"],
        ["chaos", "--pause=-1"],
        ["chaos", "--pause=soon"],
        ["cluster", "--nodes=7"],
    ] {
        let run = run_with(words[0], &words[1..], false);
        assert_eq!((run.status, run.out.as_str()), (2, ""), "{words:?}");
        assert!(run.err.contains("invalid value"), "{}", run.err);
    }
}

#[test]
fn the_help_names_all_faults() {
    let run_none = run_with("chaos", &["--only", "earthquake"], false);
    let (_, kinds) = run_none.err.split_once("earthquake: ").expect("kinds");
    let help = run(&["chaos", "--help"]).out.replace('\n', " ");
    assert!(help.contains(kinds.trim()), "{kinds}: {help}");
}

#[test]
fn an_interrupt_leaves_neither_processes_nor_files() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().display().to_string();
        let tool = super::lab(&["cluster"]);
        let child = Command::new(tool.get_program())
            .arg("cluster")
            .args(files(true))
            .env("TMPDIR", &path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        // It has begun when the members of etcd and an agent are there.
        for _ in 0..6000 {
            if processes_with(&path) >= 5 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert!(processes_with(&path) >= 5, "it does not begin");
        kill_process(Pid::from_child(&child), signal).expect("it lives");
        let output = finished(child);
        assert_eq!(output.status.signal(), Some(signal.as_raw()), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let left: Vec<_> = fs::read_dir(&path).expect("the folder").collect();
        assert!(left.is_empty(), "{left:?}");
        for _ in 0..6000 {
            if processes_with(&path) == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(processes_with(&path), 0, "it leaves processes");
    }
}
