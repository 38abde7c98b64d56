// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP endpoints: bind, connect and send.

use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex};

use crate::address::{
    AF_INET, ANY_V4, IpVersion, UNSET, is_any, is_mapped, is_multicast, loopback_for_any,
};
use crate::errno::{
    EADDRINUSE, EADDRNOTAVAIL, EAGAIN, EBADF, ECONNREFUSED, EDESTADDRREQ, EHOSTUNREACH, EINVAL,
    EISCONN, ENETUNREACH, Errno,
};
use crate::hooks::{Held, Hook, HookCall};
use crate::option::SocketOption;
use crate::stack::{Stack, lock};

const IPPROTO_UDP: u8 = 17;

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
    pub laddr: Ipv6Addr,
    pub lport: u16,
    pub faddr: Ipv6Addr,
    pub fport: u16,
    /// The most recent destination; unset and 0 if there is none.
    last: (Ipv6Addr, u16),
    pub reuseaddr: bool,
    pub v6only: bool,
    closed: bool,
    pub error: Errno,
    /// The lengths of the datagrams that wait.
    pub received: std::collections::VecDeque<usize>,
}

/// One UDP endpoint. No lock is held while a hook is called, but for
/// `uf_lock` by connect.
#[derive(Debug)]
pub(crate) struct Udp(pub Mutex<Endpoint>);

impl Endpoint {
    fn has_last(&self, to: Ipv6Addr, port: u16) -> bool {
        self.last == (to, port) && self.last.0 != UNSET
    }

    fn forget_last(&mut self) {
        self.last = (UNSET, 0);
    }

    /// The address that getsockname shows.
    pub fn name(&self) -> Ipv6Addr {
        if is_any(self.laddr) && self.family == AF_INET {
            ANY_V4
        } else {
            self.laddr
        }
    }

