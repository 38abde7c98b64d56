// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Sockets of UDP.

use std::net::{IpAddr, Ipv4Addr};

use super::NOTHING;
use crate::common::{LOCAL, NOWHERE, OTHER, bound_udp, entries, mapped, node, send_to};
use clinet_ip::*;

#[test]
fn an_unbind_of_nothing_is_ignored() {
    let node = node(&[]);
    let sender = bound_udp(&node, 15001);
    send_to(&sender, LOCAL, 7001).expect("accepted");
    let never = node.ip().udp(0, AF_INET);
    for _ in 0..2 {
        assert_eq!(never.bind_null(), Err(Errno::EINVAL));
    }
    let failed = node.ip().udp(0, AF_INET);
    assert_eq!(failed.bind(Some(LOCAL), 15001), Err(Errno::EADDRINUSE));
    failed.close();
    // Binds itself to the wildcard, and is unbound.
    let no_route = node.ip().udp(0, AF_INET);
    assert_eq!(no_route.connect(NOWHERE, 7001), Err(Errno::ENETUNREACH));
    no_route.close();
    assert_eq!(entries(&node), ["udp 127.0.0.1:15001 127.0.0.1:7001 x1"]);
    sender.close();
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn connected_udp_sockets_vanish_and_age() {
    let node = node(&[("clinet_udp_age", 64)]);
    let socket = node.ip().udp(0, AF_INET);
    socket.connect(LOCAL, 7001).expect("accepted");
    socket.close();
    let entry = ["udp 127.0.0.1:p0 127.0.0.1:7001 x1"];
    node.seconds(60);
    assert_eq!(entries(&node), entry);
    node.seconds(20);
    assert_eq!(entries(&node), NOTHING);
    assert_eq!(node.clinet().stats().aged, 1);
}

#[test]
fn udp_disconnect_lets_close_tell() {
    let node = node(&[]);
    let socket = bound_udp(&node, 15001);
    socket.connect(LOCAL, 7001).expect("accepted");
    socket.disconnect().expect("connected");
    assert_eq!(entries(&node), ["udp 127.0.0.1:15001 127.0.0.1:7001 x1"]);
    socket.close();
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn a_mapped_socket_is_bound_and_unbound_in_different_families() {
    let node = node(&[]);
    let socket = node.ip().udp(0, AF_INET6);
    socket.bind(Some(mapped(LOCAL)), 15001).expect("free");
    socket.connect(mapped(LOCAL), 7001).expect("accepted");
    socket.disconnect().expect("connected");
    assert_eq!(entries(&node), ["udp 127.0.0.1:15001 127.0.0.1:7001 x1"]);
    socket.close();
    assert_eq!(entries(&node), NOTHING);
}

/// The wildcard was bound, and a specific address is unbound: nothing that
/// another socket has there may go.
#[test]
fn what_unbinds_its_chosen_source_was_never_bound_there() {
    let node = node(&[]);
    let other = bound_udp(&node, 15002);
    send_to(&other, LOCAL, 7001).expect("accepted");
    let socket = node.ip().udp(0, AF_INET6);
    socket.connect(mapped(LOCAL), 7001).expect("accepted");
    socket.bind_null().expect("it is bound");
    let kept = "udp 127.0.0.1:15002 127.0.0.1:7001 x1";
    assert!(entries(&node).contains(&kept.to_owned()));
}

#[test]
fn udp_destinations_of_every_kind_register() {
    let node = node(&[]);
    let group = IpAddr::V4(Ipv4Addr::new(224, 0, 1, 1));
    let socket = bound_udp(&node, 15001);
    for _ in 0..2 {
        assert_eq!(send_to(&socket, NOWHERE, 7001), Err(Errno::EHOSTUNREACH));
    }
    send_to(&socket, group, 7001).expect("accepted");
    send_to(&socket, LOCAL, 0).expect("accepted");
    assert_eq!(
        entries(&node),
        [
            "udp 127.0.0.1:15001 127.0.0.1:0 x1",
            "udp 127.0.0.1:15001 192.0.2.99:7001 x2",
            "udp 127.0.0.1:15001 224.0.1.1:7001 x1",
        ]
    );
    let wildcard = node.ip().udp(0, AF_INET);
    send_to(&wildcard, OTHER, 7001).expect("accepted");
    assert_eq!(entries(&node).len(), 3, "there is no local address");
    socket.close();
    wildcard.close();
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn control_data_registers_nothing() {
    let node = node(&[]);
    let socket = bound_udp(&node, 15001);
    socket
        .send_to(Some((OTHER, 7001)), true, 4)
        .expect("nobody is asked");
    assert_eq!(entries(&node), NOTHING);
    assert_eq!(node.clinet().stats().udp.asked, 0);
}

#[test]
fn each_question_of_udp_is_a_reference() {
    let node = node(&[]);
    let socket = bound_udp(&node, 15001);
    for (option, references) in [
        (SocketOption::SO_SNDBUF, 1),
        (SocketOption::IP_TTL, 2),
        (SocketOption::SO_BROADCAST, 2),
        (SocketOption::IP_TOS, 3),
    ] {
        send_to(&socket, OTHER, 7001).expect("accepted");
        socket.set_option(option, 1).expect("it is set");
        send_to(&socket, OTHER, 7001).expect("accepted");
        let entry = format!("udp 127.0.0.1:15001 127.0.0.2:7001 x{references}");
        assert_eq!(entries(&node), [entry], "{option:?}");
    }
    socket.close();
    assert_eq!(entries(&node), NOTHING, "one unbind ends them all");
}
