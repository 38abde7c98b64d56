// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The program as users run it, against a device in memory.

mod change;
mod errors;
mod events;
mod grants;
mod help;
mod look;
mod picture;
mod terminal;
mod top;

use std::process::{Child, ExitStatus, Output};
use std::time::Duration;

use assert_cmd::Command;
use clinet_control::{Protocol, Tuple};
use clinet_device::Node;
use tempfile::TempDir;

/// A device, and the program that is pointed at it.
struct Setup {
    node: Node,
    folder: TempDir,
}

/// What a run of the program said.
struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            out: text(output.stdout),
            err: text(output.stderr),
            code: output.status.code(),
        }
    }
}

fn program() -> Command {
    let mut command = Command::cargo_bin("clinetadm").expect("it is built with its tests");
    command
        .env_remove("CLINET_DEVICE")
        .timeout(Duration::from_secs(120));
    command
}

/// How it ended. Two minutes are time enough for that.
fn ended(child: &mut Child) -> ExitStatus {
    for _ in 0..12_000 {
        if let Some(status) = child.try_wait().expect("a child") {
            return status;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("a child");
    child.wait().expect("it was killed");
    panic!("it does not end");
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let node = Node::start(folder.path()).expect("a socket");
        Self { node, folder }
    }

    /// The program with these words, blanks between them.
    fn command(&self, words: &str) -> Command {
        let mut command = program();
        command
            .env("CLINET_DEVICE", self.node.path())
            .args(words.split_whitespace());
        command
    }

    fn run(&self, words: &str) -> Said {
        self.command(words).output().expect("it runs").into()
    }

    /// What it wrote, when it was done.
    fn out(&self, words: &str) -> String {
        let said = self.run(words);
        assert_eq!(said.code, Some(0), "{words}: {}{}", said.out, said.err);
        said.out
    }

    /// What it wrote to standard error, when it ended with this status.
    fn err(&self, words: &str, code: i32) -> String {
        let said = self.run(words);
        assert_eq!(said.code, Some(code), "{words}: {}{}", said.out, said.err);
        said.err
    }

    /// A file with this text; its name is a word.
    fn file(&self, text: &str) -> String {
        let path = self.folder.path().join("input");
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a name").to_owned()
    }

    /// Two of this node, one of each protocol, and one of node 2.
    fn three_entries(&self) {
        self.node.module(|module| {
            module.add(1, tuple("tcp 192.0.2.10:33000 198.51.100.7:443"));
            module.add(1, tuple("udp 192.0.2.10:5000 198.51.100.8:53"));
            module.add(2, tuple("tcp [2001:db8::10]:40000 [2001:db8::1]:443"));
            module.entries[1].ce_age = 700;
        });
    }
}

fn tuple(text: &str) -> Tuple {
    let mut words = text.split(' ');
    let mut next = || words.next().expect("three words");
    Tuple {
        protocol: next().parse::<Protocol>().expect("a protocol"),
        local: next().parse().expect("an end"),
        foreign: next().parse().expect("an end"),
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}
