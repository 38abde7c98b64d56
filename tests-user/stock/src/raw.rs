// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Raw sockets, about which no hook is ever called.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::sync::Mutex;

use crate::address::{AF_INET, IpVersion, UNSET, is_any, is_mapped};
use crate::errno::{
    EADDRNOTAVAIL, EAGAIN, EDESTADDRREQ, EHOSTUNREACH, EISCONN, ENETUNREACH, Errno,
};
use crate::stack::{Stack, lock};

/// What a program receives of an IPv4 packet besides its payload.
const IPV4_HEADER: usize = 20;

#[derive(Debug)]
struct State {
    laddr: Ipv6Addr,
    peer: Option<(Ipv6Addr, u16)>,
    received: VecDeque<usize>,
}

/// A raw socket; what it sends to this machine comes back.
#[derive(Debug)]
pub(crate) struct Raw(Mutex<State>);

impl Default for Raw {
    fn default() -> Self {
        Self(Mutex::new(State {
            laddr: UNSET,
            peer: None,
            received: VecDeque::new(),
        }))
    }
}

impl Raw {
    pub fn bind(&self, stack: &Stack, address: Ipv6Addr) -> Result<(), Errno> {
        if !is_any(address) && !stack.has_address(address) {
            return Err(EADDRNOTAVAIL);
        }
        lock(&self.0).laddr = address;
        Ok(())
    }

    pub fn connect(&self, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let source = stack.source_for(to).ok_or(ENETUNREACH)?;
        let mut state = lock(&self.0);
        if is_any(state.laddr) {
            state.laddr = source;
        }
        state.peer = Some((to, port));
        Ok(())
    }

    pub fn send(&self, stack: &Stack, to: Option<Ipv6Addr>, length: usize) -> Result<usize, Errno> {
        let mut state = lock(&self.0);
        let to = match (to, state.peer) {
            (Some(_), Some(_)) => return Err(EISCONN),
            (Some(to), None) => to,
            (None, Some((to, _))) => to,
            (None, None) => return Err(EDESTADDRREQ),
        };
        stack.source_for(to).ok_or(EHOSTUNREACH)?;
        let header = if is_mapped(to) { IPV4_HEADER } else { 0 };
        state.received.push_back(header + length);
        Ok(length)
    }

    pub fn receive(&self) -> Result<usize, Errno> {
        lock(&self.0).received.pop_front().ok_or(EAGAIN)
    }

    /// The address that getsockname shows.
    pub fn name(&self, family: u16) -> Ipv6Addr {
        let laddr = lock(&self.0).laddr;
        if is_any(laddr) && family == AF_INET {
            IpVersion::V4.any()
        } else {
            laddr
        }
    }

    pub fn peer(&self) -> Option<(Ipv6Addr, u16)> {
        lock(&self.0).peer
    }
}
