// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One node of a cluster: its kernel, its module, its addresses, and its ip.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use clinet_kernel::Kernel;

use crate::address::family_of;
use crate::error::Errno;
use crate::ip::{tcp_socket, udp_socket};
use crate::module::{Clinet, Stats};
use crate::network::Network;
use crate::sites::Sites;
use crate::socket::Socket;
use crate::stack::Stack;

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

pub(crate) struct NodeState {
    pub id: NodeId,
    pub name: String,
    /// In canonical form.
    pub addresses: Vec<IpAddr>,
    pub kernel: Arc<Kernel>,
    pub stack: Arc<Stack>,
}

impl NodeState {
    pub fn clinet(&self) -> Option<&Clinet> {
        match &self.stack.sites {
            Sites::Contract(contract) => Some(&contract.clinet),
            _ => None,
        }
    }
}

/// A node of a [`Cluster`](crate::Cluster), or a host outside of it. Clones
/// are the same node; it may be used by several threads.
#[derive(Clone)]
pub struct Node {
    pub(crate) state: Arc<NodeState>,
    /// Its stack knows it weakly.
    pub(crate) _network: Arc<Network>,
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
        self.state.clinet().is_some()
    }

    /// Its module.
    ///
    /// # Panics
    ///
    /// On a host that has none.
    pub fn clinet(&self) -> &Clinet {
        let clinet = self.state.clinet();
        clinet.unwrap_or_else(|| panic!("{} is a host without the module", self.name()))
    }

    /// The counters of its module.
    ///
    /// # Panics
    ///
    /// On a host that has none.
    pub fn stats(&self) -> Stats {
        self.clinet().stats()
    }

    /// A TCP socket of the address family of `like`.
    pub fn tcp(&self, like: SocketAddr) -> Socket {
        tcp_socket(self.state.stack.clone(), family_of(like.ip()))
    }

    /// A UDP socket of the address family of `like`.
    pub fn udp(&self, like: SocketAddr) -> Socket {
        udp_socket(self.state.stack.clone(), family_of(like.ip()))
    }

    /// A socket that listens on `local`.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`] and [`Socket::listen`].
    pub fn tcp_listen(&self, local: SocketAddr) -> Result<Socket, Errno> {
        let socket = self.tcp(local);
        socket.bind(Some(local.ip()), local.port())?;
        socket.listen(128)?;
        Ok(socket)
    }

    /// A socket that is connected to `peer`, from `local` if it is given.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`] and [`Socket::connect`].
    pub fn tcp_connect(
        &self,
        local: Option<SocketAddr>,
        peer: SocketAddr,
    ) -> Result<Socket, Errno> {
        let socket = self.tcp(peer);
        let bound = local.map_or(Ok(()), |local| socket.bind(Some(local.ip()), local.port()));
        let connected = bound.and_then(|()| socket.connect(peer.ip(), peer.port()));
        match connected {
            Ok(()) => Ok(socket),
            Err(errno) => {
                socket.close();
                Err(errno)
            }
        }
    }

    /// A socket that is bound to `local`.
    ///
    /// # Errors
    ///
    /// Those of [`Socket::bind`].
    pub fn udp_bind(&self, local: SocketAddr) -> Result<Socket, Errno> {
        let socket = self.udp(local);
        socket.bind(Some(local.ip()), local.port())?;
        Ok(socket)
    }
}
