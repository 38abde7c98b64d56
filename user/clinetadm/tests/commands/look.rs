// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What only looks.

use std::process::{Command, Stdio};

use clinet_control::Errno;
use clinet_control::abi::command;

use crate::{Setup, ended, json};

#[test]
fn a_list_is_a_table_that_lines_up() {
    let setup = Setup::new();
    setup.three_entries();
    assert_eq!(
        setup.out("list"),
        "\
PROTO  LOCAL         LPORT  FOREIGN       FPORT  DIR  OWNER  AGE
tcp    192.0.2.10    33000  198.51.100.7    443  out      1    0
udp    192.0.2.10     5000  198.51.100.8     53  -        1  700
tcp    2001:db8::10  40000  2001:db8::1     443  -        2    0
"
    );
}

#[test]
fn an_empty_list_has_its_headings_only() {
    let setup = Setup::new();
    assert_eq!(setup.out("list -o proto,owner"), "PROTO  OWNER\n");
    assert_eq!(setup.out("list -p -o proto,owner"), "");
    assert_eq!(setup.out("list --json"), "[]\n");
}

#[test]
fn filters_go_to_the_driver() {
    let setup = Setup::new();
    setup.three_entries();
    let ports = |filter: &str| setup.out(&format!("list -p -o lport {filter}"));
    assert_eq!(ports("proto=tcp local=192.0.2.10"), "33000\n");
    assert_eq!(ports("age>600"), "5000\n");
    assert_eq!(ports("foreign=2001:db8::/32 owner=2"), "40000\n");
    assert_eq!(ports("lport=5000-33000 fport=443"), "33000\n");
    assert_eq!(ports("stack=1"), "");
}

#[test]
fn parsable_fields_have_colons_between_and_backslashes_before() {
    let setup = Setup::new();
    setup.three_entries();
    let list = |fields: &str| setup.out(&format!("list owner=2 -p -o {fields}"));
    assert_eq!(list("local,lport,dir"), "2001\\:db8\\:\\:10:40000:\n");
    // One field needs no escapes, as dladm has it.
    assert_eq!(list("local"), "2001:db8::10\n");
    assert_eq!(
        list("tuple"),
        "tcp [2001:db8::10]:40000 [2001:db8::1]:443\n"
    );
}

