// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One IP stack: its addresses, its TCP conns and its UDP endpoints.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::address::{is_any, is_mapped, is_multicast, kept};
use crate::conn::{Conn, ConnId, TcpState, Timer};
use crate::errno::{EHOSTUNREACH, Errno};
use crate::hooks::{Held, Hook, HookCall, Provider, call};
use crate::release::Release;
use crate::tcp::Packet;
use crate::udp::Udp;

/// Locks; a panic of another thread leaves the model usable for reports.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            Self::Rejected => EHOSTUNREACH,
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
    pub provider: Arc<dyn Provider>,
    pub release: Release,
    groups: Mutex<Groups>,
    interfaces: RwLock<Vec<Interface>>,
    next_port: AtomicU16,
    pub squeue: Mutex<State>,
    /// `uf_lock`: the bound UDP endpoints.
    pub udp: Mutex<Vec<Arc<Udp>>>,
}

impl Stack {
    pub fn new(id: i32, provider: Arc<dyn Provider>, release: Release) -> Self {
        Self {
            id,
            provider,
            release,
            groups: Mutex::default(),
            interfaces: RwLock::new(interfaces()),
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
            let is_local = self.is_local(destination);
            return is_local.then_some(destination).ok_or(NoWay::Rejected);
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

    /// Makes a call through a hook variable.
    pub fn call(&self, made: HookCall) -> Option<i32> {
        call(&*self.provider, &made)
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

    /// Works on this stack's squeue.
    pub fn enter(&self) -> Squeue<'_> {
        self.provider.taking("squeue");
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
            Timer::TimeWait => self.clean_death(id, 0),
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
