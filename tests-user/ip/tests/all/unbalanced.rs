// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calls of ip that do not balance, with the released module attached.
//!
//! | ip's call that has no counterpart | test |
//! |---|---|
//! | disconnect of listeners, of bound sockets, after a refused connect | `ends_of_what_was_never_registered_are_ignored` |
//! | no disconnect for an accepted SYN that goes nowhere | `an_accepted_syn_that_goes_nowhere_is_removed_by_audits` |
//! | two questions for two copies of a SYN, a disconnect while one lives | `a_duplicate_syn_costs_one_reference` |
//! | two disconnects with one 5-tuple | `a_second_disconnect_takes_nothing_from_another_node` |
//! | disconnect when a connection dies, and again when its socket is closed | `a_connection_that_dies_leaves_before_its_socket` |
//! | unbind of what was never bound, late failure of bind | `an_unbind_of_nothing_is_ignored` |
//! | nothing at the close of a connected UDP socket | `connected_udp_sockets_vanish_and_age` |
//! | unlisten only if listen was told | those of `clinet-attach-tests`: listeners are nothing to the built-in provider |
//! | sockets that were there before | `sockets_from_before_are_found_and_end` |
//! | bind and unbind in different families, of different addresses | `a_mapped_socket_is_bound_and_unbound_in_different_families`, `what_unbinds_its_chosen_source_was_never_bound_there` |
//! | a listener in another family than its connections | `a_mapped_listener_and_its_connections_are_of_one_address` |
//! | a question about a port that is never on the wire | `a_retry_on_a_refused_socket_leaves_nothing` |
//!
//! What a real kernel was seen to do beyond these:
//!
//! | surprise | test |
//! |---|---|
//! | 1 a refused socket is spoiled | `a_retry_on_a_refused_socket_leaves_nothing` |
//! | 2 one disconnect for several refusals | `ends_of_what_was_never_registered_are_ignored` |
//! | 3 4 EINPROGRESS and negative answers harm | `refusals.rs`: the one errno that the module gives; a foreign provider's in `clinet-attach-tests` |
//! | 5 listeners in mapped form | `a_mapped_listener_and_its_connections_are_of_one_address` |
//! | 6 unbind in another family | `a_mapped_socket_is_bound_and_unbound_in_different_families` |
//! | 7 a refused reconnect loses the connection | `refusals.rs`: `udp_connect_is_refused` |
//! | 8 full backlog, simultaneous open | `a_full_backlog_and_a_simultaneous_open_leave_nothing` |
//! | 9 each SYN asks again | `refusals.rs`: `an_incoming_syn_is_refused_until_the_owner_gives_up` |
//! | 10 reset before accept | `a_second_disconnect_takes_nothing_from_another_node`, `the_end_of_a_reset_connection_is_not_that_of_the_next_from_its_port` |
//! | 11 ends of TIME_WAIT, and a SYN for one | `time_wait_keeps_its_entry_and_a_new_syn_takes_it_over` |
//! | 12 listen twice | `listeners_are_nothing` |
//! | 13 unreachable, multicast and port 0 are asked about | `udp_destinations_of_every_kind_register` |
//! | 14 control data never asks | `control_data_registers_nothing` |
//! | 15 options forget the destination | `each_question_of_udp_is_a_reference` |
//! | 16 17 UDP connect, disconnect, implicit bind | `udp_disconnect_lets_close_tell`, `an_unbind_of_nothing_is_ignored` |
//! | 18 isclusterwide and ipident | `hooks_of_every_packet_are_left_alone` |
//! | 19 late attach | `sockets_from_before_are_found_and_end` |
//! | 20 what a walk shows | `listeners_are_nothing` |
//! | 21 an address goes down | `an_address_that_goes_down_changes_no_entry` |
//! | 22 raw sockets | `raw_sockets_are_nothing` |
//!
//! `scenarios.rs` plays the recordings of all of them.

use std::net::{IpAddr, Ipv4Addr};

use crate::common::{
    LOCAL, NOWHERE, OTHER, OWNER, bound, bound_udp, entries, install, listener, mapped, node,
    send_to, withdraw,
};
use clinet_ip::*;

const NOTHING: [&str; 0] = [];

/// Seconds after which no end is in doubt any more.
const DOUBT: u64 = 12;

/// A connected pair over 127.0.0.1:5001.
fn connected(node: &AttachedNode, listener: &Socket) -> (Socket, Socket) {
    let client = node.ip().tcp(0, AF_INET);
    client.connect(LOCAL, 5001).expect("a listener");
    (client, listener.accept().expect("a connection"))
}

const PAIR: [&str; 2] = [
    "tcp 127.0.0.1:5001 127.0.0.1:p0 x1",
    "tcp 127.0.0.1:p0 127.0.0.1:5001 x1",
];

/// The same with a client that is bound to port 15001.
const BOUND_PAIR: [&str; 2] = [
    "tcp 127.0.0.1:5001 127.0.0.1:15001 x1",
    "tcp 127.0.0.1:15001 127.0.0.1:5001 x1",
];

