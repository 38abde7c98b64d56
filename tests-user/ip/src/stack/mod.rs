// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One IP stack: its addresses, its TCP conns and its UDP endpoints.

mod interface;
mod ports;
mod route;
mod squeue;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::address::{FiveTuple, IPPROTO_TCP, kept_end};
use crate::hooks::{Held, Hook, HookCall};
use crate::lock;
use crate::network::{Body, Network};
use crate::node::NodeId;
use crate::release::Release;
use crate::sites::Sites;
use crate::tcp::{self, Packet, Segment};
use crate::udp::{self, Udp};

pub(crate) use interface::Interfaces;
pub use interface::{IFF_IPV4, IFF_IPV6, IFF_LOOPBACK, IFF_NOLOCAL, IFF_UP, IFF_VRRP, Interface};
pub(crate) use ports::{AnonPorts, FIRST_EPHEMERAL};
pub use route::Groups;
pub(crate) use route::NoWay;
pub(crate) use squeue::{PortUse, Provoked, Squeue, State};

/// How long a connection of a cluster stays in TIME_WAIT.
pub const TIME_WAIT: Duration = Duration::from_secs(60);
/// How long connect() tries at least in a cluster.
pub const CONNECT_ABORT: Duration = Duration::from_secs(180);

/// The tunables that are times, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub time_wait: u64,
    pub connect_abort: u64,
}

impl Times {
    /// Those of the machine that the recordings are of.
    const RECORDED: Self = Self {
        time_wait: 1000,
        connect_abort: 2500,
    };
    /// Those that a system comes with.
    const USUAL: Self = Self {
        time_wait: TIME_WAIT.as_millis() as u64,
        connect_abort: CONNECT_ABORT.as_millis() as u64,
    };
}

/// The place of a stack on a network.
struct Link {
    node: NodeId,
    network: Weak<Network>,
}

/// One IP stack.
pub(crate) struct Stack {
    pub id: i32,
    pub sites: Sites,
    pub times: Times,
    /// `None` if there is loopback only.
    link: Option<Link>,
    pub release: Release,
    groups: Mutex<Groups>,
    pub interfaces: Interfaces,
    tcp_ports: AnonPorts,
    udp_ports: AnonPorts,
    pub squeue: Mutex<State>,
    /// `uf_lock`: the bound UDP endpoints.
    pub udp: Mutex<Vec<Arc<Udp>>>,
}

impl Stack {
    /// A stack of a machine that has loopback only.
    pub fn new(id: i32, sites: Sites, release: Release) -> Self {
        Self::with(id, sites, release, Times::RECORDED, route::loopback())
    }

    /// The stack of a node, with these addresses; what it sends to others goes
    /// over the network, and what comes from there comes in interrupt threads.
    pub fn on_network(
        node: NodeId,
        addresses: &[IpAddr],
        sites: Sites,
        release: Release,
        network: Weak<Network>,
    ) -> Self {
        let name = |index| match index {
            0 => "net0".to_owned(),
            unit => format!("net0:{unit}"),
        };
        let names: Vec<String> = (0..addresses.len()).map(name).collect();
        let named = names
            .iter()
            .map(String::as_str)
            .zip(addresses.iter().copied());
        let interfaces = Interfaces::new(&named.collect::<Vec<_>>());
        let mut stack = Self::with(0, sites, release, Times::USUAL, interfaces);
        let state = stack.squeue.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.interrupts = true;
        state.now = network.upgrade().map_or(0, |network| network.now());
        stack.link = Some(Link { node, network });
        stack
    }

    fn with(id: i32, sites: Sites, release: Release, times: Times, interfaces: Interfaces) -> Self {
        Self {
            id,
            sites,
            times,
            link: None,
            release,
            groups: Mutex::default(),
            interfaces,
            // A kernel draws them; here TCP and UDP do not meet.
            tcp_ports: AnonPorts::beginning_at(FIRST_EPHEMERAL),
            udp_ports: AnonPorts::beginning_at(FIRST_EPHEMERAL + (1 << 14)),
            squeue: Mutex::new(State {
                now: 0,
                conns: BTreeMap::new(),
                last: 0,
                places: 0,
                on_squeue: Vec::new(),
                waiting: VecDeque::new(),
                aborted: Vec::new(),
                provoked: None,
                interrupts: false,
            }),
            udp: Mutex::default(),
        }
    }

