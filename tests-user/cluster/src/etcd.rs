// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! An etcd of some members on loopback ports, each a process of its own.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::Process;

/// How long a member may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(2);

/// Milliseconds: short, so that a leader's death is soon over.
const HEARTBEAT: u32 = 100;
const ELECTION: u32 = 1000;

/// A member, running or not.
struct Member {
    name: String,
    client: u16,
    peer: u16,
    process: Option<Process>,
}

impl Member {
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client)
    }
}

/// The etcd of a cluster. Its methods panic if they are given the number of a
/// member that it does not have.
pub struct Etcd {
    folder: PathBuf,
    members: Vec<Member>,
    /// Bytes that its database may have, or 0 for etcd's own limit.
    quota: u64,
}

impl Etcd {
    /// Starts `count` members with their data below `folder`, and waits until
    /// they have a leader.
    pub fn start(folder: &Path, count: usize) -> anyhow::Result<Self> {
        let ports = free_ports(count * 2)?;
        let member = |(index, ports): (usize, &[u16])| Member {
            name: format!("etcd-{}", index + 1),
            client: ports[0],
            peer: ports[1],
            process: None,
        };
        let members = ports.chunks_exact(2).enumerate().map(member).collect();
        let mut etcd = Self {
            folder: folder.to_owned(),
            members,
            quota: 0,
        };
        etcd.start_all()?;
        Ok(etcd)
    }

    /// How many members it has.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Where clients reach the members.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::url).collect()
    }

    /// The client port of a member.
    pub fn port(&self, member: usize) -> u16 {
        self.members[member].client
    }

    /// From the next start of a member on, its database may have so many bytes;
    /// 0: as many as etcd allows by itself.
    pub fn set_quota(&mut self, bytes: u64) {
        self.quota = bytes;
    }

    /// Starts the members that do not run, and waits until there is a leader.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        for member in 0..self.members.len() {
            self.start_member(member)?;
        }
        for member in 0..self.members.len() {
            let url = self.members[member].url();
            if let Some(process) = &mut self.members[member].process {
                process.wait_until(PATIENCE, || is_healthy(&url))?;
            }
        }
        Ok(())
    }

    /// Starts a member unless it runs.
    pub fn start_member(&mut self, member: usize) -> anyhow::Result<()> {
        if self.members[member].process.is_some() {
            return Ok(());
        }
        let others: Vec<String> = self
            .members
            .iter()
            .map(|one| format!("{}=http://127.0.0.1:{}", one.name, one.peer))
            .collect();
        let one = &self.members[member];
        let (client, peer) = (one.url(), format!("http://127.0.0.1:{}", one.peer));
        let mut command = Command::new("etcd");
        command
            .args(["--name", &one.name, "--data-dir"])
            .arg(self.data(member))
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &others.join(",")])
            .args(["--initial-cluster-state", "new", "--log-level", "warn"])
            .args(["--heartbeat-interval", &HEARTBEAT.to_string()])
            .args(["--election-timeout", &ELECTION.to_string()])
            .args(["--quota-backend-bytes", &self.quota.to_string()])
            .env("ETCD_UNSUPPORTED_ARCH", std::env::consts::ARCH);
        let log = self.folder.join(format!("{}.log", one.name));
        let process = Process::start(&one.name, &mut command, &log)
            .context("etcd is not here: `make demo-cluster` installs Debian's etcd-server")?;
        self.members[member].process = Some(process);
        Ok(())
    }

    fn data(&self, member: usize) -> PathBuf {
        self.folder.join(&self.members[member].name)
    }

    /// Ends a member without warning.
    pub fn kill_member(&mut self, member: usize) {
        self.members[member].process = None;
    }

    /// Ends all members without warning.
    pub fn kill_all(&mut self) {
        for member in 0..self.members.len() {
            self.kill_member(member);
        }
    }

    /// Sends a signal to a member, such as the one that stops it.
    pub fn signal(&self, member: usize, signal: Signal) {
        if let Some(process) = &self.members[member].process {
            process.signal(signal);
        }
    }

    /// Does the member run?
    pub fn runs(&self, member: usize) -> bool {
        self.members[member].process.is_some()
    }

    /// The member that leads, if one that runs says so.
    pub fn leader(&self) -> Option<usize> {
        let leads = |member: &Member| {
            let status = ask(&member.url(), "maintenance/status", &json!({})).ok()?;
            let own = status["header"]["member_id"].as_str()?;
            Some(status["leader"].as_str()? == own)
        };
        self.members
            .iter()
            .position(|member| member.process.is_some() && leads(member) == Some(true))
    }

    /// Asks the first member that answers by etcd's JSON gateway.
    pub fn ask(&self, what: &str, question: &Value) -> anyhow::Result<Value> {
        let mut last = Err(anyhow::anyhow!("no member of etcd runs"));
        for member in self.members.iter().filter(|one| one.process.is_some()) {
            last = ask(&member.url(), what, question);
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Copies the data of all members, which must not run, to `to`.
    pub fn save(&self, to: &Path) -> io::Result<()> {
        copy_all(&self.folder, to, &self.members)
    }

    /// Puts the data of [`Etcd::save`] in the place of the members', which must
    /// not run.
    pub fn restore(&self, from: &Path) -> io::Result<()> {
        for member in 0..self.members.len() {
            fs::remove_dir_all(self.data(member))?;
        }
        copy_all(from, &self.folder, &self.members)
    }
}

/// Puts a question to one member.
pub fn ask(url: &str, what: &str, question: &Value) -> anyhow::Result<Value> {
    let agent = agent();
    let mut answer = agent.post(format!("{url}/v3/{what}")).send_json(question)?;
    Ok(answer.body_mut().read_json()?)
}

fn is_healthy(url: &str) -> bool {
    let answer = agent().get(format!("{url}/health")).call();
    answer.is_ok_and(|answer| answer.status().is_success())
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(QUESTION));
    config.build().into()
}

/// Ports of loopback that nobody uses at the moment.
pub fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let listeners: io::Result<Vec<TcpListener>> = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect();
    listeners?
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect()
}

fn copy_all(from: &Path, to: &Path, members: &[Member]) -> io::Result<()> {
    for member in members {
        copy_folder(&from.join(&member.name), &to.join(&member.name))?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
