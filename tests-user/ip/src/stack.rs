// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One IP stack: its addresses, its TCP conns and its UDP endpoints.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use crate::address::{FiveTuple, IPPROTO_TCP, IpVersion, is_any, is_mapped, is_multicast, kept};
use crate::conn::{Conn, ConnId, TcpState, Timer};
use crate::error::Errno;
use crate::hooks::{Held, Hook, HookCall};
use crate::lock;
use crate::network::{Body, Network};
use crate::node::NodeId;
use crate::release::Release;
use crate::sites::Sites;
use crate::tcp::{self, Packet};
use crate::udp::{self, Udp};

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

/// The scope of a group that is for one link, in its second byte.
const LINK_SCOPE: u8 = 2;

/// A logical interface of lo0.
#[derive(Debug)]
struct Interface {
    name: &'static str,
    address: Ipv6Addr,
    up: bool,
}

fn interfaces() -> Vec<Interface> {
    let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    let v6 = |end| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, end));
    [
        ("lo0", v4(127, 0, 0, 1)),
        ("lo0:1", v4(127, 0, 0, 2)),
        ("lo0:2", v4(10, 1, 1, 1)),
        ("lo0:3", v4(10, 1, 1, 2)),
        ("lo0", Ipv6Addr::LOCALHOST.into()),
        ("lo0:1", v6(1)),
        ("lo0:2", v6(2)),
    ]
    .map(|(name, address)| Interface {
        name,
        address: kept(address),
        up: true,
    })
    .into()
}

/// What becomes of IPv6 datagrams to groups, which is the machine's affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Groups {
    /// An interface takes them.
    #[default]
    Sent,
    /// Their route rejects them: whoever sends is asked first.
    Rejected,
    /// No interface takes them: nobody is asked, and this is the error.
    NoInterface(Errno),
}

/// Why there is no way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoWay {
    /// A route that rejects: a sender finds it out after the question.
    Rejected,
    /// No route at all: known before anybody is asked.
    None(Errno),
}

impl NoWay {
    /// What a send to it gives.
    pub fn errno(self) -> Errno {
        match self {
            Self::Rejected => Errno::EHOSTUNREACH,
            Self::None(errno) => errno,
        }
    }
}

/// What happens next to an incoming SYN, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provoked {
    /// `tcp_set_destination` fails after the hook accepted.
    NoDestination,
    /// A second copy of the SYN is offered before the first eager is hashed.
    Duplicate,
}

/// What the squeue of a stack guards. There is one squeue for each stack, as
/// on a machine with one CPU.
#[derive(Debug)]
pub(crate) struct State {
    /// Milliseconds since the stack was made.
    pub now: u64,
    pub conns: BTreeMap<ConnId, Conn>,
    last: ConnId,
    /// Conns that a thread is working on: their packets wait.
    pub on_squeue: Vec<ConnId>,
    pub waiting: VecDeque<Packet>,
    pub provoked: Option<Provoked>,
    /// Packets are processed by interrupt threads.
    pub interrupts: bool,
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
    interfaces: RwLock<Vec<Interface>>,
    next_port: AtomicU16,
    pub squeue: Mutex<State>,
    /// `uf_lock`: the bound UDP endpoints.
    pub udp: Mutex<Vec<Arc<Udp>>>,
}

impl Stack {
    /// A stack of a machine that has loopback only.
    pub fn new(id: i32, sites: Sites, release: Release) -> Self {
        Self::with(id, sites, release, Times::RECORDED, interfaces())
    }

    /// The stack of a node, with these addresses; what it sends to others goes
    /// over the network, and what comes from there comes in interrupt threads.
    pub fn on_network(
        node: NodeId,
        addresses: &[IpAddr],
        sites: Sites,
        network: Weak<Network>,
    ) -> Self {
        let interface = |address: &IpAddr| Interface {
            name: "net0",
            address: kept(*address),
            up: true,
        };
        let interfaces = addresses.iter().map(interface).collect();
        let mut stack = Self::with(0, sites, Release::default(), Times::USUAL, interfaces);
        let state = stack.squeue.get_mut();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        state.interrupts = true;
        state.now = network.upgrade().map_or(0, |network| network.now());
        stack.link = Some(Link { node, network });
        stack
    }

