// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One node: its kernel, its module, its addresses, and the tables in which
//! its endpoints are found.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use clinet_kernel::{Context, Kernel};

use crate::api::Clinet;
use crate::cluster::Network;
use crate::error::Errno;
use crate::lock;
use crate::ports::Ports;
use crate::tcp::Conn;
use crate::types::Stats;
use crate::udp::Endpoint;

/// A node's number in the cluster, from 1; `clinet_node_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl NodeId {
    pub(crate) fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).map_or(u32::MAX, |index| index + 1))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The contexts that ip calls in.
pub(crate) struct Contexts {
    /// Inside a squeue: no mutex, but nothing may wait.
    pub squeue: Context,
    /// The thread of a network interrupt, inside a squeue too.
    pub interrupt: Context,
    /// A UDP send that has dropped its endpoint's lock.
    pub send: Context,
    /// The endpoint's lock is held.
    pub conn_lock: Context,
    /// The lock of a UDP port's bucket is held.
    pub uf_lock: Context,
    /// The lock of a bucket of the bind hash is held, inside a squeue.
    pub connf_lock: Context,
}

pub(crate) static CONTEXTS: LazyLock<Contexts> = LazyLock::new(|| Contexts {
    squeue: Context::no_sleep(),
    interrupt: Context::interrupt(),
    send: Context::no_sleep(),
    conn_lock: Context::no_sleep().holding("conn_lock"),
    uf_lock: Context::no_sleep().holding("uf_lock"),
    connf_lock: Context::no_sleep().holding("connf_lock"),
});

/// Where endpoints are found. Its lock is innermost.
#[derive(Default)]
pub(crate) struct Tables {
    /// TCP connections, by local and foreign end.
    pub connected: HashMap<(SocketAddr, SocketAddr), Arc<Conn>>,
    pub tcp: Ports<Conn>,
    pub udp: Ports<Endpoint>,
}

const BUCKETS: usize = 16;

pub(crate) struct NodeState {
    pub id: NodeId,
    pub name: String,
    pub addresses: Vec<IpAddr>,
    pub kernel: Arc<Kernel>,
    pub clinet: Option<Clinet>,
    tables: Mutex<Tables>,
    /// Buckets of the UDP fanout, by local port.
    uf_locks: [Mutex<()>; BUCKETS],
    /// Buckets of the TCP bind hash, by local port.
    connf_locks: [Mutex<()>; BUCKETS],
    serials: AtomicU64,
}

impl NodeState {
    pub fn new(
        id: NodeId,
        name: &str,
        addresses: &[IpAddr],
        kernel: Arc<Kernel>,
        clinet: Option<Clinet>,
    ) -> Self {
        Self {
            id,
            name: name.to_owned(),
            addresses: addresses.iter().map(IpAddr::to_canonical).collect(),
            kernel,
            clinet,
            tables: Mutex::default(),
            uf_locks: Default::default(),
            connf_locks: Default::default(),
            serials: AtomicU64::new(1),
        }
    }

    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }

    pub fn uf_lock(&self, port: u16) -> MutexGuard<'_, ()> {
        lock(&self.uf_locks[usize::from(port) % BUCKETS])
    }

    pub fn connf_lock(&self, port: u16) -> MutexGuard<'_, ()> {
        lock(&self.connf_locks[usize::from(port) % BUCKETS])
    }

    pub fn has_address(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address.to_canonical())
    }

    /// May an endpoint be bound to the address?
    pub fn check_local(&self, address: IpAddr) -> Result<(), Errno> {
        if address.to_canonical().is_unspecified() || self.has_address(address) {
            Ok(())
        } else {
            Err(Errno::EADDRNOTAVAIL)
        }
    }

    /// The source for a destination when the program chose none: the first
    /// address of the family. A node without one has no more than the
    /// unspecified address, as before it is configured.
    pub fn source_for(&self, destination: IpAddr) -> IpAddr {
        let v4 = destination.to_canonical().is_ipv4();
        let unspecified = if v4 {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let mut addresses = self.addresses.iter().copied();
        addresses
            .find(|address| address.is_ipv4() == v4)
            .unwrap_or(unspecified)
    }

    /// A number that no other connection of this node has had.
    pub fn serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }
}

/// A node of a [`Cluster`](crate::Cluster), or a host outside of it. Clones
/// are the same node; it may be used by several threads.
#[derive(Clone)]
pub struct Node {
    pub(crate) state: Arc<NodeState>,
    pub(crate) network: Arc<Network>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Node {
    pub(crate) fn new(state: Arc<NodeState>, network: Arc<Network>) -> Self {
        Self { state, network }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.state.name
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.state.id
    }

    /// Its addresses; a v4-mapped one is shown as IPv4.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.state.addresses
    }

    /// Its kernel.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.state.kernel
    }

    /// Does it have the module?
    pub fn is_member(&self) -> bool {
        self.state.clinet.is_some()
    }

    /// Its module.
    ///
    /// # Panics
    ///
    /// On a host that has none.
    pub fn clinet(&self) -> &Clinet {
        self.state
            .clinet
            .as_ref()
            .unwrap_or_else(|| panic!("{} is a host without the module", self.name()))
    }

    /// The counters of its module.
    ///
    /// # Panics
    ///
    /// On a host that has none.
    pub fn stats(&self) -> Stats {
        self.clinet().stats()
    }

    /// Runs `told` with the modules of the other nodes, if this one has one.
    pub(crate) fn with_others(&self, told: impl FnOnce(&[&Clinet])) {
        if self.state.clinet.is_none() {
            return;
        }
        let nodes = self.network.nodes();
        let others: Vec<&Clinet> = nodes
            .iter()
            .filter(|node| node.id != self.state.id)
            .filter_map(|node| node.clinet.as_ref())
            .collect();
        told(&others);
    }
}
