// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP of a patched ip on several nodes.

use std::net::SocketAddr;

use crate::common::{addr, connect, end, pair, sendto};
use clinet_ip::{Context, Errno, IPPROTO_UDP, Socket, SocketOption};

fn bind(socket: &Socket, local: &str) {
    let (address, port) = end(local);
    socket.bind(Some(address), port).unwrap();
}

const LOCAL: &str = "192.0.2.10:5000";
const DNS: &str = "198.51.100.1:53";
const OTHER: &str = "198.51.100.1:54";

#[test]
fn a_thousand_sends_ask_once_and_a_new_destination_once_more() {
    for (local, dns, other) in [
        (LOCAL, DNS, OTHER),
        (
            "[2001:db8::10]:5000",
            "[2001:db8:1::1]:53",
            "[2001:db8:1::1]:54",
        ),
    ] {
        let t = pair();
        let server = t.host.udp_bind(addr(dns)).unwrap();
        let socket = t.a.udp_bind(addr(local)).unwrap();
        for i in 0..1000 {
            if i % 2 == 0 {
                sendto(&socket, dns).unwrap();
            } else {
                socket.send_to(Some(end(dns)), true, 4).unwrap();
            }
        }
        assert_eq!(t.a.stats().udp_asked, 1);
        assert_eq!(server.receive(), Ok(4));
        socket.send_to(Some(end(other)), true, 4).unwrap();
        assert_eq!(t.a.stats().udp_asked, 2, "control data or not");
        sendto(&socket, other).unwrap();
        assert_eq!(t.a.stats().udp_asked, 2);
        assert_eq!(t.a.stats().tuples, 2);
        socket.close();
        assert_eq!(t.a.stats().tuples, 0);
    }
}

#[test]
fn the_most_recent_destination_is_in_the_two_fields() {
    let t = pair();
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    assert!(socket.last_destination().unwrap().is_none());
    sendto(&socket, DNS).unwrap();
    let last = socket.last_destination().unwrap();
    assert_eq!(last.udp_cl_lastdstport, 53u16.to_be());
    let mut mapped = [0; 16];
    mapped[10..].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 1]);
    assert_eq!(last.udp_cl_v6lastdst, mapped);
}

#[test]
fn locks_are_held_where_ip_holds_them() {
    let t = pair();
    let calls = t.a.clinet().record();
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    sendto(&socket, DNS).unwrap();
    connect(&socket, DNS).unwrap();
    socket.disconnect().unwrap();
    socket.close();
    let conn_lock = Context::no_sleep().holding("conn_lock");
    let expected = [
        ("clinet_udp_bind", &conn_lock),
        ("clinet_udp_send_begin", &conn_lock),
        ("clinet_udp_send_ask", &Context::no_sleep()),
        ("clinet_udp_send_end", &conn_lock),
        ("clinet_udp_connect_begin", &conn_lock),
        (
            "clinet_udp_connect_ask",
            &Context::no_sleep().holding("uf_lock"),
        ),
        ("clinet_udp_connect_end", &conn_lock),
        ("clinet_udp_reset", &conn_lock),
        ("clinet_udp_unbind", &conn_lock),
    ];
    let calls = calls.take();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| (call.function, &call.context))
        .collect();
    assert_eq!(seen, expected);
    for call in &calls[1..7] {
        assert_eq!(call.foreign, Some(addr(DNS)), "{}", call.function);
    }
    assert_eq!(calls[2].local, Some(addr(LOCAL)));
    assert_eq!(calls[5].local, Some(addr(LOCAL)));
}

#[test]
fn a_refused_send_is_unreachable_and_asks_again() {
    let t = pair();
    t.cluster.replicate(true);
    let holder = t.a.udp_bind(addr(LOCAL)).unwrap();
    sendto(&holder, OTHER).unwrap();
    let socket = t.b.udp_bind(addr(LOCAL)).unwrap();
    sendto(&socket, DNS).unwrap();
    let last = socket.last_destination().unwrap();
    assert_eq!(sendto(&socket, OTHER), Err(Errno::EHOSTUNREACH));
    assert_eq!(socket.last_destination().unwrap(), last, "it stays");
    sendto(&socket, DNS).unwrap();
    assert_eq!(sendto(&socket, OTHER), Err(Errno::EHOSTUNREACH));
    let stats = t.b.stats();
    assert_eq!((stats.udp_asked, stats.udp_refused), (3, 2));
    holder.close();
    sendto(&socket, OTHER).unwrap();
    assert_eq!(t.b.stats().udp_asked, 4);
}

