// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sockets, as programs see them.

mod look;
mod option;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use crate::address::{AF_INET, AF_INET6, IpVersion, kept};
use crate::conn::ConnId;
use crate::error::Errno;
#[cfg(doc)]
use crate::ip::Ip;
use crate::lock;
use crate::module::ClinetUdp;
use crate::raw::Raw;
use crate::sockfs::{may_bind, tcp_receive, tcp_send, wait_connected};
use crate::stack::{Squeue, Stack};
use crate::udp::Udp;

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
        let sonode = squeue.conn(id).sonode.as_mut();
        let sonode = sonode.filter(|so| so.accepts).ok_or(Errno::EINVAL)?;
        let eager = sonode.queue.pop_front().ok_or(Errno::EAGAIN)?;
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
}
