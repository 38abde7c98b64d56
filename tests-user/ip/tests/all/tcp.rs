// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: what the facts say and no recorded scenario shows, and each rule once.

use std::net::{IpAddr, Ipv4Addr};

use crate::common::{ANY_V6, LOCAL, Lab, NOWHERE, OTHER};
use clinet_ip::*;

#[test]
fn a_bound_socket_is_told_of_only_with_a_specific_address() {
    let lab = Lab::new();
    lab.bound(LOCAL, 5001).close();
    assert_eq!(lab.calls(), ["disconnect 127.0.0.1:5001 0.0.0.0:0"]);
    let wildcard = lab.tcp();
    wildcard.bind(None, 5001).expect("the port is free");
    wildcard.listen(1).expect("it is bound");
    wildcard.close();
    assert_eq!(
        lab.calls(),
        ["listen 0.0.0.0:5001", "unlisten 0.0.0.0:5001"]
    );
    let unbound = lab.bound(LOCAL, 5001);
    unbound.bind_null().expect("it is bound");
    unbound.close();
    assert!(lab.calls().is_empty());
}

#[test]
fn refused_connects_end_in_one_disconnect_for_the_last_port() {
    let lab = Lab::new();
    lab.answer(Some(true), None, Errno::EADDRINUSE.0);
    let socket = lab.tcp();
    for _ in 0..3 {
        assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::EADDRINUSE));
    }
    socket.close();
    let expected = [
        "connect2 out 127.0.0.1:p0 127.0.0.1:5001 = 125",
        "connect2 out 127.0.0.1:p1 127.0.0.1:5001 = 125",
        "connect2 out 127.0.0.1:p2 127.0.0.1:5001 = 125",
        "disconnect 127.0.0.1:p2 0.0.0.0:0",
    ];
    assert_eq!(lab.calls(), expected);
}

#[test]
fn after_a_refusal_and_listen_nobody_is_told() {
    let lab = Lab::new();
    lab.answer(Some(true), Some(1), Errno::EACCES.0);
    let socket = lab.tcp();
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::EACCES));
    socket.listen(1).expect("it listens on a new port");
    lab.calls();
    socket.close();
    assert_eq!(lab.calls(), ["unlisten 0.0.0.0:p1"]);
}

#[test]
fn a_bound_socket_meets_itself_after_a_refusal() {
    let lab = Lab::new();
    let _listener = lab.listener();
    lab.answer(Some(true), Some(1), Errno::EACCES.0);
    let socket = lab.bound(LOCAL, 15001);
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::EACCES));
    lab.calls();
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::EADDRINUSE));
    assert!(lab.calls().is_empty(), "nobody is asked");
    socket.close();
    assert_eq!(lab.calls(), ["disconnect 127.0.0.1:15001 0.0.0.0:0"]);
}

#[test]
fn a_retry_names_a_port_that_is_never_on_the_wire() {
    let lab = Lab::new();
    let _listener = lab.listener();
    lab.answer(Some(true), Some(1), Errno::EACCES.0);
    let socket = lab.tcp();
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::EACCES));
    lab.calls();
    assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::ETIMEDOUT));
    let calls = lab.calls();
    assert_eq!(calls[0], "connect2 out 127.0.0.1:p1 127.0.0.1:5001");
    let on_the_wire = "connect2 in 127.0.0.1:5001 127.0.0.1:p0";
    let asked = calls.iter().filter(|call| *call == on_the_wire).count();
    assert_eq!(asked, 3, "once for each SYN: {calls:?}");
    assert_eq!(
        calls.last().map(String::as_str),
        Some("disconnect 127.0.0.1:p1 127.0.0.1:5001")
    );
    assert_eq!(socket.send(4), Err(Errno::EPIPE));
    assert_eq!(socket.bind(Some(LOCAL), 15001), Err(Errno::EINVAL));
}

#[test]
fn answers_become_errors_of_connect() {
    let cases = [
        (1000, Errno(1000)),
        (Errno::EADDRINUSE.0, Errno::EADDRINUSE),
        (Errno::EINPROGRESS.0, Errno::ECONNREFUSED),
        (-1, Errno::EADDRNOTAVAIL),
        (-2, Errno::ENOPROTOOPT),
        (-3, Errno::EACCES),
        (-5, Errno::EADDRNOTAVAIL),
        (-6, Errno::EINVAL),
        (-8, Errno::ECONNREFUSED),
        (-23, Errno::EADDRINUSE),
        (-99, Errno::EPROTO),
        (-125, Errno::EPROTO),
    ];
    for (answer, errno) in cases {
        for nonblocking in [false, true] {
            let lab = Lab::new();
            lab.answer(Some(true), None, answer);
            let socket = lab.tcp();
            socket.set_nonblocking(nonblocking);
            assert_eq!(socket.connect(LOCAL, 5001), Err(errno), "{answer}");
        }
    }
}

#[test]
fn an_unbound_socket_and_one_that_was_reset_keep_no_port() {
    let lab = Lab::new();
    let listener = lab.listener();
    let client = lab.bound(LOCAL, 15001);
    client.connect(LOCAL, 5001).expect("a listener");
    let server = listener.accept().expect("a connection");
    client.set_linger0();
    client.close();
    assert_eq!(server.receive(), Err(Errno::ECONNRESET));
    let unset = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    assert_eq!(server.name(), unset, "an accepted one was bound to nothing");
    let socket = lab.bound(LOCAL, 15002);
    socket.bind_null().expect("it is bound");
    assert_eq!(socket.name(), (LOCAL, 0));
    assert_eq!(socket.bind(Some(LOCAL), 5001), Err(Errno::EADDRINUSE));
    assert_eq!(socket.name(), unset, "a failed bind forgets it");
}

