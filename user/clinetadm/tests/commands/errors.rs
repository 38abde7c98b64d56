// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What goes wrong before a command begins.

use std::os::unix::net::UnixListener;

use crate::{Said, Setup, program};

fn with_device(path: &std::path::Path) -> Said {
    let mut command = program();
    command.arg("--device").arg(path).arg("show");
    command.output().expect("it runs").into()
}

#[test]
fn without_a_device_it_says_how_to_get_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = with_device(&folder.path().join("absent"));
    assert_eq!(said.code, Some(2));
    for part in [
        "absent",
        "add_drv -m '* 0666 root sys' clinetctl",
        "lab node --socket",
    ] {
        assert!(said.err.contains(part), "{}", said.err);
    }
    assert_eq!(said.err.matches("No such file").count(), 1, "{}", said.err);
}

#[test]
fn a_socket_without_a_node_is_told_from_no_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stale");
    drop(UnixListener::bind(&path).expect("a socket"));
    let said = with_device(&path);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("Nobody listens"), "{}", said.err);
}

#[test]
fn what_is_no_device_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = with_device(folder.path());
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("neither the control device"),
        "{}",
        said.err
    );
    assert!(said.err.contains("clinetadm --device PATH"), "{}", said.err);
}

#[test]
fn what_no_question_is_about_is_named() {
    let setup = Setup::new();
    let error = setup.err("check tcp 192.0.2.10:33000 [2001:db8::1]:443", 2);
    assert!(error.contains("IPv4") && error.contains("IPv6"), "{error}");
    setup.out("check tcp 192.0.2.10:33000 [::ffff:198.51.100.7]:443");
    let error = setup.err("check --incoming udp 192.0.2.10:53 198.51.100.7:4000", 2);
    assert!(error.contains("UDP that arrives"), "{error}");
}

#[test]
fn a_refusal_says_what_to_type_next() {
    let setup = Setup::new();
    setup.three_entries();
    let mine = "tcp 192.0.2.10:33000 198.51.100.7:443";
    let error = setup.err(&format!("install 2 {mine}"), 1);
    assert!(error.contains("clinetadm check"), "{error}");
    let error = setup.err(&format!("withdraw 2 {mine}"), 1);
    assert!(error.contains("clinetadm list owner="), "{error}");
    for command in ["install 1", "withdraw 1", "resync 1"] {
        let error = setup.err(&format!("{command} {mine}"), 2);
        assert!(error.contains("1 is this node"), "{error}");
    }
    let error = setup.err("purge 1", 2);
    assert!(error.contains("1 is this node"), "{error}");
    let error = setup.err("purge 0", 2);
    assert!(error.contains("0 is no node"), "{error}");
    let many: Vec<String> = (0..257).map(|i| format!("10.0.{}.1", i % 250)).collect();
    let error = setup.err(&format!("set addresses={}", many.join(",")), 2);
    assert!(error.contains("257 addresses"), "{error}");
    let error = setup.err("set colour=red", 2);
    assert!(error.contains("clinetadm help set"), "{error}");
}

#[test]
fn another_interface_is_refused_with_both_versions() {
    let setup = Setup::new();
    setup.node.module(|module| module.versions = [7, 6]);
    let error = setup.err("show", 2);
    assert!(
        error.contains("6 to 7") && error.contains("1 to 1"),
        "{error}"
    );
}

#[test]
fn fields_and_filters_that_are_none_are_named() {
    let setup = Setup::new();
    let error = setup.err("list -o colour", 2);
    assert!(
        error.contains("colour") && error.contains("lport"),
        "{error}"
    );
    let error = setup.err("list port=5", 2);
    assert!(error.contains("no such column"), "{error}");
    let error = setup.err("list -p", 2);
    assert!(error.contains("-o"), "{error}");
    let error = setup.err("check tcp 192.0.2.10 198.51.100.7:443", 2);
    assert!(error.contains("192.0.2.10"), "{error}");
}
