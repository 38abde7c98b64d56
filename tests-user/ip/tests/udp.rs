// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! UDP on the released module.

mod common;

use clinet_ip::{Context, Errno, IPPROTO_UDP, SocketOption};
use common::{addr, pair};

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
                socket.sendto(addr(dns), b"query").unwrap();
            } else {
                socket.sendmsg(addr(dns), b"query", b"control").unwrap();
            }
        }
        assert_eq!(t.a.stats().udp_asked, 1);
        assert_eq!(server.recvfrom().unwrap(), (addr(local), b"query".to_vec()));
        socket.sendmsg(addr(other), b"query", b"control").unwrap();
        assert_eq!(t.a.stats().udp_asked, 2, "control data or not");
        socket.sendto(addr(other), b"query").unwrap();
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
    assert!(socket.last_destination().is_none());
    socket.sendto(addr(DNS), b"").unwrap();
    let last = socket.last_destination();
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
    socket.sendto(addr(DNS), b"").unwrap();
    socket.connect(addr(DNS)).unwrap();
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
    holder.sendto(addr(OTHER), b"").unwrap();
    let socket = t.b.udp_bind(addr(LOCAL)).unwrap();
    socket.sendto(addr(DNS), b"").unwrap();
    let last = socket.last_destination();
    assert_eq!(socket.sendto(addr(OTHER), b""), Err(Errno::EHOSTUNREACH));
    assert_eq!(socket.last_destination(), last, "it stays");
    socket.sendto(addr(DNS), b"").unwrap();
    assert_eq!(socket.sendto(addr(OTHER), b""), Err(Errno::EHOSTUNREACH));
    let stats = t.b.stats();
    assert_eq!((stats.udp_asked, stats.udp_refused), (3, 2));
    holder.close();
    socket.sendto(addr(OTHER), b"").unwrap();
    assert_eq!(t.b.stats().udp_asked, 4);
}

#[test]
fn a_refused_connect_is_not_available_and_forgets() {
    let t = pair();
    t.a.clinet()
        .install(2, IPPROTO_UDP, addr(LOCAL), addr(DNS))
        .unwrap();
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    socket.connect(addr(OTHER)).unwrap();
    assert_eq!(socket.connect(addr(DNS)), Err(Errno::EADDRNOTAVAIL));
    assert!(socket.last_destination().is_none());
    assert_eq!(socket.foreign(), None, "the earlier connection is gone");
    assert_eq!(socket.local(), Some(addr(LOCAL)));
    socket.sendto(addr(OTHER), b"").unwrap();
    assert_eq!(t.a.stats().udp_asked, 3);
}

