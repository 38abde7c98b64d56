// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What changes something.

use clinet_control::Errno;
use clinet_control::abi::{self, command};

use crate::terminal::Terminal;
use crate::{Setup, json};

#[test]
fn settings_are_set_all_of_them() {
    let setup = Setup::new();
    setup.out("set mode=observe full=refuse explicit=admit fence=none fence-seconds=9");
    setup.out("set addresses=192.0.2.11,2001:db8::11 incoming=reserved other-stack=admit");
    setup.node.module(|module| {
        let state = &module.state;
        assert_eq!(
            (state.cst_mode, state.cst_full, state.cst_explicit),
            (1, 1, 1)
        );
        assert_eq!((state.cst_fence_action, state.cst_fence_seconds), (2, 9));
        assert_eq!((state.cst_incoming, state.cst_other_stack), (1, 1));
        assert_eq!(module.addresses, "192.0.2.11,2001:db8::11");
    });
    setup.out("set addresses=all");
    assert_eq!(setup.node.module(|module| module.addresses.clone()), "");
}

#[test]
fn a_setting_that_is_none_keeps_the_others_from_being_set() {
    let setup = Setup::new();
    for (wrong, reason) in [
        ("mode", "PROPERTY=VALUE"),
        ("mode=on", "off, observe, enforce"),
        ("speed=5", "clinetadm help set"),
        ("fence-seconds=61", "1 to 60"),
        ("addresses=host", "no address"),
    ] {
        let error = setup.err(&format!("set full=refuse {wrong}"), 2);
        assert!(error.contains(wrong) && error.contains(reason), "{error}");
    }
    assert_eq!(setup.node.module(|module| module.state.cst_full), 0);
}

#[test]
fn what_disarms_the_fence_says_what_force_would_do() {
    let setup = Setup::new();
    setup
        .node
        .module(|module| module.granted[0].extend([40000..=40001]));
    for words in ["set mode=off", "detach"] {
        let error = setup.err(words, 1);
        assert!(
            error.contains("EBUSY") && error.contains("--force"),
            "{error}"
        );
        setup.out(&format!("{words} --force"));
    }
    setup.node.module(|module| {
        assert_eq!((module.state.cst_mode, module.state.cst_deadline), (0, 0));
        assert_eq!(module.state.cst_attach, abi::CLINET_DETACHED);
    });
    setup.out("attach");
    setup.out("sweep");
    setup.out("audit");
    assert_eq!(setup.node.module(|module| module.state.cst_audits), 2);
}

#[test]
fn delete_needs_force_for_a_connection_of_this_node() {
    let setup = Setup::new();
    setup.three_entries();
    setup.out("delete udp 192.0.2.10:5000 198.51.100.8:53");
    let own = "delete tcp 192.0.2.10:33000 198.51.100.7:443";
    assert!(setup.err(own, 1).contains("--force"));
    setup.out(&format!("{own} --force"));
    assert!(setup.err(own, 1).contains("clinetadm list"));
    assert_eq!(setup.out("list -p -o owner"), "2\n");
}

#[test]
fn flush_shows_before_and_asks_or_is_told() {
    let setup = Setup::new();
    setup.three_entries();
    let shown = setup.out("flush -n");
    assert!(shown.contains("2 entries would go; 1 TCP"), "{shown}");
    assert!(
        shown.contains("  tcp [2001:db8::10]:40000 [2001:db8::1]:443 (node 2)"),
        "{shown}"
    );
    assert!(!shown.contains("33000"), "a connection that stays: {shown}");
    let error = setup.err("flush", 2);
    assert!(error.contains("--yes") && error.contains("-n"), "{error}");
    assert_eq!(setup.out("list -p -o owner").lines().count(), 3);
    let done = json(&setup.out("flush --yes --json owner=2"));
    assert_eq!(
        (done["deleted"].as_u64(), done["kept"].as_u64()),
        (Some(1), Some(0))
    );
    assert_eq!(setup.out("flush --yes --force"), "2 entries are deleted.\n");
    assert_eq!(setup.out("flush -n"), "0 entries would go.\n");
}

