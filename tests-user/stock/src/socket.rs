// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! ip and its sockets, as programs see them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

use crate::address::{AF_INET, AF_INET6, IpVersion, kept, shown};
use crate::conn::{Conn, ConnId, TcpState};
use crate::errno::{
    EAFNOSUPPORT, EAGAIN, ECONNABORTED, ECONNREFUSED, EDESTADDRREQ, EINPROGRESS, EINVAL, ENOTCONN,
    EOPNOTSUPP, EPIPE, Errno,
};
use crate::hooks::Provider;
use crate::option::SocketOption;
use crate::stack::{Provoked, Squeue, Stack, lock};
use crate::tcp::Segment;
use crate::udp::{Udp, UdpState};
use crate::walk::Torn;

/// Milliseconds that connect waits: longer than it is tried.
const CONNECT_PATIENCE: u64 = 600_000;

/// The stock ip of one machine, with stack 0 and the loopback addresses
/// 127.0.0.1, 127.0.0.2, 10.1.1.1, 10.1.1.2, ::1, fd00::1 and fd00::2 on each
/// stack. Its hooks are called through a [`Provider`].
pub struct Ip {
    provider: Arc<dyn Provider>,
    stacks: RwLock<BTreeMap<i32, Arc<Stack>>>,
    pub(crate) torn: Torn,
}

impl Ip {
    /// An ip with the global stack.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        let ip = Self {
            provider,
            stacks: RwLock::default(),
            torn: Torn::default(),
        };
        ip.add_stack(0);
        ip
    }

    /// Adds a stack; one of that id is replaced, its sockets stay in the old.
    pub fn add_stack(&self, id: i32) {
        let stack = Arc::new(Stack::new(id, self.provider.clone()));
        self.stacks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, stack);
    }

    /// Removes a stack; its sockets stay usable until they are dropped.
    pub fn remove_stack(&self, id: i32) {
        self.stacks
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    pub(crate) fn stacks(&self) -> Vec<Arc<Stack>> {
        let stacks = self.stacks.read().unwrap_or_else(PoisonError::into_inner);
        stacks.values().cloned().collect()
    }

    pub(crate) fn stack(&self, id: i32) -> Option<Arc<Stack>> {
        let stacks = self.stacks.read().unwrap_or_else(PoisonError::into_inner);
        stacks.get(&id).cloned()
    }

    fn must_have(&self, id: i32) -> Arc<Stack> {
        self.stack(id)
            .unwrap_or_else(|| panic!("there is no stack {id}: add_stack makes one"))
    }

    /// A TCP socket of a stack; `family` is [`AF_INET`] or [`AF_INET6`].
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn tcp(&self, stack: i32, family: u16) -> Socket {
        let stack = self.must_have(stack);
        let id = stack.enter().add(Conn::new(family));
        Socket {
            stack,
            kind: Kind::Tcp(id),
            family,
        }
    }

    /// A UDP socket of a stack.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn udp(&self, stack: i32, family: u16) -> Socket {
        Socket {
            stack: self.must_have(stack),
            kind: Kind::Udp(Udp::new(family)),
            family,
        }
    }

    /// A raw socket of a stack, about which no hook is ever called.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn raw(&self, stack: i32, family: u16) -> Socket {
        Socket {
            stack: self.must_have(stack),
            kind: Kind::Raw,
            family,
        }
    }

    /// Takes a logical interface such as `lo0:2` up or down; false if there is
    /// none of that name.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn set_interface(&self, stack: i32, name: &str, up: bool) -> bool {
        self.must_have(stack).set_interface(name, up)
    }

    /// Processes the packets that wait, as the squeue's worker does.
    pub fn settle(&self) {
        for stack in self.stacks() {
            stack.enter().settle();
        }
    }

    /// Lets time pass on all stacks: retransmissions, ends of TIME_WAIT.
    pub fn advance(&self, milliseconds: u64) {
        for stack in self.stacks() {
            let mut squeue = stack.enter();
            let time = squeue.state.now + milliseconds;
            squeue.advance_to(time);
        }
    }

    /// Lets time pass until no timer runs, and returns how many TCP conns are
    /// left: those of sockets that nobody closed.
    pub fn drain(&self) -> usize {
        let mut left = 0;
        for stack in self.stacks() {
            let mut squeue = stack.enter();
            squeue.settle();
            // A FIN to an address that is down is sent again for ever.
            for _ in 0..1000 {
                let Some(next) = squeue.next_timer() else {
                    break;
                };
                squeue.advance_to(next);
            }
            left += squeue.state.conns.len();
        }
        left
    }

    /// From now on, packets of the stack come as from a network card: what they
    /// cause is called by an interrupt thread. Or again as over loopback.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn set_interrupts(&self, stack: i32, interrupts: bool) {
        self.must_have(stack).enter().state.interrupts = interrupts;
    }

    /// The next incoming SYN of the stack that a hook accepts goes nowhere:
    /// no route back to the peer is found, so the connection is dropped and
    /// nobody is told.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn provoke_no_destination(&self, stack: i32) {
        self.must_have(stack).enter().state.provoked = Some(Provoked::NoDestination);
    }

    /// The next incoming SYN of the stack comes twice, the second copy before
    /// the first one is hashed: two questions, and one disconnect while the
    /// connection lives.
    ///
    /// # Panics
    ///
    /// If there is no such stack.
    pub fn provoke_duplicate_syn(&self, stack: i32) {
        self.must_have(stack).enter().state.provoked = Some(Provoked::Duplicate);
    }
}

