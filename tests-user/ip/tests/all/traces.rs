// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The model against what a real kernel's ip was seen to do.

use std::path::{Path, PathBuf};

use clinet_ip::Release;
use clinet_ip::trace::{self, Difference, Scenario, TraceError};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("traces")
}

fn describe(scenario: &Scenario, differences: &[Difference]) -> String {
    let all: Vec<String> = differences.iter().map(Difference::to_string).collect();
    format!(
        "{} ({}):\n{}",
        scenario.name,
        scenario.family,
        all.join("\n")
    )
}

#[test]
fn every_scenario_is_played_as_it_was_recorded() {
    let scenarios = trace::read(&folder()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scenarios.len(), 236 + 202);
    let different: Vec<String> = scenarios
        .iter()
        .map(|scenario| (scenario, trace::play(scenario)))
        .filter(|(_, differences)| !differences.is_empty())
        .map(|(scenario, differences)| describe(scenario, &differences))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

fn play(text: &str) -> Vec<Difference> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("the file is written");
    let scenarios = trace::read(file.path()).unwrap_or_else(|error| panic!("{error}"));
    trace::play(&scenarios[0])
}

fn only_difference(text: &str) -> String {
    let differences = play(text);
    let [difference] = &differences[..] else {
        panic!("one difference, not {differences:?}");
    };
    difference.to_string()
}

const LISTEN: &str = r#"{"scenario":"s","family":"inet","events":[
    {"step":"socket","sock":"l","af":2,"type":2,"protocol":0,"ret":0,"errno":0,"name":["0.0.0.0",0]},
    {"step":"bind","sock":"l","addr":"127.0.0.1","port":5001,"ret":0,"errno":0,"name":["127.0.0.1",5001]},
    {"step":"listen","sock":"l","backlog":5,"ret":0,"errno":0},
    {"hook":"listen","stack":0,"proto":6,"af":2,"laddr":"127.0.0.1","lport":5001,"args_null":true,"interrupt":false},
    {"step":"walk","conns":[{"version":1,"ipversion":4,"state":-3,"laddr_v6":"::ffff:127.0.0.1","lport":5001,"faddr_v6":"::","fport":0}],"ret":0,"errno":0},
    {"step":"close","sock":"l","ret":0,"errno":0},
    {"hook":"disconnect","stack":0,"proto":6,"af":2,"laddr":"127.0.0.1","lport":5001,"faddr":"0.0.0.0","fport":0,"args_null":true,"interrupt":false},
    {"hook":"unlisten","stack":0,"proto":6,"af":2,"laddr":"127.0.0.1","lport":5001,"args_null":true,"interrupt":false},
    {"step":"drain","ret":0,"errno":0}]}"#;

fn listen(old: &str, new: &str) -> String {
    let text = LISTEN.replace('\n', "");
    assert!(text.contains(old), "{old}");
    text.replacen(old, new, 1)
}

#[test]
fn what_is_the_same_does_not_differ() {
    assert_eq!(play(&listen("", "")), []);
}

