// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: bind, connect, listen and close.

mod abort;
mod close;
mod connect;
mod input;
mod limits;
mod output;
mod tli;

use std::net::Ipv6Addr;

use crate::address::{FiveTuple, IPPROTO_TCP, IpVersion, UNSET, is_any, is_mapped, kept_end};
use crate::conn::{ConnId, TcpState};
use crate::error::Errno;
use crate::hooks::{Held, Hook, HookCall};
use crate::stack::{PortUse, Squeue};

pub(crate) use limits::Limits;

/// What a TCP segment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Begins a connection.
    Syn,
    /// Answers that.
    SynAck,
    /// Acknowledges the SYN.
    Ack,
    /// Carries so many bytes.
    Data(usize),
    /// Ends the sender's stream.
    Fin,
    /// Acknowledges the FIN.
    FinAck,
    /// Ends the connection at once.
    Rst,
}

/// A packet of TCP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub from: (Ipv6Addr, u16),
    pub to: (Ipv6Addr, u16),
    pub segment: Segment,
}

impl Squeue<'_> {
    /// The call for a conn: its own family, its own end.
    fn tcp_hook(&mut self, hook: Hook, id: ConnId) -> HookCall {
        let interrupt = self.interrupt;
        let stack = self.stack;
        let conn = self.conn(id);
        let laddr = conn.version.as_passed(conn.laddr);
        HookCall {
            held: Held::Squeue,
            interrupt,
            ..stack.hook(hook, IPPROTO_TCP, laddr, conn.lport)
        }
    }

    /// The same with the foreign end.
    fn tcp_tuple_hook(&mut self, hook: Hook, id: ConnId) -> HookCall {
        let call = self.tcp_hook(hook, id);
        let conn = self.conn(id);
        HookCall {
            faddr: Some(conn.version.as_passed(conn.faddr)),
            fport: Some(conn.fport),
            ..call
        }
    }

    /// Asks whether the conn's tuple may be used: 0 if so.
    fn ask(&mut self, id: ConnId, outgoing: bool) -> i32 {
        let call = HookCall {
            outgoing: Some(outgoing),
            ..self.tcp_tuple_hook(Hook::Connect2, id)
        };
        let sites = &self.stack.sites;
        sites.tcp_ask(&call, &mut self.conn(id).ct)
    }

    /// Tells that the conn's tuple is used no more.
    fn tell_disconnect(&mut self, id: ConnId) {
        let call = self.tcp_tuple_hook(Hook::Disconnect, id);
        let sites = &self.stack.sites;
        sites.tcp_end(&call, &mut self.conn(id).ct);
    }

    /// Takes the conn out of the classifier. A listener that was announced is
    /// one no more, whether anybody is told or not.
    fn hash_remove(&mut self, id: ConnId) {
        self.conn(id).connected_hash = None;
        if std::mem::take(&mut self.conn(id).announced) {
            let call = HookCall {
                held: Held::ConnfLock,
                ..self.tcp_hook(Hook::Unlisten, id)
            };
            self.stack.sites.unlisten(&call);
        }
    }

    /// `bind` to an address, or to the wildcard, and a port, or to any.
    pub fn tcp_bind(&mut self, id: ConnId, address: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let conn = self.conn(id);
        let reuse = conn.sonode.as_ref().is_some_and(|so| so.reuseaddr);
        if conn.state != TcpState::Idle {
            return Err(Errno::EINVAL);
        }
        if is_mapped(address) && conn.v6only {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if !is_any(address) && !self.stack.may_bind(address) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let port = match port {
            0 => self.free_port()?,
            port => {
                match self.port_use(id, address, port, reuse) {
                    PortUse::Free => {}
                    PortUse::Shared(group) => self.conn(id).port_group = Some(group),
                    PortUse::Taken => {
                        self.conn(id).bound = UNSET;
                        return Err(Errno::EADDRINUSE);
                    }
                }
                port
            }
        };
        let now = self.next_place();
        let conn = self.conn(id);
        conn.bound_at = now;
        conn.bound = address;
        conn.laddr = address;
        conn.saddr = address;
        conn.lport = port;
        conn.state = TcpState::Bound;
        Ok(())
    }

    /// `bind(NULL)`. The address that was given stays, for getsockname.
    pub fn tcp_unbind(&mut self, id: ConnId) -> Result<(), Errno> {
        if self.conn(id).state != TcpState::Bound {
            return Err(Errno::EINVAL);
        }
        self.hash_remove(id);
        let conn = self.conn(id);
        conn.state = TcpState::Idle;
        conn.laddr = UNSET;
        conn.saddr = UNSET;
        conn.lport = 0;
        conn.port_group = None;
        Ok(())
    }

    /// `listen`, the first time or again.
    pub fn tcp_listen(&mut self, id: ConnId, backlog: i32) -> Result<(), Errno> {
        let conn = self.conn(id);
        match conn.state {
            TcpState::Idle => {
                let any = IpVersion::of_family(conn.family).any();
                self.tcp_bind(id, any, 0)?;
            }
            TcpState::Bound | TcpState::Listen if !conn.dead => {}
            _ => return Err(Errno::EINVAL),
        }
        self.hash_remove(id);
        let call = self.tcp_hook(Hook::Listen, id);
        self.conn(id).announced = self.stack.sites.listen(&call);
        let now = self.next_place();
        let conn = self.conn(id);
        conn.listens_since = now;
        conn.state = TcpState::Listen;
        conn.backlog = room_for(backlog);
        if let Some(sonode) = &mut conn.sonode {
            sonode.accepts = true;
        }
        Ok(())
    }
}

/// How many connections wait for accept at most: sockfs asks for half as many
/// again and one more, TCP allows 128.
fn room_for(backlog: i32) -> usize {
    let asked = usize::try_from(backlog).unwrap_or(0);
    (asked.saturating_mul(3) / 2 + 1).min(128)
}

/// Is there a connection with these ends?
pub(crate) fn has_connection(squeue: &Squeue<'_>, tuple: &FiveTuple) -> bool {
    squeue
        .find_connection(kept_end(tuple.foreign), kept_end(tuple.local))
        .is_some()
}

/// Does somebody listen?
pub(crate) fn has_listener(squeue: &Squeue<'_>, tuple: &FiveTuple) -> bool {
    squeue.find_listener(kept_end(tuple.local)).is_some()
}
