// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab cluster` and `lab chaos`: all the programs of a cluster.

use std::fs;

use super::{json, root, run};

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