#[test]
fn json_has_all_fields_or_those_that_were_asked_for() {
    let setup = Setup::new();
    setup.three_entries();
    let list = json(&setup.out("list --json"));
    assert_eq!(list.as_array().map(Vec::len), Some(3));
    assert_eq!(list[0]["lport"], 33000);
    assert_eq!(list[0]["dir"], "out");
    assert_eq!(list[2]["dir"], serde_json::Value::Null);
    let narrow = json(&setup.out("list --json -o owner owner=2"));
    assert_eq!(narrow, json(r#"[{"owner": 2}]"#));
}

#[test]
fn a_long_list_comes_whole() {
    let setup = Setup::new();
    setup.three_entries();
    setup.node.module(|module| {
        let entry = module.entries[0];
        module.entries.resize(150_000, entry);
    });
    assert_eq!(setup.out("list -p -o lport").lines().count(), 150_000);
    assert_eq!(setup.out("list").lines().count(), 150_001);
}

#[test]
fn a_list_that_fails_says_so() {
    let setup = Setup::new();
    setup
        .node
        .module(|module| module.refused.insert(command::LIST, Errno::EPERM));
    let error = setup.err("list", 1);
    assert!(
        error.contains("EPERM") && error.contains("net_observability"),
        "{error}"
    );
}

#[test]
fn what_has_no_reader_any_more_is_no_error() {
    let setup = Setup::new();
    setup.three_entries();
    setup.node.module(|module| {
        let entry = module.entries[0];
        module.entries.resize(100_000, entry);
    });
    for words in [
        "list -p -o tuple",
        "list --json",
        "show",
        "show --json",
        "check tcp 192.0.2.10:33001 198.51.100.7:443",
        "show-grants --file",
        "flush -n",
        "completions bash",
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut child = Command::new(assert_cmd::cargo::cargo_bin("clinetadm"))
            .env("CLINET_DEVICE", setup.node.path())
            .args(words.split(' '))
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        assert!(ended(&mut child).success(), "{words}");
        let mut stderr = child.stderr.take().expect("it is piped");
        assert_eq!(std::io::read_to_string(&mut stderr).expect("text"), "");
    }
}

#[test]
fn check_explains_in_a_sentence_and_tells_by_its_status() {
    let setup = Setup::new();
    setup.three_entries();
    setup.node.module(|module| {
        module.state.cst_first = [32768; 2];
        module.state.cst_last = [65535; 2];
        module.granted[0].extend([33000..=33001, 40000..=40000]);
    });
    let check = |words: &str| {
        let said = setup.run(&format!("check {words}"));
        (said.out, said.code)
    };
    let accepted = |words: &str, wanted: &str| {
        let (out, code) = check(words);
        assert!(out.contains(wanted) && code == Some(0), "{words}: {out}");
    };
    let refused = |words: &str, wanted: &[&str]| {
        let (out, code) = check(words);
        let all = wanted.iter().all(|part| out.contains(part));
        assert!(all && code == Some(1), "{words}: {out}");
    };
    accepted("tcp 192.0.2.10:33001 198.51.100.7:443", "accepted (free)");
    accepted("tcp 192.0.2.10:33000 198.51.100.7:443", "accepted (ours)");
    refused(
        "tcp [2001:db8::10]:40000 [2001:db8::1]:443",
        &["refused (owned)", "node 2", "clinetadm purge 2"],
    );
    refused(
        "tcp 192.0.2.10:50000 198.51.100.7:443",
        &["refused (not-granted)", "clinetadm show-grants"],
    );
    refused(
        "udp 192.0.2.10:53 198.51.100.7:53",
        &["refused (explicit)", "clinetadm grants set FILE"],
    );
    accepted("--incoming tcp 192.0.2.10:22 198.51.100.7:5", "free");
    setup
        .node
        .module(|module| module.state.cst_deadline = module.state.cst_now - 90_000_000_000);
    refused(
        "tcp 192.0.2.10:33001 198.51.100.7:443",
        &["refused (lapsed)", "1m 30s ago", "clinetd"],
    );
    let answer = setup.run("check --json tcp 192.0.2.10:33001 198.51.100.7:443");
    let answer = json(&answer.out);
    assert_eq!(answer["answer"]["reason"], "lapsed");
    assert_eq!(answer["answer"]["error"], "EADDRNOTAVAIL");
    assert_eq!(answer["refused"], true);
}

#[test]
fn show_has_a_line_for_each_property() {
    let setup = Setup::new();
    setup.node.module(|module| {
        module.state.cst_first = [32768, 0];
        module.state.cst_last = [65535, 0];
        module.granted[0].extend([32768..=36863]);
        module.state.cst_deadline = module.state.cst_now + 125_000_000_000;
    });
    let some = setup.out("show mode addresses tcp-ports deadline fence-state");
    assert_eq!(
        some,
        "\
PROPERTY     VALUE                         POSSIBLE
mode         enforce                       off,observe,enforce
addresses    192.0.2.10,2001:db8::10       ADDRESS,...,all
tcp-ports    4096 granted, of 32768-65535  -
deadline     in 2m 5s                      -
fence-state  unfenced                      -
"
    );
    assert_eq!(setup.out("show -p -o value fence-seconds"), "5\n");
    let all = json(&setup.out("show --json"));
    assert_eq!(all["state"]["mode"], "enforce");
    assert_eq!(all["state"]["tcp"]["space"]["first"], 32768);
    assert_eq!(all["addresses"][1], "2001:db8::10");
    let error = setup.err("show colour", 2);
    assert!(
        error.contains("colour") && error.contains("fence-state"),
        "{error}"
    );
}

#[test]
fn who_may_not_see_the_addresses_may_see_the_state() {
    let setup = Setup::new();
    setup
        .node
        .module(|module| module.refused.insert(command::GET_ADDRS, Errno::EPERM));
    assert!(setup.out("show").contains("net_observability"));
    assert_eq!(
        json(&setup.out("show --json"))["addresses"],
        serde_json::Value::Null
    );
}

#[test]
fn stats_can_be_chosen() {
    let setup = Setup::new();
    setup.node.module(|module| {
        for (name, value) in [("tcp_out_owned", 3), ("tcp_in_owned", 0), ("udp_owned", 5)] {
            module.stats.insert(name.into(), value);
        }
    });
    assert_eq!(
        setup.out("show-stats --nonzero"),
        "NAME           VALUE\ntcp_out_owned      3\nudp_owned          5\n"
    );
    assert_eq!(setup.out("show-stats -p -o value tcp_in"), "0\n");
    assert_eq!(json(&setup.out("show-stats --json udp"))[0]["value"], 5);
    assert_eq!(setup.out("show-stats --nonzero tcp_in"), "NAME  VALUE\n");
    let error = setup.err("show-stats tcp_sideways", 2);
    assert!(error.contains("tcp_sideways"), "{error}");
}
