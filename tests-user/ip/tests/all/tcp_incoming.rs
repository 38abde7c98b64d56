// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: listeners and what comes in; the facts that no recorded scenario shows, and each
//! rule once.

use crate::common::{self, LOCAL, Lab, mapped};
use clinet_ip::*;

#[test]
fn an_accepted_syn_without_a_way_back_is_never_told_of() {
    let lab = Lab::new();
    let listener = lab.listener();
    lab.ip.provoke_no_destination(0);
    let client = lab.tcp();
    client.connect(LOCAL, 5001).expect("the second SYN arrives");
    let question = "connect2 in 127.0.0.1:5001 127.0.0.1:p0";
    let expected = [
        "connect2 out 127.0.0.1:p0 127.0.0.1:5001",
        question,
        question,
    ];
    assert_eq!(lab.calls(), expected);
    client.set_linger0();
    client.close();
    listener.close();
    let told = lab.calls();
    let ends = told
        .iter()
        .filter(|call| call.starts_with("disconnect 127.0.0.1:5001 127"));
    assert_eq!(ends.count(), 2, "at the reset and in the queue: {told:?}");
}

#[test]
fn a_syn_that_comes_twice_is_told_of_while_the_connection_lives() {
    let lab = Lab::new();
    let listener = lab.listener();
    lab.ip.provoke_duplicate_syn(0);
    let client = lab.tcp();
    client.connect(LOCAL, 5001).expect("a listener");
    let expected = [
        "connect2 out 127.0.0.1:p0 127.0.0.1:5001",
        "connect2 in 127.0.0.1:5001 127.0.0.1:p0",
        "connect2 in 127.0.0.1:5001 127.0.0.1:p0",
        "disconnect 127.0.0.1:5001 127.0.0.1:p0",
    ];
    assert_eq!(lab.calls(), expected);
    let server = listener.accept().expect("the first one lives");
    assert_eq!(client.send(4), Ok(4));
    assert_eq!(server.receive(), Ok(4));
}

#[test]
fn a_full_queue_asks_nobody() {
    let lab = Lab::new();
    let listener = lab.tcp();
    listener.bind(Some(LOCAL), 5001).expect("the port is free");
    listener.listen(1).expect("it is bound");
    for _ in 0..2 {
        lab.tcp().connect(LOCAL, 5001).expect("there is room");
    }
    lab.calls();
    let late = lab.tcp();
    assert_eq!(late.connect(LOCAL, 5001), Err(Errno::ETIMEDOUT));
    let expected = [
        "connect2 out 127.0.0.1:p2 127.0.0.1:5001",
        "disconnect 127.0.0.1:p2 127.0.0.1:5001",
    ];
    assert_eq!(lab.calls(), expected);
}

#[test]
fn a_backlog_has_room_for_half_as_many_again_and_one() {
    for (backlog, room) in [(-1, 1), (0, 1), (1, 2), (5, 8)] {
        let lab = Lab::new();
        let listener = lab.bound(LOCAL, 5001);
        listener.listen(backlog).expect("it is bound");
        let connects = (0..).map(|_| lab.tcp().connect(LOCAL, 5001));
        let fitted = connects.take_while(Result::is_ok).count();
        assert_eq!(fitted, room, "backlog {backlog}");
    }
}

/// The old connection, which nobody accepted, is told of again after the new
/// one with the same ends was asked about.
#[test]
fn who_resets_before_accept_may_connect_again_before_the_end_is_told_twice() {
    let lab = Lab::new();
    let listener = lab.listener();
    let client = lab.bound(LOCAL, 15001);
    client.connect(LOCAL, 5001).expect("a listener");
    client.set_linger0();
    client.close();
    let first = [
        "connect2 out 127.0.0.1:15001 127.0.0.1:5001",
        "connect2 in 127.0.0.1:5001 127.0.0.1:15001",
        "disconnect 127.0.0.1:5001 127.0.0.1:15001",
        "disconnect 127.0.0.1:15001 127.0.0.1:5001",
    ];
    assert_eq!(lab.calls(), first);
    let again = lab.bound(LOCAL, 15001);
    again.connect(LOCAL, 5001).expect("a listener");
    assert_eq!(lab.calls(), first[..2]);
    assert!(matches!(listener.accept(), Err(Errno::ECONNABORTED)));
    assert_eq!(
        lab.calls(),
        ["disconnect 127.0.0.1:5001 127.0.0.1:15001"],
        "of the old one, though the new one lives"
    );
    let server = listener.accept().expect("the new one");
    assert_eq!(again.send(4), Ok(4));
    assert_eq!(server.receive(), Ok(4));
}

