// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What `top` shows, of one moment and of the time since the moment before.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use clinet_control::{Control, Errno, Error, Filter, GrantsState, Protocol, Space, State};

/// What the module tells at one moment.
#[derive(Clone)]
pub struct Sample {
    pub state: State,
    pub stats: BTreeMap<String, u64>,
    /// None: this user may not see them.
    pub grants: Option<GrantsState>,
}

impl Sample {
    pub fn take(control: &Control) -> Result<Self, Error> {
        let stats = control.stats()?.into_iter();
        Ok(Self {
            state: control.state()?,
            stats: stats.map(|stat| (stat.name, stat.value)).collect(),
            grants: unless_refused(control.grants())?,
        })
    }

    /// Rates of this answer per second: outgoing TCP, incoming TCP, UDP.
    pub fn rates(&self, before: &Self, answer: &str) -> [f64; 3] {
        let seconds = self.state.now.saturating_sub(before.state.now) as f64 / 1e9;
        ["tcp_out", "tcp_in", "udp"].map(|flow| {
            let name = format!("{flow}_{answer}");
            let [now, then] = [self, before].map(|s| s.stats.get(&name).copied().unwrap_or(0));
            let more = now.saturating_sub(then) as f64;
            if seconds > 0.0 { more / seconds } else { 0.0 }
        })
    }
}

/// What only takes a walk over the entries.
#[derive(Default)]
pub struct Usage {
    /// Entries of each local address.
    pub addresses: BTreeMap<IpAddr, u64>,
    /// Entries of each local port of this node, of TCP and UDP.
    pub ports: [BTreeMap<u16, u64>; 2],
}

/// More entries than that would take too long to look at each time.
pub const MOST: usize = 1_000_000;

impl Usage {
    /// None: this user may not see them.
    pub fn take(control: &Control, node: u32) -> Result<Option<Self>, Error> {
        let mut usage = Self::default();
        for entry in control.list(&Filter::default()).take(MOST) {
            let Some(entry) = unless_refused(entry)? else {
                return Ok(None);
            };
            *usage.addresses.entry(entry.tuple.local.ip()).or_default() += 1;
            if entry.owner == node {
                let ports = &mut usage.ports[usize::from(entry.tuple.protocol == Protocol::Udp)];
                *ports.entry(entry.tuple.local.port()).or_default() += 1;
            }
        }
        Ok(Some(usage))
    }

    /// The busiest local addresses, with their entries.
    pub fn busiest(&self) -> Vec<(IpAddr, u64)> {
        let mut busiest: Vec<_> = self.addresses.iter().map(|(a, n)| (*a, *n)).collect();
        busiest.sort_by_key(|(_, entries)| std::cmp::Reverse(*entries));
        busiest
    }
}

/// A part of what is granted, and how much of it is in use.
pub struct Slice {
    pub protocol: Protocol,
    pub ports: RangeInclusive<u16>,
    /// Ports with an entry at least.
    pub used: usize,
}

/// So many ports are shown as one slice.
const SLICE: u16 = 2048;

/// What is granted, in parts of at most [`SLICE`] ports that begin at multiples
/// of it.
pub fn slices(grants: &GrantsState, usage: &Usage) -> Vec<Slice> {
    let mut slices = Vec::new();
    for (protocol, used) in Protocol::ALL.into_iter().zip(&usage.ports) {
        let Space { granted, .. } = grants.grants.space(protocol);
        for range in granted.ranges() {
            let mut first = *range.start();
            loop {
                let last = (first | (SLICE - 1)).min(*range.end());
                slices.push(Slice {
                    protocol,
                    ports: first..=last,
                    used: used.range(first..=last).count(),
                });
                if last == *range.end() {
                    break;
                }
                first = last + 1;
            }
        }
    }
    slices
}

/// Who may not see something may see the rest.
fn unless_refused<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Refused { errno, .. }) if errno == Errno::EPERM => Ok(None),
        Err(error) => Err(error),
    }
}
