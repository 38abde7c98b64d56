// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Addresses that are taken away from senders, as two kernels were seen to do
//! it: what stops, and what does not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::common::{self, Lab};
use clinet_ip::*;

/// An address that is taken away, its interface, and one of another interface.
type Family = (u16, IpAddr, &'static str, IpAddr);

const FAMILIES: [Family; 2] = [
    (
        AF_INET,
        IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1)),
        "lo0:2",
        IpAddr::V4(Ipv4Addr::new(10, 1, 1, 2)),
    ),
    (
        AF_INET6,
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
        "lo0:1",
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    ),
];

/// A sender that is bound to the address, and where its datagrams go.
struct Udp {
    lab: Arc<Lab>,
    family: Family,
    sender: Socket,
    receiver: Socket,
}

impl Udp {
    fn new(family: Family) -> Self {
        let lab = Arc::new(Lab::new());
        let (af, address, _, other) = family;
        let receiver = lab.ip.udp(0, af);
        receiver.bind(Some(other), 7001).expect("a free port");
        let sender = lab.ip.udp(0, af);
        sender.bind(Some(address), 7002).expect("a free port");
        let udp = Self {
            lab,
            family,
            sender,
            receiver,
        };
        assert!(udp.leaks(), "before the fence");
        udp
    }

    fn flags(&self) -> u64 {
        let all = self.lab.ip.interfaces(0);
        let one = all.iter().find(|one| one.address == self.family.1);
        one.expect("the interface is there").flags
    }

    fn set(&self, flags: u64) {
        let (_, address, name, _) = self.family;
        let set = self.lab.ip.set_interface_flags(0, address, name, flags);
        set.expect("the interface is there");
    }

    fn remove(&self) {
        let (_, address, name, _) = self.family;
        let removed = self.lab.ip.remove_interface(0, address, name);
        removed.expect("a logical interface");
    }

    /// Adds an address to lo0, and removes it.
    fn bump(&self) {
        let new = match self.family.0 {
            AF_INET => IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9)),
            _ => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9)),
        };
        let name = self
            .lab
            .ip
            .add_address(0, "lo0", new)
            .expect("lo0 is there");
        let removed = self.lab.ip.remove_interface(0, new, &name);
        removed.expect("it was added");
    }

    fn send(&self) -> Result<usize, Errno> {
        self.sender.send_to(Some((self.family.3, 7001)), false, 4)
    }

    /// Does a datagram with the source still arrive?
    fn leaks(&self) -> bool {
        let sent = self.send();
        let arrived = self.receiver.receive().is_ok();
        assert_eq!(
            sent,
            if arrived {
                Ok(4)
            } else {
                Err(Errno::ENETUNREACH)
            }
        );
        arrived
    }

    /// A sender sends while an interface goes down.
    fn send_in_gap(self: &Arc<Self>) {
        let this = self.clone();
        self.lab.ip.in_gap(0, move || assert!(this.leaks()));
    }
}

/// One row of the table: what is done, whether there is a race in it, and
/// whether datagrams leave afterwards.
fn row(name: &str, in_a_race: bool, leaks: bool, steps: impl Fn(&Udp)) {
    for family in FAMILIES {
        let udp = Arc::new(Udp::new(family));
        if in_a_race {
            udp.send_in_gap();
        }
        steps(&udp);
        for _ in 0..3 {
            assert_eq!(udp.leaks(), leaks, "{name}, {}", family.1);
        }
    }
}

#[test]
fn down_alone_stops_nothing() {
    row("down", false, true, |udp| udp.set(udp.flags() & !IFF_UP));
    for family in FAMILIES {
        let udp = Udp::new(family);
        udp.set(udp.flags() & !IFF_UP);
        let late = udp.lab.ip.udp(0, family.0);
        assert_eq!(late.bind(Some(family.1), 7003), Ok(()));
    }
}

#[test]
fn down_and_nolocal_at_once_lose_a_race() {
    let fence = |udp: &Udp| udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
    row("down and nolocal", false, false, fence);
    row("down and nolocal", true, true, fence);
}

#[test]
fn down_and_then_nolocal_come_too_late_for_who_sends_between() {
    row("down, nolocal", true, true, |udp| {
        udp.set(udp.flags() & !IFF_UP);
        udp.set(udp.flags() | IFF_NOLOCAL);
    });
}

#[test]
fn nolocal_and_then_down_hold() {
    row("nolocal, down", true, false, |udp| {
        udp.set(udp.flags() | IFF_NOLOCAL);
        udp.set(udp.flags() & !IFF_UP);
    });
}

#[test]
fn an_interface_that_is_removed_holds() {
    row("removeif", false, false, Udp::remove);
}

