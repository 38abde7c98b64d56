// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What differs between the kernels of 2015 and of 2021.

use crate::common::{LOCAL, Lab, OTHER, mapped, send_to};
use clinet_ip::*;

fn both() -> [(Release, Lab); 2] {
    [Release::Y2015, Release::Y2021].map(|release| (release, Lab::of_release(release)))
}

#[test]
fn over_loopback_2021_knows_no_time_wait() {
    for (release, lab) in both() {
        let listener = lab.listener();
        let client = lab.bound(LOCAL, 15001);
        client.connect(LOCAL, 5001).expect("a listener");
        let server = listener.accept().expect("a connection");
        client.close();
        lab.calls();
        server.close();
        let ends = [
            "disconnect 127.0.0.1:15001 127.0.0.1:5001",
            "disconnect 127.0.0.1:5001 127.0.0.1:15001",
        ];
        match release {
            Release::Y2015 => assert_eq!(lab.calls(), ends[1..]),
            Release::Y2021 => assert_eq!(lab.calls(), ends),
        }
    }
}

#[test]
fn what_a_program_still_has_stays_in_time_wait_until_it_is_closed() {
    for (release, lab) in both() {
        let listener = lab.listener();
        let client = lab.bound(LOCAL, 15001);
        client.connect(LOCAL, 5001).expect("a listener");
        let server = listener.accept().expect("a connection");
        client.shutdown(Shutdown::Both).expect("it is connected");
        server.shutdown(Shutdown::Both).expect("it is connected");
        // In 2021 the call ends what it began.
        let has_port = server.name().1 != 0;
        assert_eq!(has_port, release == Release::Y2015);
        lab.calls();
        assert_eq!(client.tcp_state(), Some(TcpState::TimeWait));
        client.close();
        let is_told = !lab.calls().is_empty();
        assert_eq!(is_told, release == Release::Y2021);
    }
}

#[test]
fn a_connect_that_does_not_wait_has_ended_in_2021() {
    for (release, lab) in both() {
        let _listener = lab.listener();
        for (port, ended) in [(5001, Ok(())), (5002, Err(Errno::ECONNREFUSED))] {
            let client = lab.tcp();
            client.set_nonblocking(true);
            let expected = match release {
                Release::Y2015 => Err(Errno::EINPROGRESS),
                Release::Y2021 => ended,
            };
            assert_eq!(client.connect(LOCAL, port), expected, "{release}");
        }
    }
}

#[test]
fn a_connected_socket_of_2021_may_send_to_its_peer_by_address() {
    let lab = Lab::of_release(Release::Y2021);
    let socket = lab.udp();
    socket.connect(LOCAL, 7001).expect("accepted");
    assert_eq!(send_to(&socket, LOCAL, 7001), Err(Errno::EISCONN));
    let option = SocketOption::UDP_SND_TO_CONNECTED;
    socket.set_option(option, 1).expect("2021 has it");
    lab.calls();
    assert_eq!(send_to(&socket, LOCAL, 7001), Ok(4));
    assert_eq!(send_to(&socket, OTHER, 7001), Err(Errno::EISCONN));
    socket
        .set_option(SocketOption::IP_TTL, 30)
        .expect("it is set");
    assert_eq!(send_to(&socket, LOCAL, 7001), Ok(4), "headers alone change");
    socket
        .set_option(SocketOption::SO_DONTROUTE, 1)
        .expect("it is set");
    assert_eq!(send_to(&socket, LOCAL, 7001), Err(Errno::EISCONN));
    assert!(lab.calls().is_empty(), "nobody is asked");
}

/// The options of IPv4 that a socket of IPv6 may have in 2021.
const OF_IPV4: [SocketOption; 3] = [
    SocketOption::IP_TOS,
    SocketOption::IP_TTL,
    SocketOption::IP_DONTFRAG,
];

#[test]
fn a_socket_of_ipv6_that_sends_ipv4_has_options_of_ipv4_in_2021() {
    for (release, lab) in both() {
        for option in OF_IPV4 {
            let socket = lab.udp6();
            assert_eq!(socket.set_option(option, 1), Err(Errno::EINVAL));
            let bound = socket.bind(Some(mapped(LOCAL)), 15001);
            bound.expect("the port is free");
            send_to(&socket, mapped(OTHER), 7001).expect("accepted");
            lab.calls();
            let is_taken = release == Release::Y2021;
            let set = socket.set_option(option, 1);
            assert_eq!(set.is_ok(), is_taken, "{release} {option:?}");
            send_to(&socket, mapped(OTHER), 7001).expect("accepted");
            let is_asked = !lab.calls().is_empty();
            assert_eq!(is_asked, is_taken, "{release} {option:?}");
            let other = socket.set_option(SocketOption::IP_BOUND_IF, 0);
            assert_eq!(other, Err(Errno::EINVAL));
            socket.close();
        }
    }
}

#[test]
fn a_connection_of_ipv6_over_ipv4_has_no_options_of_ipv6() {
    for (release, lab) in both() {
        let _listener = lab.listener();
        let client = lab.tcp6();
        let hops = SocketOption::IPV6_UNICAST_HOPS;
        assert_eq!(client.set_option(hops, 9), Ok(()));
        client.connect(mapped(LOCAL), 5001).expect("a listener");
        assert_eq!(client.set_option(hops, 9), Err(Errno::EINVAL));
        for option in OF_IPV4 {
            let set = client.set_option(option, 1);
            assert_eq!(set.is_ok(), release == Release::Y2021, "{option:?}");
        }
    }
}