#[test]
fn a_refused_connect_is_not_available_and_forgets() {
    let t = pair();
    t.a.clinet()
        .install(2, IPPROTO_UDP, addr(LOCAL), addr(DNS))
        .unwrap();
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    connect(&socket, OTHER).unwrap();
    assert_eq!(connect(&socket, DNS), Err(Errno::EADDRNOTAVAIL));
    assert!(socket.last_destination().unwrap().is_none());
    assert_eq!(socket.peer(), None, "the earlier connection is gone");
    assert_eq!(socket.name(), end(LOCAL));
    sendto(&socket, OTHER).unwrap();
    assert_eq!(t.a.stats().udp_asked, 3);
}

#[test]
fn a_connect_that_bound_itself_unbinds_when_refused() {
    let t = pair();
    let calls = t.a.clinet().record();
    // Whatever port is chosen.
    for port in 49152..49184 {
        t.a.clinet()
            .install(
                2,
                IPPROTO_UDP,
                addr(&format!("192.0.2.10:{port}")),
                addr(DNS),
            )
            .unwrap();
    }
    calls.take();
    let socket = t.a.udp(addr(LOCAL));
    assert_eq!(connect(&socket, DNS), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(socket.name().1, 0);
    let functions: Vec<_> = calls.take().iter().map(|call| call.function).collect();
    assert_eq!(
        functions,
        [
            "clinet_udp_bind",
            "clinet_udp_connect_begin",
            "clinet_udp_connect_ask",
            "clinet_udp_unbind"
        ]
    );
}

#[test]
fn connect_asks_always_and_sends_on_it_never() {
    let t = pair();
    let server = t.host.udp_bind(addr(DNS)).unwrap();
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    assert_eq!(socket.send(1), Err(Errno::EDESTADDRREQ));
    connect(&socket, DNS).unwrap();
    connect(&socket, DNS).unwrap();
    assert_eq!(t.a.stats().udp_asked, 2);
    for _ in 0..10 {
        socket.send(1).unwrap();
    }
    assert_eq!(sendto(&socket, DNS), Err(Errno::EISCONN));
    assert_eq!(t.a.stats().udp_asked, 2);
    assert_eq!(server.receive(), Ok(1));
    assert_eq!(
        connect(&socket, "198.51.100.1:0"),
        Err(Errno::EADDRNOTAVAIL)
    );
    assert_eq!(t.a.stats().udp_asked, 2, "port 0 is not asked about");
    t.cluster
        .set_reachable("203.0.113.1".parse().unwrap(), false);
    assert_eq!(connect(&socket, "203.0.113.1:1"), Err(Errno::ENETUNREACH));
    assert_eq!(t.a.stats().udp_asked, 2, "no route is not asked about");
}

#[test]
fn an_accepted_connect_is_the_most_recent_destination() {
    let t = pair();
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    connect(&socket, DNS).unwrap();
    assert_eq!(
        socket.last_destination().unwrap().udp_cl_lastdstport,
        53u16.to_be()
    );
}

#[test]
fn every_reset_makes_the_next_send_ask() {
    let t = pair();
    let gone = "203.0.113.1:53";
    t.cluster.set_reachable(addr(gone).ip(), false);
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    let calls = t.a.clinet().record();
    let asks_again = |change: &mut dyn FnMut()| {
        sendto(&socket, DNS).unwrap();
        change();
        calls.take();
        sendto(&socket, DNS).unwrap();
        let calls = calls.take();
        calls
            .iter()
            .any(|call| call.function == "clinet_udp_send_ask")
    };
    for &option in SocketOption::ALL {
        for value in [1, -2] {
            let mut is_set = false;
            let asked = asks_again(&mut || {
                is_set = socket.set_option(option, value).is_ok();
            });
            let resets = is_set && option.forgets_destination(false);
            assert_eq!(asked, resets, "{option:?} {value}");
        }
    }
    let changes: [(&str, &mut dyn FnMut()); 4] = [
        ("unbind and bind", &mut || {
            socket.bind_null().unwrap();
            bind(&socket, LOCAL);
        }),
        ("connect and disconnect", &mut || {
            connect(&socket, DNS).unwrap();
            socket.disconnect().unwrap();
        }),
        ("a send that fails", &mut || {
            assert_eq!(sendto(&socket, gone), Err(Errno::EHOSTUNREACH));
        }),
        ("the start of a connect", &mut || {
            assert_eq!(connect(&socket, gone), Err(Errno::ENETUNREACH));
        }),
    ];
    for (name, change) in changes {
        assert!(asks_again(change), "{name}");
    }
    assert!(!asks_again(&mut || {}), "nothing");
}

#[test]
fn an_unreachable_destination_is_asked_about_every_time() {
    let t = pair();
    let gone = "203.0.113.1:53";
    t.cluster.set_reachable(addr(gone).ip(), false);
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    for asked in 1..4 {
        assert_eq!(sendto(&socket, gone), Err(Errno::EHOSTUNREACH));
        assert_eq!(t.a.stats().udp_asked, asked);
    }
}

#[test]
fn an_unspecified_local_address_is_asked_about_and_not_registered() {
    let t = pair();
    let socket = t.a.udp(addr(LOCAL));
    sendto(&socket, DNS).unwrap();
    let stats = t.a.stats();
    assert_eq!(
        (stats.udp_asked, stats.unspecified, stats.tuples),
        (1, 1, 0)
    );
    sendto(&socket, DNS).unwrap();
    assert_eq!(t.a.stats().udp_asked, 1);
}

#[test]
fn a_connected_socket_that_closes_leaves_its_entry_until_the_next_bind() {
    let t = pair();
    t.cluster.replicate(true);
    let calls = t.a.clinet().record();
    let socket = t.a.udp(addr(LOCAL));
    connect(&socket, DNS).unwrap();
    let (address, port) = socket.name();
    let local = SocketAddr::new(address, port);
    calls.take();
    socket.close();
    assert_eq!(calls.take(), [], "as stock illumos does");
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (1, 1));
    let again = t.a.udp_bind(local).unwrap();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (0, 0));
    connect(&again, DNS).unwrap();
    calls.take();
    again.bind_null().unwrap();
    let call = &calls.take()[0];
    assert_eq!(
        (call.function, call.local),
        ("clinet_udp_unbind", Some(local))
    );
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (0, 0));
}

