// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: bind, connect, listen and close.

mod close;
mod connect;
mod input;

use std::net::{IpAddr, Ipv6Addr};

use crate::address::{IpVersion, UNSET, is_any, is_mapped};
use crate::conn::{ConnId, TcpState};
use crate::errno::{EADDRINUSE, EADDRNOTAVAIL, EINVAL, Errno};
use crate::hooks::{Held, Hook, HookCall};
use crate::stack::Squeue;

pub(crate) const IPPROTO_TCP: u8 = 6;

/// What a packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Syn,
    SynAck,
    /// Acknowledges the SYN.
    Ack,
    Data(usize),
    Fin,
    /// Acknowledges the FIN.
    FinAck,
    Rst,
}

/// A packet on the loopback interface.
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

    /// Asks whether the conn's tuple may be used: 0 if so. Nobody is asked
    /// about an unspecified local address.
    fn ask(&mut self, id: ConnId, outgoing: bool) -> i32 {
        let call = HookCall {
            outgoing: Some(outgoing),
            ..self.tcp_tuple_hook(Hook::Connect2, id)
        };
        if is_unspecified(call.laddr) {
            return 0;
        }
        self.stack.call(call).unwrap_or(0)
    }

    /// Tells that the conn's tuple is used no more.
    fn tell_disconnect(&mut self, id: ConnId) {
        let call = self.tcp_tuple_hook(Hook::Disconnect, id);
        if !is_unspecified(call.laddr) {
            self.stack.call(call);
        }
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
            self.stack.call(call);
        }
    }

    /// `bind` to an address, or to the wildcard, and a port, or to any.
    pub fn tcp_bind(&mut self, id: ConnId, address: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let conn = self.conn(id);
        let reuse = conn.sonode.as_ref().is_some_and(|so| so.reuseaddr);
        if conn.state != TcpState::Idle {
            return Err(EINVAL);
        }
        if is_mapped(address) && conn.v6only {
            return Err(EADDRNOTAVAIL);
        }
        if !is_any(address) && !self.stack.has_address(address) {
            return Err(EADDRNOTAVAIL);
        }
        if port != 0 && self.is_port_taken(id, address, port, reuse) {
            self.conn(id).bound = UNSET;
            return Err(EADDRINUSE);
        }
        let port = if port == 0 { self.free_port() } else { port };
        let conn = self.conn(id);
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
            return Err(EINVAL);
        }
        self.hash_remove(id);
        let conn = self.conn(id);
        conn.state = TcpState::Idle;
        conn.laddr = UNSET;
        conn.saddr = UNSET;
        conn.lport = 0;
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
            _ => return Err(EINVAL),
        }
        self.hash_remove(id);
        let call = self.tcp_hook(Hook::Listen, id);
        self.conn(id).announced = self.stack.call(call).is_some();
        let conn = self.conn(id);
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

fn is_unspecified(address: IpAddr) -> bool {
    address.is_unspecified()
}
