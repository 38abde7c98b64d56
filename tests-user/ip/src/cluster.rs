// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Several nodes, each with its own kernel and module, and what tests do with
//! all of them.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use clinet_kernel::Kernel;

use crate::address::FiveTuple;
use crate::attached::Attached;
use crate::contract::Contract;
use crate::error::SetupError;
use crate::ip::Ip;
use crate::module::Clinet;
use crate::network::{Network, Sighting};
use crate::node::{Node, NodeId, NodeState};
use crate::release::Release;
use crate::sites::Sites;
use crate::stack::Stack;

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
    pub fn add_host(&self, name: &str, addresses: &[IpAddr]) -> Node {
        self.add(name, addresses, Arc::new(Kernel::new()), None)
    }

    /// Boots a node with the stock ip of a release: what is loaded on its
    /// kernel finds the hooks of `drv/ip`. The cluster's directory does not
    /// know what it holds.
    pub fn add_stock_node(&self, name: &str, addresses: &[IpAddr], release: Release) -> Attached {
        let kernel = Arc::new(Kernel::new());
        Attached::with_ip(kernel.clone(), |machine| {
            let sites = Sites::Hooks(machine.clone());
            let state = self.add_state(name, addresses, kernel, release, |_, _| sites);
            Ip::with_stack(machine, state.stack.clone())
        })
    }

    fn add(
        &self,
        name: &str,
        addresses: &[IpAddr],
        kernel: Arc<Kernel>,
        clinet: Option<Clinet>,
    ) -> Node {
        let release = Release::default();
        let state = self.add_state(name, addresses, kernel, release, |node, network| {
            clinet.map_or(Sites::Nobody, |clinet| {
                Sites::Contract(Arc::new(Contract {
                    clinet,
                    node,
                    network,
                }))
            })
        });
        self.node_of(state)
    }

    fn add_state(
        &self,
        name: &str,
        addresses: &[IpAddr],
        kernel: Arc<Kernel>,
        release: Release,
        sites: impl FnOnce(NodeId, Weak<Network>) -> Sites,
    ) -> Arc<NodeState> {
        let network = &self.network;
        let addresses: Vec<IpAddr> = addresses.iter().map(IpAddr::to_canonical).collect();
        network.add(|node| {
            let network = Arc::downgrade(network);
            let sites = sites(node, network.clone());
            let stack = Stack::on_network(node, &addresses, sites, release, network);
            NodeState {
                id: node,
                name: name.to_owned(),
                stack: Arc::new(stack),
                addresses,
                kernel,
            }
        })
    }

    fn node_of(&self, state: Arc<NodeState>) -> Node {
        Node {
            state,
            _network: self.network.clone(),
        }
    }

    /// All nodes and hosts, in the order of their numbers.
    pub fn nodes(&self) -> Vec<Node> {
        let nodes = self.network.nodes().into_iter();
        nodes.map(|state| self.node_of(state)).collect()
    }

    /// The node of that number.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn node(&self, id: NodeId) -> Node {
        self.node_of(self.network.nodes()[id.index()].clone())
    }

    /// Plays the cluster's directory: what one node holds is installed with
    /// the others, and withdrawn when it ends. Off: the others forget it.
    pub fn replicate(&self, on: bool) {
        let nodes = self.network.nodes();
        let modules: Vec<(NodeId, &Clinet)> = nodes
            .iter()
            .filter_map(|node| Some((node.id, node.clinet()?)))
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
        self.network.set_reachable(address, reachable);
    }

    /// Records every packet from now on, or stops.
    pub fn sniff(&self, on: bool) {
        self.network.set_sniffing(on);
    }

    /// Shows each packet to `watch` as it is delivered, and to nobody else who
    /// watched before. It must not use an endpoint.
    pub fn watch(&self, watch: impl Fn(&Sighting) + Send + Sync + 'static) {
        self.network.set_watcher(Arc::new(watch));
    }

    /// The packets since the last time, oldest first.
    pub fn sightings(&self) -> Vec<Sighting> {
        self.network.take_sightings()
    }

    /// Virtual time since the cluster was made.
    pub fn now(&self) -> Duration {
        Duration::from_millis(self.network.now())
    }

    /// Moves the clock, of all kernels too: SYNs are sent again, connections
    /// leave TIME_WAIT.
    pub fn advance(&self, by: Duration) {
        self.network
            .advance_to((self.now() + by).as_millis() as u64);
    }
}
