// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP on the released module.

mod common;

use std::time::Duration;

use clinet_ip::{
    Cluster, Context, Errno, FiveTuple, IPPROTO_TCP, TIME_WAIT, TcpState, released_module,
};
use clinet_kernel::together;
use common::{addr, pair, pair_with};

const LOCAL: &str = "192.0.2.10:5000";
const WEB: &str = "198.51.100.1:80";

#[test]
fn an_outgoing_connection_is_asked_about_and_ended_once() {
    for (local, peer) in [(LOCAL, WEB), ("[2001:db8::10]:5000", "[2001:db8:1::1]:80")] {
        let t = pair();
        let listener = t.host.tcp_listen(addr(peer)).unwrap();
        let calls = t.a.clinet().record();
        let socket = t.a.tcp_connect(Some(addr(local)), addr(peer)).unwrap();
        let server = listener.accept().unwrap();
        assert_eq!(server.foreign(), Some(addr(local)));
        let stats = t.a.stats();
        assert_eq!(
            (stats.tcp_out_asked, stats.registered, stats.tuples),
            (1, 1, 1)
        );
        assert_eq!(
            t.cluster.owner(&FiveTuple::tcp(addr(local), addr(peer))),
            Some(t.a.id())
        );

        socket.send(b"ping").unwrap();
        assert_eq!(server.recv().unwrap(), b"ping");
        socket.close();
        assert_eq!(server.recv().unwrap(), b"");
        server.close();
        assert_eq!(socket.state(), TcpState::TimeWait);
        assert_eq!(t.a.stats().tuples, 1, "until TIME_WAIT is over");
        t.cluster.advance(TIME_WAIT - Duration::from_millis(1));
        assert_eq!(socket.state(), TcpState::TimeWait);
        t.cluster.advance(Duration::from_millis(1));
        assert_eq!(socket.state(), TcpState::Closed);
        let stats = t.a.stats();
        assert_eq!((stats.ended, stats.removed, stats.tuples), (1, 1, 0));
        assert_eq!(stats.unknown, 0);

        let calls = calls.take();
        let asked = &calls[0];
        assert_eq!(asked.function, "clinet_tcp_connect");
        assert_eq!(asked.outgoing, Some(true));
        assert_eq!(
            (asked.local, asked.foreign),
            (Some(addr(local)), Some(addr(peer)))
        );
        assert_eq!(asked.context, Context::no_sleep());
        let ended = calls
            .iter()
            .find(|call| call.function == "clinet_tcp_disconnect")
            .unwrap();
        assert_eq!(
            (ended.local, ended.foreign),
            (Some(addr(local)), Some(addr(peer)))
        );
        assert_eq!(t.b.stats().tcp_out_asked, 0);
    }
}

#[test]
fn an_incoming_connection_is_asked_about_in_the_interrupt() {
    let t = pair();
    let listener = t.a.tcp_listen(addr("192.0.2.10:22")).unwrap();
    let calls = t.a.clinet().record();
    let client = t.host.tcp_connect(None, addr("192.0.2.10:22")).unwrap();
    let server = listener.accept().unwrap();
    assert_eq!(server.foreign(), client.local());
    let stats = t.a.stats();
    assert_eq!(
        (stats.tcp_in_asked, stats.tcp_out_asked, stats.tuples),
        (1, 0, 1)
    );
    let call = &calls.take()[0];
    assert_eq!(
        (call.outgoing, call.local),
        (Some(false), Some(addr("192.0.2.10:22")))
    );
    assert_eq!(call.context, Context::interrupt());
    assert_eq!(t.b.stats().tcp_in_asked, 0, "b does not listen");

    // The peer closes first: our side ends with the last acknowledgement.
    client.close();
    assert_eq!(server.state(), TcpState::CloseWait);
    server.close();
    let ended = calls.take().pop().unwrap();
    assert_eq!(ended.function, "clinet_tcp_disconnect");
    assert_eq!(ended.context, Context::interrupt());
    let stats = t.a.stats();
    assert_eq!((stats.removed, stats.tuples), (1, 0));
}