#[test]
fn a_change_of_other_addresses_afterwards_makes_all_senders_look() {
    row("down and nolocal, bump", true, false, |udp| {
        udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
        udp.bump();
    });
}

#[test]
fn while_it_is_fenced_nobody_binds_to_it_and_afterwards_senders_go_on() {
    for family in FAMILIES {
        let udp = Udp::new(family);
        let connected = udp.lab.ip.udp(0, family.0);
        connected.bind(Some(family.1), 7004).expect("a free port");
        connected.connect(family.3, 7001).expect("a receiver");
        udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
        udp.bump();
        let late = udp.lab.ip.udp(0, family.0);
        assert_eq!(late.bind(Some(family.1), 7003), Err(Errno::EADDRNOTAVAIL));
        let late = udp.lab.ip.tcp(0, family.0);
        assert_eq!(late.bind(Some(family.1), 7003), Err(Errno::EADDRNOTAVAIL));
        assert_eq!(connected.send(4), Err(Errno::ENETUNREACH));
        udp.set(udp.flags() & !IFF_NOLOCAL | IFF_UP);
        assert!(udp.leaks());
        assert_eq!(connected.send(4), Ok(4));
    }
}

/// A connection from the address to another one.
fn connection(lab: &Lab, (af, address, _, other): Family) -> (Socket, Socket) {
    let listener = lab.ip.tcp(0, af);
    listener.bind(Some(other), 5001).expect("a free port");
    listener.listen(5).expect("it is bound");
    let client = lab.ip.tcp(0, af);
    client.bind(Some(address), 5002).expect("a free port");
    client.connect(other, 5001).expect("a listener");
    let server = listener.accept().expect("a connection");
    listener.close();
    (client, server)
}

#[test]
fn connections_resume_when_the_address_comes_back() {
    for family in FAMILIES {
        let udp = Udp::new(family);
        let (client, server) = connection(&udp.lab, family);
        udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
        udp.bump();
        udp.lab.calls();
        assert_eq!(client.send(3), Ok(3));
        assert_eq!(client.send(4), Ok(4));
        assert_eq!(server.send(5), Ok(5));
        udp.lab.ip.advance(100_000);
        assert_eq!(server.receive(), Err(Errno::EAGAIN));
        assert_eq!(client.receive(), Err(Errno::EAGAIN));
        udp.set(udp.flags() & !IFF_NOLOCAL | IFF_UP);
        udp.lab.ip.advance(100_000);
        assert_eq!(server.receive(), Ok(7));
        assert_eq!(client.receive(), Ok(5));
        assert!(udp.lab.calls().is_empty(), "a fence calls no hook");
        client.close();
        server.close();
        assert_eq!(udp.lab.ip.drain(), 0);
    }
}

#[test]
fn a_connection_that_ends_while_fenced_sends_its_data_first() {
    let udp = Udp::new(FAMILIES[0]);
    let (client, server) = connection(&udp.lab, FAMILIES[0]);
    udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
    udp.bump();
    assert_eq!(client.send(3), Ok(3));
    client.close();
    udp.lab.ip.advance(10_000);
    assert_eq!(server.receive(), Err(Errno::EAGAIN));
    udp.set(udp.flags() & !IFF_NOLOCAL | IFF_UP);
    udp.lab.ip.advance(10_000);
    assert_eq!(server.receive(), Ok(3));
    assert_eq!(server.receive(), Ok(0));
}

#[test]
fn a_connect_that_cannot_leave_is_asked_about_and_times_out() {
    let udp = Udp::new(FAMILIES[0]);
    let (af, address, _, other) = FAMILIES[0];
    let client = udp.lab.ip.tcp(0, af);
    client.bind(Some(address), 5002).expect("a free port");
    udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
    udp.bump();
    udp.lab.calls();
    assert_eq!(client.connect(other, 5001), Err(Errno::ETIMEDOUT));
    assert_eq!(
        udp.lab.calls().first().map(String::as_str),
        Some("connect2 out 10.1.1.1:5002 10.1.1.2:5001")
    );
}

#[test]
fn an_address_of_two_interfaces_is_a_source_while_one_is_up() {
    let udp = Udp::new(FAMILIES[0]);
    let address = FAMILIES[0].1;
    let second = udp.lab.ip.add_address(0, "lo0", address).expect("lo0");
    assert_eq!(second, "lo0:4");
    udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
    udp.bump();
    assert!(udp.leaks());
    assert!(udp.lab.ip.set_address(0, address, false));
    udp.bump();
    assert!(!udp.leaks(), "the first one decides, and is NOLOCAL");
}