#[test]
fn a_simultaneous_open_asks_each_side_once() {
    let lab = Lab::new();
    let listener = lab.bound(LOCAL, 15002);
    listener.listen(1).expect("it is bound");
    lab.answer(Some(false), None, Errno::EACCES.0);
    let one = lab.bound(LOCAL, 15001);
    one.set_nonblocking(true);
    assert_eq!(one.connect(LOCAL, 15002), Err(Errno::EINPROGRESS));
    assert_eq!(one.connect(LOCAL, 15002), Err(Errno::EALREADY));
    lab.ip.settle();
    listener.close();
    let two = lab.bound(LOCAL, 15002);
    lab.calls();
    two.connect(LOCAL, 15001)
        .expect("the other one connects here");
    assert_eq!(
        lab.calls(),
        ["connect2 out 127.0.0.1:15002 127.0.0.1:15001"]
    );
    assert_eq!(one.tcp_state(), Some(TcpState::Established));
    assert_eq!(two.send(4), Ok(4));
    assert_eq!(one.receive(), Ok(4));
}

#[test]
fn a_syn_for_time_wait_ends_it() {
    let lab = Lab::new();
    let listener = lab.listener();
    let client = lab.bound(LOCAL, 15001);
    client.connect(LOCAL, 5001).expect("a listener");
    let server = listener.accept().expect("a connection");
    server.close();
    client.close();
    lab.calls();
    let again = lab.bound(LOCAL, 15001);
    again.connect(LOCAL, 5001).expect("a listener");
    let expected = [
        "connect2 out 127.0.0.1:15001 127.0.0.1:5001",
        "disconnect 127.0.0.1:5001 127.0.0.1:15001",
        "connect2 in 127.0.0.1:5001 127.0.0.1:15001",
    ];
    assert_eq!(lab.calls(), expected);
}

#[test]
fn listening_again_tells_both() {
    let lab = Lab::new();
    let listener = lab.listener();
    listener.listen(9).expect("it listens");
    assert_eq!(
        lab.calls(),
        ["unlisten 127.0.0.1:5001", "listen 127.0.0.1:5001"]
    );
    assert_eq!(listener.bind_null(), Err(Errno::EINVAL));
    assert_eq!(listener.bind(Some(LOCAL), 5001), Err(Errno::EINVAL));
    assert_eq!(listener.connect(LOCAL, 9), Err(Errno::EOPNOTSUPP));
    assert!(lab.calls().is_empty());
}

#[test]
fn a_mapped_listener_and_its_connections_differ_in_family() {
    let lab = Lab::new();
    let listener = lab.tcp6();
    listener.bind(Some(mapped(LOCAL)), 5001).expect("free");
    listener.listen(1).expect("it is bound");
    let client = lab.tcp6();
    client.connect(mapped(LOCAL), 5001).expect("a listener");
    assert_eq!(
        lab.calls(),
        [
            "listen [::ffff:127.0.0.1]:5001",
            "connect2 out 127.0.0.1:p0 127.0.0.1:5001",
            "connect2 in 127.0.0.1:5001 127.0.0.1:p0",
        ]
    );
}

#[test]
fn a_listener_is_told_of_only_if_it_was_before() {
    let lab = Lab::new();
    lab.recorder.set(&[]);
    let old = lab.bound(LOCAL, 5001);
    old.listen(1).expect("it is bound");
    lab.recorder.set(&common::SET);
    let new = lab.bound(LOCAL, 5002);
    new.listen(1).expect("it is bound");
    lab.calls();
    old.close();
    assert_eq!(lab.calls(), ["disconnect 127.0.0.1:5001 0.0.0.0:0"]);
    lab.recorder.set(&[Hook::Listen]);
    new.listen(2).expect("its unlisten is told to nobody");
    lab.recorder.set(&common::SET);
    lab.calls();
    new.close();
    assert_eq!(
        lab.calls(),
        [
            "disconnect 127.0.0.1:5002 0.0.0.0:0",
            "unlisten 127.0.0.1:5002"
        ]
    );
}
