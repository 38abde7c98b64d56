// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Local ports.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::address::canonical;
use crate::error::Errno;

/// The first port that is chosen for a program that chooses none.
const FIRST_EPHEMERAL: u16 = 32768;

/// Who has which local port of one protocol.
pub(crate) struct Ports<T> {
    bound: HashMap<u16, Vec<(SocketAddr, Arc<T>)>>,
    next: u16,
}

impl<T> Default for Ports<T> {
    fn default() -> Self {
        Self {
            bound: HashMap::new(),
            next: FIRST_EPHEMERAL,
        }
    }
}

impl<T> Ports<T> {
    /// Gives `owner` a local address and port, an unused one for port 0.
    pub fn bind(
        &mut self,
        wanted: SocketAddr,
        share: bool,
        owner: &Arc<T>,
    ) -> Result<SocketAddr, Errno> {
        let mut local = wanted;
        if wanted.port() == 0 {
            local.set_port(self.unused().ok_or(Errno::EADDRNOTAVAIL)?);
        }
        let others = self.bound.entry(local.port()).or_default();
        if !share && others.iter().any(|(other, _)| collide(*other, local)) {
            return Err(Errno::EADDRINUSE);
        }
        others.push((local, owner.clone()));
        Ok(local)
    }

    fn unused(&mut self) -> Option<u16> {
        for _ in FIRST_EPHEMERAL..=u16::MAX {
            let port = self.next;
            self.next = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
            if !self.bound.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }

    /// Takes the port from `owner`, if it has it.
    pub fn release(&mut self, port: u16, owner: &Arc<T>) {
        if let Some(all) = self.bound.get_mut(&port) {
            all.retain(|(_, other)| !Arc::ptr_eq(other, owner));
            if all.is_empty() {
                self.bound.remove(&port);
            }
        }
    }

    /// Who could receive for `local`: those bound to the address first.
    pub fn candidates(&self, local: SocketAddr) -> Vec<Arc<T>> {
        let Some(all) = self.bound.get(&local.port()) else {
            return Vec::new();
        };
        let pick = |wanted: fn(SocketAddr, SocketAddr) -> bool| {
            all.iter()
                .filter(move |(bound, _)| wanted(*bound, local))
                .map(|(_, owner)| owner.clone())
        };
        pick(|bound, local| canonical(bound) == canonical(local))
            .chain(pick(is_wildcard_for))
            .collect()
    }
}

fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let (one, other) = (canonical(one).ip(), canonical(other).ip());
    one == other || one.is_unspecified() || other.is_unspecified()
}

/// `::` receives for both families, `0.0.0.0` for IPv4.
fn is_wildcard_for(bound: SocketAddr, local: SocketAddr) -> bool {
    let ip = canonical(bound).ip();
    ip.is_unspecified() && (ip.is_ipv6() || canonical(local).is_ipv4())
}