#[derive(Debug)]
enum Kind {
    Tcp(ConnId),
    Udp(Arc<Udp>),
    Raw,
}

/// How a socket ends its sending or receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// SHUT_RD
    Read,
    /// SHUT_WR
    Write,
    /// SHUT_RDWR
    Both,
}

/// A socket. All methods may be called by several threads at once. Dropping
/// it does not close it, as a program that forgets a descriptor does not.
pub struct Socket {
    stack: Arc<Stack>,
    kind: Kind,
    family: u16,
}

/// An address and a port.
pub type End = (IpAddr, u16);

impl Socket {
    /// An address as this socket is given it.
    fn given(&self, address: IpAddr) -> Result<Ipv6Addr, Errno> {
        match (self.family, address) {
            (AF_INET, IpAddr::V4(_)) | (AF_INET6, IpAddr::V6(_)) => Ok(kept(address)),
            _ => Err(EAFNOSUPPORT),
        }
    }

    /// `bind`; without an address to the wildcard, with port 0 to any.
    ///
    /// # Errors
    ///
    /// The errno that the program gets; so for all methods.
    pub fn bind(&self, address: Option<IpAddr>, port: u16) -> Result<(), Errno> {
        let address = match address {
            Some(address) => self.given(address)?,
            None => IpVersion::of_family(self.family).any(),
        };
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.stack.enter();
                may_bind(&mut squeue, *id)?;
                squeue.tcp_bind(*id, address, port)
            }
            Kind::Udp(udp) => udp.bind(&self.stack, address, port),
            Kind::Raw => Ok(()),
        }
    }

    /// `bind(NULL)`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn bind_null(&self) -> Result<(), Errno> {
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.stack.enter();
                may_bind(&mut squeue, *id)?;
                squeue.tcp_unbind(*id)
            }
            Kind::Udp(udp) => udp.unbind(&self.stack),
            Kind::Raw => Err(EINVAL),
        }
    }

    /// `listen`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        match &self.kind {
            Kind::Tcp(id) => self.stack.enter().tcp_listen(*id, backlog),
            _ => Err(EOPNOTSUPP),
        }
    }

    /// `connect`. A blocking TCP socket waits until the connection is up or
    /// has failed, which may take many (simulated) seconds.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`]; EINPROGRESS of a socket that does not block.
    pub fn connect(&self, to: IpAddr, port: u16) -> Result<(), Errno> {
        let to = self.given(to)?;
        match &self.kind {
            Kind::Tcp(id) => {
                self.start_connect(to, port)?;
                let mut squeue = self.stack.enter();
                if squeue
                    .conn(*id)
                    .sonode
                    .as_ref()
                    .is_some_and(|so| so.nonblocking)
                {
                    return Err(EINPROGRESS);
                }
                wait_connected(&mut squeue, *id)
            }
            Kind::Udp(udp) => match self.take_error() {
                0 => udp.connect(&self.stack, to, port),
                pending => Err(pending),
            },
            Kind::Raw => Ok(()),
        }
    }

    /// The first half of `connect`, for a thread that is to wait later.
    pub(crate) fn begin_connect(&self, to: IpAddr, port: u16) -> Result<(), Errno> {
        self.start_connect(self.given(to)?, port)
    }

    /// The second half of `connect`: waits as long as it takes.
    pub(crate) fn finish_connect(&self) -> Result<(), Errno> {
        let Kind::Tcp(id) = self.kind else {
            return Err(EINVAL);
        };
        wait_connected(&mut self.stack.enter(), id)
    }

    fn start_connect(&self, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let Kind::Tcp(id) = self.kind else {
            return Err(EOPNOTSUPP);
        };
        let mut squeue = self.stack.enter();
        let pending = squeue.conn(id).sonode.as_mut().map(|so| so.take_error());
        if let Some(error) = pending.filter(|&error| error != 0) {
            return Err(error);
        }
        match squeue.tcp_connect(id, to, port) {
            // sockfs waits for the end of a connect that never began.
            Err(EINPROGRESS) => Err(ECONNREFUSED),
            result => result,
        }
    }

    /// `connect(NULL)`, or `connect` to an address of family AF_UNSPEC.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn disconnect(&self) -> Result<(), Errno> {
        match &self.kind {
            Kind::Udp(udp) => udp.disconnect(),
            _ => Err(EINVAL),
        }
    }

    /// `accept`. It does not wait: [`Ip::advance`] lets time pass.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`]; EAGAIN if nothing comes.
    pub fn accept(&self) -> Result<Socket, Errno> {
        let Kind::Tcp(id) = self.kind else {
            return Err(EOPNOTSUPP);
        };
        let mut squeue = self.stack.enter();
        squeue.settle();
        let sonode = squeue.conn(id).sonode.as_ref();
        if !sonode.is_some_and(|so| so.accepts) {
            return Err(EINVAL);
        }
        let queue = squeue.conn(id).sonode.as_mut();
        let eager = queue.and_then(|so| so.queue.pop_front()).ok_or(EAGAIN)?;
        squeue.conn(eager).listener = None;
        if squeue.conn(eager).dead {
            squeue.tcp_close(eager);
            return Err(ECONNABORTED);
        }
        Ok(Socket {
            stack: self.stack.clone(),
            kind: Kind::Tcp(eager),
            family: self.family,
        })
    }

    /// Does a connection wait for accept?
    pub fn is_acceptable(&self) -> bool {
        let Kind::Tcp(id) = self.kind else {
            return false;
        };
        let mut squeue = self.stack.enter();
        squeue.settle();
        let sonode = squeue.conn(id).sonode.as_ref();
        sonode.is_some_and(|so| !so.queue.is_empty())
    }

    /// `send`: to the peer.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn send(&self, length: usize) -> Result<usize, Errno> {
        match &self.kind {
            Kind::Tcp(id) => tcp_send(&mut self.stack.enter(), *id, length),
            Kind::Udp(udp) => udp.send(&self.stack, None, false, length),
            Kind::Raw => Err(EDESTADDRREQ),
        }
    }

    /// `sendto`, or `sendmsg` with or without control data, to an address or
    /// without one.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn send_to(&self, to: Option<End>, control: bool, length: usize) -> Result<usize, Errno> {
        let to = match to {
            Some((address, port)) => Some((self.given(address)?, port)),
            None => None,
        };
        match &self.kind {
            Kind::Tcp(id) => tcp_send(&mut self.stack.enter(), *id, length),
            Kind::Udp(udp) => udp.send(&self.stack, to, control, length),
            Kind::Raw => Ok(length),
        }
    }

    /// `recv`: the bytes that are there, or the length of one datagram. It does
    /// not wait: [`Ip::advance`] lets time pass.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`]; EAGAIN if nothing comes.
    pub fn receive(&self) -> Result<usize, Errno> {
        match &self.kind {
            Kind::Tcp(id) => tcp_receive(&mut self.stack.enter(), *id),
            Kind::Udp(udp) => udp.receive(),
            Kind::Raw => Err(EAGAIN),
        }
    }

    /// `shutdown`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let Kind::Tcp(id) = self.kind else {
            return Err(ENOTCONN);
        };
        let mut squeue = self.stack.enter();
        squeue.settle();
        let sonode = squeue.conn(id).sonode.as_mut();
        let sonode = sonode.filter(|so| so.connected).ok_or(ENOTCONN)?;
        sonode.cannot_receive |= how != Shutdown::Write;
        sonode.cannot_send |= how != Shutdown::Read;
        if how != Shutdown::Read {
            squeue.on_squeue(id, |squeue| squeue.end_sending(id));
        }
        Ok(())
    }

    /// `close`.
    pub fn close(&self) {
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.stack.enter();
                squeue.settle();
                squeue.tcp_close(*id);
                squeue.settle();
            }
            Kind::Udp(udp) => udp.close(&self.stack),
            Kind::Raw => {}
        }
    }

    /// `setsockopt`; `value` tells on from off where there is only that.
    pub fn set_option(&self, option: SocketOption, value: i64) {
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.stack.enter();
                let conn = squeue.conn(*id);
                match option {
                    SocketOption::IPV6_V6ONLY => conn.v6only = value != 0,
                    SocketOption::TCP_CONN_ABORT_THRESHOLD => {
                        conn.abort_threshold = u64::try_from(value).unwrap_or(0);
                    }
                    _ => {}
                }
                if let Some(sonode) = &mut conn.sonode {
                    match option {
                        SocketOption::SO_REUSEADDR => sonode.reuseaddr = value != 0,
                        SocketOption::SO_LINGER => sonode.linger0 = true,
                        _ => {}
                    }
                }
            }
            Kind::Udp(udp) => {
                match option {
                    SocketOption::SO_REUSEADDR => lock(&udp.0).reuseaddr = value != 0,
                    SocketOption::IPV6_V6ONLY => lock(&udp.0).v6only = value != 0,
                    _ => {}
                }
                if option.forgets_destination() {
                    udp.route_changed();
                }
            }
            Kind::Raw => {}
        }
    }

    /// SO_LINGER with a time of 0: close resets the connection.
    pub fn set_linger0(&self) {
        self.set_option(SocketOption::SO_LINGER, 0);
    }

    /// Whether calls wait.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        match &self.kind {
            Kind::Tcp(id) => {
                if let Some(sonode) = &mut self.stack.enter().conn(*id).sonode {
                    sonode.nonblocking = nonblocking;
                }
            }
            Kind::Udp(udp) => lock(&udp.0).nonblocking = nonblocking,
            Kind::Raw => {}
        }
    }

    /// Can the socket be written to? One with an error cannot.
    pub fn is_writable(&self) -> bool {
        let Kind::Tcp(id) = self.kind else {
            return true;
        };
        let mut squeue = self.stack.enter();
        squeue.settle();
        let sonode = squeue.conn(id).sonode.as_ref();
        sonode.is_some_and(|so| so.connected && !so.cannot_send)
    }

    /// SO_ERROR: the pending error, which is then none.
    pub fn take_error(&self) -> Errno {
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.stack.enter();
                squeue.settle();
                let sonode = &mut squeue.conn(*id).sonode;
                sonode.as_mut().map_or(0, |so| so.take_error())
            }
            Kind::Udp(udp) => std::mem::take(&mut lock(&udp.0).error),
            Kind::Raw => 0,
        }
    }

    /// `getsockname`.
    pub fn name(&self) -> End {
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.stack.enter();
                let conn = squeue.conn(*id);
                (shown(self.family, conn.name()), conn.lport)
            }
            Kind::Udp(udp) => {
                let conn = lock(&udp.0);
                (shown(self.family, conn.name()), conn.lport)
            }
            Kind::Raw => (
                shown(self.family, IpVersion::of_family(self.family).any()),
                0,
            ),
        }
    }

    /// `getpeername`; `None` where that fails, as after the end of sending.
    pub fn peer(&self) -> Option<End> {
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.stack.enter();
                let conn = squeue.conn(*id);
                let sonode = conn.sonode.as_ref()?;
                (sonode.connected && !sonode.cannot_send)
                    .then(|| (shown(self.family, conn.faddr), conn.fport))
            }
            Kind::Udp(udp) => {
                let conn = lock(&udp.0);
                (conn.state == UdpState::Connected)
                    .then(|| (shown(self.family, conn.faddr), conn.fport))
            }
            Kind::Raw => None,
        }
    }

    /// Is no connect under way?
    pub(crate) fn is_resolved(&self) -> bool {
        let Kind::Tcp(id) = self.kind else {
            return true;
        };
        let mut squeue = self.stack.enter();
        let sonode = squeue.conn(id).sonode.as_ref();
        sonode.is_none_or(|so| so.resolved)
    }

    /// [`AF_INET`] or [`AF_INET6`].
    pub fn family(&self) -> u16 {
        self.family
    }

    /// The state of a TCP socket.
    pub fn tcp_state(&self) -> Option<TcpState> {
        match self.kind {
            Kind::Tcp(id) => Some(self.stack.enter().conn(id).state),
            _ => None,
        }
    }
}