    fn with(
        id: i32,
        sites: Sites,
        release: Release,
        times: Times,
        interfaces: Vec<Interface>,
    ) -> Self {
        Self {
            id,
            sites,
            times,
            link: None,
            release,
            groups: Mutex::default(),
            interfaces: RwLock::new(interfaces),
            next_port: AtomicU16::new(FIRST_EPHEMERAL),
            squeue: Mutex::new(State {
                now: 0,
                conns: BTreeMap::new(),
                last: 0,
                on_squeue: Vec::new(),
                waiting: VecDeque::new(),
                provoked: None,
                interrupts: false,
            }),
            udp: Mutex::default(),
        }
    }

    /// The next port to try for whoever names none.
    pub fn ephemeral(&self) -> u16 {
        loop {
            let port = self.next_port.fetch_add(1, Ordering::Relaxed);
            if port >= FIRST_EPHEMERAL {
                return port;
            }
            let _ = self.next_port.compare_exchange(
                port.wrapping_add(1),
                FIRST_EPHEMERAL,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// Is it an address of this machine that is up?
    pub fn is_local(&self, address: Ipv6Addr) -> bool {
        self.has_interface(|one| one.up && one.address == address)
    }

    /// Is it an address of this machine, up or down?
    pub fn has_address(&self, address: Ipv6Addr) -> bool {
        self.has_interface(|one| one.address == address)
    }

    fn has_interface(&self, is_it: impl Fn(&Interface) -> bool) -> bool {
        let interfaces = self
            .interfaces
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        interfaces.iter().any(is_it)
    }

    pub fn set_groups(&self, groups: Groups) {
        *lock(&self.groups) = groups;
    }

    /// The source for a destination.
    pub fn source_for(&self, destination: Ipv6Addr) -> Result<Ipv6Addr, NoWay> {
        if !is_multicast(destination) {
            return if self.is_local(destination) {
                Ok(destination)
            } else if self.link.is_some() {
                Ok(self.first_address(IpVersion::of_address(destination)))
            } else {
                Err(NoWay::Rejected)
            };
        }
        if is_mapped(destination) {
            return Ok(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        }
        match *lock(&self.groups) {
            // The smallest scope that is not smaller than the group's.
            Groups::Sent if destination.octets()[1] & 0xf <= LINK_SCOPE => Ok(Ipv6Addr::LOCALHOST),
            Groups::Sent => Ok(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
            Groups::Rejected => Err(NoWay::Rejected),
            Groups::NoInterface(errno) => Err(NoWay::None(errno)),
        }
    }

    /// The source that is chosen for what is not local. A node without an
    /// address has no more than the wildcard, as before it is configured.
    fn first_address(&self, version: IpVersion) -> Ipv6Addr {
        let interfaces = self.interfaces.read();
        let interfaces = interfaces.unwrap_or_else(PoisonError::into_inner);
        let mut addresses = interfaces.iter().map(|one| one.address);
        addresses
            .find(|&address| IpVersion::of_address(address) == version)
            .unwrap_or(version.any())
    }

    /// Is there a way to the destination? TCP goes on sending if there is none.
    pub fn check_reachable(&self, destination: Ipv6Addr) -> Result<(), NoWay> {
        let Some(network) = self.network() else {
            return Ok(());
        };
        let is_reachable = network.is_reachable(destination.into());
        is_reachable.then_some(()).ok_or(NoWay::Rejected)
    }

    /// Takes the logical interfaces of a name up or down, IPv4's and IPv6's;
    /// says whether there is one.
    pub fn set_interface(&self, name: &str, up: bool) -> bool {
        let mut interfaces = self
            .interfaces
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut found = false;
        for one in interfaces.iter_mut().filter(|one| one.name == name) {
            one.up = up;
            found = true;
        }
        found
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

    /// A packet comes from the network.
    pub fn receive(&self, from: SocketAddr, to: SocketAddr, body: Body) {
        let end = |end: SocketAddr| (kept(end.ip()), end.port());
        let (from, to) = (end(from), end(to));
        match body {
            Body::Tcp(segment) => self.enter().deliver(Packet { from, to, segment }),
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

/// The first port that is given to whoever names none.
pub(crate) const FIRST_EPHEMERAL: u16 = 32768;

/// A thread inside the squeue of a stack. The lock is the squeue itself: who
/// has it may run a hook, which may take no lock of ip.
pub(crate) struct Squeue<'a> {
    pub stack: &'a Stack,
    pub state: MutexGuard<'a, State>,
    /// The thread is an interrupt thread of a network card.
    pub interrupt: bool,
}

impl Squeue<'_> {
    pub fn add(&mut self, conn: Conn) -> ConnId {
        self.state.last += 1;
        let id = self.state.last;
        self.state.conns.insert(id, conn);
        id
    }

    /// A conn that the caller knows to be there.
    pub fn conn(&mut self, id: ConnId) -> &mut Conn {
        self.state
            .conns
            .get_mut(&id)
            .expect("a conn stays until whoever names it closed it")
    }

    /// Milliseconds until the next timer, if one runs.
    pub fn next_timer(&self) -> Option<u64> {
        let timers = self.state.conns.values().filter_map(|conn| conn.timer);
        timers.map(|(deadline, _)| deadline).min()
    }

    /// Lets time pass, firing what ends meanwhile in its order.
    pub fn advance_to(&mut self, time: u64) {
        self.settle();
        while let Some(deadline) = self.next_timer().filter(|&deadline| deadline <= time) {
            self.state.now = self.state.now.max(deadline);
            let due = self
                .state
                .conns
                .iter()
                .find(|(_, conn)| conn.timer.is_some_and(|timer| timer.0 == deadline))
                .map(|(&id, conn)| (id, conn.timer));
            if let Some((id, Some((_, timer)))) = due {
                self.conn(id).timer = None;
                self.fire(id, timer);
            }
            self.settle();
        }
        self.state.now = self.state.now.max(time);
    }

    fn fire(&mut self, id: ConnId, timer: Timer) {
        match timer {
            Timer::Syn { sent } => self.syn_timer(id, sent),
            Timer::Fin => self.send_fin(id),
            Timer::TimeWait => self.clean_death(id, None),
        }
    }

    pub fn set_timer(&mut self, id: ConnId, after: u64, timer: Timer) {
        let deadline = self.state.now + after;
        self.conn(id).timer = Some((deadline, timer));
    }

    /// Is `port` taken for a bind to `laddr`? IPv4 and IPv6 have ports of their
    /// own. SO_REUSEADDR lets a bind share the port of whoever is connected, or
    /// of another address; without it, and with SO_EXCLBIND of either, a
    /// wildcard shares with nobody. An accepted connection was bound to none.
    pub fn is_port_taken(&mut self, id: ConnId, laddr: Ipv6Addr, port: u16, reuse: bool) -> bool {
        let Conn {
            version, exclbind, ..
        } = *self.conn(id);
        self.state.conns.iter().any(|(&other, conn)| {
            let is_there =
                other != id && conn.lport == port && conn.state >= TcpState::Bound && !conn.dead;
            let has_address = conn.bound == laddr;
            let collides = has_address || is_any(laddr) || is_any(conn.bound);
            let is_exclusive = (exclbind || conn.exclbind) && conn.state <= TcpState::Established;
            is_there
                && if is_exclusive {
                    collides
                } else if conn.version != version {
                    false
                } else if reuse {
                    has_address && conn.state <= TcpState::Listen
                } else {
                    collides
                }
        })
    }

    /// A port that no conn uses.
    pub fn free_port(&self) -> u16 {
        loop {
            let port = self.stack.ephemeral();
            if !self.state.conns.values().any(|conn| conn.lport == port) {
                return port;
            }
        }
    }
}
