// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bringing addresses back.

use std::net::{IpAddr, Ipv6Addr};

use clinet_ip::{Errno, IFF_NOLOCAL, IFF_UP, TcpState};
use clinet_module_tests::{Control, abi};

use super::node::{F, Node, OWN, SHARED};

const KEPT: u32 = abi::CLINETCTL_RECORDS_KEPT;
const ETIME: i32 = 62;

/// A machine that is fenced, and granted again.
fn fenced(node: &Node) {
    node.grant(1, 1000);
    assert_eq!(node.fence(), 0);
    node.grant(2, 1000);
}

#[test]
fn what_was_up_comes_up_and_the_rest_stays_as_it_was() {
    let node = Node::new(&[]);
    let second = node.ip().add_address(0, "lo0", SHARED[0]).expect("lo0");
    let all = node.interfaces();
    let down = all
        .iter()
        .find(|one| one.name == second)
        .expect("it is there");
    node.set_flags(down, down.flags & !IFF_UP);
    let third = node.ip().add_address(0, "lo0", SHARED[1]).expect("lo0");
    let all = node.interfaces();
    let away = all
        .iter()
        .rfind(|one| one.name == third)
        .expect("it is there");
    node.set_flags(away, away.flags & !IFF_UP | IFF_NOLOCAL);
    let before = node.interfaces();
    for _ in 0..3 {
        fenced_again(&node);
        assert_eq!(node.interfaces(), before);
    }
}

/// Fences and brings back, with ever higher numbers.
fn fenced_again(node: &Node) {
    let sequence = node.state().cst_sequence;
    assert_eq!(node.fence(), 0);
    node.grant(sequence + 1, 1000);
    assert_eq!(node.unfence(sequence + 2, KEPT), 0);
    assert_eq!(node.fence_state(), abi::CLINETCTL_UNFENCED);
}

#[test]
fn if_the_records_were_kept_connections_go_on() {
    let node = Node::new(&[]);
    for (shared, own) in SHARED.into_iter().zip(OWN) {
        let udp = node.udp(shared, 5000);
        let receiver = node.udp(own, 5001);
        let (client, server) = node.connection((shared, 5002), (own, 5003));
        let sequence = node.state().cst_sequence;
        assert_eq!(node.fence(), 0);
        assert_eq!(client.send(4), Ok(4));
        let sent = udp.send_to(Some((own, 5001)), false, 3);
        assert!(sent.is_err(), "{sent:?}");
        node.ip().advance(1000);
        assert_eq!(server.receive(), Err(Errno::EAGAIN));
        node.grant(sequence + 1, 1000);
        assert_eq!(node.unfence(sequence + 2, KEPT), 0);
        node.ip().advance(10_000);
        assert_eq!(server.receive(), Ok(4));
        let sent = udp.send_to(Some((own, 5001)), false, 3);
        assert_eq!((sent, receiver.receive()), (Ok(3), Ok(3)));
        for socket in [&udp, &receiver, &client, &server] {
            socket.close();
        }
    }
}

#[test]
fn if_they_were_lost_connections_are_ended_first() {
    let node = Node::new(&[]);
    // Its last four bytes are those of the shared IPv4 address.
    let alike = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0x0a01, 0x0101));
    node.ip().add_address(0, "lo0", alike).expect("lo0");
    let ended: Vec<_> = SHARED
        .into_iter()
        .zip(OWN)
        .map(|(shared, own)| node.connection((shared, 5002), (own, 5003)))
        .collect();
    let stays = [
        node.connection((OWN[0], 5004), (OWN[0], 5005)),
        node.connection((alike, 5006), (OWN[1], 5007)),
    ];
    let listener = node.ip().tcp(0, clinet_ip::AF_INET);
    listener.bind(Some(SHARED[0]), 5008).expect("a free port");
    listener.listen(1).expect("it is bound");
    assert_eq!(node.0.tcp_entries().len(), 2);
    fenced(&node);
    assert_eq!(node.0.tcp_entries().len(), 2);
    assert_eq!(node.unfence(3, 0), 0);
    assert_eq!(node.fence_state(), abi::CLINETCTL_UNFENCED);
    assert_eq!(node.0.tcp_entries(), []);
    for (client, _server) in &ended {
        assert_eq!(client.send(3), Err(Errno::EPIPE));
        assert_eq!(client.receive(), Err(Errno::ECONNRESET));
    }
    for (client, server) in &stays {
        assert_eq!(client.send(3), Ok(3));
        assert_eq!(server.receive(), Ok(3));
    }
    assert_eq!(listener.tcp_state(), Some(TcpState::Listen));
    assert!(node.having(&SHARED).iter().all(|one| one.is_up()));
}

#[test]
fn connections_of_an_address_that_is_shared_no_more_or_gone_end_too() {
    let node = Node::new(&[]);
    let (kept, _) = node.connection((SHARED[0], 5002), (OWN[0], 5003));
    let (gone, _) = node.connection((SHARED[1], 5002), (OWN[1], 5003));
    fenced(&node);
    let list = c"fd00::1";
    assert_eq!(node.0.call_with_text("clinet_set_addrs", list), 0);
    for one in node.having(&SHARED[1..]) {
        let removed = node.ip().remove_interface(0, one.address, &one.name);
        removed.expect("a logical interface");
    }
    assert_eq!(node.unfence(3, 0), 0);
    assert_eq!(kept.send(3), Err(Errno::EPIPE));
    assert_eq!(gone.send(3), Err(Errno::EPIPE));
    assert!(node.having(&SHARED[..1]).iter().all(|one| one.is_up()));
    assert_eq!(node.having(&SHARED[1..]), []);
}