#[test]
fn listeners_are_told_in_the_right_context() {
    let t = pair();
    let calls = t.a.clinet().record();
    let listener = t.a.tcp_listen(addr("[::ffff:192.0.2.10]:22")).unwrap();
    listener.listen(5).unwrap();
    listener.close();
    let calls = calls.take();
    let functions: Vec<_> = calls.iter().map(|call| call.function).collect();
    assert_eq!(
        functions,
        [
            "clinet_tcp_listen",
            "clinet_tcp_unlisten",
            "clinet_tcp_listen",
            "clinet_tcp_unlisten",
            "clinet_tcp_disconnect"
        ]
    );
    for call in &calls[..4] {
        assert_eq!(call.family, Some(clinet_ip::AF_INET6));
        assert_eq!(call.local, Some(addr("[::ffff:192.0.2.10]:22")));
    }
    assert_eq!(calls[0].context, Context::no_sleep());
    assert_eq!(calls[1].context, Context::no_sleep().holding("connf_lock"));
}

#[test]
fn a_v4_mapped_peer_is_an_ipv4_connection() {
    let t = pair();
    let _listener = t.host.tcp_listen(addr(WEB)).unwrap();
    let calls = t.a.clinet().record();
    let _socket =
        t.a.tcp_connect(Some(addr("[::]:5000")), addr("[::ffff:198.51.100.1]:80"))
            .unwrap();
    let call = &calls.take()[0];
    assert_eq!(call.family, Some(clinet_ip::AF_INET));
    assert_eq!(
        (call.local, call.foreign),
        (Some(addr(LOCAL)), Some(addr(WEB)))
    );
}

#[test]
fn what_another_node_holds_is_refused() {
    let t = pair();
    t.cluster.replicate(true);
    let _listener = t.host.tcp_listen(addr(WEB)).unwrap();
    let held = t.a.tcp_connect(Some(addr(LOCAL)), addr(WEB)).unwrap();
    assert_eq!(t.b.stats().tuples, 1);

    let second = t.b.tcp_socket();
    second.bind(addr(LOCAL)).unwrap();
    t.cluster.sniff(true);
    let calls = t.b.clinet().record();
    assert_eq!(second.connect(addr(WEB)), Err(Errno::EADDRINUSE));
    assert_eq!(calls.take()[0].result, Some(Errno::EADDRINUSE.0));
    assert_eq!(t.cluster.sightings(), [], "no SYN leaves");
    assert_eq!(second.state(), TcpState::Idle);
    assert_eq!(second.foreign(), None);
    let stats = t.b.stats();
    assert_eq!((stats.tcp_out_refused, stats.owned_elsewhere), (1, 1));
    assert_eq!(second.connect(addr(WEB)), Err(Errno::EADDRINUSE));
    assert_eq!(
        t.b.stats().tcp_out_asked,
        1,
        "a refused socket asks no more"
    );
    second.close();
    assert_eq!(t.b.stats().ended, 0, "a refusal has no end");

    held.abort();
    assert_eq!(t.b.stats().tuples, 0, "withdrawn");
    let third = t.b.tcp_connect(Some(addr(LOCAL)), addr(WEB)).unwrap();
    assert_eq!(t.a.stats().tuples, 1);
    t.cluster.replicate(false);
    assert_eq!(t.a.stats().tuples, 0, "purged");
    t.cluster.replicate(true);
    assert_eq!(t.a.stats().tuples, 1, "told again");
    third.abort();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (0, 0));
}

