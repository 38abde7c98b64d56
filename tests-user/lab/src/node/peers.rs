// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The hosts at the other ends of the machine's connections: whatever address
//! and port a program names, somebody answers there.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use clinet_ip::{Cluster, Errno, Node, Socket};

#[derive(Default)]
struct Known {
    hosts: HashMap<IpAddr, Node>,
    listeners: HashMap<SocketAddr, Arc<Socket>>,
}

/// The hosts of the network.
pub struct Peers {
    cluster: Arc<Cluster>,
    known: Mutex<Known>,
}

impl Peers {
    /// Nobody yet.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            known: Mutex::default(),
        }
    }

    /// The socket that listens at `end`, on a host that comes into being when
    /// it is first needed.
    pub fn listener(&self, end: SocketAddr) -> Result<Arc<Socket>, Errno> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = known.listeners.get(&end) {
            return Ok(listener.clone());
        }
        let add = || self.cluster.add_host(&end.ip().to_string(), &[end.ip()]);
        let host = known.hosts.entry(end.ip()).or_insert_with(add).clone();
        let listener = Arc::new(host.tcp_listen(end)?);
        known.listeners.insert(end, listener.clone());
        Ok(listener)
    }
}
