// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Machines of their own for each test, and agents that run on them.

pub mod etcd;
pub mod proxy;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clinet_control::machine::{MachineReply, MachineRequest, UdpSocket};
use clinet_control::{Errno, EventType, Protocol, abi};
use clinet_device::Node;
use clinet_slices::names::Name;
use clinetd::config::Config;
use clinetd::operator::Operator;
use tempfile::TempDir;
use zerocopy::FromZeros;

use etcd::{Etcd, Process, block_on, eventually, free_port};

/// Tests with agents go one after the other: each has times that must not run out.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    // A test that failed is no reason for the others to fail.
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a machine around the module has.
#[derive(Default)]
pub struct Around {
    pub ranges: [Option<(u16, u16)>; 2],
    pub up: Vec<IpAddr>,
    /// Bound UDP ports and their programs.
    pub sockets: Vec<(u16, String)>,
}

impl Around {
    fn answer(&mut self, request: MachineRequest) -> Result<MachineReply, Errno> {
        match request {
            MachineRequest::SetEphemeralRange {
                protocol,
                first,
                last,
            } => {
                self.ranges[usize::from(protocol == Protocol::Udp)] = Some((first, last));
            }
            MachineRequest::AddressUp { address } => {
                self.up.retain(|up| *up != address);
                self.up.push(address);
            }
            MachineRequest::AddressDown { address } => self.up.retain(|up| *up != address),
            MachineRequest::UdpSockets => {
                let sockets = self.sockets.iter().map(|(port, program)| UdpSocket {
                    local: SocketAddr::from(([0, 0, 0, 0], *port)),
                    foreign: None,
                    program: program.clone(),
                    pid: 42,
                });
                return Ok(MachineReply::UdpSockets {
                    sockets: sockets.collect(),
                });
            }
            _ => return Err(Errno::ENOTSUP),
        }
        Ok(MachineReply::Done)
    }
}

/// A machine whose clock runs and whose module fences at the deadline.
pub struct Machine {
    pub name: String,
    pub around: Arc<Mutex<Around>>,
    /// Before the folder, which has its socket.
    node: Arc<Node>,
    folder: TempDir,
    ended: Arc<AtomicBool>,
    clock: Option<JoinHandle<()>>,
    pub metrics: String,
}

impl Machine {
    pub fn start(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let node = Arc::new(Node::start(folder.path()).expect("a socket"));
        let around: Arc<Mutex<Around>> = Arc::default();
        let answers = Arc::clone(&around);
        node.module(|module| {
            module.state.cst_fence_seconds = 1;
            module.machine = Box::new(move |request| {
                let mut around = answers.lock().unwrap_or_else(PoisonError::into_inner);
                around.answer(request)
            });
        });
        let ended = Arc::new(AtomicBool::new(false));
        let clock = {
            let (node, ended) = (Arc::clone(&node), Arc::clone(&ended));
            thread::spawn(move || run_clock(&node, &ended))
        };
        let machine = Self {
            name: name.into(),
            around,
            node,
            folder,
            ended,
            clock: Some(clock),
            metrics: format!("127.0.0.1:{}", free_port()),
        };
        machine.boot(1);
        machine
    }

    /// The machine's n-th boot.
    pub fn boot(&self, boot: u32) {
        let number: u32 = self.name.bytes().map(u32::from).sum();
        for (file, id) in [("machine", number), ("boot", boot)] {
            let file = self.folder.path().join(file);
            fs::write(&file, format!("{id:032x}\n")).expect("an id");
        }
    }

    /// The granted ranges of a protocol's ports, while the deadline has not passed.
    pub fn granted(&self, protocol: usize) -> Vec<(u16, u16)> {
        self.node.module(|module| {
            let ranges = module.granted[protocol].ranges();
            let live = module.state.cst_now < module.state.cst_deadline;
            let ranges = ranges.iter().map(|range| (*range.start(), *range.end()));
            ranges.filter(|_| live).collect()
        })
    }

    /// It has TCP ports, and its addresses are up.
    pub fn serves(&self) -> bool {
        !self.granted(0).is_empty() && !self.is_fenced()
    }

    pub fn is_fenced(&self) -> bool {
        self.node
            .module(|module| module.state.cst_fence == abi::CLINETCTL_FENCED)
    }

    /// Nanoseconds after which nothing granted is left, as the owner's clock sees it.
    pub fn time_left(&self) -> u64 {
        self.node.module(|module| {
            let state = &module.state;
            state.cst_deadline.saturating_sub(state.cst_now)
        })
    }

