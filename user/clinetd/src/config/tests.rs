// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use super::{Config, Problem, check_system};

const GOOD: &str = r#"cluster = "demo"
pool = "web"
node = "a"

[etcd]
endpoints = ["http://192.0.2.101:2379", "http://192.0.2.102:2379"]

[addresses]
shared = ["192.0.2.10"]
topology = "router"
"#;

fn refused(text: &str) -> Vec<Problem> {
    match Config::parse(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(problems) => problems,
    }
}

/// The good file with one line exchanged has one problem, in that line.
fn refused_line(old: &str, new: &str, word: &str) {
    assert!(GOOD.contains(old));
    let text = GOOD.replace(old, new);
    let line = 1 + text
        .lines()
        .position(|line| line.contains(new.lines().last().unwrap()))
        .unwrap();
    let problems = refused(&text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].line, line, "{problems:?}");
    assert!(problems[0].reason.contains(word), "{problems:?}");
}

#[test]
fn defaults_are_those_of_the_manual() {
    let config = Config::parse(GOOD).unwrap();
    assert_eq!(config.device.to_str(), Some("/dev/clinet"));
    assert_eq!(config.ports.slice, 2048);
    assert_eq!(config.ports.tcp.to_string(), "32768-65535");
    assert_eq!(config.times.grant, 300.0);
    assert_eq!(config.metrics.to_string(), "127.0.0.1:9464");
}

#[test]
fn each_rule_names_its_line() {
    refused_line("node = \"a\"", "node = \"-\"", "no name");
    refused_line("pool = \"web\"", "pool = \"a/b\"", "no name");
    refused_line(
        "\"router\"",
        "\"shared-link\"",
        "duplicate address detection",
    );
    refused_line("shared = [\"192.0.2.10\"]", "shared = []", "there is none");
    refused_line("[\"192.0.2.10\"]", "[\"127.0.0.1\"]", "cannot be shared");
    refused_line(
        "\"router\"",
        "\"router\"\ninterface = \"net0\"",
        "is a link",
    );
    refused_line(
        "\"router\"",
        "\"router\"\nby = \"script\"",
        "belong together",
    );
    refused_line(
        "node = \"a\"",
        "node = \"a\"\nmetrics = \"0.0.0.0:1\"",
        "loopback",
    );
    refused_line("node = \"a\"", "node = \"a\"\nnod = 3", "unknown field");
    refused_line("node = \"a\"", "node = 3", "invalid type");
    refused_line(
        "\"http://192.0.2.101:2379\"",
        "\"192.0.2.101:2379\"",
        "http://",
    );
    refused_line(
        "\"http://192.0.2.101:2379\"",
        "\"https://192.0.2.101:2379\"",
        "some",
    );
}

#[test]
fn tables_are_checked() {
    for (table, line, word) in [
        ("[ports]\nslice = 1000", 13, "power of two"),
        ("[ports]\ntcp = \"32769-65535\"", 13, "multiples"),
        ("[ports]\ntcp = \"65535-32768\"", 13, "no range"),
        ("[ports]\nslices = 9", 13, "half"),
        ("[times]\ngrant = 1.0", 13, "three times"),
        ("[times]\nfence = 0.5", 13, "whole seconds"),
        ("[times]\nrate-error = 0.5", 13, "fraction"),
        ("[times]\nlease = 1", 13, "lease"),
    ] {
        let problems = refused(&format!("{GOOD}\n{table}\n"));
        assert!(
            problems.iter().all(|problem| problem.line == line),
            "{problems:?}"
        );
        assert!(problems[0].reason.contains(word), "{problems:?}");
    }
}

#[test]
fn a_missing_table_is_named() {
    let problems = refused("cluster = \"demo\"\npool = \"web\"\nnode = \"a\"\n");
    assert!(problems[0].reason.contains("missing field"), "{problems:?}");
}

#[test]
fn all_problems_are_told_at_once() {
    let text = GOOD
        .replace("\"192.0.2.10\"", "")
        .replace("router", "shared-link");
    let lines: Vec<usize> = refused(&text).iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [9, 10]);
}

#[test]
fn the_system_file_is_read_too() {
    let config = Config::parse(GOOD).unwrap();
    let check = |text: &str| check_system(&config, text);

    assert!(check("set clinet:clinet_port_space = \"32768-65535\"\n").is_empty());
    assert!(check("set clinet:clinet_port_space=\"tcp=32768-65535,udp=32768-65535\"\n").is_empty());

    let missing = check("* set clinet:clinet_port_space = \"32768-65535\"\n");
    assert_eq!(missing.len(), 1);
    assert!(
        missing[0]
            .reason
            .contains("set clinet:clinet_port_space = \"32768-65535\"")
    );

    let wrong = check(
        "set clinet:clinet_port_space = \"32768-40959\"\n\
         set clinet:clinet_grants = \"tcp=443\"\nset clinet:clinet_fence = 2\n",
    );
    let mut lines: Vec<usize> = wrong.iter().map(|problem| problem.line).collect();
    lines.sort_unstable();
    assert_eq!(lines, [1, 2, 3]);
}
