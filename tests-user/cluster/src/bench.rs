// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a cluster costs, and how long its steps take.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clinet_control::Protocol;
use clinet_control::machine::MachineRequest;
use serde::Serialize;
use serde_json::json;

use crate::cluster::Cluster;
use crate::directory::number;
use crate::member::{Member, Programs};
use crate::proxy::Weather;
use crate::run::Run;
use crate::settings::Settings;
use crate::traffic::connect;

/// Nothing that is waited for takes as long.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at what is measured.
const LOOK: Duration = Duration::from_millis(2);

/// Connects of each node while nobody answers in the directory.
const OFFLINE: usize = 1000;
/// What a round trip to etcd takes more in the slow rounds.
const DELAY: Duration = Duration::from_millis(200);
/// How long an idle cluster is watched.
const IDLE: Duration = Duration::from_secs(20);

/// Connects that were decided while etcd was stopped.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Offline {
    /// Tried.
    pub connects: usize,
    /// Connected.
    pub connected: usize,
}

/// Connects on three nodes while all members of etcd are stopped.
pub fn offline(programs: &Programs) -> anyhow::Result<Offline> {
    let run = started(programs, Settings::at_work(2048), 3)?;
    let etcd = &run.cluster.etcd;
    let stopped = Stopped::all(etcd);
    let mut connected = 0;
    for member in &run.cluster.members {
        let machine = member.connect()?;
        for _ in 0..OFFLINE {
            if let Ok((socket, _)) = connect(&machine, Protocol::Tcp, None)? {
                connected += 1;
                let _ = machine.machine(&MachineRequest::Close { socket })?;
            }
        }
    }
    drop(stopped);
    Ok(Offline {
        connects: run.cluster.members.len() * OFFLINE,
        connected,
    })
}

/// All members of etcd are stopped as long as this lives.
struct Stopped<'a>(&'a crate::etcd::Etcd);

impl<'a> Stopped<'a> {
    fn all(etcd: &'a crate::etcd::Etcd) -> Self {
        (0..etcd.count()).for_each(|member| etcd.signal(member, rustix::process::Signal::STOP));
        Self(etcd)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        (0..self.0.count()).for_each(|member| self.0.signal(member, rustix::process::Signal::CONT));
    }
}

/// From a node's death to another's grant, against the bound.
#[derive(Clone, Debug, Serialize)]
pub struct Takeover {
    /// Q, in seconds.
    pub bound: f64,
    /// The lease of the dead node, which ends before anybody waits.
    pub lease: f64,
    /// Each round, in seconds.
    pub rounds: Vec<f64>,
}

/// Kills a node without warning while another one waits for its slice.
pub fn takeover(programs: &Programs, rounds: usize) -> anyhow::Result<Takeover> {
    let settings = Settings {
        slice: 16384,
        ..Settings::default()
    };
    let (bound, lease) = (settings.quarantine(), settings.lease);
    let mut run = started(programs, settings, 2)?;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let last = run.cluster.members.len() - 1;
        run.cluster.members[last].kill();
        let killed = Instant::now();
        let heir = run.cluster.add_member()?;
        run.cluster.start_member(heir)?;
        wait_for_grant(&run.cluster.members[heir])?;
        measured.push(killed.elapsed().as_secs_f64());
    }
    Ok(Takeover {
        bound: bound.as_secs_f64(),
        lease: lease.as_secs_f64(),
        rounds: measured,
    })
}

/// From the start of an agent to the first grant.
#[derive(Clone, Debug, Serialize)]
pub struct Join {
    /// Each round at the usual speed, in seconds.
    pub rounds: Vec<f64>,
    /// Each round with a slow way to etcd, in seconds.
    pub slow_rounds: Vec<f64>,
    /// By how much a round trip is slower in those.
    pub delay: f64,
    /// So many round trips it takes, by the difference of the medians.
    pub round_trips: f64,
}

/// Starts agents at the usual speed and with a slow way to etcd, in turn.
pub fn join(programs: &Programs, rounds: usize) -> anyhow::Result<Join> {
    let mut cluster = Cluster::start(programs, Settings::at_work(1024), 0)?;
    cluster.found()?;
    let mut measured = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (weather, times) in [Weather::Fine, Weather::Slow(DELAY)]
            .into_iter()
            .zip(&mut measured)
        {
            let settings = cluster.settings.clone();
            let member = cluster.add_member()?;
            let member = &mut cluster.members[member];
            member.boot(&settings)?;
            member.proxies().iter().for_each(|proxy| proxy.set(weather));
            let begin = Instant::now();
            member.start_agent()?;
            wait_for_grant(member)?;
            times.push(begin.elapsed().as_secs_f64());
        }
    }
    let [fast, slow] = measured;
    let delay = DELAY.as_secs_f64();
    Ok(Join {
        round_trips: (median(&slow) - median(&fast)) / delay,
        rounds: fast,
        slow_rounds: slow,
        delay,
    })
}

