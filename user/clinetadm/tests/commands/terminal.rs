// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A pseudo-terminal that the program runs in.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::{Setup, ended};

/// Its size.
pub const ROWS: u16 = 24;
pub const COLUMNS: u16 = 100;

/// A terminal that it runs in. Dropped, it ends the program.
pub struct Terminal {
    pty: Arc<Pty>,
    output: mpsc::Receiver<Vec<u8>>,
    child: std::process::Child,
    screen: vt100::Parser,
}

impl Terminal {
    /// Runs the program with these words.
    pub fn start(setup: &Setup, words: &str) -> Self {
        let (pty, pts) = open().expect("a pseudo-terminal");
        pty.resize(Size::new(ROWS, COLUMNS)).expect("its size");
        let child = Command::new(assert_cmd::cargo::cargo_bin("clinetadm"))
            .args(words.split(' '))
            .env("CLINET_DEVICE", setup.node.path())
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
            screen: vt100::Parser::new(ROWS, COLUMNS, 0),
        }
    }

    /// What is on the screen, once it has all of this. Until then `step` is done
    /// again and again.
    pub fn until(&mut self, parts: &[&str], step: impl Fn()) -> String {
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

    /// Types this.
    pub fn key(&self, key: &str) {
        (&*self.pty).write_all(key.as_bytes()).expect("a terminal");
    }

    /// Waits for its end.
    pub fn ends_well(&mut self) -> bool {
        ended(&mut self.child).success()
    }

    /// The screen.
    pub fn screen(&self) -> &vt100::Screen {
        self.screen.screen()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Of a test that failed; else it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
