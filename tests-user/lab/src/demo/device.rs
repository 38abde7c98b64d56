// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A machine whose control device is a socket, and `clinetadm` at work there.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clinet_cluster::Process;
use clinet_control::machine::{MachineReply, MachineRequest};
use clinet_control::socket::SocketDevice;
use clinet_control::{Errno, Protocol};
use serde_json::Value;

use crate::fatal;
use crate::story::Story;

/// Nothing that is waited for takes as long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The local end of what is told about.
const LOCAL: &str = "192.0.2.10:40000";
const FOREIGN: &str = "198.51.100.7:443";

/// Grants a part of the port space for a short time.
const GRANTS: &str = "space 32768-65535\ngrant 40000-40999\ndeadline 3\n";

/// The files that the machine loads, and the programs.
pub struct Files<'a> {
    /// This tool.
    pub lab: PathBuf,
    /// The tool that shows and steers a machine.
    pub clinetadm: PathBuf,
    /// The module, if it is not at its usual place.
    pub module: Option<&'a Path>,
    /// The same of the driver.
    pub driver: Option<&'a Path>,
}

/// Tells of a machine that is started for this.
pub fn tell(story: &mut Story, files: &Files) -> anyhow::Result<()> {
    story.chapter("A machine with a control device (lab node), and clinetadm");
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("device");
    let mut command = Command::new(&files.lab);
    command.args(["node", "--addr", "192.0.2.10", "--busy", "50", "--socket"]);
    command.arg(&socket);
    for (option, file) in [("--module", files.module), ("--driver", files.driver)] {
        if let Some(file) = file {
            command.arg(option).arg(file);
        }
    }
    let mut node = Process::start("lab node", &mut command, &folder.path().join("log"))?;
    node.wait_until(PATIENCE, || SocketDevice::connect(&socket).is_ok())?;
    let mut machine = Machine {
        program: SocketDevice::connect(&socket)?,
        clinetadm: files.clinetadm.clone(),
        socket,
        story,
    };
    machine.look()?;
    machine.refusal()?;
    machine.grants()
}

struct Machine<'a> {
    program: SocketDevice,
    clinetadm: PathBuf,
    socket: PathBuf,
    story: &'a mut Story,
}

impl Machine<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.clinetadm);
        command.arg("--device").arg(&self.socket).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<Output> {
        fatal::progress();
        let output = self.command(words).output();
        output.with_context(|| format!("cannot run {}", self.clinetadm.display()))
    }

    /// What it prints, in JSON.
    fn json(&self, words: &[&str]) -> anyhow::Result<Value> {
        let output = self.run(words)?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("clinetadm: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// A member of the state, once it is so.
    fn state(&self, member: &str, wanted: &str) -> anyhow::Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.json(&["show", "--json"])?;
            let value = shown["state"][member].as_str().unwrap_or_default();
            if value == wanted || Instant::now() > end {
                return Ok(value.to_owned());
            }
            thread::sleep(LOOK);
        }
    }

    /// A program of the machine connects.
    fn connect(&self, port: u16) -> anyhow::Result<String> {
        let mut local: SocketAddr = LOCAL.parse()?;
        local.set_port(port);
        let answer = self.program.machine(&MachineRequest::Connect {
            protocol: Protocol::Tcp,
            local: Some(local),
            foreign: FOREIGN.parse()?,
        })?;
        Ok(match answer {
            Ok(_) => "connected".to_owned(),
            Err(Errno(errno)) => format!("the program sees {}", clinet_ip::Errno(errno)),
        })
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let attach = self.state("attach", "attached")?;
        self.story
            .step("clinetadm show: is it attached?", attach, "attached");
        let end = Instant::now() + PATIENCE;
        let busy = loop {
            let list = self.json(&["list", "local=192.0.2.10", "--json"])?;
            let some = list.as_array().is_some_and(|entries| !entries.is_empty());
            if some || Instant::now() > end {
                break some;
            }
            thread::sleep(LOOK);
        };
        let shown = if busy { "some connections" } else { "nothing" };
        self.story.step(
            "clinetadm list: the programs of the machine have",
            shown,
            "some connections",
        );
        Ok(())
    }

    fn refusal(&mut self) -> anyhow::Result<()> {
        let installed = self.run(&["install", "2", "tcp", LOCAL, FOREIGN])?;
        let done = if installed.status.success() {
            "done"
        } else {
            "refused"
        };
        let what = format!("clinetadm install 2 tcp {LOCAL} {FOREIGN}: node 2 has it");
        self.story.step(&what, done, "done");
        let checked = self.json(&["check", "--json", "tcp", LOCAL, FOREIGN])?;
        let reason = checked["answer"]["reason"]
            .as_str()
            .unwrap_or("?")
            .to_owned();
        self.story.step(
            "clinetadm check: would a program here get it?",
            reason,
            "owned",
        );
        let watcher = self
            .command(&[
                "events",
                "-t",
                "refused",
                "-n",
                "1",
                "--seconds",
                "20",
                "--json",
            ])
            .stdout(Stdio::piped())
            .spawn()?;
        let refused = self.until_watched(40000)?;
        self.story.step(
            "a program connects from there",
            refused,
            "the program sees EADDRINUSE (125): address already in use",
        );
        let output = watcher.wait_with_output()?;
        let event: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let seen = format!(
            "{} of {}:{}",
            event["reason"].as_str().unwrap_or("?"),
            event["local"].as_str().unwrap_or("?"),
            event["lport"]
        );
        self.story.step(
            "clinetadm events -t refused",
            seen,
            "owned of 192.0.2.10:40000",
        );
        Ok(())
    }

    /// Connects until an event of it was delivered: only from then on somebody
    /// watches.
    fn until_watched(&self, port: u16) -> anyhow::Result<String> {
        const TRIES: u32 = 20;
        let mut last = String::new();
        for _ in 0..TRIES {
            last = self.connect(port)?;
            thread::sleep(LOOK);
        }
        Ok(last)
    }

    fn grants(&mut self) -> anyhow::Result<()> {
        let mut child = self
            .command(&["grants", "set", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        let Some(mut input) = child.stdin.take() else {
            bail!("clinetadm takes no input");
        };
        input.write_all(GRANTS.as_bytes())?;
        drop(input);
        let done = if child.wait()?.success() {
            "done"
        } else {
            "refused"
        };
        self.story.step(
            "clinetadm grants set: of ports 32768-65535 this node has 40000-40999, for 3 s",
            done,
            "done",
        );
        let inside = self.connect(40001)?;
        self.story
            .step("a program connects from port 40001", inside, "connected");
        let outside = self.connect(41000)?;
        self.story.step(
            "and from port 41000, which is another node's",
            outside,
            "the program sees EADDRINUSE (125): address already in use",
        );
        let fence = self.state("fence", "fenced")?;
        self.story.step("three seconds later", fence, "fenced");
        let up = self.is_up()?;
        let shown = if up { "up" } else { "down" };
        self.story.step("the address 192.0.2.10", shown, "down");
        let lapsed = self.connect(40002)?;
        self.story.step(
            "a program connects from port 40002",
            lapsed,
            "the program sees EADDRNOTAVAIL (126): address not available",
        );
        Ok(())
    }

    /// Is one of its addresses up?
    fn is_up(&self) -> anyhow::Result<bool> {
        match self.program.machine(&MachineRequest::Addresses)? {
            Ok(MachineReply::Addresses { addresses }) => Ok(addresses
                .iter()
                .any(|one| one.up && !one.address.is_loopback())),
            other => bail!("the machine says {other:?} of its addresses"),
        }
    }
}