#[test]
fn ends_of_what_was_never_registered_are_ignored() {
    let node = node(&[]);
    let listener = listener(&node);
    let (client, server) = connected(&node, &listener);
    bound(&node, 15001).close();
    let refused = bound(&node, 15002);
    install(&node, IPPROTO_TCP, (LOCAL, 15002), (LOCAL, 5001));
    assert_eq!(refused.connect(LOCAL, 5001), Err(Errno::EADDRINUSE));
    refused.close();
    listener.close();
    let of_other = "tcp 127.0.0.1:15002 127.0.0.1:5001 node 2";
    assert_eq!(entries(&node), [PAIR[0], PAIR[1], of_other]);
    assert_eq!(node.clinet().stats().unknown, 3);
    server.close();
    client.close();
    assert_eq!(node.ip().drain(), 0);
    assert_eq!(node.tcp_entries(), []);
}

#[test]
fn an_accepted_syn_that_goes_nowhere_is_removed_by_audits() {
    let node = node(&[]);
    let listener = listener(&node);
    node.ip().provoke_no_destination(0);
    let (client, server) = connected(&node, &listener);
    // The second copy of the SYN was one more question.
    let twice = "tcp 127.0.0.1:5001 127.0.0.1:p0 x2";
    assert_eq!(entries(&node), [twice, PAIR[1]]);
    server.close();
    client.close();
    assert_eq!(node.ip().drain(), 1, "the listener");
    assert_eq!(entries(&node), [PAIR[0]]);
    node.audit();
    node.audit();
    assert_eq!(entries(&node), NOTHING);
    assert_eq!(node.kstat("attach", "audit_removed"), 1);
}

#[test]
fn a_duplicate_syn_costs_one_reference() {
    let node = node(&[]);
    let listener = listener(&node);
    node.ip().provoke_duplicate_syn(0);
    let (client, server) = connected(&node, &listener);
    assert_eq!(entries(&node), PAIR);
    server.close();
    client.close();
    node.ip().drain();
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn a_second_disconnect_takes_nothing_from_another_node() {
    let node = node(&[]);
    let listener = listener(&node);
    let client = node.ip().tcp(0, AF_INET);
    client.connect(LOCAL, 5001).expect("a listener");
    let port = client.name().1;
    client.abort();
    assert_eq!(entries(&node), NOTHING, "the reset tells both ends");
    install(&node, IPPROTO_TCP, (LOCAL, 5001), (LOCAL, port));
    assert!(matches!(listener.accept(), Err(Errno::ECONNABORTED)));
    assert_eq!(
        entries(&node),
        ["tcp 127.0.0.1:5001 127.0.0.1:p0 node 2"],
        "the end that came again was not this node's"
    );
}

/// A peer resets its connection before accept() and comes again from the same
/// port: with the accept() the first one's end is told a second time. That is
/// not the end of the connection that lives.
#[test]
fn the_end_of_a_reset_connection_is_not_that_of_the_next_from_its_port() {
    let node = node(&[("clinet_audit_period", 0)]);
    let listener = listener(&node);
    let connect = || {
        let client = bound(&node, 15001);
        client.connect(LOCAL, 5001).expect("a listener");
        client
    };
    for lives in [true, false] {
        let reset = connect();
        reset.abort();
        let client = connect();
        let server = lives.then(|| {
            assert!(matches!(listener.accept(), Err(Errno::ECONNABORTED)));
            assert_eq!(entries(&node), BOUND_PAIR, "the end was another one's");
            listener.accept().expect("the second one")
        });
        // Audits that nobody asked for tell which of the two it was.
        node.seconds(DOUBT);
        if let Some(server) = server {
            assert_eq!(entries(&node), BOUND_PAIR);
            server.close();
            client.close();
        } else {
            client.abort();
            for _ in 0..2 {
                assert!(matches!(listener.accept(), Err(Errno::ECONNABORTED)));
            }
            node.seconds(DOUBT);
        }
        node.ip().drain();
        assert_eq!(entries(&node), NOTHING, "lives: {lives}");
    }
}

#[test]
fn a_connection_that_dies_leaves_before_its_socket() {
    let node = node(&[]);
    let listener = listener(&node);
    let (client, server) = connected(&node, &listener);
    server.abort();
    assert_eq!(entries(&node), NOTHING);
    client.close();
    assert_eq!(entries(&node), NOTHING);
    let refused = node.ip().tcp(0, AF_INET);
    assert_eq!(refused.connect(OTHER, 5001), Err(Errno::ECONNREFUSED));
    assert_eq!(entries(&node), NOTHING);
}

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
fn a_mapped_listener_and_its_connections_are_of_one_address() {
    let node = node(&[]);
    let listener = node.ip().tcp(0, AF_INET6);
    listener.bind(Some(mapped(LOCAL)), 5001).expect("free");
    listener.listen(1).expect("it is bound");
    let client = node.ip().tcp(0, AF_INET6);
    client.connect(mapped(LOCAL), 5001).expect("a listener");
    let server = listener.accept().expect("a connection");
    assert_eq!(entries(&node), PAIR);
    listener.close();
    assert_eq!(entries(&node), PAIR, "its end is not theirs");
    // The walk shows mapped addresses, too.
    node.audit();
    node.audit();
    assert_eq!(entries(&node), PAIR);
    server.close();
    client.close();
    node.ip().drain();
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn a_retry_on_a_refused_socket_leaves_nothing() {
    let node = node(&[]);
    let listener = listener(&node);
    let refused = (LOCAL, 32768);
    install(&node, IPPROTO_TCP, refused, (LOCAL, 5001));
    let socket = node.ip().tcp(0, AF_INET);
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::EADDRINUSE));
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::ETIMEDOUT));
    socket.close();
    listener.close();
    assert_eq!(node.ip().drain(), 0);
    // Each SYN of the second try came from the port of the first.
    node.seconds(DOUBT);
    assert_eq!(entries(&node), ["tcp 127.0.0.1:p0 127.0.0.1:5001 node 2"]);
}

