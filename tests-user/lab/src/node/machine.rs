// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One simulated machine: the released module on a stock ip, the driver of its
//! control device, a clock, programs, and a network of hosts that answer.

use std::fs::File;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clinet_control::machine::{LocalAddress, MachineReply, MachineRequest};
use clinet_ip::{AttachedNode, Body, Cluster, Errno, IFF_NOLOCAL, Interface, Ip, Release};
use clinet_kernel::{Cred, Driver, Kernel, OpenFile, OpenFlags};

use super::clock::Clock;
use super::peers::Peers;
use super::programs::{Program, Programs};
use super::register::registered;
use super::sent::Sent;

/// The stack that has the addresses.
const STACK: i32 = 0;
/// 5-tuples that a machine has room for unless a tunable says otherwise: those of
/// the module.
const TUPLES: u64 = 1 << 20;

/// A tunable's value as `/etc/system` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A `char *`.
    Text(String),
}

/// What the machine is made of.
pub struct Setup {
    /// The file of `misc/clinet`.
    pub module: Vec<u8>,
    /// The file of `drv/clinetctl`.
    pub driver: Vec<u8>,
    /// Whose ip it has.
    pub release: Release,
    /// The shared addresses.
    pub addresses: Vec<IpAddr>,
    /// They are down at first, as on a node that waits for its agent.
    pub down: bool,
    /// `set clinet:NAME = VALUE`.
    pub tunables: Vec<(String, Value)>,
    /// Where each packet that leaves is noted, too.
    pub sent: Option<File>,
    /// How much its clock is faster than the host's, in millionths.
    pub clock_ppm: i32,
}

/// One machine.
pub struct Machine {
    addresses: Vec<IpAddr>,
    node: AttachedNode,
    driver: Driver,
    clock: Arc<Clock>,
    peers: Peers,
    programs: Programs,
    sent: Arc<Sent>,
}

impl Machine {
    /// Boots it and loads both files.
    pub fn boot(setup: Setup) -> anyhow::Result<Self> {
        let cluster = Arc::new(Cluster::default());
        let attached = cluster.add_stock_node("node", &setup.addresses, setup.release);
        let kernel = attached.kernel().clone();
        kernel.keep_time();
        let sent = Arc::new(Sent::new(setup.sent));
        note_what_leaves(&cluster, &sent);
        if setup.down {
            for &address in &setup.addresses {
                attached.ip().set_address(STACK, address, false);
            }
        }
        let tunables = tunables(&kernel, &setup.addresses, &setup.tunables);
        let tunables: Vec<_> = tunables
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        let node = AttachedNode::on(attached, &setup.module, &tunables)
            .context("the module clinet does not load")?;
        let driver = kernel
            .load_driver("drv/clinetctl", &setup.driver, &[])
            .context("the driver clinetctl does not load")?;
        Ok(Self {
            addresses: setup.addresses,
            node,
            driver,
            clock: Arc::new(Clock::new(cluster.clone(), setup.clock_ppm)),
            peers: Peers::new(cluster),
            programs: Programs::default(),
            sent,
        })
    }

    /// Its clock.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// What the module says of itself.
    pub fn linkinfo(&self) -> &str {
        &self.node.clinet().module().info().linkinfo
    }

    /// Why it panicked, if it did.
    pub fn panicked(&self) -> Option<String> {
        let fault = self.kernel().fault()?;
        Some(fault.to_string())
    }

    /// Opens the control device.
    ///
    /// # Errors
    ///
    /// The errno of the driver.
    pub fn open(&self, cred: Cred) -> Result<OpenFile, i32> {
        self.driver.open(cred, OpenFlags::READ | OpenFlags::WRITE)
    }

    /// The program ends.
    pub fn end(&self, program: &Program) {
        self.clock.catch_up();
        self.programs.end(program);
    }

