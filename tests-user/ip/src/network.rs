// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the nodes of a cluster share: the wire between them and the time.
//!
//! The wire loses nothing and keeps the order; what has no receiver is
//! dropped. Whoever sends also delivers, once it holds no lock of ip any more.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::address::{FiveTuple, canonical};
use crate::directory::Directory;
use crate::lock;
use crate::node::{NodeId, NodeState};
use crate::tcp::Segment;

/// Which of several nodes that have an address gets what begins a flow.
pub type Steering = Arc<dyn Fn(&FiveTuple, &[NodeId]) -> Option<NodeId> + Send + Sync>;

/// Who is shown each packet.
type Watcher = Arc<dyn Fn(&Sighting) + Send + Sync>;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// A segment of a TCP connection.
    Tcp(Segment),
    /// The RST with which TCP answers a segment that belongs to no connection.
    TcpAnswer,
    /// A UDP datagram of so many bytes.
    Udp(usize),
}

/// A packet as a sniffer on the wire sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The virtual time.
    pub at: Duration,
    /// Who sent it.
    pub sender: NodeId,
    /// Who gets it; `None` if nobody.
    pub receiver: Option<NodeId>,
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// What it carries.
    pub body: Body,
}

impl Sighting {
    /// Is it a SYN that begins a connection?
    pub fn begins_connection(&self) -> bool {
        self.body == Body::Tcp(Segment::Syn)
    }

    /// Is it a RST?
    pub fn is_reset(&self) -> bool {
        matches!(self.body, Body::Tcp(Segment::Rst) | Body::TcpAnswer)
    }
}

/// A packet on the wire, with canonical ends.
struct Packet {
    sender: NodeId,
    from: SocketAddr,
    to: SocketAddr,
    body: Body,
}

#[derive(Default)]
struct Wire {
    packets: VecDeque<Packet>,
    unreachable: HashSet<IpAddr>,
    sightings: Option<Vec<Sighting>>,
}

/// Several nodes. Its locks are innermost, but for those of a pump.
#[derive(Default)]
pub(crate) struct Network {
    nodes: RwLock<Vec<Arc<NodeState>>>,
    wire: Mutex<Wire>,
    /// Held by the thread that delivers.
    delivering: Mutex<()>,
    /// Milliseconds.
    now: Mutex<u64>,
    /// Held by the thread that moves the clock.
    moving: Mutex<()>,
    pub directory: Directory,
    pub steering: RwLock<Option<Steering>>,
    watcher: RwLock<Option<Watcher>>,
}

impl Network {
    pub fn nodes(&self) -> Vec<Arc<NodeState>> {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        nodes.clone()
    }

    /// Adds the node that is made for the next number.
    pub fn add(&self, make: impl FnOnce(NodeId) -> NodeState) -> Arc<NodeState> {
        let mut nodes = self.nodes.write().unwrap_or_else(PoisonError::into_inner);
        let node = Arc::new(make(NodeId::from_index(nodes.len())));
        nodes.push(node.clone());
        node
    }

    pub fn set_reachable(&self, address: IpAddr, reachable: bool) {
        let unreachable = &mut lock(&self.wire).unreachable;
        if reachable {
            unreachable.remove(&address.to_canonical());
        } else {
            unreachable.insert(address.to_canonical());
        }
    }

    pub fn is_reachable(&self, address: IpAddr) -> bool {
        let unreachable = &lock(&self.wire).unreachable;
        !unreachable.contains(&address.to_canonical())
    }

    pub fn set_sniffing(&self, on: bool) {
        lock(&self.wire).sightings = on.then(Vec::new);
    }

    pub fn set_watcher(&self, watcher: Watcher) {
        let mut current = self.watcher.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(watcher);
    }

    pub fn take_sightings(&self) -> Vec<Sighting> {
        let sightings = &mut lock(&self.wire).sightings;
        sightings.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Puts a packet on the wire, unless it is lost. A later [`Self::pump`]
    /// delivers it.
    pub fn send(&self, sender: NodeId, from: SocketAddr, to: SocketAddr, body: Body) {
        if !self.is_reachable(to.ip()) {
            return;
        }
        lock(&self.wire).packets.push_back(Packet {
            sender,
            from: canonical(from),
            to: canonical(to),
            body,
        });
    }

    /// Delivers what is on the wire. No lock of ip may be held.
    pub fn pump(&self) {
        let _delivering = lock(&self.delivering);
        loop {
            let Some(packet) = lock(&self.wire).packets.pop_front() else {
                return;
            };
            let receiver = self.receiver(&packet);
            self.see(&packet, receiver.as_ref().map(|node| node.id));
            if let Some(node) = receiver {
                node.stack.receive(packet.from, packet.to, packet.body);
            }
        }
    }

    /// Shows a packet to who records or watches.
    fn see(&self, packet: &Packet, receiver: Option<NodeId>) {
        let sighting = Sighting {
            at: Duration::from_millis(self.now()),
            sender: packet.sender,
            receiver,
            from: packet.from,
            to: packet.to,
            body: packet.body,
        };
        let watcher = self.watcher.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = &*watcher {
            watch(&sighting);
        }
        if let Some(sightings) = &mut lock(&self.wire).sightings {
            sightings.push(sighting);
        }
    }

    /// A node that knows the flow, or what steering says, or the first that
    /// listens.
    fn receiver(&self, packet: &Packet) -> Option<Arc<NodeState>> {
        let (local, foreign) = (packet.to, packet.from);
        let mut holders = self.nodes();
        holders.retain(|node| node.addresses.contains(&local.ip()));
        if holders.len() < 2 {
            return holders.pop();
        }
        let tuple = match packet.body {
            Body::Tcp(_) | Body::TcpAnswer => FiveTuple::tcp(local, foreign),
            Body::Udp(_) => FiveTuple::udp(local, foreign),
        };
        let knows = |node: &&Arc<NodeState>| node.stack.has_flow(&tuple);
        let takes = |node: &&Arc<NodeState>| node.stack.takes_flows(&tuple);
        let found = holders.iter().find(knows);
        let found = found.or_else(|| self.steer(&tuple, &holders));
        let found = found.or_else(|| holders.iter().find(takes));
        found.or(holders.first()).cloned()
    }

    fn steer<'a>(
        &self,
        tuple: &FiveTuple,
        holders: &'a [Arc<NodeState>],
    ) -> Option<&'a Arc<NodeState>> {
        let steering = self.steering.read();
        let steering = steering.unwrap_or_else(PoisonError::into_inner).clone()?;
        let ids: Vec<NodeId> = holders.iter().map(|node| node.id).collect();
        let chosen = steering(tuple, &ids)?;
        holders.iter().find(|node| node.id == chosen)
    }

    /// Milliseconds since the network was made.
    pub fn now(&self) -> u64 {
        *lock(&self.now)
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<u64> {
        let nodes = self.nodes();
        let timers = nodes.iter().filter_map(|node| node.stack.next_timer());
        timers.min()
    }

    /// Moves the clock, of all kernels too, and lets happen what is due on the
    /// way.
    pub fn advance_to(&self, to: u64) {
        let _moving = lock(&self.moving);
        loop {
            self.pump();
            let next = self.next_timer().filter(|&next| next <= to);
            let time = next.unwrap_or(to).max(self.now());
            let by = Duration::from_millis(time - self.now());
            *lock(&self.now) = time;
            for node in self.nodes() {
                node.kernel.advance(by);
                node.stack.enter().advance_to(time);
            }
            if next.is_none() {
                self.pump();
                return;
            }
        }
    }
}
