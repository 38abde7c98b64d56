// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sockets, as programs see them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::address::{AF_INET, AF_INET6, IpVersion, kept, shown};
use crate::conn::{Conn, ConnId, TcpState};
use crate::error::Errno;
#[cfg(doc)]
use crate::ip::Ip;
use crate::lock;
use crate::module::ClinetUdp;
use crate::option::{Argument, SocketOption};
use crate::raw::Raw;
use crate::sockfs::{may_bind, tcp_receive, tcp_send, wait_connected};
use crate::stack::{Squeue, Stack};
use crate::udp::{Udp, UdpState};

/// The index of lo0.
const LOOPBACK_INDEX: i64 = 1;

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(ConnId),
    Udp(Arc<Udp>),
    Raw(Raw),
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

impl Shutdown {
    pub(crate) fn ends_sending(self) -> bool {
        self != Self::Read
    }

    pub(crate) fn ends_receiving(self) -> bool {
        self != Self::Write
    }
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

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("kind", &self.kind)
            .field("name", &self.name())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}

impl Socket {
    pub(crate) fn new(stack: Arc<Stack>, kind: Kind, family: u16) -> Self {
        Self {
            stack,
            kind,
            family,
        }
    }

    /// Enters the squeue with a conn that nobody closed.
    fn enter(&self, id: ConnId) -> Result<Squeue<'_>, Errno> {
        let squeue = self.stack.enter();
        let conn = squeue.state.conns.get(&id);
        if conn.is_some_and(|conn| conn.sonode.is_some()) {
            Ok(squeue)
        } else {
            Err(Errno::EBADF)
        }
    }

    /// An address as this socket is given it.
    fn given(&self, address: IpAddr) -> Result<Ipv6Addr, Errno> {
        match (self.family, address) {
            (AF_INET, IpAddr::V4(_)) | (AF_INET6, IpAddr::V6(_)) => Ok(kept(address)),
            _ => Err(Errno::EAFNOSUPPORT),
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
                let mut squeue = self.enter(*id)?;
                may_bind(&mut squeue, *id)?;
                squeue.tcp_bind(*id, address, port)
            }
            Kind::Udp(udp) => udp.bind(&self.stack, address, port),
            Kind::Raw(raw) => raw.bind(&self.stack, address),
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
                let mut squeue = self.enter(*id)?;
                may_bind(&mut squeue, *id)?;
                squeue.tcp_unbind(*id)
            }
            Kind::Udp(udp) => udp.unbind(&self.stack),
            Kind::Raw(raw) => raw.unbind(),
        }
    }

    /// `listen`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        match &self.kind {
            Kind::Tcp(id) => self.enter(*id)?.tcp_listen(*id, backlog),
            _ => Err(Errno::EOPNOTSUPP),
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
                let mut squeue = self.enter(*id)?;
                if self.stack.release.drains_squeue() {
                    squeue.settle();
                }
                let sonode = squeue.conn(*id).sonode.as_ref();
                if sonode.is_some_and(|so| so.nonblocking && !so.resolved) {
                    return Err(Errno::EINPROGRESS);
                }
                drop(squeue);
                wait_connected(&self.stack, *id)
            }
            Kind::Udp(udp) => {
                self.check_error()?;
                udp.connect(&self.stack, to, port)
            }
            Kind::Raw(raw) => raw.connect(&self.stack, to, port),
        }
    }

    /// The pending error comes before anything else that a connect does.
    fn check_error(&self) -> Result<(), Errno> {
        self.take_error().map_or(Ok(()), Err)
    }

    /// The first half of `connect`, for a thread that is to wait later.
    pub(crate) fn begin_connect(&self, to: IpAddr, port: u16) -> Result<(), Errno> {
        self.start_connect(self.given(to)?, port)
    }

    /// The second half of `connect`: waits as long as it takes.
    pub(crate) fn finish_connect(&self) -> Result<(), Errno> {
        let Kind::Tcp(id) = self.kind else {
            return Err(Errno::EINVAL);
        };
        wait_connected(&self.stack, id)
    }

    fn start_connect(&self, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let Kind::Tcp(id) = self.kind else {
            return Err(Errno::EOPNOTSUPP);
        };
        let mut squeue = self.enter(id)?;
        let sonode = squeue.conn(id).sonode.as_mut();
        if let Some(error) = sonode.and_then(|so| so.take_error()) {
            return Err(error);
        }
        let result = squeue.tcp_connect(id, to, port);
        drop(squeue);
        self.stack.pump();
        match result {
            // sockfs waits for the end of a connect that never began.
            Err(Errno::EINPROGRESS) => Err(Errno::ECONNREFUSED),
            result => result,
        }
    }

    /// `connect(NULL)`, or `connect` to an address of family AF_UNSPEC.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn disconnect(&self) -> Result<(), Errno> {
        self.check_error()?;
        match &self.kind {
            Kind::Tcp(_) => Err(Errno::EINVAL),
            Kind::Udp(udp) => udp.disconnect(&self.stack),
            Kind::Raw(raw) => raw.disconnect(),
        }
    }

    /// `accept`. It does not wait: [`Ip::advance`] lets time pass.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`]; EAGAIN if nothing comes.
    pub fn accept(&self) -> Result<Socket, Errno> {
        let Kind::Tcp(id) = self.kind else {
            return Err(Errno::EOPNOTSUPP);
        };
        let mut squeue = self.enter(id)?;
        squeue.settle();
        let sonode = squeue.conn(id).sonode.as_ref();
        if !sonode.is_some_and(|so| so.accepts) {
            return Err(Errno::EINVAL);
        }
        let queue = squeue.conn(id).sonode.as_mut();
        let eager = queue
            .and_then(|so| so.queue.pop_front())
            .ok_or(Errno::EAGAIN)?;
        squeue.conn(eager).listener = None;
        if squeue.conn(eager).dead {
            squeue.tcp_close(eager);
            return Err(Errno::ECONNABORTED);
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
        let Ok(mut squeue) = self.enter(id) else {
            return false;
        };
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
        self.send_to(None, false, length)
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
        let result = match &self.kind {
            Kind::Tcp(id) => tcp_send(&mut self.enter(*id)?, *id, control, length),
            Kind::Udp(udp) => udp.send(&self.stack, to, control, length),
            Kind::Raw(raw) => raw.send(&self.stack, to.map(|to| to.0), length),
        };
        self.stack.pump();
        result
    }

    /// `recv`: the bytes that are there, or the length of one datagram. It does
    /// not wait: [`Ip::advance`] lets time pass.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`]; EAGAIN if nothing comes.
    pub fn receive(&self) -> Result<usize, Errno> {
        match &self.kind {
            Kind::Tcp(id) => tcp_receive(&mut self.enter(*id)?, *id),
            Kind::Udp(udp) => udp.receive(),
            Kind::Raw(raw) => raw.receive(),
        }
    }

    /// `shutdown`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let id = match &self.kind {
            Kind::Tcp(id) => *id,
            Kind::Udp(udp) => return udp.shutdown(how),
            Kind::Raw(raw) => return raw.shutdown(how),
        };
        let mut squeue = self.enter(id)?;
        squeue.settle();
        let sonode = squeue.conn(id).sonode.as_mut();
        let sonode = sonode.filter(|so| so.connected).ok_or(Errno::ENOTCONN)?;
        if how.ends_receiving() {
            sonode.cannot_receive = true;
            sonode.received = 0;
        }
        if how.ends_sending() {
            sonode.cannot_send = true;
            squeue.on_squeue(id, |squeue| squeue.end_sending(id));
        }
        if self.stack.release.drains_squeue() {
            squeue.settle();
        }
        drop(squeue);
        self.stack.pump();
        Ok(())
    }

    /// `close`.
    pub fn close(&self) {
        match &self.kind {
            Kind::Tcp(id) => {
                let Ok(mut squeue) = self.enter(*id) else {
                    return;
                };
                squeue.settle();
                squeue.tcp_close(*id);
                squeue.settle();
            }
            Kind::Udp(udp) => udp.close(&self.stack),
            Kind::Raw(_) => {}
        }
        self.stack.pump();
    }

    /// `close` that resets a connection.
    pub fn abort(&self) {
        self.set_linger0();
        self.close();
    }

    /// The most recent destination of UDP, as the contract has it.
    pub fn last_destination(&self) -> Option<ClinetUdp> {
        match &self.kind {
            Kind::Udp(udp) => Some(lock(&udp.0).cu),
            _ => None,
        }
    }

    /// `setsockopt` with a value of the size that the option has; what wants a
    /// structure gets an `int`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn set_option(&self, option: SocketOption, value: i64) -> Result<(), Errno> {
        let check = || self.check_option(option, value);
        match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.enter(*id)?;
                set_tcp_option(squeue.conn(*id), option, value, check)
            }
            Kind::Udp(udp) => udp.set_option(&self.stack, option, value, check),
            Kind::Raw(raw) => raw.set_option(check),
        }
    }

    /// What the protocol says of an option before it takes it.
    fn check_option(&self, option: SocketOption, value: i64) -> Result<(), Errno> {
        let is_tcp = matches!(self.kind, Kind::Tcp(_));
        if !option.is_of(is_tcp, self.stack.release) {
            return Err(Errno::ENOPROTOOPT);
        }
        let wrong_family = option.is_ipv4() && self.family == AF_INET6
            || option.is_ipv6() && self.family == AF_INET;
        let is_loopback = |value: i64| matches!(value, 0 | LOOPBACK_INDEX);
        match option.argument() {
            _ if wrong_family => Err(Errno::EINVAL),
            Argument::Int(_, _) if value == 0 && option == SocketOption::IPV6_UNICAST_HOPS => {
                Err(Errno::EINVAL)
            }
            Argument::Int(least, most) if (least..=most).contains(&value) => Ok(()),
            Argument::Int(_, _) | Argument::Structure => Err(Errno::EINVAL),
            Argument::Byte => Ok(()),
            Argument::Interface if is_loopback(value) => Ok(()),
            Argument::Interface if option == SocketOption::IPV6_MULTICAST_IF => Err(Errno::EINVAL),
            Argument::Interface => Err(Errno::ENXIO),
            Argument::Address => {
                let address = Ipv4Addr::from((value as u32).to_le_bytes());
                let is_known =
                    address.is_unspecified() || self.stack.has_address(address.to_ipv6_mapped());
                is_known.then_some(()).ok_or(Errno::EHOSTUNREACH)
            }
        }
    }

    /// SO_LINGER with a time of 0: close resets the connection.
    pub fn set_linger0(&self) {
        if let Kind::Tcp(id) = self.kind
            && let Ok(mut squeue) = self.enter(id)
            && let Some(sonode) = &mut squeue.conn(id).sonode
        {
            sonode.linger0 = true;
        }
    }

    /// Whether a TCP socket's connect waits.
    pub fn set_nonblocking(&self, nonblocking: bool) {
        let Kind::Tcp(id) = self.kind else {
            return;
        };
        if let Ok(mut squeue) = self.enter(id)
            && let Some(sonode) = &mut squeue.conn(id).sonode
        {
            sonode.nonblocking = nonblocking;
        }
    }

    /// Does poll show POLLOUT? It does for a pending error too.
    pub fn is_writable(&self) -> bool {
        let Kind::Tcp(id) = self.kind else {
            return true;
        };
        let Ok(mut squeue) = self.enter(id) else {
            return false;
        };
        squeue.settle();
        let sonode = squeue.conn(id).sonode.as_ref();
        sonode.is_some_and(|so| so.connected || so.error.is_some())
    }

    /// Does poll show POLLIN? It does for a pending error, for the end of what
    /// can be received, and for a connection that waits for accept.
    pub fn is_readable(&self) -> bool {
        match &self.kind {
            Kind::Tcp(id) => {
                let Ok(mut squeue) = self.enter(*id) else {
                    return false;
                };
                squeue.settle();
                let sonode = squeue.conn(*id).sonode.as_ref();
                sonode.is_some_and(|so| {
                    so.received > 0
                        || so.cannot_receive
                        || so.error.is_some()
                        || !so.queue.is_empty()
                })
            }
            Kind::Udp(udp) => {
                let conn = lock(&udp.0);
                conn.error.is_some() || conn.cannot_receive || !conn.received.is_empty()
            }
            Kind::Raw(raw) => raw.is_readable(),
        }
    }

    /// SO_ERROR: the pending error, which is then none.
    pub fn take_error(&self) -> Option<Errno> {
        match &self.kind {
            Kind::Tcp(id) => {
                let Ok(mut squeue) = self.enter(*id) else {
                    return Some(Errno::EBADF);
                };
                squeue.settle();
                squeue.conn(*id).sonode.as_mut()?.take_error()
            }
            Kind::Udp(udp) => lock(&udp.0).error.take(),
            Kind::Raw(_) => None,
        }
    }

    /// `getsockname`; the wildcard and port 0 of a closed socket.
    pub fn name(&self) -> End {
        let (address, port) = match &self.kind {
            Kind::Tcp(id) => match self.enter(*id) {
                Ok(mut squeue) => {
                    let conn = squeue.conn(*id);
                    (conn.name(), conn.lport)
                }
                Err(_) => (IpVersion::of_family(self.family).any(), 0),
            },
            Kind::Udp(udp) => {
                let conn = lock(&udp.0);
                (conn.name(), conn.lport)
            }
            Kind::Raw(raw) => (raw.name(self.family), 0),
        };
        (shown(self.family, address), port)
    }

    /// `getpeername`; `None` where that fails, as after the end of sending.
    pub fn peer(&self) -> Option<End> {
        let (address, port) = match &self.kind {
            Kind::Tcp(id) => {
                let mut squeue = self.enter(*id).ok()?;
                let conn = squeue.conn(*id);
                let sonode = conn.sonode.as_ref()?;
                if !sonode.connected || sonode.cannot_send {
                    return None;
                }
                (conn.faddr, conn.fport)
            }
            Kind::Udp(udp) => {
                let conn = lock(&udp.0);
                if conn.state != UdpState::Connected || conn.cannot_send {
                    return None;
                }
                (conn.faddr, conn.fport)
            }
            Kind::Raw(raw) => raw.peer()?,
        };
        Some((shown(self.family, address), port))
    }

    /// Is no connect under way?
    pub(crate) fn is_resolved(&self) -> bool {
        let Kind::Tcp(id) = self.kind else {
            return true;
        };
        let Ok(mut squeue) = self.enter(id) else {
            return true;
        };
        let sonode = squeue.conn(id).sonode.as_ref();
        sonode.is_none_or(|so| so.resolved)
    }

    /// Is it of the same protocol?
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.kind) == std::mem::discriminant(&other.kind)
    }

    /// [`AF_INET`] or [`AF_INET6`].
    pub fn family(&self) -> u16 {
        self.family
    }

    /// The state of a TCP socket that is not closed.
    pub fn tcp_state(&self) -> Option<TcpState> {
        match self.kind {
            Kind::Tcp(id) => Some(self.enter(id).ok()?.conn(id).state),
            _ => None,
        }
    }
}

fn set_tcp_option(
    conn: &mut Conn,
    option: SocketOption,
    value: i64,
    check: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    let Some(sonode) = &mut conn.sonode else {
        return Err(Errno::EBADF);
    };
    if sonode.cannot_send {
        return Err(Errno::EINVAL);
    }
    check()?;
    match option {
        SocketOption::SO_REUSEADDR => sonode.reuseaddr = value != 0,
        SocketOption::SO_EXCLBIND | SocketOption::TCP_EXCLBIND => conn.exclbind = value != 0,
        SocketOption::IPV6_V6ONLY => conn.v6only = value != 0,
        SocketOption::TCP_CONN_ABORT_THRESHOLD => {
            conn.abort_threshold = u64::try_from(value).unwrap_or(0);
        }
        _ => {}
    }
    Ok(())
}
