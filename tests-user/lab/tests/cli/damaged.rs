// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Module files that were cut short or altered: every command that reads one
//! ends by itself, with a reason if it cannot go on.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use object::{Object, ObjectSection, ObjectSymbol};

use super::{LONGEST, Run, module, root};

fn run(arguments: &[&str]) -> Run {
    let mut command = Command::cargo_bin("lab").expect("the tool is built");
    let output = command.args(arguments).timeout(LONGEST).output();
    let output = output.expect("the tool runs");
    Run {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder for one damaged module file.
struct Damaged {
    folder: tempfile::TempDir,
    good: Vec<u8>,
}

impl Damaged {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            good: fs::read(module()).expect("the module"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("clinet")
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path(), bytes).expect("written");
    }

    /// The module with one bit in every `step` bytes inverted, from `first`.
    fn flip(&self, first: usize, step: usize) {
        let mut bytes = self.good.clone();
        for (count, place) in (first..bytes.len()).step_by(step).enumerate() {
            bytes[place] ^= 1 << ((first + count) % 8);
        }
        self.write(&bytes);
    }

    /// What a command makes of the file.
    fn run(&self, command: &str) -> Run {
        let path = self.path().display().to_string();
        let project = |path: &str| root().join(path).display().to_string();
        let capture = project("tests-user/captures/tcp-two-nodes.pcap");
        let traces = project("tests-user/ip/traces/2015/other.jsonl");
        let foreign = project("build/foreign");
        match command {
            "demo" => run(&["demo", "--foreign", &foreign, "--module", &path]),
            "replay" => run(&[
                "replay",
                &capture,
                "--shared",
                "192.0.2.10",
                "--module",
                &path,
            ]),
            "traces" => run(&["traces", &traces, "--module", &path]),
            _ => run(&[command, &path]),
        }
    }
}

const ALL: [&str; 5] = ["demo", "replay", "traces", "check", "symbols"];

/// It could not go on, and said why.
fn assert_unusable(command: &str, run: &Run) {
    assert_eq!(run.status, 2, "{command}: {}{}", run.out, run.err);
    assert!(!run.err.is_empty(), "{command}");
}

#[test]
fn no_beginning_of_a_module_is_one() {
    let damaged = Damaged::new();
    let length = damaged.good.len();
    for cut in [0, 1, 63, 64, 1000, length / 2, length - 64, length - 1] {
        damaged.write(&damaged.good[..cut]);
        for command in ALL {
            assert_unusable(command, &damaged.run(command));
        }
    }
}

#[test]
fn what_is_no_file_of_a_module() {
    let damaged = Damaged::new();
    fs::create_dir(damaged.path()).expect("a folder");
    for command in ALL {
        assert_unusable(command, &damaged.run(command));
    }
    fs::remove_dir(damaged.path()).expect("removed");
    // More than memory has, and none of it on disk.
    let file = fs::File::create(damaged.path()).expect("created");
    file.set_len(1 << 42).expect("a sparse file");
    for command in ALL {
        assert_unusable(command, &damaged.run(command));
    }
}

/// A kernel would run into this, so that nothing of it runs here.
#[test]
fn code_that_a_check_finds_bad_is_not_run() {
    let damaged = Damaged::new();
    let nowhere = damaged
        .good
        .windows(11)
        .position(|name| name == b"mutex_enter");
    let mut bytes = damaged.good.clone();
    bytes[nowhere.expect("an import")] = b'M';
    damaged.write(&bytes);
    for command in ["demo", "replay", "traces"] {
        let run = damaged.run(command);
        assert_unusable(command, &run);
        for word in ["is not run", "lab check", "Mutex_enter"] {
            assert!(run.err.contains(word), "{command}: {}", run.err);
        }
    }
}

/// What a bit in the wrong place does to the code shows when it runs, and may
/// be nothing.
#[test]
fn any_bit_may_flip() {
    let damaged = Damaged::new();
    let length = damaged.good.len();
    for round in 0..12 {
        // One bit, or a few.
        damaged.flip(64 + round * length / 13, length / (1 + round % 3 * 4));
        for command in ALL {
            let run = damaged.run(command);
            assert!(
                [0, 1, 2].contains(&run.status),
                "{command}, round {round}: {}{}",
                run.out,
                run.err
            );
            assert!(
                run.status != 2 || !run.err.is_empty(),
                "{command}, round {round}"
            );
        }
    }
}

/// `lab replay` calls this function on its own stack, which it cannot leave.
#[test]
fn a_module_that_crashes_after_its_check_is_an_error() {
    // movb $0, 0
    let store = [0xc6, 0x04, 0x25, 0, 0, 0, 0, 0];
    let run = with_code("clinet_tcp_connect", &store).run("replay");
    assert_unusable("replay", &run);
    for words in [
        "page fault at 0x0 in clinet`clinet_tcp_connect",
        "may be damaged",
    ] {
        assert!(run.err.contains(words), "{}", run.err);
    }
}

#[test]
fn a_module_that_does_not_come_back_is_an_error() {
    // jmp to itself
    let run = with_code("clinet_tcp_connect", &[0xeb, 0xfe]).run("replay");
    assert_unusable("replay", &run);
    assert!(run.err.contains("does not come back"), "{}", run.err);
}

/// The module with other code at the beginning of a function.
fn with_code(function: &str, code: &[u8]) -> Damaged {
    let damaged = Damaged::new();
    let mut bytes = damaged.good.clone();
    let place = code_of(&bytes, function);
    bytes[place..][..code.len()].copy_from_slice(code);
    damaged.write(&bytes);
    damaged
}

/// Where the code of a function is in the file.
fn code_of(bytes: &[u8], name: &str) -> usize {
    let file = object::File::parse(bytes).expect("an ELF file");
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    let symbol = symbol.expect("the function");
    let section = symbol.section_index().expect("a section");
    let section = file.section_by_index(section).expect("the section");
    let (start, _) = section.file_range().expect("contents");
    (start + symbol.address()) as usize
}