#[test]
fn each_part_of_a_scenario_is_compared() {
    let cases = [
        (r#""hook":"listen""#, r#""hook":"unlisten""#),
        (r#""stack":0"#, r#""stack":1"#),
        (r#""proto":6"#, r#""proto":17"#),
        (r#""proto":6,"af":2"#, r#""proto":6,"af":26"#),
        (
            r#"6,"af":2,"laddr":"127.0.0.1""#,
            r#"6,"af":2,"laddr":"127.0.0.2""#,
        ),
        (r#""lport":5001,"args"#, r#""lport":5002,"args"#),
        (r#""faddr":"0.0.0.0","#, r#""faddr":"127.0.0.1","#),
        (r#""fport":0,"args"#, r#""fport":1,"args"#),
        (r#""args_null":true"#, r#""args_null":false"#),
        (r#""interrupt":false"#, r#""interrupt":true"#),
        (
            r#""backlog":5,"ret":0,"errno":0"#,
            r#""backlog":5,"ret":-1,"errno":22"#,
        ),
        (r#"["127.0.0.1",5001]"#, r#"["127.0.0.1",5002]"#),
        (
            r#""name":["127.0.0.1",5001]"#,
            r#""peer":["127.0.0.1",5001]"#,
        ),
        (r#""state":-3"#, r#""state":-4"#),
        (r#""faddr_v6":"::""#, r#""faddr_v6":"::1""#),
        (r#""ipversion":4"#, r#""ipversion":6"#),
    ];
    for (old, new) in cases {
        only_difference(&listen(old, new));
    }
}

#[test]
fn the_order_of_calls_is_compared() {
    let text = listen("", "");
    let swapped = text
        .replacen(r#"{"hook":"disconnect""#, r#"{"hook":"SWAP""#, 1)
        .replacen(r#""faddr":"0.0.0.0","fport":0,"#, "", 1)
        .replacen(
            r#"{"hook":"unlisten""#,
            r#"{"hook":"disconnect","faddr":"0.0.0.0","fport":0"#,
            1,
        )
        .replacen(r#"{"hook":"SWAP""#, r#"{"hook":"unlisten""#, 1);
    let difference = only_difference(&swapped);
    assert!(difference.contains("step 5 (close l)"), "{difference}");
}

/// A step, or a call of a hook that another thread made.
fn step(text: &str) -> String {
    format!("{{{text},\"ret\":0,\"errno\":0}}")
}

fn scenario(events: &[String]) -> String {
    let events = events.join(",");
    format!(r#"{{"scenario":"s","family":"inet","events":[{events}]}}"#)
}

#[test]
fn an_accept_in_the_background_ends_when_a_connection_comes() {
    let (tcp, local) = (r#""af":2,"type":2,"protocol":0"#, r#""addr":"127.0.0.1""#);
    let mut events = vec![
        step(r#""step":"hooks","set":[]"#),
        step(&format!(r#""step":"socket","sock":"l",{tcp}"#)),
        step(&format!(r#""step":"bind","sock":"l",{local},"port":5001"#)),
        step(r#""step":"listen","sock":"l","backlog":5"#),
        step(r#""step":"accept","sock":"l","new":"a","background":true,"name":["127.0.0.1",5001]"#),
        step(r#""step":"wait","ms":100"#),
        step(&format!(r#""step":"socket","sock":"c",{tcp}"#)),
        step(&format!(
            r#""step":"connect","sock":"c",{local},"port":5001"#
        )),
        step(r#""step":"join""#),
        step(r#""step":"send","sock":"a""#).replace("\"ret\":0", "\"ret\":4"),
        step(r#""step":"recv","sock":"c""#).replace("\"ret\":0", "\"ret\":4"),
    ];
    assert_eq!(play(&scenario(&events)), []);
    // Nobody comes in time.
    events[5] = step(r#""step":"wait","ms":2000"#);
    let late = play(&scenario(&events));
    assert!(late[0].got.contains("errno 11"), "{late:?}");
}

#[test]
fn calls_of_other_threads_come_anywhere_among_the_callers() {
    let text = listen("", "");
    let unlisten = r#"{"hook":"unlisten","#;
    let (before, after) = text.split_once(unlisten).expect("an unlisten");
    let (call, rest) = after.split_once("},").expect("the end of the call");
    let disconnect = before
        .rfind(r#"{"hook":"disconnect""#)
        .expect("it is there");
    let early = |mark: &str| {
        let (steps, disconnect) = before.split_at(disconnect);
        format!("{steps}{unlisten}{call}{mark}}},{disconnect}{rest}")
    };
    assert_eq!(play(&early(r#","same_thread":false"#)), []);
    let ordered = only_difference(&early(""));
    assert!(ordered.contains("step 5 (close l)"), "{ordered}");
    // With the next step, but not with any.
    let late = |after: &str| {
        let step = step(after);
        let rest = format!("{step},{unlisten}{call},\"same_thread\":false}},{rest}");
        format!("{before}{rest}")
    };
    assert_eq!(play(&late(r#""step":"wait","ms":1"#)), []);
    let two = format!(
        r#"{},{{"step":"wait","ms":1"#,
        step(r#""step":"wait","ms":1"#)
    );
    let two = late(two.trim_start_matches('{'));
    assert_eq!(play(&two).len(), 2, "one is missing, one too much");
}

#[test]
fn a_policy_takes_either_end_and_the_protocol() {
    let udp = r#""af":2,"type":1,"protocol":0"#;
    let send = r#""step":"sendto","sock":"u","addr":"127.0.0.1","port":7001"#;
    for (policy, refuses) in [
        (r#""faddr":"127.0.0.1","fport":7001"#, true),
        (r#""addr":"127.0.0.1","port":7002"#, false),
        (r#""laddr":"127.0.0.1""#, false),
        (r#""lport":7005,"proto":17"#, true),
        (r#""proto":6"#, false),
    ] {
        let answer = if refuses { 13 } else { 0 };
        let sent = if refuses {
            format!(r#"{{{send},"ret":-1,"errno":148}}"#)
        } else {
            format!(r#"{{{send},"ret":4,"errno":0}}"#)
        };
        let question = format!(
            r#"{{"hook":"connect2","stack":0,"proto":17,"outgoing":true,"af":2,"laddr":"0.0.0.0","lport":7005,"faddr":"127.0.0.1","fport":7001,"answer":{answer}}}"#
        );
        let events = [
            step(r#""step":"hooks","set":["connect2"]"#),
            step(&format!(r#""step":"socket","sock":"u",{udp}"#)),
            step(r#""step":"bind","sock":"u","name":["0.0.0.0",7005]"#),
            step(&format!(
                r#""step":"policy","dir":"any","value":13,{policy}"#
            )),
            sent,
            question,
        ];
        assert_eq!(play(&scenario(&events)), [], "{policy}");
    }
}

#[test]
fn the_first_line_says_of_which_kernel_a_file_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.jsonl");
    let of = |header: &str| {
        std::fs::write(&file, format!("{header}{}\n", listen("", ""))).expect("it is written");
        trace::read(&file).map(|scenarios| (scenarios[0].release, scenarios[0].line))
    };
    let release = |header| of(header).expect("a known kernel");
    assert_eq!(release(""), (Release::Y2015, 1));
    assert_eq!(release("{\"kernel\": 2021}\n"), (Release::Y2021, 2));
    let text = "{\"kernel\": \"illumos of 2021-07\"}\n";
    assert_eq!(release(text), (Release::Y2021, 2));
    let error = of("{\"kernel\": 2018}\n").expect_err("not known");
    assert!(error.to_string().contains("2015 and 2021"), "{error}");
}

#[test]
fn what_the_model_does_not_know_is_no_pass() {
    let cases = [
        (
            r#""step":"listen""#,
            r#""step":"ioctl""#,
            "the step ioctl is not known",
        ),
        (
            r#""backlog":5"#,
            r#""backlog":5,"zone":1"#,
            "the argument zone of listen is not known",
        ),
        (
            r#""step":"listen""#,
            r#""option":"SO_NEW","level":65535,"optname":99,"value":1,"step":"setsockopt""#,
            "the argument backlog of setsockopt is not known",
        ),
        (
            r#""step":"listen","sock":"l","backlog":5"#,
            r#""option":"SO_NEW","level":65535,"optname":99,"value":1,"step":"setsockopt","sock":"l""#,
            "the socket option SO_NEW (option 99 of level 65535) is not known",
        ),
        (
            r#""step":"listen","sock":"l","backlog":5"#,
            r#""option":"SO_DEBUG","level":65535,"optname":4,"value":1,"step":"setsockopt","sock":"l""#,
            "the socket option SO_DEBUG is not SO_REUSEADDR",
        ),
        (
            r#""step":"listen","sock":"l","backlog":5"#,
            r#""option":"SO_LINGER","level":65535,"optname":128,"step":"setsockopt","sock":"l""#,
            "how long it lingers is not known",
        ),
        (
            r#""step":"listen","sock":"l","backlog":5"#,
            r#""step":"poll","sock":"l","events":8,"timeout_ms":1"#,
            "it polls for more than",
        ),
        (
            r#""step":"listen","sock":"l","backlog":5"#,
            r#""step":"accept","sock":"l","background":true"#,
            "it names no new socket",
        ),
        (
            r#"{"step":"listen","sock":"l","backlog":5"#,
            r#"{"step":"policy","dir":"both","value":1"#,
            "the direction both is not known",
        ),
        (
            r#"{"hook":"listen","#,
            r#"{"hook":"listen","zone":1,"#,
            "the argument zone is not known",
        ),
        (
            r#""step":"listen","sock":"l","backlog":5"#,
            r#""interface":"lo1","up":false,"step":"address""#,
            "the interface lo1 is not known",
        ),
        (
            r#""type":2"#,
            r#""type":5"#,
            "the type of the socket is not known",
        ),
    ];
    for (old, new, expected) in cases {
        let all: Vec<String> = play(&listen(old, new))
            .iter()
            .map(Difference::to_string)
            .collect();
        assert!(all[0].contains(expected), "{all:?}");
    }
}

#[test]
fn files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(matches!(
        trace::read(folder.path()),
        Err(TraceError::Empty(_))
    ));
    let file = folder.path().join("x.jsonl");
    assert!(matches!(trace::read(&file), Err(TraceError::Read { .. })));
    std::fs::write(&file, "{\"scenario\":1}\n").expect("the file is written");
    let error = trace::read(folder.path()).expect_err("no scenario");
    assert!(error.to_string().contains("x.jsonl, line 1"), "{error}");
}
