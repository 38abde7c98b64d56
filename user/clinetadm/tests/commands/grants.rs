// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Grants by hand, and the fence.

use clinet_control::{Control, Protocol};

use crate::{Setup, json};

const FILE: &str = "space 32768-65535\ngrant 32768-49151\nreserve tcp 22\ndeadline 300\n";

#[test]
fn a_file_is_granted_and_shown() {
    let setup = Setup::new();
    let file = setup.file(FILE);
    setup.out(&format!("grants set {file}"));
    assert_eq!(
        setup.out("show-grants"),
        "\
PROTO  USE       FIRST   LAST  PORTS
tcp    space     32768  65535  32768
tcp    reserved     22     22      1
tcp    granted   32768  49151  16384
udp    space     32768  65535  32768
udp    granted   32768  49151  16384
"
    );
    let shown = json(&setup.out("show-grants --json"));
    assert_eq!(shown["tcp"]["reserved"][0]["first"], 22);
    assert_eq!(shown["sequence"], 1);
    let again = setup.file(&setup.out("show-grants --file"));
    setup.out(&format!("grants set {again}"));
    let control = Control::open(setup.node.path()).expect("the device");
    let grants = control.grants().expect("grants");
    assert_eq!(grants.grants.sequence, 2);
    let tcp = grants.grants.space(Protocol::Tcp);
    assert_eq!(tcp.granted.ranges(), [22..=22, 32768..=49151]);
    assert_eq!(grants.grants.deadline, Some(grants.now + 300_000_000_000));
}

#[test]
fn a_file_comes_from_standard_input_too_and_may_grant_nothing() {
    let setup = Setup::new();
    let file = setup.file(FILE);
    setup.out(&format!("grants set {file}"));
    let output = setup
        .command("grants set -")
        .write_stdin("# nothing\n")
        .output();
    assert!(output.expect("it runs").status.success());
    assert_eq!(setup.out("show-grants -p -o first"), "");
    assert_eq!(setup.out("show -p -o value deadline"), "\n");
}

#[test]
fn a_file_that_is_wrong_grants_nothing() {
    let setup = Setup::new();
    let file = setup.file("space 32768-65535\ngrant 1000-2000\n");
    let error = setup.err(&format!("grants set {file}"), 2);
    assert!(error.contains(&file) && error.contains("line 2"), "{error}");
    assert_eq!(setup.node.module(|module| module.state.cst_sequence), 0);
}

#[test]
fn whoever_comes_second_is_told_of_the_agent() {
    let setup = Setup::new();
    let agent = Control::open(setup.node.path()).expect("the device");
    agent.take_control().expect("nobody has it");
    let file = setup.file(FILE);
    for words in [&*format!("grants set {file}"), "fence", "unfence"] {
        let error = setup.err(words, 1);
        assert!(
            error.contains("EBUSY") && error.contains("clinetd"),
            "{error}"
        );
    }
}

#[test]
fn the_fence_goes_down_and_up_again() {
    let setup = Setup::new();
    let file = setup.file(FILE);
    setup.out(&format!("grants set {file}"));
    setup.out("fence");
    assert_eq!(
        setup.out("show -p -o value fence-state deadline"),
        "passed\nfenced\n"
    );
    let error = setup.err("unfence", 1);
    assert!(error.contains("clinetadm grants set"), "{error}");
    setup.out(&format!("grants set {file}"));
    setup.out("unfence --records-kept");
    assert_eq!(setup.out("show -p -o value fence-state"), "unfenced\n");
}