#[test]
fn the_active_closer_is_told_of_at_the_end_of_time_wait() {
    let lab = Lab::new();
    let listener = lab.listener();
    let client = lab.tcp();
    client.connect(LOCAL, 5001).expect("a listener");
    let server = listener.accept().expect("a connection");
    lab.calls();
    client.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(client.peer(), None);
    assert_eq!(server.receive(), Ok(0));
    assert_eq!(server.send(4), Ok(4));
    assert_eq!(client.receive(), Ok(4));
    server.close();
    assert_eq!(lab.calls(), ["disconnect 127.0.0.1:5001 127.0.0.1:p0"]);
    client.close();
    lab.ip.advance(4000);
    assert!(lab.calls().is_empty());
    lab.ip.advance(1500);
    assert_eq!(lab.calls(), ["disconnect 127.0.0.1:p0 127.0.0.1:5001"]);
}

#[test]
fn connects_without_a_route_or_a_port_ask_nobody() {
    let lab = Lab::new();
    let socket = lab.tcp();
    assert_eq!(socket.connect(NOWHERE, 80), Err(Errno::ENETUNREACH));
    assert_eq!(socket.connect(LOCAL, 0), Err(Errno::EADDRNOTAVAIL));
    let itself = lab.bound(LOCAL, 15001);
    assert_eq!(itself.connect(LOCAL, 15001), Err(Errno::EADDRNOTAVAIL));
    socket.close();
    assert!(lab.calls().is_empty());
}

#[test]
fn ports_are_shared_as_the_options_allow() {
    let lab = Lab::new();
    let _listener = lab.listener();
    let other = lab.tcp();
    assert_eq!(other.bind(None, 5001), Err(Errno::EADDRINUSE));
    assert_eq!(other.bind(Some(LOCAL), 5001), Err(Errno::EADDRINUSE));
    assert_eq!(other.bind(Some(NOWHERE), 5001), Err(Errno::EADDRNOTAVAIL));
    other
        .set_option(SocketOption::SO_REUSEADDR, 1)
        .expect("it is set");
    assert_eq!(other.bind(Some(LOCAL), 5001), Err(Errno::EADDRINUSE));
    assert_eq!(other.bind(None, 5001), Ok(()));
    assert_eq!(
        lab.bound(OTHER, 5002).bind(Some(LOCAL), 1),
        Err(Errno::EINVAL)
    );
    assert_eq!(lab.tcp6().bind(Some(ANY_V6), 5001), Ok(()));
}

#[test]
fn a_walk_shows_every_conn_of_its_stack() {
    let lab = Lab::new();
    lab.ip.add_stack(7);
    let _listener = lab.listener();
    lab.tcp().connect(LOCAL, 5001).expect("a listener");
    lab.ip.tcp(7, AF_INET6);
    let states = |stack| {
        let mut states = Vec::new();
        let result = lab.ip.walk(stack, |info| {
            states.push(info.state);
            0
        });
        (result, states)
    };
    assert_eq!(states(0), (0, vec![-3, 0, 0]));
    assert_eq!(states(7), (0, vec![-5]));
    assert_eq!(states(-1), (0, vec![-3, 0, 0, -5]));
    assert_eq!(states(3), (Errno::EINVAL.0, vec![]));
    let mut visited = 0;
    let stop = |_: &mut TcpInfo| {
        visited += 1;
        1
    };
    assert_eq!(lab.ip.walk(-1, stop), 1);
    assert_eq!(visited, 2, "each stack's walk stops for itself");
    lab.ip.tear_walk_entry(1);
    let torn = |lab: &Lab| {
        let mut torn = 0;
        lab.ip.walk(0, |info| {
            torn += i32::from(info.state == 0 && info.fport() == 0);
            0
        });
        torn
    };
    assert_eq!((torn(&lab), torn(&lab)), (1, 0));
}

#[test]
fn stacks_are_apart() {
    let lab = Lab::new();
    lab.ip.add_stack(7);
    let _listener = lab.listener();
    let client = lab.ip.tcp(7, AF_INET);
    assert_eq!(client.connect(LOCAL, 5001), Err(Errno::ECONNREFUSED));
    let expected = [
        "connect2 out stack 7 127.0.0.1:p0 127.0.0.1:5001",
        "disconnect stack 7 127.0.0.1:p0 127.0.0.1:5001",
    ];
    assert_eq!(lab.calls(), expected);
}

#[test]
fn the_time_that_a_connect_is_tried_is_an_option() {
    for (threshold, asked) in [(2000, 2), (5000, 3), (7000, 4)] {
        let lab = Lab::new();
        let _listener = lab.listener();
        lab.answer(Some(false), None, Errno::EACCES.0);
        let socket = lab.tcp();
        socket
            .set_option(SocketOption::TCP_CONN_ABORT_THRESHOLD, threshold)
            .expect("it is set");
        assert_eq!(socket.connect(LOCAL, 5001), Err(Errno::ETIMEDOUT));
        let calls = lab.calls();
        let questions = calls.iter().filter(|call| call.starts_with("connect2 in"));
        assert_eq!(questions.count(), asked, "{threshold}");
    }
}
