// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The blocks of README and the book that are for the shell, without what they print.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::docs::{run, trial};
use clinet_pkg_tests::command;
use clinet_pkg_tests::page::pages;

/// The socket of a machine in the book.
const SOCKET: &str = "/tmp/a.sock";

/// What a block leaves running, until it goes.
struct Background(Child);

impl Background {
    fn start(line: &str, socket: &Path) -> Self {
        // The shell becomes the program, so that it is the program that is ended.
        let mut shell = command("sh");
        shell.args(["-euc", &format!("exec {line}")]);
        let node = Self(shell.stdout(Stdio::null()).spawn().expect("a shell"));
        let end = Instant::now() + Duration::from_secs(60);
        while !socket.exists() {
            assert!(Instant::now() < end, "{line}: no socket");
            thread::sleep(Duration::from_millis(10));
        }
        node
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What is tried of a line: itself, or as much of it as takes no minutes, no terminal and no
/// compiler.
fn tried(line: &str) -> String {
    if let Some(rest) = line.strip_prefix("cargo build --release ") {
        return format!("cargo tree --offline --depth 0 {rest}");
    }
    if line.starts_with("build/lab chaos ") {
        // Its other arguments are read before.
        return format!("{line} --help");
    }
    if line.ends_with(" top") {
        return format!("{line} 2>&1 | grep 'top needs a terminal'");
    }
    let known = ["build/", "make "]
        .iter()
        .any(|start| line.starts_with(start));
    assert!(known, "nobody knows how to try this: {line}");
    trial(line)
}

/// `clinetadm check` of a block is of what the machine refuses, and says so by its exit status.
fn is_refused(command: &mut Command) -> bool {
    command.status().expect("a shell").code() == Some(1)
}

#[test]
fn blocks_of_the_shell_can_be_typed() {
    let mut blocks = 0;
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "sh") {
            let folder = tempfile::tempdir().expect("a folder");
            let socket = folder.path().join("socket");
            let text = block.text.replace("\\\n", " ");
            let text = text.replace(SOCKET, socket.to_str().expect("a plain name"));
            let mut background = Vec::new();
            for line in text.lines() {
                if let Some(line) = line.strip_suffix('&') {
                    background.push(Background::start(line, &socket));
                } else if line.contains(" check ") {
                    let mut check = command("sh");
                    assert!(is_refused(check.args(["-euc", line])), "{line}");
                } else {
                    run(&tried(line));
                }
            }
            blocks += 1;
        }
    }
    assert!(blocks >= 5, "{blocks}");
}
