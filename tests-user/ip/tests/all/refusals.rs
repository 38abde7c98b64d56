// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Each kind of refusal by the released module, as a program sees it: another
//! node owns the 5-tuple.

use std::net::{IpAddr, Ipv6Addr};

use crate::common::{
    self, LOCAL, OTHER, bound_udp, entries, install, mapped, node, send_to, withdraw,
};
use clinet_ip::*;

/// Sockets of each family, and the address they use.
fn families() -> [(u16, IpAddr); 3] {
    [
        (AF_INET, LOCAL),
        (AF_INET6, IpAddr::V6(Ipv6Addr::LOCALHOST)),
        (AF_INET6, mapped(LOCAL)),
    ]
}

#[test]
fn tcp_connect_is_refused() {
    for (family, address) in families() {
        let node = node(&[]);
        let listener = node.ip().tcp(0, family);
        listener.bind(Some(address), 5001).expect("free");
        listener.listen(1).expect("it is bound");
        install(&node, IPPROTO_TCP, (address, 15001), (address, 5001));
        for nonblocking in [false, true] {
            let socket = node.ip().tcp(0, family);
            socket.bind(Some(address), 15001).expect("free");
            socket.set_nonblocking(nonblocking);
            assert_eq!(
                socket.connect(address, 5001),
                Err(Errno::EADDRINUSE),
                "{address}"
            );
            socket.close();
        }
        assert!(
            matches!(listener.accept(), Err(Errno::EAGAIN)),
            "no SYN left"
        );
        withdraw(&node, IPPROTO_TCP, (address, 15001), (address, 5001));
        let socket = node.ip().tcp(0, family);
        socket.bind(Some(address), 15001).expect("free");
        socket.connect(address, 5001).expect("it is free now");
    }
}

#[test]
fn an_incoming_syn_is_refused_until_the_owner_gives_up() {
    for (family, address) in families() {
        let node = node(&[]);
        let listener = node.ip().tcp(0, family);
        listener.bind(Some(address), 5001).expect("free");
        listener.listen(1).expect("it is bound");
        let refused = ((address, 5001), (address, 15001));
        install(&node, IPPROTO_TCP, refused.0, refused.1);
        let client = node.ip().tcp(0, family);
        client.bind(Some(address), 15001).expect("free");
        client.set_nonblocking(true);
        assert_eq!(client.connect(address, 5001), Err(Errno::EINPROGRESS));
        // The SYN is sent again after 1.1 and 3.4 seconds.
        node.ip().advance(1200);
        assert_eq!(node.clinet().stats().tcp_in.owned, 2, "{address}");
        assert!(!client.is_writable());
        withdraw(&node, IPPROTO_TCP, refused.0, refused.1);
        node.ip().advance(2500);
        assert!(client.is_writable());
        assert_eq!(client.take_error(), None);
        listener.accept().expect("a connection");
        assert_eq!(node.tcp_entries().len(), 2);
    }
}

#[test]
fn a_client_gives_up_when_its_syn_is_always_refused() {
    let node = node(&[]);
    let listener = common::listener(&node);
    install(&node, IPPROTO_TCP, (LOCAL, 5001), (LOCAL, 15001));
    let client = common::bound(&node, 15001);
    assert_eq!(client.connect(LOCAL, 5001), Err(Errno::ETIMEDOUT));
    client.close();
    listener.close();
    assert_eq!(node.ip().drain(), 0);
    assert_eq!(node.tcp_entries(), []);
}

#[test]
fn udp_connect_is_refused() {
    for (family, address) in families() {
        let node = node(&[]);
        let socket = node.ip().udp(0, family);
        socket.bind(Some(address), 15001).expect("free");
        socket.connect(address, 7002).expect("nobody's");
        install(&node, IPPROTO_UDP, (address, 15001), (address, 7001));
        for _ in 0..2 {
            let refused = socket.connect(address, 7001);
            assert_eq!(refused, Err(Errno::EADDRNOTAVAIL), "{address}");
        }
        assert_eq!(
            socket.send(4),
            Err(Errno::EDESTADDRREQ),
            "the old peer is lost"
        );
        withdraw(&node, IPPROTO_UDP, (address, 15001), (address, 7001));
        socket.connect(address, 7001).expect("it is free now");
    }
}

#[test]
fn udp_sendto_is_refused_and_asked_about_again() {
    for (family, address) in families() {
        let node = node(&[]);
        let socket = node.ip().udp(0, family);
        socket.bind(Some(address), 15001).expect("free");
        install(&node, IPPROTO_UDP, (address, 15001), (address, 7001));
        for _ in 0..2 {
            let refused = send_to(&socket, address, 7001);
            assert_eq!(refused, Err(Errno::EHOSTUNREACH), "{address}");
        }
        assert_eq!(node.clinet().stats().udp.owned, 2);
        withdraw(&node, IPPROTO_UDP, (address, 15001), (address, 7001));
        send_to(&socket, address, 7001).expect("it is free now");
    }
}

#[test]
fn a_full_table_refuses_if_it_is_told_to() {
    for (full_refuses, refused) in [(0, 0), (1, 36)] {
        let tunables = [
            ("clinet_full_refuse", full_refuses),
            ("clinet_max_tuples", 64),
            ("clinet_udp_share", 100),
        ];
        let node = node(&tunables);
        let socket = bound_udp(&node, 15001);
        let answers = (1..=100).map(|port| send_to(&socket, OTHER, port));
        let errors: Vec<Errno> = answers.filter_map(Result::err).collect();
        assert_eq!(errors, vec![Errno::EHOSTUNREACH; refused]);
        assert_eq!(entries(&node).len(), 64);
        assert_eq!(node.clinet().stats().udp.udp_full, 36);
    }
}

/// What another node owns on the global stack means nothing on others.
#[test]
fn other_stacks_are_not_refused() {
    let node = node(&[]);
    node.attached().add_stack(7);
    install(&node, IPPROTO_UDP, (LOCAL, 15001), (LOCAL, 7001));
    for (stack, expected) in [(0, Err(Errno::EHOSTUNREACH)), (7, Ok(4))] {
        let socket = node.ip().udp(stack, AF_INET);
        socket.bind(Some(LOCAL), 15001).expect("free");
        assert_eq!(send_to(&socket, LOCAL, 7001), expected);
    }
}

#[test]
fn nobody_is_refused_in_the_other_modes() {
    for (mode, observed) in [(0, 0), (1, 1)] {
        let node = node(&[("clinet_mode", mode)]);
        install(&node, IPPROTO_UDP, (LOCAL, 15001), (LOCAL, 7001));
        let socket = bound_udp(&node, 15001);
        send_to(&socket, LOCAL, 7001).expect("not refused");
        assert_eq!(node.clinet().stats().udp.observed, observed);
    }
}
