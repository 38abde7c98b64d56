// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A node of the cluster: a simulated machine and its agent, each a process, and
//! what stands between the agent and etcd.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use clinet_control::Control;
use clinet_control::socket::SocketDevice;
use clinet_slices::names::Uuid;

use crate::clock::now;
use crate::etcd::{Etcd, free_ports};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::settings::Settings;

/// How long a machine may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the programs are that the cluster is made of.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `lab`, for its command `node`.
    pub lab: PathBuf,
    /// The agent.
    pub clinetd: PathBuf,
    /// More arguments of `lab node`.
    pub machine: Vec<String>,
    /// More of the environment of the agent.
    pub environment: Vec<(String, String)>,
}

/// A node of the cluster.
pub struct Member {
    name: String,
    folder: PathBuf,
    programs: Programs,
    /// How much its machine's clock is faster, in millionths.
    clock_ppm: i32,
    boots: Vec<(u64, Uuid)>,
    machine_id: Uuid,
    machine: Option<Process>,
    agent: Option<Process>,
    proxies: Vec<Proxy>,
}

impl Member {
    /// A node that is off, with its files below `folder`.
    pub fn new(
        name: &str,
        folder: &Path,
        programs: &Programs,
        etcd: &Etcd,
        settings: &Settings,
    ) -> anyhow::Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let target = |member| Proxy::start(([127, 0, 0, 1], etcd.port(member)).into());
        let proxies: Result<Vec<Proxy>, _> = (0..etcd.count()).map(target).collect();
        let member = Self {
            name: name.to_owned(),
            folder,
            programs: programs.clone(),
            clock_ppm: 0,
            boots: Vec::new(),
            machine_id: new_id(),
            machine: None,
            agent: None,
            proxies: proxies?,
        };
        fs::write(member.folder.join("machine-id"), line(member.machine_id))?;
        fs::write(member.configuration(), member.toml(settings)?)?;
        Ok(member)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where programs reach its control device.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("device")
    }

    /// Its agent's configuration, which `clinetadm cluster` can read, too.
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("clinetd.toml")
    }

    /// The file in which its machine notes what it sends in a boot, from 0.
    pub fn sent(&self, boot: usize) -> PathBuf {
        self.folder.join(format!("sent-{boot}"))
    }

    /// What is between its agent and each member of etcd.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// The machine's process, if it is on.
    pub fn machine(&self) -> Option<&Process> {
        self.machine.as_ref()
    }

    /// The agent's process, if it runs.
    pub fn agent(&self) -> Option<&Process> {
        self.agent.as_ref()
    }

    /// What tells its machine from others.
    pub fn machine_id(&self) -> Uuid {
        self.machine_id
    }

    /// When its machine was started by the clock of everything, each time, and what
    /// tells that boot from others.
    pub fn boots(&self) -> &[(u64, Uuid)] {
        &self.boots
    }

    /// From the next start on its clock is faster by so many millionths.
    pub fn set_clock_rate(&mut self, ppm: i32) {
        self.clock_ppm = ppm;
    }

    /// Starts the machine, as one that boots: its shared addresses are down, its
    /// ports are those of the port space, and nothing is granted.
    pub fn boot(&mut self, settings: &Settings) -> anyhow::Result<()> {
        let boot = new_id();
        fs::write(self.folder.join("boot-id"), line(boot))?;
        let sent = self.sent(self.boots.len());
        self.boots.push((now(), boot));
        let mut command = Command::new(&self.programs.lab);
        command.arg("node").arg("--socket").arg(self.socket());
        command.arg("--sent").arg(sent).arg("--down");
        command.arg(format!("--clock-rate={}", self.clock_ppm));
        for address in &settings.addresses {
            command.arg("--addr").arg(address.to_string());
        }
        let space = settings.space();
        command
            .arg("--tunable")
            .arg(format!("clinet_port_space={space}"));
        let fence = settings.fence.as_secs();
        command
            .arg("--tunable")
            .arg(format!("clinet_fence_seconds={fence}"));
        command.args(&self.programs.machine);
        let log = self.folder.join("machine.log");
        let name = format!("the machine of {}", self.name);
        let mut process = Process::start(&name, &mut command, &log)?;
        let socket = self.socket();
        process.wait_until(PATIENCE, || SocketDevice::connect(&socket).is_ok())?;
        self.machine = Some(process);
        Ok(())
    }

    /// Starts the agent.
    pub fn start_agent(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.programs.clinetd);
        command.arg("--config").arg(self.configuration());
        command.envs(self.programs.environment.iter().cloned());
        let log = self.folder.join("agent.log");
        let name = format!("the agent of {}", self.name);
        self.agent = Some(Process::start(&name, &mut command, &log)?);
        Ok(())
    }

    /// Ends the agent without warning.
    pub fn kill_agent(&mut self) {
        self.agent = None;
    }

    /// Ends the machine without warning, and the agent on it.
    pub fn kill(&mut self) {
        self.agent = None;
        self.machine = None;
    }

    /// Asks the agent to end.
    pub fn stop_agent(&mut self) -> anyhow::Result<()> {
        if let Some(mut agent) = self.agent.take() {
            agent.terminate(PATIENCE)?;
        }
        Ok(())
    }

    /// A program's way to the machine.
    pub fn connect(&self) -> anyhow::Result<SocketDevice> {
        let socket = self.socket();
        SocketDevice::connect(&socket).with_context(|| format!("{} is off", self.name))
    }

    /// The control device.
    pub fn control(&self) -> anyhow::Result<Control> {
        Ok(Control::open(&self.socket())?)
    }

    fn toml(&self, settings: &Settings) -> anyhow::Result<String> {
        let mut text = String::new();
        let file = |name: &str| self.folder.join(name).display().to_string();
        let endpoints: Vec<String> = self.proxies.iter().map(Proxy::url).collect();
        let shared: Vec<String> = settings.addresses.iter().map(ToString::to_string).collect();
        let metrics = free_ports(1)?.first().copied().unwrap_or(0);
        writeln!(text, "cluster = {:?}", settings.cluster)?;
        writeln!(text, "pool = {:?}", settings.pool)?;
        writeln!(text, "node = {:?}", self.name)?;
        writeln!(text, "device = {:?}", file("device"))?;
        writeln!(text, "state = {:?}", file("clinetd.state"))?;
        writeln!(text, "metrics = \"127.0.0.1:{metrics}\"")?;
        writeln!(text, "[etcd]\nendpoints = {endpoints:?}")?;
        writeln!(text, "timeout = {:?}", settings.timeout.as_secs_f64())?;
        writeln!(
            text,
            "[ports]\ntcp = {:?}\nudp = {:?}",
            settings.space(),
            settings.space()
        )?;
        writeln!(text, "slice = {}\nslices = 1", settings.slice)?;
        writeln!(text, "[times]\ngrant = {:?}", settings.grant.as_secs_f64())?;
        writeln!(text, "fence = {:?}", settings.fence.as_secs_f64())?;
        writeln!(text, "packet = {:?}", settings.packet.as_secs_f64())?;
        writeln!(
            text,
            "rate-error = {:?}",
            f64::from(settings.rate_ppm) / 1e6
        )?;
        writeln!(text, "lease = {:?}", settings.lease.as_secs_f64())?;
        writeln!(
            text,
            "[addresses]\nshared = {shared:?}\ntopology = \"router\""
        )?;
        writeln!(text, "[machine]\nid-file = {:?}", file("machine-id"))?;
        writeln!(text, "boot-file = {:?}", file("boot-id"))?;
        Ok(text)
    }
}

fn new_id() -> Uuid {
    Uuid(fastrand::u128(1..))
}

fn line(id: Uuid) -> String {
    format!("{id}\n")
}
