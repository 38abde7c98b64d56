// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP endpoints: what they keep, bind and close.

mod connect;
mod send;

use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};

use crate::address::{
    AF_INET, IPPROTO_UDP, IpVersion, UNSET, is_any, is_mapped, is_multicast, shown_source,
};
use crate::error::Errno;
use crate::hooks::{Held, Hook, HookCall};
use crate::lock;
use crate::module::ClinetUdp;
use crate::option::SocketOption;
use crate::socket::Shutdown;
use crate::stack::Stack;

pub(crate) use send::{deliver, has_connection, has_receiver};

/// The states of a UDP endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UdpState {
    /// TS_UNBND
    Unbound,
    /// TS_IDLE
    Idle,
    /// TS_DATA_XFER
    Connected,
}

/// What `conn_lock` guards.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub family: u16,
    pub version: IpVersion,
    pub state: UdpState,
    pub bound: Ipv6Addr,
    /// `conn_laddr_v6`: what the hooks are told.
    pub laddr: Ipv6Addr,
    /// `conn_saddr_v6`: unset where it is bound to a group.
    saddr: Ipv6Addr,
    pub lport: u16,
    pub faddr: Ipv6Addr,
    pub fport: u16,
    /// The generation in which the source was good.
    pub source_seen: u32,
    /// The most recent destination; unset and 0 if there is none.
    pub last: (Ipv6Addr, u16),
    /// The same by the contract; it never moves.
    pub cu: ClinetUdp,
    pub reuseaddr: bool,
    pub v6only: bool,
    /// SO_EXCLBIND
    exclbind: bool,
    /// UDP_SND_TO_CONNECTED
    sends_to_connected: bool,
    closed: bool,
    pub error: Option<Errno>,
    /// sockfs's side: it was connected once, and what was shut down.
    was_connected: bool,
    pub cannot_send: bool,
    pub cannot_receive: bool,
    /// The lengths of the datagrams that wait.
    pub received: std::collections::VecDeque<usize>,
}

/// One UDP endpoint. No lock is held while a hook is called, but for
/// `uf_lock` by connect.
#[derive(Debug)]
pub(crate) struct Udp(pub Mutex<Endpoint>);

impl Endpoint {
    pub fn has_last(&self, to: (Ipv6Addr, u16)) -> bool {
        self.last == to && to.0 != UNSET
    }

    pub fn forget_last(&mut self) {
        self.last = (UNSET, 0);
    }

    /// The address that getsockname shows.
    pub fn name(&self) -> Ipv6Addr {
        shown_source(self.family, self.saddr, self.bound)
    }

    /// The source if nothing is connected.
    fn bound_source(&self) -> Ipv6Addr {
        if is_multicast(self.bound) {
            UNSET
        } else {
            self.bound
        }
    }

    /// Back to the bound state; the IP version stays.
    fn disconnected(&mut self) {
        self.state = UdpState::Idle;
        self.laddr = self.bound;
        self.saddr = self.bound_source();
        self.faddr = UNSET;
        self.fport = 0;
    }

    /// Does a datagram come here?
    fn receives(&self, from: (Ipv6Addr, u16), to: (Ipv6Addr, u16)) -> bool {
        if self.state == UdpState::Unbound || self.lport != to.1 {
            return false;
        }
        let versions_fit = is_mapped(to.0)
            && (self.family == AF_INET || is_mapped(self.bound) || !self.v6only)
            || !is_mapped(to.0) && self.family != AF_INET;
        let is_bound_to = is_any(self.bound) || self.bound == to.0;
        let is_from_peer = self.state != UdpState::Connected || (self.faddr, self.fport) == from;
        versions_fit && is_bound_to && is_from_peer
    }
}