#[test]
fn a_refused_syn_is_dropped_and_asked_about_again() {
    let t = pair();
    let client = addr("198.51.100.1:6000");
    let service = addr("192.0.2.10:22");
    let listener = t.a.tcp_listen(service).unwrap();
    t.a.clinet()
        .install(9, IPPROTO_TCP, service, client)
        .unwrap();
    t.cluster.sniff(true);
    let socket = t.host.tcp_socket();
    socket.bind(client).unwrap();
    socket.start_connect(service).unwrap();
    for (at, asked) in [(0, 1), (1099, 1), (1100, 2), (3400, 3), (7899, 3)] {
        t.cluster
            .advance(Duration::from_millis(at) - t.cluster.now());
        assert_eq!(t.a.stats().tcp_in_refused, asked, "at {at} ms");
        assert_eq!(socket.state(), TcpState::SynSent);
        assert_eq!(listener.accept().unwrap_err(), Errno::EAGAIN);
    }
    t.a.clinet()
        .withdraw(9, IPPROTO_TCP, service, client)
        .unwrap();
    t.cluster.advance(Duration::from_millis(1));
    assert_eq!(socket.finish_connect(), Ok(()));
    assert_eq!(t.cluster.now(), Duration::from_millis(7900));
    let sightings = t.cluster.sightings();
    let syns: Vec<_> = sightings
        .iter()
        .filter(|seen| seen.packet.begins_connection())
        .map(|seen| seen.at.as_millis())
        .collect();
    assert_eq!(syns, [0, 1100, 3400, 7900]);
    assert!(!sightings.iter().any(|seen| seen.packet.is_reset()));
    let stats = t.a.stats();
    assert_eq!(
        (stats.tcp_in_asked, stats.tcp_in_refused, stats.ended),
        (4, 3, 0)
    );
    listener.accept().unwrap().abort();
    assert_eq!(t.a.stats().tuples, 0);
}

#[test]
fn connects_fail_as_they_should_and_are_ended() {
    let t = pair();
    assert_eq!(
        t.a.tcp_connect(None, addr(WEB)).unwrap_err(),
        Errno::ECONNREFUSED
    );
    let before = t.cluster.now();
    t.cluster
        .set_reachable("203.0.113.1".parse().unwrap(), false);
    assert_eq!(
        t.a.tcp_connect(None, addr("203.0.113.1:80")).unwrap_err(),
        Errno::ETIMEDOUT
    );
    assert_eq!(t.cluster.now() - before, clinet_ip::CONNECT_ABORT);
    let stats = t.a.stats();
    assert_eq!((stats.tcp_out_asked, stats.registered), (2, 2));
    assert_eq!((stats.ended, stats.removed, stats.tuples), (2, 2, 0));
}

#[test]
fn every_way_to_end_tells_once() {
    let t = pair();
    let web = t.host.tcp_listen(addr(WEB)).unwrap();
    let ssh = t.a.tcp_listen(addr("192.0.2.10:22")).unwrap();

    t.a.tcp_connect(None, addr(WEB)).unwrap().abort();
    assert_eq!(
        web.accept().unwrap_err(),
        Errno::EAGAIN,
        "reset before accept"
    );

    let socket = t.a.tcp_connect(None, addr(WEB)).unwrap();
    web.accept().unwrap().abort();
    assert_eq!(socket.state(), TcpState::Idle);
    assert_eq!(socket.take_error(), Some(Errno::ECONNRESET));
    assert_eq!(t.a.stats().ended, 2, "a reset connection ends before close");
    socket.close();

    let half_open = t.a.tcp_socket();
    t.cluster
        .set_reachable("203.0.113.1".parse().unwrap(), false);
    half_open.start_connect(addr("203.0.113.1:80")).unwrap();
    half_open.close();

    let queued = t.host.tcp_connect(None, addr("192.0.2.10:22")).unwrap();
    drop(ssh);
    assert_eq!(queued.take_error(), Some(Errno::ECONNRESET));

    let stats = t.a.stats();
    assert_eq!((stats.registered, stats.ended, stats.removed), (4, 4, 4));
    assert_eq!((stats.unknown, stats.tuples), (0, 0));
}

