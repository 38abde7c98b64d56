// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Events as they come.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use clinet_control::abi::{self, clinetctl_event_t};
use clinet_control::{Errno, EventType};
use zerocopy::FromZeros;

use crate::{Setup, ended, json, tuple};

fn refusal() -> clinetctl_event_t {
    clinetctl_event_t {
        ev_reason: abi::CLINET_OWNED,
        ev_tuple: tuple("tcp 192.0.2.10:33000 198.51.100.7:443").into(),
        ev_owner: 2,
        ev_error: Errno::EADDRINUSE.0,
        ev_outgoing: 1,
        ev_enforced: 1,
        ..FromZeros::new_zeroed()
    }
}

fn value(ev_value: u64) -> clinetctl_event_t {
    clinetctl_event_t {
        ev_value,
        ..FromZeros::new_zeroed()
    }
}

/// Runs it, lets things happen once it watches, and returns its lines.
fn watch(setup: &Setup, words: &str, events: &[(EventType, clinetctl_event_t)]) -> Vec<String> {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("clinetadm"))
        .env("CLINET_DEVICE", setup.node.path())
        .args(words.split(' '))
        // Ends by itself if it misses what it waits for.
        .args(["--seconds", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    while !setup.node.module(|module| module.watched) {
        std::thread::yield_now();
        assert!(child.try_wait().expect("a child").is_none(), "it has ended");
    }
    for (kind, event) in events {
        setup.node.module(|module| module.happen(*kind, *event));
    }
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let lines = lines.map(|line| line.expect("text")).collect();
    assert!(child.wait().expect("a child").success());
    lines
}

#[test]
fn events_are_lines_as_they_come() {
    let setup = Setup::new();
    let events = [
        (EventType::Refused, refusal()),
        (EventType::Mode, value(1)),
        (EventType::Fenced, value(2)),
        (EventType::Lost, value(70)),
    ];
    let words = "events -n 4 -p -o type,reason,proto,lport,dir,owner,error,value,seq";
    assert_eq!(
        watch(&setup, words, &events),
        [
            "refused:owned:tcp:33000:out:2:EADDRINUSE::0",
            "mode:::::::observe:1",
            "fenced:::::::fenced:2",
            "lost:::::::70:3",
        ]
    );
}

#[test]
fn only_the_types_that_were_asked_for_and_what_was_lost() {
    let setup = Setup::new();
    let events = [
        (EventType::Mode, value(1)),
        (EventType::Attach, value(4)),
        (EventType::Lost, value(1)),
    ];
    let lines = watch(
        &setup,
        "events -n 2 -t attach,conflict -p -o type,value",
        &events,
    );
    assert_eq!(lines, ["attach:detached", "lost:1"]);
}

#[test]
fn in_json_each_event_is_a_line() {
    let setup = Setup::new();
    let lines = watch(
        &setup,
        "events -n 1 --json",
        &[(EventType::Refused, refusal())],
    );
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    let event = json(line);
    assert_eq!(event["foreign"], "198.51.100.7");
    assert_eq!(event["reason"], "owned");
    let time = event["time"].as_str().expect("a time");
    assert!(time.ends_with('Z') && time.len() == 24, "{time}");
}

#[test]
fn a_refusal_that_is_only_counted_has_no_error() {
    let setup = Setup::new();
    let observed = clinetctl_event_t {
        ev_enforced: 0,
        ..refusal()
    };
    let words = "events -n 1 -o type,error";
    let lines = watch(&setup, words, &[(EventType::Refused, observed)]);
    assert_eq!(lines, ["TYPE      ERROR", "refused   -"]);
}

#[test]
fn watching_ends_when_it_is_told_to() {
    let setup = Setup::new();
    assert!(setup.out("events --seconds 0").starts_with("TIME "));
    assert_eq!(setup.out("events --seconds 0 -p -o type"), "");
}

#[test]
fn there_is_no_such_type() {
    let setup = Setup::new();
    let error = setup.err("events -t refusal", 2);
    assert!(error.contains("refused, lapsed"), "{error}");
}

/// As with `| head -1`.
#[test]
fn it_ends_when_nobody_reads_any_more() {
    let setup = Setup::new();
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("clinetadm"))
        .env("CLINET_DEVICE", setup.node.path())
        .arg("events")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut heading = String::new();
    lines.read_line(&mut heading).expect("text");
    assert!(heading.starts_with("TIME"), "{heading}");
    drop(lines);
    assert!(ended(&mut child).success());
}
