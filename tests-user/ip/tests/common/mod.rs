// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Clusters that the tests begin with.

#![allow(dead_code, reason = "each test uses some of this")]

use std::net::SocketAddr;

use clinet_ip::{Cluster, Node, released_module};

pub const SHARED: &str = "192.0.2.10";
pub const SHARED6: &str = "2001:db8::10";
pub const SERVER: &str = "198.51.100.1";
pub const SERVER6: &str = "2001:db8:1::1";

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Nodes a and b share two addresses; the host has its own.
pub struct Pair {
    pub cluster: Cluster,
    pub a: Node,
    pub b: Node,
    pub host: Node,
}

pub fn pair() -> Pair {
    pair_with(&[])
}

pub fn pair_with(tunables: &[(&str, u64)]) -> Pair {
    let mut cluster = Cluster::new(&released_module().unwrap());
    for (name, value) in tunables {
        cluster.set_tunable(name, *value);
    }
    let shared = [SHARED.parse().unwrap(), SHARED6.parse().unwrap()];
    let a = cluster.add_node("a", &shared).unwrap();
    let b = cluster.add_node("b", &shared).unwrap();
    let host = cluster.add_host("host", &[SERVER.parse().unwrap(), SERVER6.parse().unwrap()]);
    Pair {
        cluster,
        a,
        b,
        host,
    }
}