#[test]
fn both_close_at_the_same_time() {
    let t = pair();
    // Both ends on one node: two 5-tuples, one out and one in.
    let listener = t.a.tcp_listen(addr("192.0.2.10:22")).unwrap();
    let client = t.a.tcp_connect(None, addr("192.0.2.10:22")).unwrap();
    let server = listener.accept().unwrap();
    assert_eq!(t.a.stats().tuples, 2);
    together::scope(|threads| {
        threads.spawn(|_| client.close());
        threads.spawn(|_| server.close());
    });
    t.cluster.advance(TIME_WAIT);
    assert_eq!(
        (client.state(), server.state()),
        (TcpState::Closed, TcpState::Closed)
    );
    assert_eq!((t.a.stats().removed, t.a.stats().tuples), (2, 0));
}

#[test]
fn a_time_wait_connection_gives_way_to_a_new_syn() {
    let t = pair();
    let listener = t.a.tcp_listen(addr("192.0.2.10:22")).unwrap();
    let client = Some(addr("198.51.100.1:6000"));
    let first = t.host.tcp_connect(client, addr("192.0.2.10:22")).unwrap();
    let server = listener.accept().unwrap();
    server.close();
    first.close();
    assert_eq!(server.state(), TcpState::TimeWait);
    let _second = t.host.tcp_connect(client, addr("192.0.2.10:22")).unwrap();
    let stats = t.a.stats();
    assert_eq!((stats.tcp_in_asked, stats.ended, stats.tuples), (2, 1, 1));
    assert_eq!(t.cluster.now(), Duration::ZERO, "with its first SYN");
}

#[test]
fn a_wildcard_listener_receives_for_every_address_of_its_family() {
    let t = pair();
    let four = t.a.tcp_listen(addr("0.0.0.0:22")).unwrap();
    let both = t.a.tcp_listen(addr("[::]:23")).unwrap();
    for (service, listener) in [
        ("192.0.2.10:22", Some(&four)),
        ("[2001:db8::10]:22", None),
        ("192.0.2.10:23", Some(&both)),
        ("[2001:db8::10]:23", Some(&both)),
    ] {
        let client = t.host.tcp_connect(None, addr(service));
        let Some(listener) = listener else {
            assert_eq!(client.unwrap_err(), Errno::ECONNREFUSED, "{service}");
            continue;
        };
        let server = listener.accept().unwrap();
        assert_eq!(server.local(), Some(addr(service)));
    }
    assert_eq!(t.a.stats().tcp_in_asked, 3);
}

#[test]
fn a_connection_that_the_peer_forgot_is_ended() {
    let t = pair();
    let service = addr("192.0.2.10:22");
    let listener = t.a.tcp_listen(service).unwrap();
    let client = Some(addr("198.51.100.1:6000"));
    let first = t.host.tcp_connect(client, service).unwrap();
    let server = listener.accept().unwrap();
    t.cluster.set_reachable(service.ip(), false);
    first.abort();
    t.cluster.set_reachable(service.ip(), true);
    assert_eq!(server.state(), TcpState::Established, "the RST was lost");
    let _second = t.host.tcp_connect(client, service).unwrap();
    assert_eq!(server.take_error(), Some(Errno::ECONNRESET));
    let stats = t.a.stats();
    assert_eq!((stats.tcp_in_asked, stats.ended, stats.tuples), (2, 1, 1));
}

