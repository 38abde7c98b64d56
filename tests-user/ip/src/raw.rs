// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Raw sockets, about which no hook is ever called.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::sync::Mutex;

use crate::address::{UNSET, is_any, is_mapped, shown_source};
use crate::error::Errno;
use crate::lock;
use crate::socket::Shutdown;
use crate::stack::{NoWay, Stack};

/// What a program receives of an IPv4 packet besides its payload.
const IPV4_HEADER: usize = 20;

#[derive(Debug)]
struct State {
    /// What it is bound to, if it is.
    bound: Option<Ipv6Addr>,
    /// The source that was chosen for the peer.
    source: Ipv6Addr,
    peer: Option<(Ipv6Addr, u16)>,
    /// sockfs's side: it was connected once, and what was shut down.
    was_connected: bool,
    cannot_send: bool,
    cannot_receive: bool,
    received: VecDeque<usize>,
}

/// A raw socket; what it sends to this machine comes back.
#[derive(Debug)]
pub(crate) struct Raw(Mutex<State>);

impl Default for Raw {
    fn default() -> Self {
        Self(Mutex::new(State {
            bound: None,
            source: UNSET,
            peer: None,
            was_connected: false,
            cannot_send: false,
            cannot_receive: false,
            received: VecDeque::new(),
        }))
    }
}

impl Raw {
    pub fn bind(&self, stack: &Stack, address: Ipv6Addr) -> Result<(), Errno> {
        if !is_any(address) && !stack.may_bind(address) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let mut state = lock(&self.0);
        if state.bound.is_some() || state.cannot_send {
            return Err(Errno::EINVAL);
        }
        state.bound = Some(address);
        Ok(())
    }

    /// `bind(NULL)`.
    pub fn unbind(&self) -> Result<(), Errno> {
        let mut state = lock(&self.0);
        if state.cannot_send || state.bound.take().is_none() {
            return Err(Errno::EINVAL);
        }
        state.source = UNSET;
        state.peer = None;
        Ok(())
    }

    pub fn connect(&self, stack: &Stack, to: Ipv6Addr, port: u16) -> Result<(), Errno> {
        let source = stack.source_for(to).map_err(|_| Errno::ENETUNREACH)?;
        let mut state = lock(&self.0);
        let bound = *state.bound.get_or_insert(UNSET);
        state.source = if is_any(bound) { source } else { bound };
        state.peer = Some((to, port));
        state.was_connected = true;
        Ok(())
    }

    /// `connect(NULL)`.
    pub fn disconnect(&self) -> Result<(), Errno> {
        let mut state = lock(&self.0);
        state.peer.take().ok_or(Errno::EINVAL)?;
        state.source = UNSET;
        Ok(())
    }

    /// `shutdown`.
    pub fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let mut state = lock(&self.0);
        if !state.was_connected {
            return Err(Errno::ENOTCONN);
        }
        state.cannot_send |= how.ends_sending();
        if how.ends_receiving() {
            state.cannot_receive = true;
            state.received.clear();
        }
        Ok(())
    }

    /// `setsockopt`, of which nothing is kept.
    pub fn set_option(&self, check: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        if lock(&self.0).cannot_send {
            return Err(Errno::EINVAL);
        }
        check()
    }

    pub fn is_readable(&self) -> bool {
        let state = lock(&self.0);
        state.cannot_receive || !state.received.is_empty()
    }

    pub fn send(&self, stack: &Stack, to: Option<Ipv6Addr>, length: usize) -> Result<usize, Errno> {
        let mut state = lock(&self.0);
        if state.cannot_send {
            return Err(Errno::EPIPE);
        }
        state.bound.get_or_insert(UNSET);
        let to = match (to, state.peer) {
            (Some(_), Some(_)) => return Err(Errno::EISCONN),
            (Some(to), None) => to,
            (None, Some((to, _))) => to,
            (None, None) => return Err(Errno::EDESTADDRREQ),
        };
        stack.source_for(to).map_err(NoWay::errno)?;
        let header = if is_mapped(to) { IPV4_HEADER } else { 0 };
        if !state.cannot_receive {
            state.received.push_back(header + length);
        }
        Ok(length)
    }

    pub fn receive(&self) -> Result<usize, Errno> {
        let mut state = lock(&self.0);
        match state.received.pop_front() {
            None if state.cannot_receive => Ok(0),
            length => length.ok_or(Errno::EAGAIN),
        }
    }

    /// The address that getsockname shows.
    pub fn name(&self, family: u16) -> Ipv6Addr {
        let state = lock(&self.0);
        shown_source(family, state.source, state.bound.unwrap_or(UNSET))
    }

    pub fn peer(&self) -> Option<(Ipv6Addr, u16)> {
        let state = lock(&self.0);
        state.peer.filter(|_| !state.cannot_send)
    }
}
