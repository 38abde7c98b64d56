// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What make says to somebody who does not know it, and what it refuses.

use std::fs;
use std::process::{Command, Output};

use clinet_module_tests::root;
use clinet_pkg_tests::{command, read};

/// make as a person calls it, not as part of the one that runs the tests.
fn make(command: &mut Command) -> Output {
    let make = command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    make.output().expect("make runs")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

#[test]
fn help_has_every_target_and_all_that_is_said_of_it() {
    let help = text(make(command("make").arg("help")).stdout);
    let mut lines = help.lines();
    for rule in read("Makefile").lines() {
        if let Some((rule, about)) = rule.split_once(" ## ") {
            let target = rule.split(':').next().expect("a target");
            let line = lines.next().expect("a line for each target");
            let (said, rest) = line.trim_start().split_once(' ').expect("a target");
            assert_eq!((said, rest.trim_start()), (target, about));
        }
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn package_looks_for_its_tools_before_it_builds() {
    let output = make(command("make").args(["package", "REPO=nowhere"]));
    assert_eq!(output.status.code(), Some(2));
    let said = text(output.stderr);
    assert!(said.contains("no pkgmogrify here"), "{said}");
    assert!(output.stdout.is_empty(), "it does nothing else");
}

/// A tab is as wide as it looks.
#[test]
fn lines_of_c_have_at_most_80_columns() {
    let folder = tempfile::tempdir().expect("a folder");
    let header = folder.path().join("include/x.h");
    fs::create_dir(folder.path().join("include")).expect("a folder");
    fs::copy(root().join("Makefile"), folder.path().join("Makefile")).expect("a copy");
    for (length, is_refused) in [(72, false), (73, true)] {
        let line = format!("\t{}\n", "x".repeat(length));
        fs::write(&header, format!("short\n{line}")).expect("a header");
        let output = make(
            Command::new("make")
                .arg("columns")
                .current_dir(folder.path()),
        );
        let said = text(output.stdout).contains("include/x.h:2: more than 80 columns");
        assert_eq!((output.status.success(), said), (!is_refused, is_refused));
    }
}

/// Nobody who only asks what a script does has anything done.
#[test]
fn every_script_says_how_it_is_used() {
    let scripts = std::fs::read_dir(root().join("tools")).expect("the folder");
    for script in scripts {
        let name = script.expect("a file").file_name();
        let name = format!("tools/{}", name.to_str().expect("a plain name"));
        let output = command(&name).arg("--help").output().expect("it runs");
        assert!(output.status.success(), "{name}: {output:?}");
        let said = text(output.stdout);
        let usage = said.lines().find(|line| line.contains("usage: "));
        assert!(usage.is_some_and(|line| line.contains(&name)), "{said}");
    }
}