    /// The ports for whoever names none.
    pub fn anon_ports(&self, protocol: u8) -> &AnonPorts {
        match protocol {
            IPPROTO_TCP => &self.tcp_ports,
            _ => &self.udp_ports,
        }
    }

    /// A call with what most of them have in common.
    pub fn hook(&self, hook: Hook, protocol: u8, laddr: IpAddr, lport: u16) -> HookCall {
        HookCall {
            hook,
            stack: self.id,
            protocol,
            outgoing: None,
            laddr,
            lport: Some(lport),
            faddr: None,
            fport: None,
            held: Held::Nothing,
            interrupt: false,
        }
    }

    pub fn is_on_network(&self) -> bool {
        self.link.is_some()
    }

    fn network(&self) -> Option<Arc<Network>> {
        self.link.as_ref()?.network.upgrade()
    }

    /// Hands a packet for another node to the network; without one it is lost.
    pub fn send_out(&self, from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), body: Body) {
        if let (Some(link), Some(network)) = (&self.link, self.network()) {
            let end = |(address, port): (Ipv6Addr, u16)| SocketAddr::new(address.into(), port);
            network.send(link.node, end(from), end(to), body);
        }
    }

    /// A packet comes from the network; for nobody if the address is not up.
    pub fn receive(&self, from: SocketAddr, to: SocketAddr, body: Body) {
        let (from, to) = (kept_end(from), kept_end(to));
        if !self.is_local(to.0) {
            return;
        }
        match body {
            Body::Tcp(segment) => self.enter().deliver(Packet { from, to, segment }),
            Body::TcpAnswer => self.enter().deliver(Packet {
                from,
                to,
                segment: Segment::Rst,
            }),
            Body::Udp(length) => drop(udp::deliver(self, from, to, length)),
        }
    }

    /// Delivers what is on the network. No lock of ip may be held.
    pub fn pump(&self) {
        if let Some(network) = self.network() {
            network.pump();
        }
    }

    /// Does a connection have these ends?
    pub fn has_flow(&self, tuple: &FiveTuple) -> bool {
        match tuple.protocol {
            IPPROTO_TCP => tcp::has_connection(&self.enter(), tuple),
            _ => udp::has_connection(self, tuple),
        }
    }

    /// Does anybody take what begins a flow with this local end?
    pub fn takes_flows(&self, tuple: &FiveTuple) -> bool {
        match tuple.protocol {
            IPPROTO_TCP => tcp::has_listener(&self.enter(), tuple),
            _ => udp::has_receiver(self, tuple),
        }
    }

    /// When the next timer is due, if one runs.
    pub fn next_timer(&self) -> Option<u64> {
        self.enter().next_timer()
    }

    /// Lets time pass here, and on the whole network if there is one.
    fn advance_to(&self, time: u64) {
        match self.network() {
            Some(network) => network.advance_to(time),
            None => self.enter().advance_to(time),
        }
    }

    /// Lets packets and, when there are none, time pass for at most so many
    /// milliseconds, until `is_over`.
    pub fn wait_until(&self, milliseconds: u64, mut is_over: impl FnMut(&mut Squeue<'_>) -> bool) {
        let end = self.enter().state.now + milliseconds;
        loop {
            self.pump();
            let mut squeue = self.enter();
            squeue.settle();
            if is_over(&mut squeue) || squeue.state.now >= end {
                return;
            }
            drop(squeue);
            let next = match self.network() {
                Some(network) => network.next_timer(),
                None => self.next_timer(),
            };
            self.advance_to(next.map_or(end, |next| next.min(end)));
        }
    }

    /// Works on this stack's squeue.
    pub fn enter(&self) -> Squeue<'_> {
        self.sites.taking("squeue");
        Squeue {
            stack: self,
            state: lock(&self.squeue),
            interrupt: false,
        }
    }
}
