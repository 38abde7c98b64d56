// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP: what the facts say, each rule once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::common::{LOCAL, Lab, NOWHERE, OTHER, SET, mapped, send_to};
use clinet_ip::*;

const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 1, 1));

#[test]
fn a_refused_connect_unbinds_what_it_bound() {
    let lab = Lab::new();
    lab.answer(None, Some(1), -125);
    let socket = lab.udp6();
    assert_eq!(
        socket.connect(mapped(LOCAL), 7001),
        Err(Errno::EADDRNOTAVAIL)
    );
    let expected = [
        "bind [::]:p0",
        "connect2 out 127.0.0.1:p0 127.0.0.1:7001 = -125",
        "unbind 0.0.0.0:p0",
    ];
    assert_eq!(lab.calls(), expected, "bind and unbind differ in family");
}

#[test]
fn a_refused_connect_of_a_bound_socket_leaves_the_family() {
    let lab = Lab::new();
    let socket = lab.udp6();
    socket.bind(None, 15001).expect("the port is free");
    lab.answer(None, Some(1), Errno::EACCES.0);
    assert_eq!(
        socket.connect(mapped(LOCAL), 7001),
        Err(Errno::EADDRNOTAVAIL)
    );
    lab.calls();
    assert_eq!(send_to(&socket, mapped(LOCAL), 7001), Ok(4));
    socket.close();
    let expected = [
        "connect2 out 0.0.0.0:15001 127.0.0.1:7001",
        "unbind 0.0.0.0:15001",
    ];
    assert_eq!(lab.calls(), expected);
}