#[test]
fn a_full_backlog_and_a_simultaneous_open_leave_nothing() {
    let node = node(&[]);
    let full = bound(&node, 5001);
    full.listen(0).expect("it is bound");
    let first = node.ip().tcp(0, AF_INET);
    first.connect(LOCAL, 5001).expect("there is room");
    let late = node.ip().tcp(0, AF_INET);
    assert_eq!(late.connect(LOCAL, 5001), Err(Errno::ETIMEDOUT));
    assert_eq!(entries(&node), PAIR);
    for socket in [&first, &late, &full] {
        socket.close();
    }
    let listener = bound(&node, 15002);
    listener.listen(1).expect("it is bound");
    install(&node, IPPROTO_TCP, (LOCAL, 15002), (LOCAL, 15001));
    let one = bound(&node, 15001);
    one.set_nonblocking(true);
    assert_eq!(one.connect(LOCAL, 15002), Err(Errno::EINPROGRESS));
    node.ip().settle();
    listener.close();
    node.clinet().purge(OWNER).expect("another node");
    let two = bound(&node, 15002);
    two.connect(LOCAL, 15001).expect("the other one connects");
    let both = [
        "tcp 127.0.0.1:15001 127.0.0.1:15002 x1",
        "tcp 127.0.0.1:15002 127.0.0.1:15001 x1",
    ];
    assert_eq!(entries(&node), both);
    one.close();
    two.close();
    assert_eq!(node.ip().drain(), 0);
    assert_eq!(entries(&node), NOTHING);
}

#[test]
fn time_wait_keeps_its_entry_and_a_new_syn_takes_it_over() {
    let node = node(&[]);
    let listener = listener(&node);
    let connect = || {
        let client = bound(&node, 15001);
        client.connect(LOCAL, 5001).expect("a listener");
        (client, listener.accept().expect("a connection"))
    };
    let (client, server) = connect();
    server.close();
    client.close();
    assert_eq!(entries(&node), BOUND_PAIR[..1], "the active closer waits");
    let (client, server) = connect();
    let twice = "tcp 127.0.0.1:5001 127.0.0.1:15001 x2";
    assert_eq!(entries(&node), [twice, BOUND_PAIR[1]]);
    node.seconds(DOUBT);
    client.close();
    server.close();
    listener.close();
    assert_eq!(node.ip().drain(), 0);
    // It may have been the end of one that was reset before accept().
    assert_eq!(entries(&node), BOUND_PAIR[..1]);
    node.seconds(DOUBT);
    assert_eq!(entries(&node), NOTHING);
}

/// Neither when they come nor when they go, nor when an audit sees them.
#[test]
fn listeners_are_nothing() {
    let node = node(&[]);
    let listener = listener(&node);
    listener.listen(9).expect("it listens");
    assert_eq!(listener.bind_null(), Err(Errno::EINVAL));
    let _unbound = node.ip().tcp(0, AF_INET6);
    let _bound = bound(&node, 15001);
    let wildcard = node.ip().tcp(0, AF_INET);
    wildcard.bind(None, 5002).expect("free");
    let refused = node.ip().tcp(0, AF_INET);
    let tuple = ((LOCAL, 15003), (LOCAL, 5001));
    install(&node, IPPROTO_TCP, tuple.0, tuple.1);
    refused.bind(Some(LOCAL), 15003).expect("free");
    assert_eq!(refused.connect(LOCAL, 5001), Err(Errno::EADDRINUSE));
    withdraw(&node, IPPROTO_TCP, tuple.0, tuple.1);
    node.audit();
    node.audit();
    assert_eq!(entries(&node), NOTHING);
    assert_eq!(node.kstat("attach", "audit_torn"), 0);
    assert_eq!(node.kstat("attach", "audit_added"), 0);
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
