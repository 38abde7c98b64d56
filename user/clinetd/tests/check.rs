// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetd --check`.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

const GOOD: &str = "cluster = \"demo\"\npool = \"web\"\nnode = \"a\"\n\
    [etcd]\nendpoints = [\"http://192.0.2.101:2379\"]\n\
    [addresses]\nshared = [\"192.0.2.10\"]\ntopology = \"router\"\n";
const SYSTEM: &str = "set clinet:clinet_port_space = \"32768-65535\"\n";

/// Status and output of a check of these texts.
fn check(file: &str, system: Option<&str>) -> (Option<i32>, String) {
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("clinetd.toml");
    fs::write(&path, file).expect("the file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_clinetd"));
    command.arg("--check").arg(&path);
    if let Some(text) = system {
        let path = folder.path().join("system");
        fs::write(&path, text).expect("the file");
        command.arg("--system").arg(&path);
    }
    let output = command.output().expect("clinetd");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn a_good_file_is_said_to_be_one() {
    let (status, text) = check(GOOD, Some(SYSTEM));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("nothing is wrong"), "{text}");
}

#[test]
fn a_plain_shared_link_is_refused_with_its_line() {
    let (status, text) = check(&GOOD.replace("router", "shared-link"), None);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("line 8: addresses.topology"), "{text}");
    assert!(text.contains("duplicate address detection"), "{text}");
}

#[test]
fn a_missing_port_space_is_named_with_what_to_write() {
    let (status, text) = check(GOOD, Some("* nothing\n"));
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("set clinet:clinet_port_space = \"32768-65535\""),
        "{text}"
    );
}

#[test]
fn a_file_that_is_not_there_is_of_no_use() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clinetd"));
    let output = command.args(["--check", "/nonexistent"]).output();
    assert_eq!(output.expect("clinetd").status.code(), Some(2));
    let mut command = Command::new(env!("CARGO_BIN_EXE_clinetd"));
    let output = command.args(["--config", "/nonexistent"]).output();
    assert_eq!(output.expect("clinetd").status.code(), Some(2));
}

#[test]
fn what_the_manual_lists_is_what_there_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../pkg/man/clinetd.toml.5");
    let page = fs::read_to_string(path).expect("the page");
    let (_, example) = page.split_once(".Bd -literal\n").expect("an example");
    let (example, _) = example.split_once(".Ed").expect("its end");
    // Its files are on no other machine.
    let lines = example
        .lines()
        .filter(|line| !line.contains("/etc/clinet/"));
    let lines = lines.filter(|line| !line.starts_with("user"));
    let (status, text) = check(&lines.collect::<Vec<_>>().join("\n"), None);
    assert_eq!(status, Some(0), "{text}");
    // Every key is described.
    let source = include_str!("../src/config/mod.rs");
    let members = source.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("    pub ")?.split_once(": ")?;
        (!name.contains('(')).then(|| name.replace('_', "-"))
    });
    let tables = ["etcd", "ports", "times", "addresses", "machine"];
    let others = ["line", "reason"];
    for member in members {
        let described = page.lines().any(|line| {
            line.strip_prefix(".It Va ")
                .is_some_and(|names| names.split(" , ").any(|name| name == member))
                || line == format!(".Ss [{member}]")
        });
        assert!(
            described || others.contains(&member.as_str()),
            "{member} is not in the manual"
        );
    }
    for table in tables {
        assert!(page.contains(&format!(".Ss [{table}]")), "{table}");
    }
}