#[test]
fn ports_for_whoever_names_none_come_from_the_range_of_the_protocol() {
    let lab = Lab::new();
    for protocol in [IPPROTO_TCP, IPPROTO_UDP] {
        assert_eq!(lab.ip.anon_ports(0, protocol), 32768..=65535);
        let largest = |port| lab.ip.set_largest_anon_port(0, protocol, port);
        let smallest = |port| lab.ip.set_smallest_anon_port(0, protocol, port);
        assert_eq!(largest(20001), Err(Errno::ERANGE));
        assert_eq!(smallest(20000), Ok(()));
        assert_eq!(largest(20001), Ok(()));
    }
    let bound = [20000, 20001].map(|port| {
        let socket = lab.udp();
        socket.bind(None, 0).expect("a free port");
        assert_eq!(socket.name().1, port);
        socket
    });
    assert_eq!(lab.udp().bind(None, 0), Err(Errno::EADDRNOTAVAIL));
    let ends = lab.ip.udp_ends(0);
    assert_eq!(
        ends,
        ["0.0.0.0:20000", "0.0.0.0:20001"].map(|end| end.parse().expect("an end"))
    );
    bound[0].close();
    assert_eq!(lab.ip.udp_ends(0).len(), 1);
}

#[test]
fn a_port_is_shared_by_connections_to_different_ends_only() {
    let lab = Lab::new();
    let port = 20000;
    let range = [lab.ip.set_smallest_anon_port(0, IPPROTO_TCP, port)];
    assert_eq!(range, [Ok(())]);
    lab.ip
        .set_largest_anon_port(0, IPPROTO_TCP, port)
        .expect("the smallest");
    let listener = lab.listener();
    let other = lab.bound(common::OTHER, 5001);
    other.listen(5).expect("it is bound");
    let first = lab.tcp();
    first.connect(common::LOCAL, 5001).expect("a listener");
    let second = lab.tcp();
    second.connect(common::OTHER, 5001).expect("a listener");
    assert_eq!((first.name().1, second.name().1), (port, port));
    let third = lab.tcp();
    let refused = third.connect(common::OTHER, 5001);
    assert_eq!(refused, Err(Errno::EADDRNOTAVAIL));
    for socket in [&first, &second, &third, &listener, &other] {
        socket.close();
    }
}

/// The states that an abort may name.
const STATES: std::ops::RangeInclusive<i32> = -2..=6;

#[test]
fn an_abort_ends_this_end_and_tells_no_peer() {
    for family in FAMILIES {
        let udp = Udp::new(family);
        let (client, server) = connection(&udp.lab, family);
        udp.set(udp.flags() & !IFF_UP | IFF_NOLOCAL);
        udp.bump();
        udp.lab.calls();
        let ip = &udp.lab.ip;
        let address = common::mapped(family.1);
        assert_eq!(ip.abort_connections(0, address, STATES), Ok(()));
        assert_eq!(client.tcp_state(), Some(TcpState::Established));
        assert_eq!(
            ip.abort_connections(0, address, STATES),
            Err(Errno::ENOENT),
            "the worker came to it"
        );
        assert_eq!(client.send(3), Err(Errno::EPIPE));
        assert_eq!(client.receive(), Err(Errno::ECONNRESET));
        let calls = udp.lab.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert!(calls[0].starts_with("disconnect "), "{calls:?}");
        assert_eq!(server.tcp_state(), Some(TcpState::Established));
        // Only who sends is told, once the address is back.
        udp.set(udp.flags() & !IFF_NOLOCAL | IFF_UP);
        assert_eq!(server.send(3), Ok(3));
        assert_eq!(server.send(3), Err(Errno::EPIPE));
        client.close();
        server.close();
        assert_eq!(ip.drain(), 0);
    }
}

#[test]
fn an_abort_for_ipv4_takes_the_last_bytes_of_any_address() {
    let lab = Lab::new();
    let six = FAMILIES[1];
    let (client, server) = connection(&lab, six);
    let v4 = |last| IpAddr::V4(Ipv4Addr::new(0, 0, 0, last));
    let ip = &lab.ip;
    let as_a_whole = ip.abort_connections(0, common::mapped(v4(1)), STATES);
    assert_eq!(as_a_whole, Err(Errno::ENOENT));
    assert_eq!(ip.abort_connections(0, v4(1), STATES), Ok(()));
    lab.ip.settle();
    assert_eq!(client.send(3), Err(Errno::EPIPE));
    assert_eq!(server.tcp_state(), Some(TcpState::Established));
    let states = TcpState::TimeWait as i32..=TcpState::TimeWait as i32;
    assert_eq!(ip.abort_connections(0, v4(2), states), Err(Errno::ENOENT));
}
