// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP: datagrams that leave and arrive.

use super::{Endpoint, Udp, UdpState};
use crate::address::{
    AF_INET, FiveTuple, IpVersion, UNSET, is_any, is_mapped, is_multicast, kept_end,
    loopback_for_any,
};
use crate::error::Errno;
use crate::hooks::{Held, Hook, HookCall};
use crate::lock;
use crate::network::Body;
use crate::stack::{NoWay, Stack};
use std::net::Ipv6Addr;
use std::sync::Arc;

impl Udp {
    /// `send` and, with a destination, `sendto` and `sendmsg`.
    pub fn send(
        self: &Arc<Self>,
        stack: &Stack,
        to: Option<(Ipv6Addr, u16)>,
        control: bool,
        length: usize,
    ) -> Result<usize, Errno> {
        let error = {
            let mut conn = lock(&self.0);
            if conn.cannot_send {
                return Err(Errno::EPIPE);
            }
            conn.error.take()
        };
        if let Some(error) = error {
            return Err(error);
        }
        self.implicit_bind(stack)?;
        let Some((to, port)) = to else {
            return self.send_connected(stack, length);
        };
        lock(&self.0).may_send_to(to)?;
        let to = loopback_for_any(to);
        if control && !stack.sites.asks_about_control_data() {
            // Nobody is asked, and the most recent destination stays.
            self.transmit(stack, to, port, length)
        } else {
            self.send_to(stack, to, port, length)
        }
    }

    fn send_connected(&self, stack: &Stack, length: usize) -> Result<usize, Errno> {
        let mut conn = lock(&self.0);
        if conn.state != UdpState::Connected {
            return Err(Errno::EDESTADDRREQ);
        }
        let ends = ((conn.saddr, conn.lport), (conn.faddr, conn.fport));
        conn.check_source(stack, ends.0.0)?;
        drop(conn);
        stack.reachable_source(ends.1.0).map_err(NoWay::errno)?;
        if is_multicast(ends.1.0) {
            send_on_wire(stack, ends.0.0, ends.1.0);
            return Ok(length);
        }
        if !deliver(stack, ends.0, ends.1, length) {
            lock(&self.0).error = Some(Errno::ECONNREFUSED);
        }
        Ok(length)
    }

    /// Asks unless this is the most recent destination. A connected endpoint
    /// sends to that alone.
    fn send_to(
        &self,
        stack: &Stack,
        to: Ipv6Addr,
        port: u16,
        length: usize,
    ) -> Result<usize, Errno> {
        let begun = {
            let conn = lock(&self.0);
            let call = conn.question(stack, to, port, Held::Nothing);
            let begun = stack.sites.send_begin(&conn, (to, port), call)?;
            if begun.is_some() && conn.state == UdpState::Connected {
                return Err(Errno::EISCONN);
            }
            begun
        };
        if let Some(question) = begun {
            if let Err(NoWay::None(errno)) = stack.source_for(to) {
                return Err(errno);
            }
            stack.sites.send_ask(&question)?;
            let mut conn = lock(&self.0);
            stack.sites.send_end(&mut conn, (to, port), &question);
        }
        self.transmit(stack, to, port, length)
    }

    /// Hands a datagram to IP, whose refusal makes the endpoint forget its
    /// most recent destination.
    fn transmit(
        &self,
        stack: &Stack,
        to: Ipv6Addr,
        port: u16,
        length: usize,
    ) -> Result<usize, Errno> {
        let source = stack.reachable_source(to).map_err(|no_way| {
            stack.sites.reset(&mut lock(&self.0));
            no_way.errno()
        })?;
        let from = {
            let mut conn = lock(&self.0);
            let source = if is_any(conn.saddr) {
                source
            } else {
                conn.saddr
            };
            conn.check_source(stack, source)?;
            (source, conn.lport)
        };
        if is_multicast(to) {
            send_on_wire(stack, from.0, to);
        }
        deliver(stack, from, (to, port), length);
        Ok(length)
    }
}

impl Endpoint {
    /// ip drops a datagram whose source is not good any more, and UDP hides what
    /// the error was.
    fn check_source(&mut self, stack: &Stack, source: Ipv6Addr) -> Result<(), Errno> {
        let is_good = stack.interfaces.verify(source, &mut self.source_seen);
        is_good.then_some(()).ok_or(Errno::ENETUNREACH)
    }

    /// May it send to an address at all?
    fn may_send_to(&self, to: Ipv6Addr) -> Result<(), Errno> {
        if self.state == UdpState::Connected && !self.sends_to_connected {
            return Err(Errno::EISCONN);
        }
        if self.family == AF_INET {
            return Ok(());
        }
        let may = if is_mapped(to) {
            !self.v6only && (is_mapped(self.saddr) || self.saddr == UNSET)
        } else {
            !is_mapped(self.saddr)
        };
        may.then_some(()).ok_or(Errno::EADDRNOTAVAIL)
    }
}

/// An IPv4 packet that is not delivered locally: ip asks for its ident.
fn send_on_wire(stack: &Stack, from: Ipv6Addr, to: Ipv6Addr) {
    let version = IpVersion::of_address(to);
    if version == IpVersion::V6 || !stack.sites.is_set(Hook::Ipident) {
        return;
    }
    let call = |hook, faddr| HookCall {
        lport: None,
        faddr,
        ..stack.hook(hook, 0, version.as_passed(from), 0)
    };
    let is_clusterwide = stack.sites.hook(&call(Hook::IsClusterwide, None));
    if is_clusterwide.is_some_and(|answer| answer != 0) {
        let to = Some(version.as_passed(to));
        stack.sites.hook(&call(Hook::Ipident, to));
    }
}

/// Takes a datagram to its endpoint, a connected one before others; says
/// whether there is one. What another node has goes there, whether or not
/// anybody takes it.
pub(crate) fn deliver(
    stack: &Stack,
    from: (Ipv6Addr, u16),
    to: (Ipv6Addr, u16),
    length: usize,
) -> bool {
    if stack.is_on_network() && !stack.is_local(to.0) {
        stack.send_out(from, to, Body::Udp(length));
        return true;
    }
    let bound = lock(&stack.udp);
    let receives = |connected| {
        move |udp: &&Arc<Udp>| {
            let conn = lock(&udp.0);
            (conn.state == UdpState::Connected) == connected && conn.receives(from, to)
        }
    };
    let receiver = bound.iter().find(receives(true));
    let receiver = receiver.or_else(|| bound.iter().find(receives(false)));
    if let Some(udp) = receiver {
        let mut conn = lock(&udp.0);
        if !conn.cannot_receive {
            conn.received.push_back(length);
        }
    }
    receiver.is_some()
}

/// Is an endpoint connected so?
pub(crate) fn has_connection(stack: &Stack, tuple: &FiveTuple) -> bool {
    let ends = (kept_end(tuple.local), kept_end(tuple.foreign));
    lock(&stack.udp).iter().any(|udp| {
        let conn = lock(&udp.0);
        let own = ((conn.laddr, conn.lport), (conn.faddr, conn.fport));
        conn.state == UdpState::Connected && own == ends
    })
}

/// Does an endpoint take datagrams from anybody?
pub(crate) fn has_receiver(stack: &Stack, tuple: &FiveTuple) -> bool {
    let (from, to) = (kept_end(tuple.foreign), kept_end(tuple.local));
    lock(&stack.udp)
        .iter()
        .any(|udp| lock(&udp.0).receives(from, to))
}
