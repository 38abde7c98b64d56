// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C1: the helper of `include/cl_inet.h`, compiled for this machine with a
//! compare-and-swap that says what it does and loses when it is told to.

use std::process::Command;

use clinet_module_tests::root;

/// Runs `foreign/associate.c` with each argument.
fn associate(arguments: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder for the program");
    let program = folder.path().join("associate");
    let compiler = std::env::var("CLINET_CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(compiler)
        .args([
            "-std=c99",
            "-O2",
            "-D_KERNEL",
            "-Wall",
            "-Wextra",
            "-Werror",
        ])
        .arg("-I")
        .arg(root().join("include"))
        .arg("-I")
        .arg(root().join("include/kern"))
        .arg("-o")
        .arg(&program)
        .arg(root().join("tests-user/foreign/associate.c"))
        .status()
        .expect("a C compiler");
    assert!(status.success());
    let run = |argument: &&str| {
        let output = Command::new(&program)
            .arg(argument)
            .output()
            .expect("it runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    arguments.iter().map(run).collect()
}

#[test]
fn c1_companions_are_stored_from_null_and_connect2_last() {
    let [all, question_only] = &associate(&["0", "-1"])[..] else {
        panic!("two runs");
    };
    assert_eq!(all, "disconnect unlisten listen unbind bind connect2 = 0");
    assert_eq!(question_only, "connect2 = 0");
}

#[test]
fn c1_a_lost_race_stops_there_and_says_so() {
    let order = [
        "disconnect",
        "unlisten",
        "listen",
        "unbind",
        "bind",
        "connect2",
    ];
    let runs = associate(&["1", "2", "3", "4", "5", "6"]);
    for (lost, run) in runs.iter().enumerate() {
        assert_eq!(*run, format!("{} = 4", order[..=lost].join(" ")));
    }
}

#[test]
fn c1_a_companion_that_is_not_wanted_may_be_taken() {
    assert_eq!(associate(&["-3"]), ["connect2 = 0"]);
}

#[test]
fn c1_a_taken_slot_is_seen_before_anything_is_stored() {
    let runs = associate(&["-11", "-12", "-13", "-14", "-15", "-16"]);
    assert_eq!(runs, ["= 3"; 6]);
}

#[test]
fn c1_a_provider_without_a_question_stores_nothing() {
    assert_eq!(associate(&["-9"]), ["= 5"]);
}