#[test]
fn a_connect_that_bound_itself_unbinds_when_refused() {
    let t = pair();
    let calls = t.a.clinet().record();
    // Whatever port is chosen.
    for port in 32768..32800 {
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
    let socket = t.a.udp_socket();
    assert_eq!(socket.connect(addr(DNS)), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(socket.local(), None);
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
    assert_eq!(socket.send(b"x"), Err(Errno::EDESTADDRREQ));
    socket.connect(addr(DNS)).unwrap();
    socket.connect(addr(DNS)).unwrap();
    assert_eq!(t.a.stats().udp_asked, 2);
    for _ in 0..10 {
        socket.send(b"x").unwrap();
    }
    assert_eq!(socket.sendto(addr(DNS), b"x"), Err(Errno::EISCONN));
    assert_eq!(t.a.stats().udp_asked, 2);
    assert_eq!(server.recvfrom().unwrap().0, addr(LOCAL));
    assert_eq!(
        socket.connect(addr("198.51.100.1:0")),
        Err(Errno::EADDRNOTAVAIL)
    );
    assert_eq!(t.a.stats().udp_asked, 2, "port 0 is not asked about");
    t.cluster
        .set_reachable("203.0.113.1".parse().unwrap(), false);
    assert_eq!(
        socket.connect(addr("203.0.113.1:1")),
        Err(Errno::EHOSTUNREACH)
    );
    assert_eq!(t.a.stats().udp_asked, 2, "no route is not asked about");
}

#[test]
fn an_accepted_connect_is_the_most_recent_destination() {
    let t = pair();
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    socket.connect(addr(DNS)).unwrap();
    assert_eq!(socket.last_destination().udp_cl_lastdstport, 53u16.to_be());
}

#[test]
fn every_reset_makes_the_next_send_ask() {
    let t = pair();
    let gone = addr("203.0.113.1:53");
    t.cluster.set_reachable(gone.ip(), false);
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    let asks_again = |what: &str, change: &dyn Fn()| {
        socket.sendto(addr(DNS), b"").unwrap();
        change();
        let before = t.a.stats().udp_asked;
        socket.sendto(addr(DNS), b"").unwrap();
        let asked = t.a.stats().udp_asked - before;
        (asked == 1, what.to_owned())
    };
    for option in SocketOption::ALL {
        let name = format!("{option:?}");
        let (asked, what) = asks_again(&name, &|| socket.setsockopt(option, 1).unwrap());
        assert_eq!(asked, option.resets(), "{what}");
        let (asked, what) = asks_again(&name, &|| {
            assert_eq!(socket.setsockopt(option, -1), Err(Errno::EINVAL));
        });
        assert!(!asked, "a failed {what} changes nothing");
    }
    let changes: [(&str, &dyn Fn()); 4] = [
        ("unbind and bind", &|| {
            socket.unbind().unwrap();
            socket.bind(addr(LOCAL)).unwrap();
        }),
        ("connect and disconnect", &|| {
            socket.connect(addr(DNS)).unwrap();
            socket.disconnect().unwrap();
        }),
        ("a send that fails", &|| {
            assert_eq!(socket.sendto(gone, b""), Err(Errno::EHOSTUNREACH));
        }),
        ("the start of a connect", &|| {
            assert_eq!(socket.connect(gone), Err(Errno::EHOSTUNREACH));
        }),
    ];
    for (name, change) in changes {
        let (asked, what) = asks_again(name, change);
        assert!(asked, "{what}");
    }
    let (asked, _) = asks_again("nothing", &|| {});
    assert!(!asked);
}

#[test]
fn an_unreachable_destination_is_asked_about_every_time() {
    let t = pair();
    let gone = addr("203.0.113.1:53");
    t.cluster.set_reachable(gone.ip(), false);
    let socket = t.a.udp_bind(addr(LOCAL)).unwrap();
    for asked in 1..4 {
        assert_eq!(socket.sendto(gone, b""), Err(Errno::EHOSTUNREACH));
        assert_eq!(t.a.stats().udp_asked, asked);
    }
}

#[test]
fn an_unspecified_local_address_is_asked_about_and_not_registered() {
    let t = pair();
    let socket = t.a.udp_socket();
    socket.sendto(addr(DNS), b"").unwrap();
    let stats = t.a.stats();
    assert_eq!(
        (stats.udp_asked, stats.unspecified, stats.tuples),
        (1, 1, 0)
    );
    socket.sendto(addr(DNS), b"").unwrap();
    assert_eq!(t.a.stats().udp_asked, 1);
}

#[test]
fn a_connected_socket_that_closes_leaves_its_entry_until_the_next_bind() {
    let t = pair();
    t.cluster.replicate(true);
    let calls = t.a.clinet().record();
    let socket = t.a.udp_socket();
    socket.connect(addr(DNS)).unwrap();
    let local = socket.local().unwrap();
    calls.take();
    socket.close();
    assert_eq!(calls.take(), [], "as stock illumos does");
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (1, 1));
    let again = t.a.udp_bind(local).unwrap();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (0, 0));
    again.connect(addr(DNS)).unwrap();
    calls.take();
    again.unbind().unwrap();
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
    socket.connect(addr(DNS)).unwrap();
    assert_eq!(socket.local(), Some(addr(LOCAL)));
    socket.unbind().unwrap();
    let call = calls.take().pop().unwrap();
    assert_eq!(call.function, "clinet_udp_unbind");
    assert_eq!(call.local, Some(addr(LOCAL)));
    assert_eq!(t.a.stats().tuples, 0);

    socket.bind(addr("0.0.0.0:5000")).unwrap();
    socket.connect(addr(DNS)).unwrap();
    socket.disconnect().unwrap();
    socket.unbind().unwrap();
    let call = calls.take().pop().unwrap();
    assert_eq!(call.local, Some(addr("0.0.0.0:5000")));
    assert_eq!(t.a.stats().tuples, 1, "the wildcard takes nothing along");
}

#[test]
fn entries_stay_until_the_last_socket_of_an_endpoint_is_unbound() {
    let t = pair();
    t.cluster.replicate(true);
    let sockets = [t.a.udp_socket(), t.a.udp_socket()];
    assert_eq!(
        t.a.udp_bind(addr(LOCAL))
            .and_then(|_first| t.a.udp_bind(addr(LOCAL)))
            .unwrap_err(),
        Errno::EADDRINUSE
    );
    for socket in &sockets {
        socket.setsockopt(SocketOption::SO_REUSEADDR, 1).unwrap();
        socket.bind(addr(LOCAL)).unwrap();
        socket.sendto(addr(DNS), b"").unwrap();
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
    let mapped = addr("[::ffff:198.51.100.1]:53");
    let socket = t.a.udp_bind(addr("[::]:5000")).unwrap();
    socket.sendto(mapped, b"").unwrap();
    socket.connect(mapped).unwrap();
    let calls = calls.take();
    let find = |name: &str| calls.iter().find(|call| call.function == name).unwrap();
    let send = find("clinet_udp_send_ask");
    assert_eq!(send.family, Some(clinet_ip::AF_INET6));
    assert_eq!(
        (send.local, send.foreign),
        (Some(addr("[::]:5000")), Some(mapped))
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
    let client = t.host.udp_socket();
    client.connect(addr(LOCAL)).unwrap();
    assert_eq!(client.local().unwrap().ip(), server.local().unwrap().ip());
    let at_a = t.a.udp_bind(addr(LOCAL)).unwrap();
    let at_b = t.b.udp_bind(addr(LOCAL)).unwrap();
    at_b.connect(addr(DNS)).unwrap();
    server.sendto(addr(LOCAL), b"answer").unwrap();
    assert_eq!(at_b.recvfrom().unwrap(), (addr(DNS), b"answer".to_vec()));
    assert_eq!(at_a.recvfrom().unwrap_err(), Errno::EAGAIN);
}