#[test]
fn a_refused_reconnect_loses_the_connection_and_the_last_destination() {
    let lab = Lab::new();
    let socket = lab.udp();
    send_to(&socket, OTHER, 7001).expect("accepted");
    socket.connect(LOCAL, 7001).expect("accepted");
    lab.answer(None, Some(1), Errno::EACCES.0);
    assert_eq!(socket.connect(OTHER, 7001), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(socket.send(4), Err(Errno::EDESTADDRREQ));
    lab.calls();
    send_to(&socket, OTHER, 7001).expect("accepted");
    assert_eq!(lab.calls(), ["connect2 out 0.0.0.0:p0 127.0.0.2:7001"]);
}

#[test]
fn a_connected_socket_vanishes_silently() {
    let lab = Lab::new();
    let socket = lab.udp();
    socket.connect(LOCAL, 7001).expect("accepted");
    assert_eq!(send_to(&socket, LOCAL, 7001), Err(Errno::EISCONN));
    lab.calls();
    socket.connect(LOCAL, 7001).expect("accepted");
    assert_eq!(lab.calls(), ["connect2 out 127.0.0.1:p0 127.0.0.1:7001"]);
    socket.close();
    assert!(lab.calls().is_empty());
}

#[test]
fn bind_null_tells_before_it_looks() {
    let lab = Lab::new();
    let socket = lab.udp();
    assert_eq!(socket.bind_null(), Err(Errno::EINVAL));
    assert_eq!(socket.bind_null(), Err(Errno::EINVAL));
    assert_eq!(lab.calls(), ["unbind 0.0.0.0:0", "unbind 0.0.0.0:0"]);
    let socket = lab.udp6();
    socket.connect(mapped(LOCAL), 7001).expect("accepted");
    socket.bind_null().expect("it is bound");
    let expected = [
        "bind [::]:p0",
        "connect2 out 127.0.0.1:p0 127.0.0.1:7001",
        "unbind 127.0.0.1:p0",
    ];
    assert_eq!(lab.calls(), expected);
}

#[test]
fn an_unreachable_destination_is_asked_about_each_time() {
    let lab = Lab::new();
    let socket = lab.udp();
    for _ in 0..2 {
        lab.calls();
        assert_eq!(send_to(&socket, NOWHERE, 7001), Err(Errno::EHOSTUNREACH));
        let calls = lab.calls();
        assert_eq!(
            calls.last().map(String::as_str),
            Some("connect2 out 0.0.0.0:p0 192.0.2.99:7001")
        );
    }
    assert_eq!(lab.udp().connect(NOWHERE, 7001), Err(Errno::ENETUNREACH));
    assert_eq!(lab.calls(), ["bind 0.0.0.0:p1", "unbind 0.0.0.0:p1"]);
}

#[test]
fn control_data_is_never_asked_about() {
    let lab = Lab::new();
    let receiver = lab.receiver();
    lab.answer(None, None, Errno::EACCES.0);
    let socket = lab.udp();
    assert_eq!(socket.send_to(Some((LOCAL, 7001)), true, 3), Ok(3));
    assert_eq!(receiver.receive(), Ok(3), "it arrives");
    assert_eq!(lab.calls(), ["bind 0.0.0.0:p0"]);
    lab.accept_all();
    send_to(&socket, LOCAL, 7001).expect("accepted");
    lab.calls();
    socket.send_to(Some((OTHER, 7001)), true, 3).expect("sent");
    send_to(&socket, LOCAL, 7001).expect("sent");
    assert!(
        lab.calls().is_empty(),
        "the last destination is still the same"
    );
}

#[test]
fn options_that_change_routes_or_headers_make_the_next_send_ask() {
    for &option in SocketOption::ALL {
        let lab = Lab::new();
        let socket = lab.udp();
        send_to(&socket, LOCAL, 7001).expect("accepted");
        lab.calls();
        let is_set = socket.set_option(option, 1).is_ok();
        send_to(&socket, LOCAL, 7001).expect("accepted");
        let asked = !lab.calls().is_empty();
        let forgets = is_set && option.forgets_destination(false);
        assert_eq!(asked, forgets, "{option:?}");
    }
}

#[test]
fn a_group_is_passed_as_the_local_address() {
    let lab = Lab::new();
    let socket = lab.udp();
    socket.bind(Some(GROUP), 7001).expect("the port is free");
    send_to(&socket, LOCAL, 7002).expect("accepted");
    assert_eq!(
        lab.calls(),
        [
            "bind 224.0.1.1:7001",
            "connect2 out 224.0.1.1:7001 127.0.0.1:7002"
        ]
    );
}

#[test]
fn idents_are_asked_for_only_on_the_wire() {
    let lab = Lab::new();
    lab.recorder.set(&[Hook::IsClusterwide, Hook::Ipident]);
    lab.recorder.set_answers([0, 1, 77]);
    let socket = lab.udp();
    send_to(&socket, LOCAL, 7001).expect("local delivery");
    assert!(lab.calls().is_empty());
    send_to(&socket, GROUP, 7001).expect("multicast");
    assert_eq!(lab.calls(), ["isclusterwide 127.0.0.1"]);
    send_to(&socket, GROUP, 7001).expect("multicast");
    let expected = [
        "isclusterwide 127.0.0.1 = 1",
        "ipident 127.0.0.1 224.0.1.1 = 77",
    ];
    assert_eq!(lab.calls(), expected);
    lab.recorder.set(&[Hook::IsClusterwide]);
    send_to(&socket, GROUP, 7001).expect("multicast");
    assert!(lab.calls().is_empty(), "not without ipident");
}

#[test]
fn binds_share_ports_as_the_options_allow() {
    let lab = Lab::new();
    let _receiver = lab.receiver();
    let other = lab.udp();
    assert_eq!(other.bind(Some(LOCAL), 7001), Err(Errno::EADDRINUSE));
    assert_eq!(other.bind(Some(NOWHERE), 7001), Err(Errno::EADDRNOTAVAIL));
    assert!(lab.calls().is_empty());
    other
        .set_option(SocketOption::SO_REUSEADDR, 1)
        .expect("it is set");
    assert_eq!(other.bind(None, 7001), Ok(()));
    assert_eq!(other.bind(None, 7002), Err(Errno::EINVAL));
    assert_eq!(lab.udp6().bind(None, 7001), Ok(()));
    assert_eq!(lab.calls(), ["bind 0.0.0.0:7001", "bind [::]:7001"]);
}

#[test]
fn what_was_connected_once_can_be_shut_down() {
    let lab = Lab::new();
    let receiver = lab.receiver();
    let socket = lab.udp();
    assert_eq!(socket.shutdown(Shutdown::Both), Err(Errno::ENOTCONN));
    socket.connect(LOCAL, 7001).expect("accepted");
    socket.disconnect().expect("it is connected");
    assert_eq!(socket.shutdown(Shutdown::Read), Ok(()));
    assert_eq!(socket.receive(), Ok(0));
    assert_eq!(send_to(&socket, LOCAL, 7001), Ok(4));
    assert_eq!(receiver.receive(), Ok(4));
    assert_eq!(socket.shutdown(Shutdown::Write), Ok(()));
    assert_eq!(send_to(&socket, LOCAL, 7001), Err(Errno::EPIPE));
    let ttl = SocketOption::IP_TTL;
    assert_eq!(socket.set_option(ttl, 30), Err(Errno::EINVAL));
    assert_eq!(socket.bind_null(), Err(Errno::EINVAL));
}

#[test]
fn options_are_refused_as_their_protocol_does() {
    let lab = Lab::new();
    let (tcp, udp, udp6) = (lab.tcp(), lab.udp(), lab.udp6());
    let cases = [
        (&udp, SocketOption::IP_TTL, 0, Errno::EINVAL),
        (&udp, SocketOption::IP_TTL, 256, Errno::EINVAL),
        (&udp, SocketOption::IPV6_V6ONLY, 1, Errno::EINVAL),
        (&udp, SocketOption::TCP_NODELAY, 1, Errno::ENOPROTOOPT),
        (&udp, SocketOption::IP_BOUND_IF, 9, Errno::ENXIO),
        (&udp, SocketOption::IP_MULTICAST_IF, 9, Errno::EHOSTUNREACH),
        (
            &udp,
            SocketOption::UDP_SND_TO_CONNECTED,
            1,
            Errno::ENOPROTOOPT,
        ),
        (&udp6, SocketOption::IPV6_UNICAST_HOPS, 0, Errno::EINVAL),
        (&udp6, SocketOption::IPV6_MULTICAST_IF, 9, Errno::EINVAL),
        (&udp6, SocketOption::IP_TTL, 30, Errno::EINVAL),
        (
            &udp6,
            SocketOption::UDP_NAT_T_ENDPOINT,
            1,
            Errno::EAFNOSUPPORT,
        ),
        (&tcp, SocketOption::IP_MULTICAST_LOOP, 1, Errno::ENOPROTOOPT),
        (&tcp, SocketOption::SO_LINGER, 1, Errno::EINVAL),
    ];
    for (socket, option, value, errno) in cases {
        let result = socket.set_option(option, value);
        assert_eq!(result, Err(errno), "{option:?} {value}");
    }
    assert_eq!(udp.set_option(SocketOption::IP_MULTICAST_LOOP, 0), Ok(()));
    let unbound = [SocketOption::SO_ALLZONES, SocketOption::SO_MAC_EXEMPT];
    for option in unbound {
        assert_eq!(udp.set_option(option, 1), Ok(()), "{option:?}");
    }
    udp.bind(None, 7001).expect("the port is free");
    for option in unbound {
        let bound = udp.set_option(option, 1);
        assert_eq!(bound, Err(Errno::EINVAL), "{option:?}");
    }
}

#[test]
fn groups_of_ipv6_are_sent_to_as_the_machine_can() {
    let group: IpAddr = "ff05::1".parse().expect("an address");
    let cases = [
        (Groups::Sent, Ok(4), 1),
        (
            Groups::Rejected(Errno::EHOSTUNREACH),
            Err(Errno::EHOSTUNREACH),
            2,
        ),
        (Groups::NoInterface(Errno::ENXIO), Err(Errno::ENXIO), 0),
    ];
    for (groups, result, questions) in cases {
        let lab = Lab::new();
        lab.ip.set_groups(0, groups);
        let socket = lab.udp6();
        socket.bind(None, 7001).expect("the port is free");
        lab.calls();
        for _ in 0..2 {
            assert_eq!(send_to(&socket, group, 7002), result, "{groups:?}");
        }
        assert_eq!(lab.calls().len(), questions, "{groups:?}");
    }
}

#[test]
fn nobody_at_the_peer_is_an_error_of_the_next_call() {
    let lab = Lab::new();
    let socket = lab.udp();
    socket.connect(LOCAL, 7009).expect("accepted");
    assert_eq!(socket.send(4), Ok(4));
    assert_eq!(socket.send(4), Err(Errno::ECONNREFUSED));
    assert_eq!(socket.send(4), Ok(4));
    assert_eq!(socket.receive(), Err(Errno::ECONNREFUSED));
    assert_eq!(socket.receive(), Err(Errno::EAGAIN));
}

#[test]
fn a_raw_socket_calls_nothing() {
    let lab = Lab::new();
    let socket = lab.ip.raw(0, AF_INET);
    socket.bind(Some(LOCAL), 0).expect("bound");
    assert_eq!(send_to(&socket, LOCAL, 0), Ok(4));
    socket.close();
    assert!(lab.calls().is_empty());
}

/// A variable that is cleared between the test and the call.
struct Cleared {
    set: AtomicU64,
    null: AtomicU64,
    loads: AtomicU64,
    called: AtomicU64,
}

impl Provider for Cleared {
    fn variable(&self, hook: Hook) -> &AtomicU64 {
        use std::sync::atomic::Ordering::Relaxed;
        let first = self.loads.fetch_add(1, Relaxed).is_multiple_of(2);
        if first && SET.contains(&hook) {
            &self.set
        } else {
            &self.null
        }
    }

    fn call(&self, function: u64, _call: &HookCall) -> i32 {
        self.called
            .store(function, std::sync::atomic::Ordering::Relaxed);
        0
    }
}

#[test]
fn a_variable_is_loaded_twice() {
    let provider = Arc::new(Cleared {
        set: AtomicU64::new(5),
        null: AtomicU64::new(0),
        loads: AtomicU64::new(0),
        called: AtomicU64::new(9),
    });
    let ip = Ip::new(provider.clone());
    let socket = ip.udp(0, AF_INET);
    socket.bind(Some(LOCAL), 7001).expect("the port is free");
    let called = provider.called.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(called, 0, "address 0 is called");
}
