// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An etcd of its own for each test.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Nothing here takes so long; what does has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A child that is ended with its owner.
pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        Self(
            command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        )
    }

    /// Sends SIGTERM and waits.
    pub fn terminate(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).expect("it lives");
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().expect("a status") {
                return status.code();
            }
            assert!(Instant::now() < end, "does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One member of etcd, with its data in a folder of its own.
pub struct Etcd {
    folder: TempDir,
    client: String,
    peer: String,
    options: Vec<String>,
    process: Option<Process>,
}

impl Etcd {
    pub fn start() -> Self {
        Self::with_options(&[])
    }

    /// One with further options.
    pub fn with_options(options: &[&str]) -> Self {
        let mut etcd = Self {
            options: options.iter().map(ToString::to_string).collect(),
            folder: tempfile::tempdir().expect("a folder"),
            client: format!("http://127.0.0.1:{}", free_port()),
            peer: format!("http://127.0.0.1:{}", free_port()),
            process: None,
        };
        etcd.resume();
        etcd
    }

    pub fn endpoint(&self) -> &str {
        &self.client
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A copy of its data, for which it is off for a moment.
    pub fn copy(&mut self) -> TempDir {
        let copy = tempfile::tempdir().expect("a folder");
        self.stop();
        let mut command = Command::new("cp");
        let copied = command.arg("-R").arg(self.data()).arg(copy.path()).status();
        assert!(copied.expect("cp").success());
        self.resume();
        copy
    }

    /// Puts a copy in the place of its data.
    pub fn restore(&mut self, copy: &TempDir) {
        self.stop();
        fs::remove_dir_all(self.data()).expect("removed");
        fs::rename(copy.path().join("data"), self.data()).expect("restored");
        self.resume();
    }

    /// Ends it without warning.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Starts it again, with the data that it had, or with what is there now.
    pub fn resume(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new("etcd");
        command
            .arg("--data-dir")
            .arg(self.data())
            .args(["--name", "a", "--listen-client-urls", &self.client])
            .args(["--advertise-client-urls", &self.client])
            .args(["--listen-peer-urls", &self.peer])
            .args(["--initial-advertise-peer-urls", &self.peer])
            .args(["--initial-cluster", &format!("a={}", self.peer)])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .arg("--unsafe-no-fsync")
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(log);
        self.process = Some(Process::spawn(&mut command));
        let address = self.client.trim_start_matches("http://").to_owned();
        eventually("etcd answers", || {
            get(&address, "/health").is_some_and(|text| text.contains("\"true\""))
        });
    }

    /// Does something by another client than the agent's.
    pub fn with<T>(&self, act: impl AsyncFnOnce(etcd_client::Client) -> T) -> T {
        block_on(async {
            let client = etcd_client::Client::connect([&self.client], None).await;
            act(client.expect("a client")).await
        })
    }
}

/// Waits for something that is asynchronous.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(future)
}

/// What a web server on this machine answers.
pub fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