    /// Does what a program asks the machine's TCP/IP for.
    ///
    /// # Errors
    ///
    /// What the system call of illumos answers.
    pub fn ask(&self, program: &Program, request: &MachineRequest) -> Result<MachineReply, Errno> {
        self.clock.catch_up();
        let done = |()| MachineReply::Done;
        match *request {
            MachineRequest::SetEphemeralRange {
                protocol,
                first,
                last,
            } => self
                .set_ephemeral_range(protocol.number(), first, last)
                .map(done),
            MachineRequest::EphemeralRange { protocol } => {
                let range = self.ip().anon_ports(STACK, protocol.number());
                Ok(MachineReply::EphemeralRange {
                    first: *range.start(),
                    last: *range.end(),
                })
            }
            MachineRequest::AddressUp { address } => self.set_address(address, true).map(done),
            MachineRequest::AddressDown { address } => self.set_address(address, false).map(done),
            MachineRequest::Addresses => Ok(MachineReply::Addresses {
                addresses: self.interfaces(),
            }),
            MachineRequest::UdpSockets => Ok(MachineReply::UdpSockets {
                sockets: self.programs.udp_sockets(),
            }),
            MachineRequest::Connect {
                protocol,
                local,
                foreign,
            } => {
                let ends = (protocol, local, foreign);
                let connected = self.programs.connect(self.ip(), &self.peers, program, ends);
                connected.map(|(socket, local)| MachineReply::Connected { socket, local })
            }
            MachineRequest::Send { socket } => self.programs.send(program, socket).map(done),
            MachineRequest::Close { socket } => self.programs.close(program, socket).map(done),
            MachineRequest::Register { count } => {
                let count = registered(&self.node, &self.addresses, count);
                Ok(MachineReply::Registered { count })
            }
            MachineRequest::Sent { since } => Ok(self.sent.since(since)),
            MachineRequest::SetClockRate { ppm } => {
                self.clock.set_rate(ppm);
                Ok(MachineReply::Done)
            }
            MachineRequest::Advance { milliseconds } => {
                let by = Duration::from_millis(milliseconds);
                self.clock.jump(by);
                Ok(MachineReply::Done)
            }
        }
    }

    fn ip(&self) -> &Ip {
        self.node.ip()
    }

    fn kernel(&self) -> &Arc<Kernel> {
        self.node.attached().kernel()
    }

    /// Passes through the union, since a range is never empty.
    fn set_ephemeral_range(&self, protocol: u8, first: u16, last: u16) -> Result<(), Errno> {
        let ip = self.ip();
        if last < first {
            return Err(Errno::ERANGE);
        }
        if first > *ip.anon_ports(STACK, protocol).end() {
            ip.set_largest_anon_port(STACK, protocol, last)?;
            ip.set_smallest_anon_port(STACK, protocol, first)
        } else {
            ip.set_smallest_anon_port(STACK, protocol, first)?;
            ip.set_largest_anon_port(STACK, protocol, last)
        }
    }

    fn set_address(&self, address: IpAddr, up: bool) -> Result<(), Errno> {
        let is_there = self.ip().set_address(STACK, address, up);
        is_there.then_some(()).ok_or(Errno::ENXIO)
    }

    fn interfaces(&self) -> Vec<LocalAddress> {
        let shown = |interface: Interface| LocalAddress {
            up: interface.is_up(),
            nolocal: interface.flags & IFF_NOLOCAL != 0,
            interface: interface.name,
            address: interface.address,
        };
        self.ip().interfaces(STACK).into_iter().map(shown).collect()
    }
}

/// Notes each packet of the machine, the first node of its network, that comes from a
/// socket. A RST for a segment that belongs to no connection says nothing of who uses the
/// port: a router takes such segments to whoever has it.
fn note_what_leaves(cluster: &Cluster, sent: &Arc<Sent>) {
    let machine = cluster.nodes().first().map(clinet_ip::Node::id);
    let sent = sent.clone();
    cluster.watch(move |sighting| {
        if Some(sighting.sender) == machine && sighting.body != Body::TcpAnswer {
            sent.note(sighting);
        }
    });
}

/// Those of the setup after what a machine has anyway: its shared addresses.
fn tunables(kernel: &Kernel, addresses: &[IpAddr], set: &[(String, Value)]) -> Vec<(String, u64)> {
    let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let addresses = Value::Text(addresses.join(","));
    let usual = [
        ("clinet_addrs".to_owned(), addresses),
        ("clinet_max_tuples".to_owned(), Value::Number(TUPLES)),
    ];
    let all = usual.iter().chain(set);
    let placed = all.map(|(name, value)| {
        let value = match value {
            Value::Number(number) => *number,
            Value::Text(text) => kernel.string(text),
        };
        (name.clone(), value)
    });
    placed.collect()
}