/// Lets time pass for at most so many milliseconds, until `is_over`.
fn wait_until(
    squeue: &mut Squeue<'_>,
    milliseconds: u64,
    mut is_over: impl FnMut(&mut Squeue<'_>) -> bool,
) {
    let end = squeue.state.now + milliseconds;
    while !is_over(squeue) {
        match squeue.next_timer().filter(|&next| next <= end) {
            Some(next) => squeue.advance_to(next),
            None => {
                squeue.advance_to(end);
                return;
            }
        }
    }
}

/// sockfs's own check: nothing is bound any more after the end of sending.
fn may_bind(squeue: &mut Squeue<'_>, id: ConnId) -> Result<(), Errno> {
    let sonode = squeue.conn(id).sonode.as_ref();
    if sonode.is_some_and(|so| so.cannot_send) {
        return Err(EINVAL);
    }
    Ok(())
}

fn wait_connected(squeue: &mut Squeue<'_>, id: ConnId) -> Result<(), Errno> {
    squeue.settle();
    let is_resolved = |squeue: &mut Squeue<'_>| {
        let sonode = squeue.conn(id).sonode.as_ref();
        sonode.is_none_or(|so| so.resolved)
    };
    wait_until(squeue, CONNECT_PATIENCE, is_resolved);
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(ECONNREFUSED);
    };
    match sonode.take_error() {
        0 if sonode.connected => Ok(()),
        0 => Err(ECONNREFUSED),
        error => Err(error),
    }
}

fn tcp_send(squeue: &mut Squeue<'_>, id: ConnId, length: usize) -> Result<usize, Errno> {
    squeue.settle();
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(ENOTCONN);
    };
    if sonode.cannot_send {
        return Err(EPIPE);
    }
    if sonode.error != 0 {
        return Err(sonode.take_error());
    }
    if !sonode.connected {
        return Err(ENOTCONN);
    }
    squeue.on_squeue(id, |squeue| squeue.send(id, Segment::Data(length)));
    squeue.settle();
    Ok(length)
}

fn tcp_receive(squeue: &mut Squeue<'_>, id: ConnId) -> Result<usize, Errno> {
    squeue.settle();
    let Some(sonode) = &mut squeue.conn(id).sonode else {
        return Err(ENOTCONN);
    };
    if sonode.received > 0 {
        return Ok(std::mem::take(&mut sonode.received));
    }
    if sonode.error != 0 {
        return Err(sonode.take_error());
    }
    match (sonode.cannot_receive, sonode.connected) {
        (true, _) => Ok(0),
        (false, true) => Err(EAGAIN),
        (false, false) => Err(ENOTCONN),
    }
}