#[test]
fn tuples_of_other_nodes_come_and_go() {
    let setup = Setup::new();
    setup.out("install 2 tcp 192.0.2.10:33000 198.51.100.7:443");
    let file = setup.file("# two\ntcp 192.0.2.10:1 198.51.100.7:2 # one\n\nudp [::1]:1 [::2]:2\n");
    setup.out(&format!("install 3 -f {file}"));
    assert_eq!(setup.out("list -p -o owner"), "2\n3\n3\n");
    let listed = setup.out("list -p -o tuple owner=3");
    let withdrawn = setup
        .command("withdraw 3 -f -")
        .write_stdin(listed)
        .output()
        .expect("it runs");
    assert!(withdrawn.status.success());
    setup.out("purge 2");
    assert_eq!(setup.out("list -p -o owner"), "");
}

#[test]
fn a_tuple_that_cannot_be_installed_is_named_with_its_line() {
    let setup = Setup::new();
    setup.three_entries();
    let file =
        setup.file("tcp 192.0.2.10:1 198.51.100.7:2\n\ntcp 192.0.2.10:33000 198.51.100.7:443\n");
    let error = setup.err(&format!("install 2 -f {file}"), 1);
    assert!(error.contains("line 3: tcp 192.0.2.10:33000"), "{error}");
    assert!(error.contains("EADDRINUSE"), "{error}");
    assert_eq!(setup.out("list -p -o lport owner=2"), "40000\n1\n");
    let file = setup.file("tcp 192.0.2.10:1 198.51.100.7:2\nsctp a b\n");
    let error = setup.err(&format!("install 2 -f {file}"), 2);
    assert!(
        error.contains("line 2") && error.contains("tcp, udp"),
        "{error}"
    );
    assert!(setup.err("install 2 -f /absent", 2).contains("/absent"));
    assert!(
        setup
            .err("install 2", 2)
            .contains("<PROTOCOL> <LOCAL> <FOREIGN>")
    );
}

#[test]
fn resync_ends_only_when_all_is_installed() {
    let setup = Setup::new();
    setup.three_entries();
    let good = setup.file("tcp [2001:db8::10]:40000 [2001:db8::1]:443\n");
    setup.out(&format!("resync 2 -f {good}"));
    assert_eq!(setup.node.module(|module| module.resync), None);
    let bad = setup.file("tcp 192.0.2.10:33000 198.51.100.7:443\n");
    setup.err(&format!("resync 2 -f {bad}"), 1);
    assert_eq!(setup.node.module(|module| module.resync), Some(2));
}

#[test]
fn a_missing_privilege_is_named() {
    let setup = Setup::new();
    setup
        .node
        .module(|module| module.refused.insert(command::SET, Errno::EPERM));
    let error = setup.err("set mode=off", 1);
    assert!(
        error.contains("sys_ip_config") && error.contains("pfexec"),
        "{error}"
    );
}

#[test]
fn on_a_terminal_flush_asks_and_takes_no_for_an_answer() {
    let setup = Setup::new();
    setup.three_entries();
    let mut terminal = Terminal::start(&setup, "flush owner=2");
    terminal.until(&["1 entries would go", "Delete them? [y/N]"], || ());
    terminal.key("n\n");
    terminal.until(&["Nothing is deleted."], || ());
    assert!(!terminal.ends_well());
    let mut terminal = Terminal::start(&setup, "flush owner=2");
    terminal.until(&["Delete them? [y/N]"], || ());
    terminal.key("y\n");
    terminal.until(&["1 entries are deleted."], || ());
    assert!(terminal.ends_well());
    assert_eq!(setup.out("list -p -o owner"), "1\n1\n");
}
