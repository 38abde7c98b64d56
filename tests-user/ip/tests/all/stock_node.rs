// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A machine with a stock ip among the nodes of a cluster.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use clinet_ip::{AttachedNode, Cluster, Release, Sighting, released_module};

const SHARED: &str = "192.0.2.10";

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn shared() -> IpAddr {
    SHARED.parse().expect("an address")
}

#[test]
fn its_module_is_asked_about_what_goes_over_the_wire() {
    for release in [Release::Y2015, Release::Y2021] {
        let cluster = Cluster::default();
        let attached = cluster.add_stock_node("node", &[shared()], release);
        let host = cluster.add_host("host", &[end("198.51.100.7:80").ip()]);
        let listener = host.tcp_listen(end("198.51.100.7:80")).expect("it listens");
        let seen = Arc::new(Mutex::new(Vec::<Sighting>::new()));
        let watcher = seen.clone();
        cluster.watch(move |sighting| {
            let mut seen = watcher.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(sighting.clone());
        });

        let kernel = attached.kernel().clone();
        let tunables = [("clinet_addrs", kernel.string(SHARED))];
        let file = released_module().expect("the module is built");
        let node = AttachedNode::on(attached, &file, &tunables).expect("it loads");
        let socket = node.ip().tcp(0, clinet_ip::AF_INET);
        socket
            .connect(end("198.51.100.7:80").ip(), 80)
            .expect("connected");
        listener.accept().expect("accepted");

        let [entry] = node.tcp_entries()[..] else {
            panic!("one connection: {:?}", node.tcp_entries());
        };
        assert_eq!(entry.foreign, end("198.51.100.7:80"));
        assert_eq!(entry.local.ip(), shared());
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let syn = seen.first().expect("a packet");
        assert!(syn.begins_connection(), "{syn:?}");
        assert_eq!((syn.from, syn.to), (entry.local, entry.foreign));
    }
}