    /// Back to the bound state; the IP version stays.
    fn disconnected(&mut self) {
        self.state = UdpState::Idle;
        self.laddr = self.bound;
        self.faddr = UNSET;
        self.fport = 0;
        self.forget_last();
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
            lport: 0,
            faddr: UNSET,
            fport: 0,
            last: (UNSET, 0),
            reuseaddr: false,
            v6only: false,
            closed: false,
            error: 0,
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
        let call = {
            let mut bound = lock(&stack.udp);
            let mut conn = lock(&self.0);
            if conn.closed {
                return Err(EBADF);
            }
            if conn.state != UdpState::Unbound {
                return Err(EINVAL);
            }
            if is_mapped(address) && conn.family != AF_INET && conn.v6only {
                return Err(EADDRNOTAVAIL);
            }
            if !is_any(address) && !is_multicast(address) && !stack.has_address(address) {
                return Err(EADDRNOTAVAIL);
            }
            conn.version = IpVersion::of_address(address);
            if port != 0 && !conn.reuseaddr && is_taken(&bound, conn.version, address, port) {
                return Err(EADDRINUSE);
            }
            conn.lport = match port {
                0 => free_port(stack, &bound),
                port => port,
            };
            conn.bound = address;
            conn.laddr = address;
            conn.state = UdpState::Idle;
            conn.forget_last();
            bound.push(self.clone());
            let laddr = conn.version.as_passed(address);
            stack.hook(Hook::Bind, IPPROTO_UDP, laddr, conn.lport)
        };
        stack.call(call);
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

    /// `bind(NULL)`: tells first, then looks whether anything is bound.
    pub fn unbind(self: &Arc<Self>, stack: &Stack) -> Result<(), Errno> {
        if lock(&self.0).closed {
            return Err(EBADF);
        }
        let call = self.unbind_call(stack);
        stack.call(call);
        let mut bound = lock(&stack.udp);
        let mut conn = lock(&self.0);
        if conn.state == UdpState::Unbound {
            return Err(EINVAL);
        }
        bound.retain(|other| !Arc::ptr_eq(other, self));
        conn.state = UdpState::Unbound;
        conn.bound = UNSET;
        conn.laddr = UNSET;
        conn.lport = 0;
        conn.faddr = UNSET;
        conn.fport = 0;
        conn.forget_last();
        Ok(())
    }

    fn unbind_call(&self, stack: &Stack) -> HookCall {
        let conn = lock(&self.0);
        let laddr = conn.version.as_passed(conn.laddr);
        stack.hook(Hook::Unbind, IPPROTO_UDP, laddr, conn.lport)
    }

    /// `close`: tells only if it is bound and not connected.
    pub fn close(self: &Arc<Self>, stack: &Stack) {
        if lock(&self.0).state == UdpState::Idle {
            let call = self.unbind_call(stack);
            stack.call(call);
        }
        lock(&stack.udp).retain(|other| !Arc::ptr_eq(other, self));
        let mut conn = lock(&self.0);
        conn.closed = true;
        conn.state = UdpState::Unbound;
        conn.lport = 0;
    }

    /// `connect(NULL)` or `connect` to AF_UNSPEC.
    pub fn disconnect(&self) -> Result<(), Errno> {
        let mut conn = lock(&self.0);
        if conn.state != UdpState::Connected {
            return Err(EINVAL);
        }
        conn.disconnected();
        conn.version = IpVersion::of_family(conn.family);
        Ok(())
    }

    /// `connect`.
    pub fn connect(self: &Arc<Self>, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let did_bind = self.implicit_bind(stack)?;
        let result = self.do_connect(stack, to, port);
        if result.is_err() && did_bind {
            self.unbind(stack)?;
        }
        result
    }

    fn do_connect(&self, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let call = self.begin_connect(stack, to, port)?;
        stack.provider.taking("uf_lock");
        let bound = lock(&stack.udp);
        // The tuple must be the only one of its kind among the connected.
        let is_taken = self.is_connected_elsewhere(&bound);
        if is_taken || stack.call(call).unwrap_or(0) != 0 {
            drop(bound);
            lock(&self.0).disconnected();
            return Err(EADDRNOTAVAIL);
        }
        Ok(())
    }

    /// The part before the question; the endpoint is then connected, with the
    /// peer as its most recent destination.
    fn begin_connect(&self, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<HookCall, Errno> {
        let mut conn = lock(&self.0);
        if port == 0 {
            return Err(EADDRNOTAVAIL);
        }
        if !is_any(conn.bound) && is_mapped(conn.bound) != is_mapped(to) {
            return Err(EADDRNOTAVAIL);
        }
        let version = IpVersion::of_address(to);
        if version == IpVersion::V4 && conn.v6only {
            return Err(EADDRNOTAVAIL);
        }
        conn.disconnected();
        conn.version = version;
        let to = loopback_for_any(to);
        let source = stack.source_for(to).ok_or(ENETUNREACH)?;
        if is_any(conn.laddr) {
            conn.laddr = source;
        }
        conn.faddr = to;
        conn.fport = port;
        conn.state = UdpState::Connected;
        conn.last = (to, port);
        Ok(conn.question(stack, to, port, Held::UfLock))
    }

    fn is_connected_elsewhere(&self, bound: &[Arc<Self>]) -> bool {
        let tuple = |udp: &Self| {
            let conn = lock(&udp.0);
            (conn.state == UdpState::Connected)
                .then_some((conn.laddr, conn.lport, conn.faddr, conn.fport))
        };
        let own = tuple(self);
        bound
            .iter()
            .any(|other| !std::ptr::eq(Arc::as_ptr(other), self) && tuple(other) == own)
    }

    /// `send` and, with a destination, `sendto` and `sendmsg`.
    pub fn send(
        self: &Arc<Self>,
        stack: &Stack,
        to: Option<(Ipv6Addr, u16)>,
        control: bool,
        length: usize,
    ) -> Result<usize, Errno> {
        self.implicit_bind(stack)?;
        let error = std::mem::take(&mut lock(&self.0).error);
        if error != 0 {
            return Err(error);
        }
        let Some((to, port)) = to else {
            return self.send_connected(stack, length);
        };
        let to = loopback_for_any(to);
        let must_ask = {
            let conn = lock(&self.0);
            if conn.state == UdpState::Connected {
                return Err(EISCONN);
            }
            !is_any(conn.bound) && is_mapped(conn.bound) != is_mapped(to)
        };
        if must_ask {
            return Err(EADDRNOTAVAIL);
        }
        if control {
            self.send_ancillary(stack, to, port, length)
        } else {
            self.send_to(stack, to, port, length)
        }
    }

    fn send_connected(&self, stack: &Stack, length: usize) -> Result<usize, Errno> {
        let conn = lock(&self.0);
        if conn.state != UdpState::Connected {
            return Err(EDESTADDRREQ);
        }
        let ends = ((conn.laddr, conn.lport), (conn.faddr, conn.fport));
        drop(conn);
        if stack.source_for(ends.1.0).is_none() {
            return Err(EHOSTUNREACH);
        }
        if is_multicast(ends.1.0) {
            send_on_wire(stack, ends.0.0, ends.1.0);
            return Ok(length);
        }
        if !deliver(stack, ends.0, ends.1, length) {
            lock(&self.0).error = ECONNREFUSED;
        }
        Ok(length)
    }

    /// Nobody is asked, and the most recent destination stays.
    fn send_ancillary(
        &self,
        stack: &Stack,
        to: Ipv6Addr,
        port: u16,
        length: usize,
    ) -> Result<usize, Errno> {
        self.transmit(stack, to, port, length)
    }

    /// Asks unless this is the most recent destination.
    fn send_to(
        &self,
        stack: &Stack,
        to: Ipv6Addr,
        port: u16,
        length: usize,
    ) -> Result<usize, Errno> {
        let call = {
            let conn = lock(&self.0);
            (!conn.has_last(to, port)).then(|| conn.question(stack, to, port, Held::Nothing))
        };
        let asked = call.is_some();
        if let Some(call) = call
            && stack.call(call).unwrap_or(0) != 0
        {
            return Err(EHOSTUNREACH);
        }
        let sent = self.transmit(stack, to, port, length)?;
        if asked {
            lock(&self.0).last = (to, port);
        }
        Ok(sent)
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
        let Some(source) = stack.source_for(to) else {
            lock(&self.0).forget_last();
            return Err(EHOSTUNREACH);
        };
        let from = {
            let conn = lock(&self.0);
            let source = if is_any(conn.bound) {
                source
            } else {
                conn.bound
            };
            (source, conn.lport)
        };
        if is_multicast(to) {
            send_on_wire(stack, from.0, to);
        }
        deliver(stack, from, (to, port), length);
        Ok(length)
    }

    /// `setsockopt`. What changes routes, or headers of an endpoint that is not
    /// connected, makes it forget its most recent destination.
    pub fn set_option(&self, option: SocketOption, value: i64) {
        let mut conn = lock(&self.0);
        match option {
            SocketOption::SO_REUSEADDR => conn.reuseaddr = value != 0,
            SocketOption::IPV6_V6ONLY => conn.v6only = value != 0,
            _ => {}
        }
        if option.forgets_destination() && conn.state != UdpState::Connected {
            conn.forget_last();
        }
    }

    /// The length of the next datagram.
    pub fn receive(&self) -> Result<usize, Errno> {
        let mut conn = lock(&self.0);
        let error = std::mem::take(&mut conn.error);
        if error != 0 {
            return Err(error);
        }
        conn.received.pop_front().ok_or(EAGAIN)
    }
}

impl Endpoint {
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

/// An IPv4 packet that is not delivered locally: ip asks for its ident.
fn send_on_wire(stack: &Stack, from: Ipv6Addr, to: Ipv6Addr) {
    let version = IpVersion::of_address(to);
    if version == IpVersion::V6 || !is_set(stack, Hook::Ipident) {
        return;
    }
    let call = |hook, faddr| HookCall {
        lport: None,
        faddr,
        ..stack.hook(hook, 0, version.as_passed(from), 0)
    };
    let is_clusterwide = stack.call(call(Hook::IsClusterwide, None));
    if is_clusterwide.is_some_and(|answer| answer != 0) {
        stack.call(call(Hook::Ipident, Some(version.as_passed(to))));
    }
}

fn is_set(stack: &Stack, hook: Hook) -> bool {
    let variable = stack.provider.variable(hook);
    variable.load(std::sync::atomic::Ordering::Acquire) != 0
}

/// Takes a datagram to its endpoint; says whether there is one.
fn deliver(stack: &Stack, from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), length: usize) -> bool {
    let bound = lock(&stack.udp);
    let receiver = bound.iter().find(|udp| lock(&udp.0).receives(from, to));
    if let Some(udp) = receiver {
        lock(&udp.0).received.push_back(length);
    }
    receiver.is_some()
}

/// Is the port taken for a bind to this address? A wildcard shares with nobody.
fn is_taken(bound: &[Arc<Udp>], version: IpVersion, address: Ipv6Addr, port: u16) -> bool {
    bound.iter().any(|other| {
        let other = lock(&other.0);
        other.lport == port
            && other.version == version
            && (is_any(address) || is_any(other.bound) || other.laddr == address)
    })
}

/// A port that no endpoint uses.
fn free_port(stack: &Stack, bound: &[Arc<Udp>]) -> u16 {
    loop {
        let port = stack.ephemeral();
        if !bound.iter().any(|other| lock(&other.0).lport == port) {
            return port;
        }
    }
}