    pub fn deadline(&self) -> u64 {
        self.node.module(|module| module.state.cst_deadline)
    }

    pub fn epoch(&self) -> u64 {
        self.node.module(|module| module.state.cst_epoch)
    }

    /// The revision of etcd up to which its agent has heard.
    pub fn heard(&self) -> u64 {
        let text = fs::read_to_string(self.folder.path().join("state")).unwrap_or_default();
        let kept: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        kept["revision"].as_u64().unwrap_or(0)
    }

    /// The file of its agent. T is so many seconds; `more` are further tables or members of the
    /// last one, \[addresses\].
    pub fn configure(&self, etcd: &[&str], grant: u32, more: &str) -> PathBuf {
        let file = self.folder.path().join("clinetd.toml");
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let text = format!(
            "cluster = \"test\"\npool = \"web\"\nnode = \"{}\"\ndevice = \"{}\"\nstate = \"{}\"\n\
             metrics = \"{}\"\nlog = \"debug\"\n\
             [machine]\nid-file = \"{}\"\nboot-file = \"{}\"\n\
             [times]\ngrant = {grant}\nfence = 1\npacket = 0.5\nlease = 2\n\
             [etcd]\nendpoints = {:?}\ntimeout = 0.5\n\
             [addresses]\nshared = [\"192.0.2.10\", \"2001:db8::10\"]\ntopology = \"router\"\n{more}",
            self.name,
            self.node.path().display(),
            at("state"),
            self.metrics,
            at("machine"),
            at("boot"),
            etcd,
        );
        fs::write(&file, text).expect("the configuration");
        file
    }

    /// Starts an agent. Its log goes to the test's output.
    pub fn agent(&self, file: &Path) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clinetd"));
        Process::spawn(command.arg("--config").arg(file))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(clock) = self.clock.take() {
            // What it would say is said by the test itself.
            let _ = clock.join();
        }
    }
}

fn run_clock(node: &Node, ended: &AtomicBool) {
    let began = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
        node.module(|module| {
            let elapsed = u64::try_from(began.elapsed().as_nanos()).expect("years");
            module.state.cst_now = 1_000_000_000_000 + elapsed;
            let granted = module.granted.iter().any(|ports| !ports.is_empty());
            let late = module.state.cst_deadline <= module.state.cst_now;
            if granted && late && module.state.cst_fence == abi::CLINETCTL_UNFENCED {
                module.state.cst_fence = abi::CLINETCTL_FENCED;
                let event = abi::clinetctl_event_t::new_zeroed();
                module.happen(EventType::Fenced, event);
            }
        });
    }
}

pub fn name(name: &str) -> Name {
    name.parse().expect("a name")
}

/// No two machines have one port.
pub fn disjoint(machines: &[Machine]) -> bool {
    (0..2).all(|protocol| {
        let ranges = machines
            .iter()
            .flat_map(|machine| machine.granted(protocol));
        let mut all: Vec<(u16, u16)> = ranges.collect();
        all.sort_unstable();
        all.windows(2).all(|pair| pair[0].1 < pair[1].0)
    })
}

/// The operator of the cluster that a file describes.
pub fn operator(file: &Path) -> Operator {
    Operator::new(&Config::load(file).expect("a configuration")).expect("an operator")
}

/// A cluster with an etcd and machines, each with its agent's file.
pub struct Cluster {
    pub machines: Vec<Machine>,
    pub files: Vec<PathBuf>,
    pub etcd: Etcd,
}

impl Cluster {
    /// Founds one in which T is so many seconds.
    pub fn found(names: &[&str], grant: u32, more: &str) -> Self {
        let etcd = Etcd::start();
        let machines: Vec<Machine> = names.iter().map(|name| Machine::start(name)).collect();
        let files = machines.iter();
        let files = files.map(|m| m.configure(&[etcd.endpoint()], grant, more));
        let files: Vec<PathBuf> = files.collect();
        block_on(operator(&files[0]).found()).expect("founded");
        Self {
            machines,
            files,
            etcd,
        }
    }

    pub fn agent(&self, n: usize) -> Process {
        self.machines[n].agent(&self.files[n])
    }

    /// Starts all agents and waits until all machines serve.
    pub fn agents(&self) -> Vec<Process> {
        let agents = (0..self.machines.len()).map(|n| self.agent(n)).collect();
        eventually("all serve", || self.machines.iter().all(Machine::serves));
        agents
    }
}
