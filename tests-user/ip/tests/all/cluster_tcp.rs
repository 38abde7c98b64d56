// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP of a patched ip on several nodes: when the module is asked and told,
//! and what its answers do.

use std::time::Duration;

use crate::common::{addr, connect, end, pair, pair_with, start_connect};
use clinet_ip::{
    Body, CONNECT_ABORT, Cluster, Context, Errno, FiveTuple, IPPROTO_TCP, Sighting, TIME_WAIT,
    TcpState, released_module,
};
use clinet_kernel::together;

const LOCAL: &str = "192.0.2.10:5000";
const WEB: &str = "198.51.100.1:80";
const SSH: &str = "192.0.2.10:22";
const GONE: &str = "203.0.113.1:80";

#[test]
fn an_outgoing_connection_is_asked_about_and_ended_once() {
    for (local, peer) in [(LOCAL, WEB), ("[2001:db8::10]:5000", "[2001:db8:1::1]:80")] {
        let t = pair();
        let listener = t.host.tcp_listen(addr(peer)).unwrap();
        let calls = t.a.clinet().record();
        let socket = t.a.tcp_connect(Some(addr(local)), addr(peer)).unwrap();
        let server = listener.accept().unwrap();
        assert_eq!(server.peer(), Some(end(local)));
        let stats = t.a.stats();
        assert_eq!(
            (stats.tcp_out_asked, stats.registered, stats.tuples),
            (1, 1, 1)
        );
        let tuple = FiveTuple::tcp(addr(local), addr(peer));
        assert_eq!(t.cluster.owner(&tuple), Some(t.a.id()));

        socket.send(4).unwrap();
        assert_eq!(server.receive(), Ok(4));
        socket.close();
        assert_eq!(server.receive(), Ok(0));
        server.close();
        t.cluster.advance(TIME_WAIT - Duration::from_millis(1));
        assert_eq!(t.a.stats().tuples, 1, "until TIME_WAIT is over");
        t.cluster.advance(Duration::from_millis(1));
        let stats = t.a.stats();
        assert_eq!((stats.ended, stats.removed, stats.tuples), (1, 1, 0));
        assert_eq!((stats.unknown, t.b.stats().tcp_out_asked), (0, 0));

        let calls = calls.take();
        let asked = &calls[0];
        assert_eq!(asked.function, "clinet_tcp_connect");
        assert_eq!(asked.outgoing, Some(true));
        let ends = (Some(addr(local)), Some(addr(peer)));
        assert_eq!((asked.local, asked.foreign), ends);
        assert_eq!(asked.context, Context::no_sleep());
        let is_end = |call: &&clinet_ip::Call| call.function == "clinet_tcp_disconnect";
        let ended = calls.iter().find(is_end).unwrap();
        assert_eq!((ended.local, ended.foreign), ends);
    }
}

#[test]
fn an_incoming_connection_is_asked_about_in_the_interrupt() {
    let t = pair();
    let listener = t.a.tcp_listen(addr(SSH)).unwrap();
    let calls = t.a.clinet().record();
    let client = t.host.tcp_connect(None, addr(SSH)).unwrap();
    let server = listener.accept().unwrap();
    assert_eq!(server.peer(), Some(client.name()));
    let stats = t.a.stats();
    assert_eq!(
        (stats.tcp_in_asked, stats.tcp_out_asked, stats.tuples),
        (1, 0, 1)
    );
    let call = &calls.take()[0];
    assert_eq!((call.outgoing, call.local), (Some(false), Some(addr(SSH))));
    assert_eq!(call.context, Context::interrupt());
    assert_eq!(t.b.stats().tcp_in_asked, 0, "b does not listen");

    // The peer closes first: our side ends with the last acknowledgement.
    client.close();
    assert_eq!(server.tcp_state(), Some(TcpState::CloseWait));
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
    let mapped = addr("[::ffff:192.0.2.10]:22");
    let listener = t.a.tcp_listen(mapped).unwrap();
    listener.listen(5).unwrap();
    listener.close();
    let calls = calls.take();
    let functions: Vec<_> = calls.iter().map(|call| call.function).collect();
    let expected = [
        "clinet_tcp_listen",
        "clinet_tcp_unlisten",
        "clinet_tcp_listen",
        "clinet_tcp_disconnect",
        "clinet_tcp_unlisten",
    ];
    assert_eq!(functions, expected);
    for call in calls.iter().filter(|call| call.local.is_some()) {
        assert_eq!(call.family, Some(clinet_ip::AF_INET6));
        assert_eq!(call.local, Some(mapped));
    }
    assert_eq!(calls[0].context, Context::no_sleep());
    assert_eq!(calls[1].context, Context::no_sleep().holding("connf_lock"));
}