#[test]
fn two_ends_that_open_at_the_same_time_both_ask_as_outgoing() {
    let mut cluster = Cluster::new(&released_module().unwrap());
    let a = cluster
        .add_node("a", &["192.0.2.1".parse().unwrap()])
        .unwrap();
    let b = cluster
        .add_node("b", &["192.0.2.2".parse().unwrap()])
        .unwrap();
    let (at_a, at_b) = (addr("192.0.2.1:5000"), addr("192.0.2.2:5000"));
    let (one, other) = (a.tcp_socket(), b.tcp_socket());
    one.bind(at_a).unwrap();
    other.bind(at_b).unwrap();
    // The first SYN is lost, so both are in SYN_SENT when one arrives.
    cluster.set_reachable(at_b.ip(), false);
    one.start_connect(at_b).unwrap();
    cluster.set_reachable(at_b.ip(), true);
    other.start_connect(at_a).unwrap();
    assert_eq!(one.finish_connect(), Ok(()));
    assert_eq!(other.finish_connect(), Ok(()));
    for node in [&a, &b] {
        let stats = node.stats();
        assert_eq!(
            (stats.tcp_out_asked, stats.tcp_in_asked, stats.tuples),
            (1, 0, 1)
        );
    }
    one.abort();
    assert_eq!((a.stats().tuples, b.stats().tuples), (0, 0));
}

#[test]
fn an_unspecified_local_address_is_not_asked_about() {
    let mut cluster = Cluster::new(&released_module().unwrap());
    let bare = cluster.add_node("bare", &[]).unwrap();
    assert_eq!(
        bare.tcp_connect(None, addr(WEB)).unwrap_err(),
        Errno::ETIMEDOUT
    );
    let stats = bare.stats();
    assert_eq!(
        (stats.tcp_out_asked, stats.no_laddr, stats.tuples),
        (0, 1, 0)
    );
}

#[test]
fn a_full_backlog_asks_nobody() {
    let t = pair();
    let listener = t.a.tcp_socket();
    listener.bind(addr("192.0.2.10:22")).unwrap();
    listener.listen(1).unwrap();
    let _first = t.host.tcp_connect(None, addr("192.0.2.10:22")).unwrap();
    let second = t.host.tcp_socket();
    second.start_connect(addr("192.0.2.10:22")).unwrap();
    assert_eq!(t.a.stats().tcp_in_asked, 1);
    let _server = listener.accept().unwrap();
    assert_eq!(second.finish_connect(), Ok(()));
    assert_eq!(t.a.stats().tcp_in_asked, 2);
}

#[test]
fn a_shared_address_is_steered() {
    let t = pair();
    let _at_a = t.a.tcp_listen(addr("192.0.2.10:22")).unwrap();
    let at_b = t.b.tcp_listen(addr("192.0.2.10:22")).unwrap();
    let first = t.host.tcp_connect(None, addr("192.0.2.10:22")).unwrap();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (1, 0));
    let b = t.b.id();
    t.cluster.steer(move |_, _| Some(b));
    let second = t.host.tcp_connect(None, addr("192.0.2.10:22")).unwrap();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (1, 1));
    let server = at_b.accept().unwrap();
    // A known connection stays where it is.
    t.cluster.steer(|_, nodes| nodes.first().copied());
    second.send(b"to b").unwrap();
    assert_eq!(server.recv().unwrap(), b"to b");
    first.abort();
    second.abort();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (0, 0));
}

#[test]
fn a_full_registry_admits_or_refuses() {
    for (refuse, expected) in [(0, Ok(())), (1, Err(Errno::EADDRNOTAVAIL))] {
        let t = pair_with(&[("clinet_max_tuples", 64), ("clinet_full_refuse", refuse)]);
        let listener = t.host.tcp_listen(addr(WEB)).unwrap();
        let mut sockets = Vec::new();
        for _ in 0..64 {
            sockets.push(t.a.tcp_connect(None, addr(WEB)).unwrap());
            sockets.push(listener.accept().unwrap());
        }
        let last = t.a.tcp_connect(None, addr(WEB));
        assert_eq!(last.as_ref().map(|_| ()).map_err(|error| *error), expected);
        drop((last, sockets, listener));
        t.cluster.advance(TIME_WAIT);
        assert_eq!(t.a.stats().tuples, 0);
    }
}
