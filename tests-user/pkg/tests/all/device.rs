// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The manual page of the control device, against its header and its driver.

use std::collections::BTreeSet;
use std::fs;

use super::man::{items, section, set};
use clinet_pkg_tests::{command, manifest, read};

const PAGE: &str = "pkg/man/clinetctl.4d";

/// All words `CLINETCTL_...` of lines that begin with `.It Dv`.
fn commands(lines: &[String]) -> BTreeSet<String> {
    let words = items(lines, ".It ")
        .into_iter()
        .flat_map(str::split_whitespace);
    set(words.filter(|word| word.starts_with("CLINETCTL_")))
}

#[test]
fn commands_are_those_of_the_header() {
    let header = read("include/clinetctl.h");
    let defined = header.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("#define\t")?.split_once('\t')?;
        number.contains("CLINETCTL_(").then_some(name)
    });
    assert_eq!(commands(&section(PAGE, "COMMANDS")), set(defined));
}

/// The errors that the header names for all commands, and others.
#[test]
fn errors_are_those_of_the_header() {
    let lines = section(PAGE, "ERRORS");
    let named = set(items(&lines, ".It Er "));
    let header = read("include/clinetctl.h");
    let all = header
        .split_once("Errors of all commands:")
        .expect("they are there")
        .1;
    let all = all.split_once("*/").expect("the end of the comment").0;
    let words = all.split(|c: char| !c.is_ascii_uppercase());
    let errors = words.filter(|word| word.len() > 3 && word.starts_with('E'));
    for error in set(errors) {
        assert!(named.contains(&error), "{error}");
    }
}

#[test]
fn files_are_installed() {
    let installed = manifest()
        .into_iter()
        .filter(|action| action.kind == "file");
    let installed = set(installed.map(|action| format!("/{}", action.attribute("path"))));
    for file in items(&section(PAGE, "FILES"), ".It Pa ") {
        assert!(file == "/dev/clinet" || installed.contains(file), "{file}");
    }
}

/// One is put together of parts; the others are literals in one file and in the glue.
#[test]
fn diagnostics_are_the_messages_of_the_driver() {
    let entry = read("kmod/drv/src/entry.rs");
    let glue = read("kmod/drv/glue/clinetctl.c");
    let literals = |source: &str, start: &str| -> Vec<String> {
        let parts = source.split(start).skip(1);
        parts
            .map(|part| part.split('"').next().unwrap_or_default().to_owned())
            .collect()
    };
    let parts = literals(&entry, ".string(\"");
    let mut messages = vec![format!("{}%d", parts.join("%d"))];
    messages.extend(literals(&entry, "log::warn(c\""));
    messages.extend(
        literals(&glue, "\"clinetctl: ")
            .iter()
            .map(|end| format!("clinetctl: {end}")),
    );
    let lines = section(PAGE, "DIAGNOSTICS");
    let patterns = items(&lines, ".It ").into_iter();
    let patterns = patterns.map(|item| item.trim_matches('"').to_owned());
    assert_eq!(set(messages), set(patterns));
    // No other file says anything.
    for file in ["events.rs", "files.rs", "look.rs", "list.rs", "change.rs"] {
        assert!(
            !read(&format!("kmod/drv/src/{file}")).contains("log::"),
            "{file}"
        );
    }
}

/// One place says how the device is called.
#[test]
fn the_node_is_linked_under_the_name_of_the_header() {
    let header = read("include/clinetctl.h");
    assert!(header.contains("#define\tCLINETCTL_DEVICE\t\"/dev/clinet\""));
    let driver = manifest()
        .into_iter()
        .find(|action| action.kind == "driver");
    let driver = driver.expect("a driver action");
    assert!(driver.attribute("devlink").ends_with("\\tclinet"));
    let conf = read("kmod/drv/clinetctl.conf");
    assert!(conf.contains("name=\"clinetctl\" parent=\"pseudo\" instance=0;"));
}

/// The program of the VM test, at a device that has no ioctl at all.
#[test]
fn the_program_in_perl_reads_the_header_and_tells_errnos() {
    let folder = tempfile::tempdir().expect("a folder");
    let header = folder.path().join("clinetctl.h");
    let program = folder.path().join("device.pl");
    fs::write(&program, read("pkg/vm/device.pl")).expect("written");
    let run = |words: &[&str]| {
        let mut perl = command("perl");
        let output = perl.arg(&program).arg("/dev/null").args(words).output();
        let output = output.expect("perl runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("text"))
    };
    let (status, said) = run(&["version"]);
    assert_eq!(status, Some(2), "{said}");
    fs::write(&header, read("include/clinetctl.h")).expect("written");
    // ENOTTY, which is 25 on illumos, too.
    for what in ["version", "unknown", "stranger"] {
        assert_eq!(run(&[what]), (Some(0), "errno 25\n".to_owned()), "{what}");
    }
    assert_eq!(run(&["hold", "true"]).0, Some(0));
    assert_eq!(run(&["hold", "false"]).0, Some(1));
    assert_eq!(run(&["other"]).0, Some(2));
}
