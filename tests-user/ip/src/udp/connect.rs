// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP: connect and its end.

use super::{Udp, UdpState};
use crate::address::{IpVersion, is_any, is_mapped, loopback_for_any};
use crate::error::Errno;
use crate::hooks::Held;
use crate::lock;
use crate::sites::Question;
use crate::stack::{NoWay, Stack};
use std::net::Ipv6Addr;
use std::sync::Arc;

impl Udp {
    /// `connect(NULL)` or `connect` to AF_UNSPEC.
    pub fn disconnect(&self, stack: &Stack) -> Result<(), Errno> {
        let mut conn = lock(&self.0);
        if conn.state != UdpState::Connected {
            return Err(Errno::EINVAL);
        }
        conn.disconnected();
        stack.sites.reset(&mut conn);
        conn.version = IpVersion::of_family(conn.family);
        Ok(())
    }

    /// `connect`.
    pub fn connect(self: &Arc<Self>, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let did_bind = self.implicit_bind(stack)?;
        let result = self.do_connect(stack, to, port);
        if result.is_err() && did_bind {
            self.do_unbind(stack)?;
        }
        result
    }

    fn do_connect(&self, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let question = self.begin_connect(stack, to, port)?;
        stack.sites.taking("uf_lock");
        let bound = lock(&stack.udp);
        // The tuple must be the only one of its kind among the connected.
        let answer = if self.is_connected_elsewhere(&bound) {
            Err(Errno::EADDRNOTAVAIL)
        } else {
            stack.sites.connect_ask(&question)
        };
        drop(bound);
        let mut conn = lock(&self.0);
        if answer.is_ok() {
            conn.was_connected = true;
            stack.sites.connect_end(&mut conn, &question);
        } else {
            conn.disconnected();
            conn.forget_last();
        }
        answer
    }

    /// The part before the question; the endpoint is then connected, with the
    /// peer as its most recent destination.
    fn begin_connect(&self, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<Question, Errno> {
        let mut conn = lock(&self.0);
        let version = IpVersion::of_address(to);
        let is_bound_otherwise = !is_any(conn.bound) && is_mapped(conn.bound) != is_mapped(to);
        let is_refused = version == IpVersion::V4 && conn.v6only;
        if port == 0 || is_bound_otherwise || is_refused {
            // An earlier connection is over, and nothing else changes.
            if conn.state == UdpState::Connected {
                conn.state = UdpState::Idle;
            }
            return Err(Errno::EADDRNOTAVAIL);
        }
        conn.disconnected();
        conn.version = version;
        let to = loopback_for_any(to);
        let call = conn.question(stack, to, port, Held::UfLock);
        let ask = stack.sites.connect_begin(&mut conn, &call)?;
        let source = stack.reachable_source(to).map_err(|no_way| match no_way {
            NoWay::Rejected(_) => Errno::ENETUNREACH,
            NoWay::None(errno) => errno,
        })?;
        if is_any(conn.saddr) {
            conn.saddr = source;
        }
        if is_any(conn.laddr) {
            conn.laddr = conn.saddr;
        }
        conn.faddr = to;
        conn.fport = port;
        conn.state = UdpState::Connected;
        conn.last = (to, port);
        let call = conn.question(stack, to, port, Held::UfLock);
        Ok(Question { call, ask })
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
}