#[test]
fn unbind_tells_the_source_of_a_connected_socket() {
    let t = pair();
    let calls = t.a.clinet().record();
    let socket = t.a.udp_bind(addr("0.0.0.0:5000")).unwrap();
    connect(&socket, DNS).unwrap();
    assert_eq!(socket.name(), end(LOCAL));
    socket.bind_null().unwrap();
    let call = calls.take().pop().unwrap();
    assert_eq!(call.function, "clinet_udp_unbind");
    assert_eq!(call.local, Some(addr(LOCAL)));
    assert_eq!(t.a.stats().tuples, 0);

    bind(&socket, "0.0.0.0:5000");
    connect(&socket, DNS).unwrap();
    socket.disconnect().unwrap();
    socket.bind_null().unwrap();
    let call = calls.take().pop().unwrap();
    assert_eq!(call.local, Some(addr("0.0.0.0:5000")));
    assert_eq!(t.a.stats().tuples, 1, "the wildcard takes nothing along");
}

#[test]
fn entries_stay_until_the_last_socket_of_an_endpoint_is_unbound() {
    let t = pair();
    t.cluster.replicate(true);
    let sockets = [t.a.udp(addr(LOCAL)), t.a.udp(addr(LOCAL))];
    let first = t.a.udp_bind(addr(LOCAL)).unwrap();
    let second = t.a.udp_bind(addr(LOCAL));
    assert_eq!(second.unwrap_err(), Errno::EADDRINUSE);
    first.close();
    for socket in &sockets {
        socket.set_option(SocketOption::SO_REUSEADDR, 1).unwrap();
        bind(socket, LOCAL);
        sendto(socket, DNS).unwrap();
    }
    assert_eq!((t.a.stats().repeated, t.a.stats().tuples), (1, 1));
    sockets[0].close();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (1, 1));
    sockets[1].close();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (0, 0));
}

#[test]
fn mapped_addresses_travel_as_ip_passes_them() {
    let t = pair();
    let calls = t.a.clinet().record();
    let mapped = "[::ffff:198.51.100.1]:53";
    let socket = t.a.udp_bind(addr("[::]:5000")).unwrap();
    sendto(&socket, mapped).unwrap();
    connect(&socket, mapped).unwrap();
    let calls = calls.take();
    let find = |name: &str| calls.iter().find(|call| call.function == name).unwrap();
    let send = find("clinet_udp_send_ask");
    assert_eq!(send.family, Some(clinet_ip::AF_INET6));
    assert_eq!(
        (send.local, send.foreign),
        (Some(addr("[::]:5000")), Some(addr(mapped)))
    );
    let connect = find("clinet_udp_connect_ask");
    assert_eq!(connect.family, Some(clinet_ip::AF_INET));
    assert_eq!(
        (connect.local, connect.foreign),
        (Some(addr(LOCAL)), Some(addr(DNS)))
    );
}

#[test]
fn datagrams_reach_the_node_that_knows_the_peer() {
    let t = pair();
    let server = t.host.udp_bind(addr(DNS)).unwrap();
    let client = t.host.udp(addr(LOCAL));
    connect(&client, LOCAL).unwrap();
    assert_eq!(client.name().0, server.name().0);
    let at_a = t.a.udp_bind(addr(LOCAL)).unwrap();
    let at_b = t.b.udp_bind(addr(LOCAL)).unwrap();
    connect(&at_b, DNS).unwrap();
    sendto(&server, LOCAL).unwrap();
    assert_eq!(at_b.receive(), Ok(4));
    assert_eq!(at_a.receive(), Err(Errno::EAGAIN));
}
