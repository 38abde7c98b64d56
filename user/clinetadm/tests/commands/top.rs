// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `top`, in a pseudo-terminal.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::{Setup, tuple};

/// A terminal that it runs in.
struct Terminal {
    pty: Arc<Pty>,
    output: mpsc::Receiver<Vec<u8>>,
    child: std::process::Child,
    screen: vt100::Parser,
}

impl Terminal {
    fn start(setup: &Setup) -> Self {
        let (pty, pts) = open().expect("a pseudo-terminal");
        pty.resize(Size::new(30, 100)).expect("its size");
        let child = Command::new(assert_cmd::cargo::cargo_bin("clinetadm"))
            .args(["top", "--device"])
            .arg(setup.node.path())
            .env("TERM", "xterm-256color")
            .spawn(pts)
            .expect("it runs");
        let pty = Arc::new(pty);
        let reader = Arc::clone(&pty);
        let (sender, output) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The terminal ends with the program.
            while let Ok(length @ 1..) = (&*reader).read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            pty,
            output,
            child,
            screen: vt100::Parser::new(30, 100, 0),
        }
    }

    /// What is on the screen, once it has all of this. Until then `step` is done
    /// again and again.
    fn until(&mut self, parts: &[&str], step: impl Fn()) -> String {
        for _ in 0..600 {
            let text = self.screen.screen().contents();
            if parts.iter().all(|part| text.contains(part)) {
                return text;
            }
            step();
            match self.output.recv_timeout(Duration::from_millis(200)) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        panic!("{parts:?} never came:\n{}", self.screen.screen().contents());
    }

    fn key(&self, key: &str) {
        (&*self.pty).write_all(key.as_bytes()).expect("a terminal");
    }
}

#[test]
fn it_shows_rates_addresses_grants_and_the_deadline() {
    let setup = Setup::new();
    setup.three_entries();
    setup.node.module(|module| {
        module.state.cst_first = [32768, 0];
        module.state.cst_last = [65535, 0];
        module.granted[0].extend([32768..=36863]);
        module.state.cst_deadline = module.state.cst_now + 1_000_000_000_000;
        for port in 34816..34816 + 1900 {
            module.add(1, tuple(&format!("tcp 192.0.2.10:{port} 198.51.100.7:443")));
        }
        module.stats.insert("tcp_out_owned".into(), 100);
    });
    let mut terminal = Terminal::start(&setup);
    let screen = terminal.until(
        &["deadline in 16m 40s", "34816-36863  92%", "questions"],
        || (),
    );
    for part in [
        "attached, enforce",
        "1903 of 1048576 tuples",
        "1902 192.0.2.10",
        "1 2001:db8::10",
        "tcp 32768-34815   0% ░░░░",
        "92% ████",
        "owned",
        "4096 ports granted",
    ] {
        assert!(screen.contains(part), "{part:?} is missing:\n{screen}");
    }
    // 25 a second, as long as somebody looks.
    let goes_on = || {
        setup.node.module(|module| {
            *module.stats.entry("tcp_out_owned".into()).or_default() += 250;
            module.state.cst_now += 10_000_000_000;
        });
    };
    terminal.until(&["owned               25"], goes_on);
    setup.node.module(|module| module.state.cst_deadline = 1);
    terminal.until(&["deadline passed"], || ());
    terminal.key("p");
    terminal.until(&["paused"], || ());
    terminal.key("q");
    assert!(terminal.child.wait().expect("a child").success());
}

#[test]
fn without_a_terminal_it_says_what_is_for_scripts() {
    let setup = Setup::new();
    let error = setup.err("top", 2);
    assert!(error.contains("clinetadm show-stats"), "{error}");
}
