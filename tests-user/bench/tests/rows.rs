// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The program over the released module, and over a small registry that is
//! right or wrong in one way (tests-user/foreign/registry.c). No time is
//! looked at.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use clinet_bench::marks::MARKS;
use clinet_bench::module::check_file;
use serde_json::Value;

const TUPLES: &str = "20000";

fn built(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../build")
        .join(path);
    assert!(path.exists(), "{}: run make test first", path.display());
    path
}

fn released() -> PathBuf {
    std::env::var_os("CLINET_MODULE")
        .map_or_else(|| built("kernel/misc/amd64/clinet"), PathBuf::from)
}

fn symbols(module: &Path) -> Vec<String> {
    let file = std::fs::read(module).expect("the module is there");
    check_file(&file).expect("it is a module")
}

/// What a quick run wrote, its exit status, and what it printed.
struct Ran {
    json: Value,
    status: Option<i32>,
    stdout: String,
}

fn quick(module: &Path, options: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("bench.json");
    let output = Command::cargo_bin("clinet-bench")
        .expect("the program")
        .env_remove("CLINET_MODULE")
        .args(["--quick", "--tuples", TUPLES, "--json"])
        .arg(&json)
        .arg("--module")
        .arg(module)
        .args(options)
        .output()
        .expect("runs");
    let text = std::fs::read_to_string(&json).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    Ran {
        json: serde_json::from_str(&text).expect("JSON"),
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
    }
}

fn row<'a>(json: &'a Value, name: &str) -> &'a Value {
    let rows = json["rows"].as_array().expect("rows");
    rows.iter()
        .find(|row| row["name"] == name)
        .unwrap_or_else(|| panic!("no row {name}"))
}

/// A row with a number: met or missed, the number as it can be.
fn must_be_measured(ran: &Ran, name: &str) {
    let row = row(&ran.json, name);
    let status = row["status"].as_str().expect("a status");
    assert!(["met", "missed"].contains(&status), "{row:#}");
    let value = row["value"].as_f64().expect("a number");
    assert!(value.is_finite(), "{row:#}");
    // A table that stays in the cache may cost less than a smaller one.
    let positive = row["unit"] == "misses"
        // No lock is held for no time.
        || ["sweep-lock", "audit-lock"].contains(&name) && value == 0.0
        // Without a port space it may happen to take longer.
        || name == "granted" && value == 0.0
        || value > 0.0;
    assert!(positive, "{row:#}");
    for ratio in ["in_c", "dashmap", "in_dashmap"] {
        if let Some(ratio) = row[ratio].as_f64() {
            assert!(ratio.is_finite() && ratio > 0.0, "{row:#}");
        }
    }
    assert!(
        ran.stdout
            .lines()
            .any(|line| line.trim_start().starts_with(&format!("{name} ")))
    );
}

