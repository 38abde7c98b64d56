// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The squeue of a stack: its TCP conns, the packets that wait, and the timers.

use super::Stack;
use crate::address::{IPPROTO_TCP, is_any};
use crate::conn::{Conn, ConnId, TcpState, Timer};
use crate::error::Errno;
use crate::tcp::Packet;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;
use std::sync::MutexGuard;

/// What happens next to an incoming SYN, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provoked {
    /// `tcp_set_destination` fails after the hook accepted.
    NoDestination,
    /// A second copy of the SYN is offered before the first eager is hashed.
    Duplicate,
}

/// What a port is for a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortUse {
    Free,
    /// With those of a group, by the conn that began it.
    Shared(ConnId),
    Taken,
}

/// How many sockets can share a port by SO_REUSEPORT.
const MOST_OF_A_GROUP: usize = 64;

/// What the squeue of a stack guards. There is one squeue for each stack, as
/// on a machine with one CPU.
#[derive(Debug)]
pub(crate) struct State {
    /// Milliseconds since the stack was made.
    pub now: u64,
    pub conns: BTreeMap<ConnId, Conn>,
    pub(super) last: ConnId,
    /// How often a port was bound or a conn began to listen.
    pub(super) places: u64,
    /// Conns that a thread is working on: their packets wait.
    pub on_squeue: Vec<ConnId>,
    pub waiting: VecDeque<Packet>,
    /// Conns to be aborted by the squeue's worker.
    pub aborted: Vec<ConnId>,
    pub provoked: Option<Provoked>,
    /// Packets are processed by interrupt threads.
    pub interrupts: bool,
}

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

    /// When the next timer is due, if one runs.
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
            Timer::Data { wait } => self.data_timer(id, wait),
            Timer::Fin => self.send_fin(id),
            Timer::TimeWait => self.clean_death(id, None),
        }
    }

    pub fn set_timer(&mut self, id: ConnId, after: u64, timer: Timer) {
        let deadline = self.state.now + after;
        self.conn(id).timer = Some((deadline, timer));
    }

    /// What `port` is for a bind to `laddr`. IPv4 and IPv6 have ports of their
    /// own. SO_REUSEADDR lets a bind share the port of whoever is connected, or
    /// of another address, SO_REUSEPORT that of whoever has the same address and
    /// the same option; without them, and with SO_EXCLBIND of either, a
    /// wildcard shares with nobody.
    pub fn port_use(&mut self, id: ConnId, laddr: Ipv6Addr, port: u16, reuse: bool) -> PortUse {
        let Conn {
            version,
            exclbind,
            reuseport,
            ..
        } = *self.conn(id);
        for conn in self.users_of(id, port) {
            let has_address = conn.bound == laddr;
            let collides = has_address || is_any(laddr) || is_any(conn.bound);
            let is_exclusive = (exclbind || conn.exclbind) && conn.state <= TcpState::Established;
            if !is_exclusive && conn.version != version {
                continue;
            }
            let is_same = has_address && conn.state <= TcpState::Listen;
            if !is_exclusive && reuseport && is_same {
                let group = conn.port_group.filter(|&group| self.has_room(group, port));
                return group.map_or(PortUse::Taken, PortUse::Shared);
            }
            let is_taken = if is_exclusive || !reuse {
                collides
            } else {
                is_same
            };
            if is_taken {
                return PortUse::Taken;
            }
        }
        PortUse::Free
    }

    /// Those of `port` in the order in which a bind looks at them: who is bound
    /// to an address comes first, then the one that was bound last.
    fn users_of(&self, id: ConnId, port: u16) -> Vec<&Conn> {
        let is_user = |other: &ConnId, conn: &Conn| {
            *other != id && conn.lport == port && conn.state >= TcpState::Bound && !conn.dead
        };
        let conns = self.state.conns.iter();
        let users = conns.filter(|(other, conn)| is_user(other, conn));
        let mut users: Vec<&Conn> = users.map(|(_, conn)| conn).collect();
        users.sort_by_key(|conn| (is_any(conn.bound), Reverse(conn.bound_at)));
        users
    }

    /// Can one more share the port of a group?
    fn has_room(&self, group: ConnId, port: u16) -> bool {
        let conns = self.state.conns.values();
        let members = conns.filter(|conn| conn.port_group == Some(group) && conn.lport == port);
        members.count() < MOST_OF_A_GROUP
    }

    /// The next place in the order of what is bound and what listens.
    pub fn next_place(&mut self) -> u64 {
        self.state.places += 1;
        self.state.places
    }

    /// A port that no conn uses.
    pub fn free_port(&self) -> Result<u16, Errno> {
        let conns = &self.state.conns;
        let is_free = |port| conns.values().all(|conn| conn.lport != port);
        let port = self.stack.anon_ports(IPPROTO_TCP).next(is_free);
        port.ok_or(Errno::EADDRNOTAVAIL)
    }

    /// A port for a connection to this end. If all are used, it shares that of
    /// connections to others.
    pub fn port_to(&self, end: (Ipv6Addr, u16)) -> Result<u16, Errno> {
        let conns = &self.state.conns;
        let may_share = |port| {
            let mut users = conns.values().filter(|conn| conn.lport == port);
            users.all(|conn| conn.state > TcpState::Listen && (conn.faddr, conn.fport) != end)
        };
        self.free_port().or_else(|errno| {
            let port = self.stack.anon_ports(IPPROTO_TCP).next(may_share);
            port.ok_or(errno)
        })
    }
}
