// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a program sees of a socket without changing it.

use super::{End, Kind, Socket};
use crate::address::{IpVersion, shown};
use crate::conn::TcpState;
use crate::error::Errno;
use crate::lock;
use crate::udp::UdpState;

impl Socket {
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

    /// [`AF_INET`](crate::AF_INET) or [`AF_INET6`](crate::AF_INET6).
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