/// Each row has a number if the module has what it needs, and says what the
/// module lacks if not.
fn must_have_all_rows(module: &Path) {
    let symbols = symbols(module);
    let ran = quick(module, &[]);
    let mut lacks = false;
    for mark in MARKS {
        let lacking = mark
            .needs
            .iter()
            .find(|name| !symbols.iter().any(|symbol| symbol == **name));
        match lacking {
            None => must_be_measured(&ran, mark.name),
            Some(name) => {
                lacks = true;
                let row = row(&ran.json, mark.name);
                assert_eq!(row["status"], "no such function", "{row:#}");
                assert!(
                    row["note"].as_str().expect("a note").contains(name),
                    "{row:#}"
                );
            }
        }
    }
    assert_eq!(
        ran.status,
        Some(if lacks { 2 } else { 0 }),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.json["rows"].as_array().map(Vec::len), Some(MARKS.len()));
    assert!(ran.json["c_ns"].as_f64().expect("c") > 0.0);
    let names: Vec<_> = ran.json["steady"]
        .as_array()
        .expect("the peers")
        .iter()
        .map(|peer| peer["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        names,
        ["clinet", "dashmap", "hashbrown x 64", "papaya", "scc"]
    );
}

#[test]
fn the_released_module_has_all_rows() {
    must_have_all_rows(&released());
}

#[test]
fn a_module_without_a_task_or_ip_has_all_other_rows() {
    must_have_all_rows(&built("foreign/registry"));
}

/// With this fault a run over the rows ends with status 1, and the first of
/// them says what was wrong.
fn must_be_found(fault: u32, rows: &str, says: &str) {
    let set = format!("registry_fault={fault}");
    let ran = quick(&built("foreign/registry"), &["--rows", rows, "--set", &set]);
    assert_eq!(ran.status, Some(1), "fault {fault}: {}", ran.stdout);
    let rows = ran.json["rows"].as_array().expect("rows");
    let found = rows.iter().any(|row| {
        row["status"] == "wrong" && row["note"].as_str().is_some_and(|note| note.contains(says))
    });
    assert!(found, "fault {fault}: {}", ran.stdout);
}

#[test]
fn a_duplicate_that_is_admitted_is_found() {
    must_be_found(1, "duplicate", "wrong answer");
}

#[test]
fn a_tuple_that_is_not_registered_is_found() {
    must_be_found(2, "hit", "are not registered");
}

#[test]
fn a_tuple_that_is_not_removed_is_found() {
    must_be_found(3, "pair", "removed");
}

#[test]
fn a_wrong_answer_to_a_query_is_found() {
    must_be_found(4, "hit", "wrong answer");
}

#[test]
fn a_sweep_that_finds_nothing_too_old_is_found() {
    let options = ["--rows", "sweep-old", "--set", "clinet_udp_age=0"];
    let ran = quick(&released(), &options);
    let row = row(&ran.json, "sweep-old");
    assert_eq!(row["status"], "wrong", "{row:#}");
    let note = row["note"].as_str().expect("a note");
    assert!(note.contains("a sweep left 20000"), "{note}");
}

#[test]
fn an_endpoint_or_owner_that_keeps_its_tuples_is_found() {
    must_be_found(5, "unbind", "still there");
    must_be_found(6, "bind", "still there");
    must_be_found(7, "purge", "after purge");
}

#[test]
fn a_foreign_address_that_is_registered_is_found() {
    must_be_found(8, "not-shared", "were registered and");
    must_be_found(11, "not-shared", "0 counted as such");
}

#[test]
fn a_lock_for_what_is_not_shared_is_found() {
    let module = built("foreign/registry");
    let options = ["--rows", "not-shared", "--set", "registry_fault=12"];
    let ran = quick(&module, &options);
    let row = row(&ran.json, "not-shared");
    assert_eq!(row["status"], "missed", "{row:#}");
    let note = row["note"].as_str().expect("a note");
    assert_eq!(note, "1000 locks in 1000 calls");
}

#[test]
fn a_question_for_every_send_is_found() {
    must_be_found(9, "udp-same", "answered -1");
}

#[test]
fn more_memory_than_there_is_is_found() {
    must_be_found(10, "memory", "the kernel gave");
}

#[test]
fn inserts_without_room_are_counted_and_not_met() {
    let module = built("foreign/registry");
    let options = [
        "--rows",
        "insert-growing",
        "--set",
        "clinet_max_tuples=19990",
    ];
    let ran = quick(&module, &options);
    let row = row(&ran.json, "insert-growing");
    assert_eq!(row["status"], "missed", "{row:#}");
    let note = row["note"].as_str().expect("a note");
    assert!(note.contains("30 late answers"), "{note}");
}

#[test]
fn the_locks_of_a_sweep_are_counted() {
    let ran = quick(&released(), &["--rows", "sweep-lock"]);
    let note = row(&ran.json, "sweep-lock")["note"]
        .as_str()
        .expect("a note")
        .to_owned();
    let (holds, _) = note.split_once(" holds").expect("a number of holds");
    let holds: Vec<u64> = serde_json::from_str(holds).expect("a list of numbers");
    // A sweep looks at four buckets of five places in one hold.
    let least = TUPLES.parse::<u64>().expect("a number") / 20;
    assert!(
        !holds.is_empty() && holds.iter().all(|holds| *holds >= least),
        "{note}"
    );
}

#[test]
fn input_that_cannot_be_used_is_status_2() {
    let run = |arguments: &[&str]| {
        let mut command = Command::cargo_bin("clinet-bench").expect("the program");
        command
            .args(arguments)
            .assert()
            .code(2)
            .get_output()
            .clone()
    };
    let said = |arguments: &[&str]| String::from_utf8(run(arguments).stderr).expect("text");
    assert!(said(&["--module", "/nowhere"]).contains("make module"));
    assert!(said(&["--module", "/dev/null"]).contains("no kernel module"));
    assert!(said(&["--rows", "x-nothing"]).contains("growth-hit"));
    assert!(
        said(&[
            "--quick",
            "--tuples",
            TUPLES,
            "--rows",
            "udp-same",
            "--set",
            "no_such=1"
        ])
        .contains("no_such")
    );
}

#[test]
fn an_import_that_the_kernel_lacks_is_named() {
    // As foreign modules are: they import clinet's own symbols.
    let module = built("foreign/example");
    let mut command = Command::cargo_bin("clinet-bench").expect("the program");
    let output = command
        .arg("--module")
        .arg(module)
        .assert()
        .code(2)
        .get_output()
        .clone();
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("cl_inet_connect2"), "{said}");
}

#[test]
fn a_wrong_answer_takes_the_numbers_of_its_group_and_of_no_other() {
    let ran = quick(&built("foreign/registry"), &["--set", "registry_fault=3"]);
    assert_eq!(ran.status, Some(1));
    // Measured before a tuple of the same table is not removed.
    assert_eq!(row(&ran.json, "memory")["status"], "wrong");
    assert_eq!(row(&ran.json, "memory")["value"], Value::Null);
    must_be_measured(&ran, "pair-1k");
}