/// What etcd has of a cluster of some size.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Keys of the cluster.
    pub keys: usize,
    /// Bytes of the database that are in use.
    pub bytes: u64,
    /// Changes of keys in a second, with no connection open.
    pub writes_idle: f64,
    /// Entries of the log in a second, with no connection open.
    pub entries_idle: f64,
    /// Connections that are registered then.
    pub connections: u64,
    /// Changes of keys in a second while these are registered and open.
    pub writes: f64,
    /// Entries of the log in a second.
    pub entries: f64,
    /// Resident memory of an agent, the median, in kibibytes.
    pub agent_memory: u64,
    /// What an idle agent uses of a core, the median, in thousandths.
    pub agent_cpu: f64,
}

/// Watches an idle cluster, and one with so many connections.
pub fn size(programs: &Programs, nodes: usize, connections: u64) -> anyhow::Result<Size> {
    let slice = if nodes > 8 { 128 } else { 2048 };
    let run = started(programs, Settings::at_work(slice), nodes)?;
    let names = run.cluster.settings.names()?;
    let agents: Vec<u32> = run
        .cluster
        .members
        .iter()
        .filter_map(|member| member.agent().map(crate::Process::pid))
        .collect();
    let used = cpu_of(&agents)?;
    let before = Counters::of(&run)?;
    thread::sleep(IDLE);
    let idle = Counters::of(&run)?;
    let mut cpu: Vec<f64> = cpu_of(&agents)?
        .iter()
        .zip(&used)
        .map(|(after, before)| (after - before) / IDLE.as_secs_f64() * 1000.0)
        .collect();
    let mut registered = 0;
    for member in &run.cluster.members {
        let count = connections / nodes as u64;
        let answer = member
            .connect()?
            .machine(&MachineRequest::Register { count })?;
        if let Ok(clinet_control::machine::MachineReply::Registered { count }) = answer {
            registered += count;
        }
    }
    thread::sleep(IDLE);
    let busy = Counters::of(&run)?;
    let mut memory = memory_of(&agents)?;
    memory.sort_unstable();
    cpu.sort_by(f64::total_cmp);
    let endpoints = run.cluster.etcd.endpoints();
    let first = endpoints.first().context("a member of etcd")?;
    Ok(Size {
        nodes,
        keys: crate::directory::read(first, &names)?.entries.len(),
        bytes: busy.bytes,
        writes_idle: idle.revisions_since(&before),
        entries_idle: idle.entries_since(&before),
        connections: registered,
        writes: busy.revisions_since(&idle),
        entries: busy.entries_since(&idle),
        agent_memory: memory.get(memory.len() / 2).copied().unwrap_or(0),
        agent_cpu: cpu.get(cpu.len() / 2).copied().unwrap_or(0.0),
    })
}

/// What etcd counts.
struct Counters {
    at: Instant,
    revision: u64,
    applied: u64,
    bytes: u64,
}

impl Counters {
    fn of(run: &Run) -> anyhow::Result<Self> {
        let status = run.cluster.etcd.ask("maintenance/status", &json!({}))?;
        Ok(Self {
            at: Instant::now(),
            revision: number(&status["header"]["revision"]),
            applied: number(&status["raftAppliedIndex"]),
            bytes: number(&status["dbSizeInUse"]),
        })
    }

    fn revisions_since(&self, before: &Self) -> f64 {
        (self.revision - before.revision) as f64 / (self.at - before.at).as_secs_f64()
    }

    fn entries_since(&self, before: &Self) -> f64 {
        (self.applied - before.applied) as f64 / (self.at - before.at).as_secs_f64()
    }
}

/// Seconds of processor time that each process has used.
fn cpu_of(pids: &[u32]) -> anyhow::Result<Vec<f64>> {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let used = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // After the name, which may have blanks: state is field 3, and user
        // and system time are 14 and 15.
        let rest = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let time = |field: usize| fields.get(field).and_then(|text| text.parse::<f64>().ok());
        Ok(time(11)
            .zip(time(12))
            .map_or(0.0, |(user, system)| user + system)
            / ticks)
    };
    pids.iter().map(used).collect()
}

/// Resident kibibytes of each process.
fn memory_of(pids: &[u32]) -> anyhow::Result<Vec<u64>> {
    let resident = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let words = line.unwrap_or_default().split_whitespace().next();
        Ok(words.and_then(|word| word.parse().ok()).unwrap_or(0))
    };
    pids.iter().map(resident).collect()
}

/// A cluster whose nodes all serve.
fn started(programs: &Programs, settings: Settings, nodes: usize) -> anyhow::Result<Run> {
    let cluster = Cluster::start(programs, settings, nodes)?;
    cluster.found()?;
    let run = Run::start(cluster)?;
    run.wait_for_service(PATIENCE)?;
    Ok(run)
}

fn wait_for_grant(member: &Member) -> anyhow::Result<()> {
    let control = member.control()?;
    let end = Instant::now() + PATIENCE;
    while control.state()?.tcp.granted == 0 {
        ensure!(Instant::now() < end, "{} gets no slice", member.name());
        thread::sleep(LOOK);
    }
    Ok(())
}

/// The one in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