#[test]
fn what_another_node_holds_is_refused() {
    let t = pair();
    t.cluster.replicate(true);
    let _listener = t.host.tcp_listen(addr(WEB)).unwrap();
    let held = t.a.tcp_connect(Some(addr(LOCAL)), addr(WEB)).unwrap();
    assert_eq!(t.b.stats().tuples, 1);

    let second = t.b.tcp(addr(LOCAL));
    let (address, port) = end(LOCAL);
    second.bind(Some(address), port).unwrap();
    t.cluster.sniff(true);
    let calls = t.b.clinet().record();
    assert_eq!(connect(&second, WEB), Err(Errno::EADDRINUSE));
    assert_eq!(calls.take()[0].result, Some(Errno::EADDRINUSE.0));
    assert_eq!(t.cluster.sightings(), [], "no SYN leaves");
    assert_eq!(second.tcp_state(), Some(TcpState::Bound));
    let stats = t.b.stats();
    assert_eq!((stats.tcp_out_refused, stats.owned_elsewhere), (1, 1));
    assert_eq!(connect(&second, WEB), Err(Errno::EADDRINUSE));
    let asked = t.b.stats().tcp_out_asked;
    assert_eq!(asked, 1, "a refused socket asks no more");
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
    let listener = t.a.tcp_listen(addr(SSH)).unwrap();
    let install = t.a.clinet().install(9, IPPROTO_TCP, addr(SSH), client);
    install.unwrap();
    t.cluster.sniff(true);
    let socket = t.host.tcp(client);
    socket.bind(Some(client.ip()), client.port()).unwrap();
    start_connect(&socket, SSH);
    for (at, asked) in [(0, 1), (1124, 1), (1125, 2), (3375, 3), (7874, 3)] {
        t.cluster
            .advance(Duration::from_millis(at) - t.cluster.now());
        assert_eq!(t.a.stats().tcp_in_refused, asked, "at {at} ms");
        assert_eq!(socket.tcp_state(), Some(TcpState::SynSent));
        assert!(matches!(listener.accept(), Err(Errno::EAGAIN)));
    }
    let withdraw = t.a.clinet().withdraw(9, IPPROTO_TCP, addr(SSH), client);
    withdraw.unwrap();
    t.cluster.advance(Duration::from_millis(1));
    assert_eq!(socket.tcp_state(), Some(TcpState::Established));
    let sightings = t.cluster.sightings();
    let syns = sightings.iter().filter(|seen| seen.begins_connection());
    let syns: Vec<_> = syns.map(|seen| seen.at.as_millis()).collect();
    assert_eq!(syns, [0, 1125, 3375, 7875]);
    assert!(!sightings.iter().any(|seen| seen.is_reset()));
    let stats = t.a.stats();
    assert_eq!(
        (stats.tcp_in_asked, stats.tcp_in_refused, stats.ended),
        (4, 3, 0)
    );
    listener.accept().unwrap().abort();
    assert_eq!(t.a.stats().tuples, 0);
}

/// The RST for a segment of no connection is told from one that ends a connection.
#[test]
fn who_sends_a_rst_is_seen() {
    let t = pair();
    t.cluster.sniff(true);
    let refused = t.a.tcp_connect(None, addr(WEB));
    assert!(matches!(refused, Err(Errno::ECONNREFUSED)));
    let rst_of_nobody = |seen: &Sighting| seen.body == Body::TcpAnswer;
    let sightings = t.cluster.sightings();
    let resets: Vec<_> = sightings.iter().filter(|seen| seen.is_reset()).collect();
    assert!(
        matches!(resets[..], [seen] if rst_of_nobody(seen)),
        "{resets:?}"
    );
    let listener = t.host.tcp_listen(addr(WEB)).unwrap();
    let client = t.a.tcp_connect(None, addr(WEB)).unwrap();
    client.abort();
    let sightings = t.cluster.sightings();
    let resets: Vec<_> = sightings.iter().filter(|seen| seen.is_reset()).collect();
    assert!(
        matches!(resets[..], [seen] if !rst_of_nobody(seen)),
        "{resets:?}"
    );
    drop(listener);
}

