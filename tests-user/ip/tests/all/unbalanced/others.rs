// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sockets from before the attach and raw ones, addresses, and hooks of packets.

use std::net::{IpAddr, Ipv4Addr};

use super::{NOTHING, PAIR, connected};
use crate::common::{LOCAL, bound_udp, entries, listener, node, send_to};
use clinet_ip::*;

#[test]
fn sockets_from_before_are_found_and_end() {
    let node = node(&[("clinet_attach", 0)]);
    let listener = listener(&node);
    let (client, server) = connected(&node, &listener);
    let (ending, ended) = connected(&node, &listener);
    ending.close();
    ended.close();
    let old = bound_udp(&node, 15001);
    send_to(&old, LOCAL, 7001).expect("nobody is asked");
    assert_eq!(entries(&node), NOTHING);
    assert_eq!(node.call("clinet_attach_ip", &[]), 0);
    node.seconds(3);
    let time_wait = "tcp 127.0.0.1:p1 127.0.0.1:5001 x1";
    assert_eq!(entries(&node), [PAIR[0], PAIR[1], time_wait]);
    send_to(&old, LOCAL, 7001).expect("the last destination is not asked about");
    old.close();
    listener.close();
    server.close();
    client.close();
    assert_eq!(node.ip().drain(), 0);
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn hooks_of_every_packet_are_left_alone() {
    let node = node(&[]);
    for name in ["cl_inet_isclusterwide", "cl_inet_ipident"] {
        let variable = node.attached().kernel().variable("drv/ip", name);
        let variable = variable.expect("ip has it");
        assert_eq!(variable.load(std::sync::atomic::Ordering::Relaxed), 0);
    }
}

#[test]
fn an_address_that_goes_down_changes_no_entry() {
    let node = node(&[]);
    let there = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1));
    let listener = node.ip().tcp(0, AF_INET);
    listener.bind(Some(there), 5001).expect("free");
    listener.listen(1).expect("it is bound");
    let client = node.ip().tcp(0, AF_INET);
    client.connect(there, 5001).expect("a listener");
    let server = listener.accept().expect("a connection");
    let before = entries(&node);
    assert_eq!(before.len(), 2);
    assert!(node.ip().set_interface(0, "lo0:2", false));
    node.audit();
    node.audit();
    assert_eq!(entries(&node), before);
    assert!(node.ip().set_interface(0, "lo0:2", true));
    for socket in [&server, &client, &listener] {
        socket.close();
    }
    assert_eq!(node.ip().drain(), 0);
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn raw_sockets_are_nothing() {
    let node = node(&[]);
    let raw = node.ip().raw(0, AF_INET);
    raw.connect(LOCAL, 0).expect("a raw socket");
    raw.send(4).expect("sent");
    raw.close();
    assert_eq!(entries(&node), NOTHING);
    assert_eq!(node.clinet().stats().unknown, 0);
}
