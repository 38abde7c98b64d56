// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A directory of who holds what, in place of the cluster's: what a node
//! registers is installed with the others, and withdrawn when it ends.
//!
//! It is told after the node's own provider has answered, so two nodes that
//! ask at the same time may both be accepted; the later installation is then a
//! conflict, as it is in a cluster.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;

use crate::address::{FiveTuple, canonical};
use crate::lock;
use crate::module::Clinet;
use crate::node::NodeId;

/// What is known of a local UDP endpoint; it lives as the built-in provider's
/// entry does.
#[derive(Default)]
struct Endpoint {
    binds: u64,
    peers: HashSet<SocketAddr>,
}

#[derive(Default)]
struct State {
    replicate: bool,
    /// References to TCP connections.
    tcp: HashMap<(NodeId, FiveTuple), u64>,
    udp: HashMap<(NodeId, SocketAddr), Endpoint>,
}

#[derive(Default)]
pub(crate) struct Directory(Mutex<State>);

/// The modules of the other nodes.
pub(crate) type Others<'a> = &'a [&'a Clinet];

fn install(others: Others, owner: NodeId, tuple: &FiveTuple) {
    for other in others {
        // A conflict is counted by the module; nothing else is to be done.
        let _ = other.install(owner.number(), tuple.protocol, tuple.local, tuple.foreign);
    }
}

fn withdraw(others: Others, owner: NodeId, tuple: &FiveTuple) {
    for other in others {
        // It was not installed there if there was a conflict.
        let _ = other.withdraw(owner.number(), tuple.protocol, tuple.local, tuple.foreign);
    }
}

impl Directory {
    /// Node `owner` may use a TCP connection.
    pub fn tcp_accepted(&self, owner: NodeId, tuple: &FiveTuple, others: Others) {
        let mut state = lock(&self.0);
        let references = state.tcp.entry((owner, *tuple)).or_default();
        *references += 1;
        if *references == 1 && state.replicate {
            install(others, owner, tuple);
        }
    }

    /// It does not any more.
    pub fn tcp_ended(&self, owner: NodeId, tuple: &FiveTuple, others: Others) {
        let mut state = lock(&self.0);
        let Some(references) = state.tcp.get_mut(&(owner, *tuple)) else {
            return;
        };
        *references -= 1;
        if *references == 0 {
            state.tcp.remove(&(owner, *tuple));
            if state.replicate {
                withdraw(others, owner, tuple);
            }
        }
    }

    /// Node `owner` may send from a local UDP endpoint to a peer.
    pub fn udp_accepted(&self, owner: NodeId, tuple: &FiveTuple, others: Others) {
        if tuple.local.ip().is_unspecified() {
            return;
        }
        let mut state = lock(&self.0);
        let endpoint = state.udp.entry((owner, tuple.local)).or_default();
        if endpoint.peers.insert(tuple.foreign) && state.replicate {
            install(others, owner, tuple);
        }
    }

    /// A UDP socket was bound: leftovers of an earlier one go.
    pub fn udp_bound(&self, owner: NodeId, local: SocketAddr, others: Others) {
        if local.ip().to_canonical().is_unspecified() {
            return;
        }
        let mut state = lock(&self.0);
        let key = (owner, canonical(local));
        if state
            .udp
            .get(&key)
            .is_none_or(|endpoint| endpoint.binds == 0)
        {
            state.forget(key, others);
        }
        state.udp.entry(key).or_default().binds += 1;
    }

    /// A UDP socket was unbound: with the last one its entries go.
    pub fn udp_unbound(&self, owner: NodeId, local: SocketAddr, others: Others) {
        let mut state = lock(&self.0);
        let key = (owner, canonical(local));
        let Some(endpoint) = state.udp.get_mut(&key) else {
            return;
        };
        endpoint.binds = endpoint.binds.saturating_sub(1);
        if endpoint.binds == 0 {
            state.forget(key, others);
        }
    }

    /// Tells the others of everything from now on, or makes them forget.
    /// `modules` are those of all nodes.
    pub fn replicate(&self, on: bool, modules: &[(NodeId, &Clinet)]) {
        let mut state = lock(&self.0);
        if std::mem::replace(&mut state.replicate, on) == on {
            return;
        }
        for &(node, module) in modules {
            for (owner, tuple) in state.all() {
                if on && owner != node {
                    install(&[module], owner, &tuple);
                }
            }
            for &(owner, _) in modules {
                if !on && owner != node {
                    // Only 0 and the node itself are refused.
                    let _ = module.purge(owner.number());
                }
            }
        }
    }

    /// What a node holds.
    pub fn held(&self, owner: NodeId) -> Vec<FiveTuple> {
        let state = lock(&self.0);
        let held = state.all().filter(|(holder, _)| *holder == owner);
        let mut tuples: Vec<FiveTuple> = held.map(|(_, tuple)| tuple).collect();
        tuples.sort_unstable();
        tuples
    }

    /// The first node, by number, that holds the 5-tuple.
    pub fn owner(&self, tuple: &FiveTuple) -> Option<NodeId> {
        let state = lock(&self.0);
        state
            .all()
            .filter(|(_, held)| held == tuple)
            .map(|(owner, _)| owner)
            .min()
    }
}

impl State {
    fn all(&self) -> impl Iterator<Item = (NodeId, FiveTuple)> + '_ {
        let tcp = self.tcp.keys().copied();
        let udp = self.udp.iter().flat_map(|(&(owner, local), endpoint)| {
            endpoint
                .peers
                .iter()
                .map(move |&peer| (owner, FiveTuple::udp(local, peer)))
        });
        tcp.chain(udp)
    }

    fn forget(&mut self, (owner, local): (NodeId, SocketAddr), others: Others) {
        let Some(endpoint) = self.udp.remove(&(owner, local)) else {
            return;
        };
        if self.replicate {
            for peer in endpoint.peers {
                withdraw(others, owner, &FiveTuple::udp(local, peer));
            }
        }
    }
}