#[test]
fn every_way_to_end_tells_once() {
    let t = pair();
    let refused = t.a.tcp_connect(None, addr(WEB));
    assert!(matches!(refused, Err(Errno::ECONNREFUSED)));
    let before = t.cluster.now();
    t.cluster.set_reachable(addr(GONE).ip(), false);
    let lost = t.a.tcp_connect(None, addr(GONE));
    assert!(matches!(lost, Err(Errno::ETIMEDOUT)));
    assert!(t.cluster.now() - before >= CONNECT_ABORT);
    let half_open = t.a.tcp(addr(GONE));
    start_connect(&half_open, GONE);
    half_open.close();

    let web = t.host.tcp_listen(addr(WEB)).unwrap();
    t.a.tcp_connect(None, addr(WEB)).unwrap().abort();
    assert!(matches!(web.accept(), Err(Errno::ECONNABORTED)));
    let socket = t.a.tcp_connect(None, addr(WEB)).unwrap();
    web.accept().unwrap().abort();
    assert_eq!(socket.tcp_state(), Some(TcpState::Idle));
    assert_eq!(socket.take_error(), Some(Errno::ECONNRESET));
    assert_eq!(t.a.stats().ended, 5, "a reset connection ends before close");
    socket.close();

    let ssh = t.a.tcp_listen(addr(SSH)).unwrap();
    let queued = t.host.tcp_connect(None, addr(SSH)).unwrap();
    ssh.close();
    assert_eq!(queued.take_error(), Some(Errno::ECONNRESET));
    let stats = t.a.stats();
    assert_eq!((stats.registered, stats.ended, stats.removed), (6, 6, 6));
    assert_eq!((stats.unknown, stats.tuples), (0, 0));
}

#[test]
fn both_ends_on_one_node_are_two_connections() {
    let t = pair();
    let listener = t.a.tcp_listen(addr(SSH)).unwrap();
    let client = t.a.tcp_connect(None, addr(SSH)).unwrap();
    let server = listener.accept().unwrap();
    assert_eq!(t.a.stats().tuples, 2);
    together::scope(|threads| {
        threads.spawn(|_| client.close());
        threads.spawn(|_| server.close());
    });
    t.cluster.advance(TIME_WAIT);
    assert_eq!((t.a.stats().removed, t.a.stats().tuples), (2, 0));
}

#[test]
fn a_time_wait_connection_gives_way_to_a_new_syn() {
    let t = pair();
    let listener = t.a.tcp_listen(addr(SSH)).unwrap();
    let client = Some(addr("198.51.100.1:6000"));
    let first = t.host.tcp_connect(client, addr(SSH)).unwrap();
    listener.accept().unwrap().close();
    first.close();
    let _second = t.host.tcp_connect(client, addr(SSH)).unwrap();
    let stats = t.a.stats();
    assert_eq!((stats.tcp_in_asked, stats.ended, stats.tuples), (2, 1, 1));
    assert_eq!(t.cluster.now(), Duration::ZERO, "with its first SYN");
}

#[test]
fn a_wildcard_listener_receives_for_every_address_of_its_family() {
    let t = pair();
    let four = t.a.tcp_listen(addr("0.0.0.0:22")).unwrap();
    let both = t.a.tcp_listen(addr("[::]:23")).unwrap();
    for (service, shown, listener) in [
        (SSH, SSH, Some(&four)),
        ("[2001:db8::10]:22", "", None),
        ("192.0.2.10:23", "[::ffff:192.0.2.10]:23", Some(&both)),
        ("[2001:db8::10]:23", "[2001:db8::10]:23", Some(&both)),
    ] {
        let client = t.host.tcp_connect(None, addr(service));
        let Some(listener) = listener else {
            assert!(matches!(client, Err(Errno::ECONNREFUSED)), "{service}");
            continue;
        };
        assert_eq!(listener.accept().unwrap().name(), end(shown));
    }
    assert_eq!(t.a.stats().tcp_in_asked, 3);
}

