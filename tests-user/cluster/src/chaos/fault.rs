// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kinds of faults: how each begins and how it ends.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::bail;
use clinet_control::machine::MachineRequest;
use clinet_slices::names::{Key, Name};
use fastrand::Rng;
use rustix::process::Signal;

use super::{quota, snapshot};
use crate::directory;
use crate::proxy::Weather;
use crate::run::Run;

macro_rules! kinds {
    ($($kind:ident $name:literal $text:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $text] $kind,)*
        }

        impl Kind {
            const ALL: &[Self] = &[$(Self::$kind),*];

            /// By which a plan names it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    KillAgent "kill-agent" "An agent is killed, and started again.";
    StopAgent "stop-agent" "An agent is stopped, and goes on.";
    KillNode "kill-node" "A machine is off without warning, and boots again.";
    StopNode "stop-node" "A machine is stopped, and goes on.";
    KillMember "kill-etcd" "A member of etcd is killed, and started again.";
    KillLeader "kill-leader" "The same of the leader.";
    StopMember "stop-etcd" "A member of etcd is stopped, and goes on.";
    StopLeader "stop-leader" "The same of the leader.";
    Outage "outage" "All members of etcd are killed, and started again.";
    Slow "slow" "What etcd answers an agent takes a while.";
    Cut "cut" "An agent's connections end, and none comes about.";
    HalfOpen "half-open" "An agent's connections stay, but nothing passes.";
    Deaf "deaf" "An agent is not answered.";
    Revoke "revoke" "A lease of a living node is gone.";
    ClockRate "clock-rate" "A machine's clock runs fast or slow.";
    Quota "quota" "The database of etcd is full.";
    Snapshot "snapshot" "The data of etcd are those of before.";
}

/// What a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Node(usize),
    Etcd(usize),
    Directory,
}

/// A fault that is there.
pub struct Active {
    kind: Kind,
    target: Target,
    until: Instant,
    snapshot: Option<snapshot::Saved>,
}

impl fmt::Display for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.until.saturating_duration_since(Instant::now());
        let name = self.kind.name();
        match self.target {
            Target::Node(node) => write!(f, "{name} node-{}", node + 1)?,
            Target::Etcd(member) => write!(f, "{name} etcd-{}", member + 1)?,
            Target::Directory => write!(f, "{name}")?,
        }
        write!(f, " for {:.1} s", left.as_secs_f64())
    }
}

impl Kind {
    /// Those of these names; all if there is none.
    pub fn named(names: &[String]) -> anyhow::Result<Vec<Self>> {
        if names.is_empty() {
            return Ok(Self::ALL.to_vec());
        }
        let find = |name: &String| {
            let kind = Self::ALL.iter().find(|kind| kind.name() == name);
            match kind {
                Some(kind) => Ok(*kind),
                None => bail!(
                    "there is no fault {name}: {}",
                    Self::ALL
                        .iter()
                        .map(|kind| kind.name())
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            }
        };
        names.iter().map(find).collect()
    }

    /// Is it about a node, about a member of etcd, or about the whole of it?
    fn target(self, run: &Run, rng: &mut Rng) -> Option<Target> {
        let etcd = &run.cluster.etcd;
        Some(match self {
            Self::KillMember | Self::StopMember => Target::Etcd(rng.usize(..etcd.count())),
            Self::KillLeader | Self::StopLeader => Target::Etcd(etcd.leader()?),
            Self::Outage | Self::Quota | Self::Snapshot => Target::Directory,
            _ => Target::Node(rng.usize(..run.cluster.members.len())),
        })
    }

    /// For how long it may last: some are over before anybody has to notice, others
    /// last longer than a grant.
    fn longest(self, run: &Run) -> Duration {
        let settings = &run.cluster.settings;
        match self {
            Self::Revoke => Duration::ZERO,
            Self::KillAgent | Self::KillNode | Self::KillMember | Self::KillLeader => {
                Duration::from_secs(4)
            }
            _ => settings.grant + settings.fence + settings.packet * 2,
        }
    }

    /// Begins one, unless something is wrong with its target already.
    pub fn begin(
        self,
        run: &mut Run,
        active: &[Active],
        rng: &mut Rng,
    ) -> anyhow::Result<Option<Active>> {
        let Some(target) = self.target(run, rng) else {
            return Ok(None);
        };
        let is_in_the_way = |other: &Active| match (target, other.target) {
            (Target::Directory, Target::Node(_)) | (Target::Node(_), Target::Directory) => false,
            (Target::Directory, _) | (_, Target::Directory) => true,
            (own, other) => own == other,
        };
        // A lease can go whatever else is wrong.
        if self != Self::Revoke && active.iter().any(is_in_the_way) {
            return Ok(None);
        }
        let time = self.longest(run).mul_f64(rng.f64());
        let mut fault = Active {
            kind: self,
            target,
            until: Instant::now() + time,
            snapshot: None,
        };
        fault.start(run, rng)?;
        Ok(Some(fault))
    }

    fn weather(self, rng: &mut Rng, run: &Run) -> Option<Weather> {
        let timeout = run.cluster.settings.timeout;
        Some(match self {
            Self::Slow => Weather::Slow(timeout.mul_f64(rng.f64() * 0.9)),
            Self::Cut => Weather::Cut,
            Self::HalfOpen => Weather::HalfOpen,
            Self::Deaf => Weather::Deaf,
            _ => return None,
        })
    }
}

impl Active {
    /// When it is to end.
    pub fn until(&self) -> Instant {
        self.until
    }

