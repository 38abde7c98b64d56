// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Several nodes, the wire between them, and the time they share.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use clinet_kernel::Kernel;

use crate::address::FiveTuple;
use crate::api::Clinet;
use crate::clock::{Clock, Timeout, Timer};
use crate::directory::Directory;
use crate::error::SetupError;
use crate::node::{Node, NodeId, NodeState};
use crate::tcp::Conn;
use crate::wire::{Body, Packet, Sighting, Wire};
use crate::{lock, tcp, udp};

/// Which of several nodes that have an address gets what begins a flow.
pub type Steering = Arc<dyn Fn(&FiveTuple, &[NodeId]) -> Option<NodeId> + Send + Sync>;

/// What the nodes of a cluster share.
#[derive(Default)]
pub(crate) struct Network {
    nodes: RwLock<Vec<Arc<NodeState>>>,
    pub wire: Wire,
    pub clock: Clock,
    pub directory: Directory,
    steering: RwLock<Option<Steering>>,
    /// Held by the thread that moves the clock.
    moving: Mutex<()>,
}

impl Network {
    pub fn nodes(&self) -> Vec<Arc<NodeState>> {
        self.nodes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn node(self: &Arc<Self>, id: NodeId) -> Node {
        let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
        Node::new(nodes[id.index()].clone(), self.clone())
    }

    /// Puts a packet on the wire. It is delivered by a later [`Self::pump`],
    /// which must not be called with an endpoint's lock held.
    pub fn send(&self, sender: &NodeState, packet: Packet) {
        let sighting = Sighting {
            at: self.clock.now(),
            sender: sender.id,
            receiver: self.receiver(sender, &packet),
            packet,
        };
        self.wire.send(sighting);
    }

    /// A node delivers to itself what it has the address of. Else it is a node
    /// that knows the flow, or what steering says, or the first that listens.
    fn receiver(&self, sender: &NodeState, packet: &Packet) -> Option<NodeId> {
        let (local, foreign) = (packet.to, packet.from);
        if !self.wire.is_reachable(local.ip()) {
            return None;
        }
        if sender.has_address(local.ip()) {
            return Some(sender.id);
        }
        let nodes = self.nodes();
        let holders: Vec<&Arc<NodeState>> = nodes
            .iter()
            .filter(|node| node.has_address(local.ip()))
            .collect();
        if let [only] = holders[..] {
            return Some(only.id);
        }
        let (knows, tuple): (fn(&NodeState, &FiveTuple) -> bool, _) = match packet.body {
            Body::Tcp(_) => (tcp::is_connected, FiveTuple::tcp(local, foreign)),
            Body::Udp(_) => (udp::is_connected, FiveTuple::udp(local, foreign)),
        };
        let find = |wanted: &dyn Fn(&NodeState) -> bool| {
            let found = holders.iter().find(|node| wanted(node));
            found.map(|node| node.id)
        };
        find(&|node| knows(node, &tuple))
            .or_else(|| self.steer(&tuple, &holders))
            .or_else(|| {
                find(&|node| match packet.body {
                    Body::Tcp(_) => tcp::is_listening(node, local),
                    Body::Udp(_) => udp::is_bound(node, local),
                })
            })
            .or_else(|| find(&|_| true))
    }

    fn steer(&self, tuple: &FiveTuple, holders: &[&Arc<NodeState>]) -> Option<NodeId> {
        let steering = self
            .steering
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()?;
        let ids: Vec<NodeId> = holders.iter().map(|node| node.id).collect();
        steering(tuple, &ids).filter(|id| ids.contains(id))
    }

    /// Delivers what is on the wire. No endpoint's lock may be held.
    pub fn pump(self: &Arc<Self>) {
        self.wire.pump(|receiver, packet| {
            let node = self.node(receiver);
            match packet.body {
                Body::Tcp(ref segment) => tcp::input(&node, &packet, segment),
                Body::Udp(_) => udp::input(&node, packet),
            }
        });
    }

    /// Delivers until the wire is empty at some moment.
    pub fn settle(self: &Arc<Self>) {
        self.pump();
        while !self.wire.is_idle() {
            self.wire.wait_idle();
            self.pump();
            if self.wire.is_idle() {
                return;
            }
        }
    }

    pub fn set_timer(&self, node: NodeId, conn: &Arc<Conn>, at: Duration, timeout: Timeout) {
        self.clock.set(Timer {
            at,
            node,
            conn: Arc::downgrade(conn),
            timeout,
        });
    }

    /// Moves the clock to `to`, and lets happen what is due on the way.
    pub fn advance_to(self: &Arc<Self>, to: Duration) {
        let _moving = lock(&self.moving);
        loop {
            self.settle();
            let (by, timer) = self.clock.step(to);
            for node in self.nodes() {
                node.kernel.advance(by);
            }
            let Some(timer) = timer else {
                return;
            };
            if let Some(conn) = timer.conn.upgrade() {
                tcp::timeout(&self.node(timer.node), &conn, timer.timeout);
            }
        }
    }

    /// Lets packets and, when there are none, time pass until `done` or until
    /// nothing is left that could happen.
    pub fn run_until(self: &Arc<Self>, done: impl Fn() -> bool) {
        loop {
            self.pump();
            if done() {
                return;
            }
            if !self.wire.is_idle() {
                self.wire.wait_idle();
                continue;
            }
            if done() {
                return;
            }
            let Some(next) = self.clock.next() else {
                return;
            };
            self.advance_to(next);
        }
    }
}

/// Several nodes in one process, each with its own kernel and its own loaded
/// copy of the module.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use clinet_ip::{Cluster, released_module};
///
/// let mut cluster = Cluster::new(&released_module()?);
/// let a = cluster.add_node("a", &["192.0.2.10".parse()?])?;
/// let b = cluster.add_node("b", &["192.0.2.10".parse()?])?;
/// let server = cluster.add_host("server", &["198.51.100.1".parse()?]);
/// cluster.replicate(true);
///
/// let listener = server.tcp_listen("198.51.100.1:80".parse()?)?;
/// let local = "192.0.2.10:5000".parse()?;
/// let first = a.tcp_connect(Some(local), "198.51.100.1:80".parse()?)?;
/// let refused = b.tcp_connect(Some(local), "198.51.100.1:80".parse()?);
/// assert_eq!(refused.unwrap_err().name(), Some("EADDRINUSE"));
/// # drop((listener, first));
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Cluster {
    network: Arc<Network>,
    module: Vec<u8>,
    tunables: Vec<(String, u64)>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("nodes", &self.nodes())
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster without nodes; `module` is the module file that they load.
    pub fn new(module: &[u8]) -> Self {
        Self {
            module: module.to_vec(),
            ..Self::default()
        }
    }

    /// `set clinet:NAME = VALUE` for nodes that are added from now on.
    pub fn set_tunable(&mut self, name: &str, value: u64) {
        self.tunables.push((name.to_owned(), value));
    }

    /// Boots a node that has these addresses and loads the module. Nodes are
    /// numbered from 1, which is their `clinet_node_id`. An address may be on
    /// several nodes; the first of a family is the source that is chosen when
    /// a program chooses none.
    ///
    /// # Errors
    ///
    /// If the module does not load.
    pub fn add_node(&mut self, name: &str, addresses: &[IpAddr]) -> Result<Node, SetupError> {
        let kernel = Arc::new(Kernel::new());
        let id = NodeId::from_index(self.network.nodes().len());
        let mut tunables = vec![("clinet_node_id", u64::from(id.number()))];
        tunables.extend(
            self.tunables
                .iter()
                .map(|(name, value)| (name.as_str(), *value)),
        );
        let clinet = Clinet::load(kernel.clone(), &self.module, &tunables)?;
        Ok(self.add(name, addresses, kernel, Some(clinet)))
    }

    /// Boots a host outside of the cluster: it asks nobody.
    pub fn add_host(&mut self, name: &str, addresses: &[IpAddr]) -> Node {
        self.add(name, addresses, Arc::new(Kernel::new()), None)
    }

    fn add(
        &mut self,
        name: &str,
        addresses: &[IpAddr],
        kernel: Arc<Kernel>,
        clinet: Option<Clinet>,
    ) -> Node {
        let mut nodes = self
            .network
            .nodes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let id = NodeId::from_index(nodes.len());
        let state = Arc::new(NodeState::new(id, name, addresses, kernel, clinet));
        self.network.wire.attach();
        nodes.push(state.clone());
        Node::new(state, self.network.clone())
    }

    /// All nodes and hosts, in the order of their numbers.
    pub fn nodes(&self) -> Vec<Node> {
        let nodes = self.network.nodes().into_iter();
        nodes
            .map(|state| Node::new(state, self.network.clone()))
            .collect()
    }

    /// The node of that number.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn node(&self, id: NodeId) -> Node {
        self.network.node(id)
    }