#[test]
fn a_connection_that_the_peer_forgot_is_ended() {
    let t = pair();
    let listener = t.a.tcp_listen(addr(SSH)).unwrap();
    let client = Some(addr("198.51.100.1:6000"));
    let first = t.host.tcp_connect(client, addr(SSH)).unwrap();
    let server = listener.accept().unwrap();
    t.cluster.set_reachable(addr(SSH).ip(), false);
    first.abort();
    t.cluster.set_reachable(addr(SSH).ip(), true);
    let state = server.tcp_state();
    assert_eq!(state, Some(TcpState::Established), "the RST was lost");
    let _second = t.host.tcp_connect(client, addr(SSH)).unwrap();
    assert_eq!(server.take_error(), Some(Errno::ECONNRESET));
    let stats = t.a.stats();
    assert_eq!((stats.tcp_in_asked, stats.ended, stats.tuples), (2, 1, 1));
}

#[test]
fn two_ends_that_open_at_the_same_time_both_ask_as_outgoing() {
    let mut cluster = Cluster::new(&released_module().unwrap());
    let (at_a, at_b) = ("192.0.2.1:5000", "192.0.2.2:5000");
    let a = cluster.add_node("a", &[addr(at_a).ip()]).unwrap();
    let b = cluster.add_node("b", &[addr(at_b).ip()]).unwrap();
    let [one, other] = [(&a, at_a), (&b, at_b)].map(|(node, local)| {
        let socket = node.tcp(addr(local));
        let (address, port) = end(local);
        socket.bind(Some(address), port).unwrap();
        socket
    });
    // The first SYN is lost, so both are in SYN_SENT when one arrives.
    cluster.set_reachable(addr(at_b).ip(), false);
    start_connect(&one, at_b);
    cluster.set_reachable(addr(at_b).ip(), true);
    connect(&other, at_a).unwrap();
    assert_eq!(one.tcp_state(), Some(TcpState::Established));
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
    let lost = bare.tcp_connect(None, addr(WEB));
    assert!(matches!(lost, Err(Errno::ETIMEDOUT)));
    let stats = bare.stats();
    assert_eq!(
        (stats.tcp_out_asked, stats.no_laddr, stats.tuples),
        (0, 1, 0)
    );
}

#[test]
fn a_full_backlog_asks_nobody() {
    let t = pair();
    let listener = t.a.tcp(addr(SSH));
    let (address, port) = end(SSH);
    listener.bind(Some(address), port).unwrap();
    listener.listen(0).unwrap();
    let _first = t.host.tcp_connect(None, addr(SSH)).unwrap();
    let second = t.host.tcp(addr(SSH));
    start_connect(&second, SSH);
    assert_eq!(t.a.stats().tcp_in_asked, 1);
    let _server = listener.accept().unwrap();
    t.cluster.advance(Duration::from_secs(2));
    assert_eq!(second.tcp_state(), Some(TcpState::Established));
    assert_eq!(t.a.stats().tcp_in_asked, 2);
}

#[test]
fn a_shared_address_is_steered() {
    let t = pair();
    let _at_a = t.a.tcp_listen(addr(SSH)).unwrap();
    let at_b = t.b.tcp_listen(addr(SSH)).unwrap();
    let first = t.host.tcp_connect(None, addr(SSH)).unwrap();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (1, 0));
    let b = t.b.id();
    t.cluster.steer(move |_, _| Some(b));
    let second = t.host.tcp_connect(None, addr(SSH)).unwrap();
    assert_eq!((t.a.stats().tuples, t.b.stats().tuples), (1, 1));
    let server = at_b.accept().unwrap();
    // A known connection stays where it is.
    t.cluster.steer(|_, nodes| nodes.first().copied());
    second.send(4).unwrap();
    assert_eq!(server.receive(), Ok(4));
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
        sockets.extend(last);
        for socket in sockets {
            socket.close();
        }
        t.cluster.advance(TIME_WAIT);
        assert_eq!(t.a.stats().tuples, 0);
    }
}
