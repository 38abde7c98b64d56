// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Connections of TCP, and what never became one.

use super::{BOUND_PAIR, DOUBT, NOTHING, PAIR, connected};
use crate::common::{
    LOCAL, OTHER, OWNER, bound, entries, install, listener, mapped, node, withdraw,
};
use clinet_ip::*;

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