#[test]
fn if_they_cannot_be_ended_nothing_comes_back() {
    for function in ["ldi_ident_from_mod", "ldi_open_by_dev", "ldi_ioctl"] {
        let node = Node::new(&[]);
        let (client, _server) = node.connection((SHARED[0], 5002), (OWN[0], 5003));
        fenced(&node);
        node.kernel().fail_next(function);
        let asked = node.clock();
        assert_eq!(node.unfence(3, 0), ETIME, "{function}");
        // At once, and not after the time that connections may take to end.
        assert!(node.clock() - asked < F * 1_000_000_000, "{function}");
        assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
        assert!(node.having(&SHARED).iter().all(|one| !one.is_up()));
        assert_eq!(client.tcp_state(), Some(TcpState::Established));
        assert_eq!(node.unfence(4, 0), 0, "{function}");
    }
}

#[test]
fn an_interface_with_another_name_has_the_address_back() {
    let node = Node::new(&[]);
    let before = node.having(&SHARED[..1]).remove(0);
    fenced(&node);
    let removed = node.ip().remove_interface(0, before.address, &before.name);
    removed.expect("a logical interface");
    // Takes the name.
    let other = IpAddr::from([10, 1, 1, 9]);
    let name = node.ip().add_address(0, "lo0", other).expect("lo0");
    assert_eq!(name, before.name);
    let name = node.ip().add_address(0, "lo0", SHARED[0]).expect("lo0");
    let again = node.having(&SHARED[..1]).remove(0);
    assert_eq!(again.name, name);
    node.set_flags(&again, again.flags & !IFF_UP | IFF_NOLOCAL);
    let others = node.having(&[other]);
    assert_eq!(node.unfence(3, KEPT), 0);
    assert!(node.having(&SHARED[..1]).remove(0).is_up());
    assert_eq!(node.having(&[other]), others);
}

#[test]
fn what_the_fence_did_not_take_it_does_not_bring() {
    let node = Node::new(&[]);
    fenced(&node);
    // Put there while it is fenced, and down.
    let late = node.ip().add_address(0, "lo0", SHARED[0]).expect("lo0");
    let all = node.interfaces();
    let one = all
        .iter()
        .find(|one| one.name == late)
        .expect("it is there");
    node.set_flags(one, one.flags & !IFF_UP | IFF_NOLOCAL);
    let before = node.having(&SHARED[..1]);
    assert_eq!(node.unfence(3, KEPT), 0);
    let after = node.having(&SHARED[..1]);
    assert!(after[0].is_up());
    assert_eq!(after[1..], before[1..]);
}

#[test]
fn who_is_too_slow_is_fenced_again() {
    let node = Node::new(&[]);
    fenced(&node);
    node.kernel()
        .delay_ioctls(std::time::Duration::from_secs(F));
    assert_ne!(node.unfence(3, KEPT), 0);
    node.kernel().delay_ioctls(std::time::Duration::ZERO);
    node.0.seconds(100);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
    assert!(node.having(&SHARED).iter().all(|one| !one.is_up()));
    assert_eq!(node.unfence(4, KEPT), 0);
    assert!(node.having(&SHARED).iter().all(|one| one.is_up()));
}

/// Whoever waited for the end of a fence has gone, and the deadline has passed, when
/// the fence is done at last.
#[test]
fn a_wish_that_nobody_waits_for_any_more_is_none() {
    let node = Node::new(&[]);
    node.grant(1, 1);
    node.kernel()
        .delay_ioctls(std::time::Duration::from_secs(2 * F));
    node.0.seconds(1 + F + 1);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCE_MISSED);
    node.grant(2, 3);
    assert_ne!(node.unfence(3, KEPT), 0);
    assert_eq!(node.state().cst_lapsed, 1);
    node.kernel().delay_ioctls(std::time::Duration::ZERO);
    node.0.seconds(200);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
    let values = node.kernel().kstat("clinet", 0, "grants").expect("a kstat");
    let unfences = values.iter().find(|(name, _)| name == "unfences");
    let (_, unfences) = unfences.expect("a counter");
    assert_eq!(*unfences, clinet_kernel::KstatValue::Uint64(0));
}

/// The thread hangs in ip when the deadline passes: what is up stays up, and somebody
/// has to know.
#[test]
fn a_deadline_that_passes_while_addresses_come_back_is_told() {
    let node = Node::new(&[]);
    assert_eq!(node.fence(), 0);
    node.grant(1, 3);
    node.kernel()
        .delay_ioctls(std::time::Duration::from_secs(4 * F));
    assert_ne!(node.unfence(2, KEPT), 0);
    assert_eq!(node.fence_state(), abi::CLINETCTL_UNFENCING);
    node.0.seconds(F - 1);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCE_MISSED);
    for part in [
        "the deadline of the grants has passed",
        "switch this node off",
    ] {
        let warnings = node.warnings();
        assert!(
            warnings.iter().any(|text| text.contains(part)),
            "{warnings:?}"
        );
    }
    node.kernel().delay_ioctls(std::time::Duration::ZERO);
    node.0.seconds(200);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
    assert!(node.having(&SHARED).iter().all(|one| !one.is_up()));
}