    fn start(&mut self, run: &mut Run, rng: &mut Rng) -> anyhow::Result<()> {
        if let Some(weather) = self.kind.weather(rng, run) {
            self.set_weather(run, weather);
            return Ok(());
        }
        match (self.kind, self.target) {
            (Kind::KillAgent, Target::Node(node)) => run.cluster.members[node].kill_agent(),
            (Kind::StopAgent, Target::Node(node)) => signal_agent(run, node, Signal::STOP),
            (Kind::KillNode, Target::Node(node)) => run.cluster.members[node].kill(),
            (Kind::StopNode, Target::Node(node)) => stop_machine(run, node),
            (Kind::ClockRate, Target::Node(node)) => {
                let most = i32::try_from(run.cluster.settings.rate_ppm).unwrap_or(0);
                set_clock_rate(run, node, rng.i32(-most..=most));
            }
            (Kind::Revoke, Target::Node(node)) => revoke(run, node)?,
            (Kind::KillMember | Kind::KillLeader, Target::Etcd(member)) => {
                run.cluster.etcd.kill_member(member);
            }
            (Kind::StopMember | Kind::StopLeader, Target::Etcd(member)) => {
                run.cluster.etcd.signal(member, Signal::STOP);
            }
            (Kind::Outage, _) => run.cluster.etcd.kill_all(),
            (Kind::Quota, _) => quota::fill(&run.cluster.etcd),
            (Kind::Snapshot, _) => self.snapshot = Some(snapshot::save(run)?),
            _ => {}
        }
        Ok(())
    }

    /// Ends it.
    pub fn end(self, run: &mut Run) -> anyhow::Result<()> {
        match (self.kind, self.target) {
            (Kind::Slow | Kind::Cut | Kind::HalfOpen | Kind::Deaf, _) => {
                self.set_weather(run, Weather::Fine);
            }
            (Kind::KillAgent, Target::Node(node)) => run.cluster.members[node].start_agent()?,
            (Kind::StopAgent, Target::Node(node)) => signal_agent(run, node, Signal::CONT),
            (Kind::KillNode, Target::Node(node)) => run.cluster.start_member(node)?,
            (Kind::StopNode, Target::Node(node)) => signal_machine(run, node, Signal::CONT),
            (Kind::ClockRate, Target::Node(node)) => set_clock_rate(run, node, 0),
            (Kind::KillMember | Kind::KillLeader, Target::Etcd(member)) => {
                run.cluster.etcd.start_member(member)?;
            }
            (Kind::StopMember | Kind::StopLeader, Target::Etcd(member)) => {
                run.cluster.etcd.signal(member, Signal::CONT);
            }
            (Kind::Outage, _) => run.cluster.etcd.start_all()?,
            (Kind::Quota, _) => quota::empty(&run.cluster.etcd)?,
            (Kind::Snapshot, _) => {
                if let Some(saved) = self.snapshot {
                    saved.restore(run)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn set_weather(&self, run: &Run, weather: Weather) {
        if let Target::Node(node) = self.target {
            for proxy in run.cluster.members[node].proxies() {
                proxy.set(weather);
            }
        }
    }
}

fn signal_agent(run: &Run, node: usize, signal: Signal) {
    if let Some(agent) = run.cluster.members[node].agent() {
        agent.signal(signal);
    }
}

fn signal_machine(run: &Run, node: usize, signal: Signal) {
    if let Some(machine) = run.cluster.members[node].machine() {
        machine.signal(signal);
    }
}

/// Not in the middle of a send: a packet that is past all checks leaves when the
/// machine goes on, which no machine can help.
fn stop_machine(run: &Run, node: usize) {
    let _quiet = run.traffic[node].pause();
    if let Some(machine) = run.cluster.members[node].machine() {
        // A thread that still runs would take what the program asks next.
        machine.stop();
    }
}

fn set_clock_rate(run: &Run, node: usize, ppm: i32) {
    // A machine that is off gets its rate when it boots.
    if let Ok(machine) = run.cluster.members[node].connect() {
        drop(machine.machine(&MachineRequest::SetClockRate { ppm }));
    }
}

/// etcd has done this by itself, to leases that were kept alive.
fn revoke(run: &Run, node: usize) -> anyhow::Result<()> {
    let cluster = &run.cluster;
    let key = Key::Node(Name::new(cluster.members[node].name())?);
    let names = cluster.settings.names()?;
    for url in cluster.etcd.endpoints() {
        let Ok(directory) = directory::read(&url, &names) else {
            continue;
        };
        let entry = directory.entries.iter().find(|entry| entry.key == key);
        if let Some(entry) = entry.filter(|entry| entry.lease != 0) {
            // A directory that does not answer now revokes nothing.
            drop(directory::revoke(&cluster.etcd, entry.lease));
        }
        break;
    }
    Ok(())
}