impl Udp {
    pub fn new(family: u16) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Endpoint {
            family,
            version: IpVersion::of_family(family),
            state: UdpState::Unbound,
            bound: UNSET,
            laddr: UNSET,
            saddr: UNSET,
            lport: 0,
            faddr: UNSET,
            fport: 0,
            source_seen: 0,
            last: (UNSET, 0),
            cu: ClinetUdp::default(),
            reuseaddr: false,
            v6only: false,
            exclbind: false,
            sends_to_connected: false,
            closed: false,
            error: None,
            was_connected: false,
            cannot_send: false,
            cannot_receive: false,
            received: std::collections::VecDeque::new(),
        })))
    }

    /// `bind` to an address or the wildcard, and a port or any.
    pub fn bind(
        self: &Arc<Self>,
        stack: &Stack,
        address: Ipv6Addr,
        port: u16,
    ) -> Result<(), Errno> {
        let (call, conn) = {
            let mut bound = lock(&stack.udp);
            let mut conn = lock(&self.0);
            if conn.closed {
                return Err(Errno::EBADF);
            }
            if conn.cannot_send {
                return Err(Errno::EINVAL);
            }
            let is_mapped_for_v6 = is_mapped(address) && conn.family != AF_INET;
            if is_mapped_for_v6 && conn.v6only {
                return Err(Errno::EADDRNOTAVAIL);
            }
            let is_group = is_multicast(address) && !is_mapped_for_v6;
            if !is_any(address) && !is_group && !stack.may_bind(address) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            if conn.state != UdpState::Unbound {
                return Err(Errno::EINVAL);
            }
            conn.version = IpVersion::of_address(address);
            if port != 0 && is_taken(&bound, &conn, address, port) {
                return Err(Errno::EADDRINUSE);
            }
            conn.lport = match port {
                0 => free_port(stack, &bound)?,
                port => port,
            };
            conn.bound = address;
            conn.laddr = address;
            conn.saddr = conn.bound_source();
            conn.state = UdpState::Idle;
            conn.forget_last();
            bound.push(self.clone());
            let laddr = conn.version.as_passed(address);
            let call = stack.hook(Hook::Bind, IPPROTO_UDP, laddr, conn.lport);
            (call, conn)
        };
        stack.sites.bind(&call, conn);
        Ok(())
    }

    /// Binds to the wildcard if nothing is bound; says whether it did.
    fn implicit_bind(self: &Arc<Self>, stack: &Stack) -> Result<bool, Errno> {
        let (state, family) = {
            let conn = lock(&self.0);
            (conn.state, conn.family)
        };
        if state != UdpState::Unbound {
            return Ok(false);
        }
        self.bind(stack, IpVersion::of_family(family).any(), 0)?;
        Ok(true)
    }

    /// `bind(NULL)`: stock ip tells first, then looks whether anything is
    /// bound.
    pub fn unbind(self: &Arc<Self>, stack: &Stack) -> Result<(), Errno> {
        {
            let conn = lock(&self.0);
            if conn.closed {
                return Err(Errno::EBADF);
            }
            if conn.cannot_send {
                return Err(Errno::EINVAL);
            }
        }
        self.do_unbind(stack)
    }

    fn do_unbind(self: &Arc<Self>, stack: &Stack) -> Result<(), Errno> {
        let conn = lock(&self.0);
        let call = conn.unbind_call(stack);
        if conn.state == UdpState::Unbound && stack.is_on_network() {
            return Err(Errno::EINVAL);
        }
        stack.sites.unbind(&call, conn);
        let mut bound = lock(&stack.udp);
        let mut conn = lock(&self.0);
        if conn.state == UdpState::Unbound {
            return Err(Errno::EINVAL);
        }
        bound.retain(|other| !Arc::ptr_eq(other, self));
        conn.state = UdpState::Unbound;
        conn.bound = UNSET;
        conn.laddr = UNSET;
        conn.saddr = UNSET;
        conn.lport = 0;
        conn.faddr = UNSET;
        conn.fport = 0;
        conn.forget_last();
        Ok(())
    }

    /// `close`: tells only if it is bound and not connected.
    pub fn close(self: &Arc<Self>, stack: &Stack) {
        let conn = lock(&self.0);
        if conn.state == UdpState::Idle {
            let call = conn.unbind_call(stack);
            stack.sites.unbind(&call, conn);
        } else {
            drop(conn);
        }
        lock(&stack.udp).retain(|other| !Arc::ptr_eq(other, self));
        let mut conn = lock(&self.0);
        conn.closed = true;
        conn.state = UdpState::Unbound;
        conn.lport = 0;
    }

    /// `setsockopt`. What changes routes, or headers of an endpoint that is not
    /// connected, makes it forget its most recent destination.
    pub fn set_option(
        &self,
        stack: &Stack,
        option: SocketOption,
        value: i64,
        check: impl FnOnce(IpVersion) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut conn = lock(&self.0);
        if conn.closed {
            return Err(Errno::EBADF);
        }
        if conn.cannot_send {
            return Err(Errno::EINVAL);
        }
        check(conn.version)?;
        let on = value != 0;
        match option {
            SocketOption::SO_ALLZONES | SocketOption::SO_MAC_EXEMPT
                if conn.state != UdpState::Unbound =>
            {
                return Err(Errno::EINVAL);
            }
            SocketOption::SO_REUSEADDR => conn.reuseaddr = on,
            SocketOption::SO_EXCLBIND | SocketOption::UDP_EXCLBIND => conn.exclbind = on,
            SocketOption::UDP_SND_TO_CONNECTED => conn.sends_to_connected = on,
            SocketOption::IPV6_V6ONLY => conn.v6only = on,
            _ => {}
        }
        if option.forgets_destination(conn.faddr != UNSET) {
            stack.sites.reset(&mut conn);
        }
        Ok(())
    }

    /// `shutdown`. sockfs takes it of whoever was connected once.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let mut conn = lock(&self.0);
        if conn.closed {
            return Err(Errno::EBADF);
        }
        if !conn.was_connected {
            return Err(Errno::ENOTCONN);
        }
        conn.cannot_send |= how.ends_sending();
        if how.ends_receiving() {
            conn.cannot_receive = true;
            conn.received.clear();
        }
        Ok(())
    }

    /// The length of the next datagram; 0 after the end of receiving.
    pub fn receive(&self) -> Result<usize, Errno> {
        let mut conn = lock(&self.0);
        if let Some(length) = conn.received.pop_front() {
            return Ok(length);
        }
        match conn.error.take() {
            Some(error) => Err(error),
            None if conn.cannot_receive => Ok(0),
            None => Err(Errno::EAGAIN),
        }
    }
}