    /// Plays the cluster's directory: what one node holds is installed with
    /// the others, and withdrawn when it ends. Off: the others forget it.
    pub fn replicate(&self, on: bool) {
        let nodes = self.network.nodes();
        let modules: Vec<(NodeId, &Clinet)> = nodes
            .iter()
            .filter_map(|node| Some((node.id, node.clinet.as_ref()?)))
            .collect();
        self.network.directory.replicate(on, &modules);
    }

    /// Who holds a 5-tuple, whether others were told or not.
    pub fn owner(&self, tuple: &FiveTuple) -> Option<NodeId> {
        self.network.directory.owner(tuple)
    }

    /// The 5-tuples that a node holds, in order: those of its connections and
    /// of its bound UDP sockets, and what connected UDP sockets left behind.
    pub fn held(&self, node: NodeId) -> Vec<FiveTuple> {
        self.network.directory.held(node)
    }

    /// Chooses the node that gets a new flow to an address of several; the
    /// 5-tuple is seen from that address. `None` and nodes that do not have
    /// the address mean: the first that listens. It must not use an endpoint.
    pub fn steer(
        &self,
        choose: impl Fn(&FiveTuple, &[NodeId]) -> Option<NodeId> + Send + Sync + 'static,
    ) {
        *self
            .network
            .steering
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(choose));
    }

    /// Makes an address unreachable: TCP segments to it are lost, UDP sends
    /// fail with EHOSTUNREACH. Or reachable again.
    pub fn set_reachable(&self, address: IpAddr, reachable: bool) {
        self.network.wire.set_reachable(address, reachable);
    }

    /// Records every packet from now on, or stops.
    pub fn sniff(&self, on: bool) {
        self.network.wire.set_sniffing(on);
    }

    /// The packets since the last time, oldest first.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.network.wire.take_sightings()
    }

    /// Virtual time since the cluster was made.
    pub fn now(&self) -> Duration {
        self.network.clock.now()
    }

    /// Moves the clock, of all kernels too: SYNs are sent again, connections
    /// leave TIME_WAIT.
    pub fn advance(&self, by: Duration) {
        self.network.advance_to(self.now() + by);
    }

    /// Delivers what is on the wire.
    pub fn settle(&self) {
        self.network.settle();
    }
}