impl Endpoint {
    fn unbind_call(&self, stack: &Stack) -> HookCall {
        let laddr = self.version.as_passed(self.laddr);
        stack.hook(Hook::Unbind, IPPROTO_UDP, laddr, self.lport)
    }

    fn question(&self, stack: &Stack, to: Ipv6Addr, port: u16, held: Held) -> HookCall {
        let laddr = self.version.as_passed(self.laddr);
        HookCall {
            outgoing: Some(true),
            faddr: Some(self.version.as_passed(to)),
            fport: Some(port),
            held,
            ..stack.hook(Hook::Connect2, IPPROTO_UDP, laddr, self.lport)
        }
    }
}

/// Is the port taken for a bind of `conn` to this address? A wildcard shares
/// with nobody, and SO_REUSEADDR shares with all but SO_EXCLBIND.
fn is_taken(bound: &[Arc<Udp>], conn: &Endpoint, address: Ipv6Addr, port: u16) -> bool {
    bound.iter().any(|other| {
        let other = lock(&other.0);
        let has_wildcard = is_any(address) || is_any(other.bound);
        other.lport == port
            && if conn.exclbind || other.exclbind {
                has_wildcard || other.bound == address
            } else {
                !conn.reuseaddr
                    && other.version == conn.version
                    && (has_wildcard || other.laddr == address)
            }
    })
}

/// A port that no endpoint uses.
fn free_port(stack: &Stack, bound: &[Arc<Udp>]) -> Result<u16, Errno> {
    let is_free = |port| bound.iter().all(|other| lock(&other.0).lport != port);
    let port = stack.anon_ports(IPPROTO_UDP).next(is_free);
    port.ok_or(Errno::EADDRNOTAVAIL)
}
