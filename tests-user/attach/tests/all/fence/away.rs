// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Taking addresses away.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use clinet_ip::{Errno, IFF_NOLOCAL, IFF_UP, IFF_VRRP, Interface};
use clinet_module_tests::{Control, abi};

use super::node::{F, Node, OWN, SHARED};

/// Is it away?
fn is_away(interface: &Interface) -> bool {
    interface.flags & (IFF_UP | IFF_NOLOCAL) == IFF_NOLOCAL
}

fn fenced(node: &Node) -> Vec<Interface> {
    let mut all = node.interfaces();
    all.retain(is_away);
    all
}

#[test]
fn shared_addresses_go_on_every_interface_that_has_them_and_no_others() {
    let node = Node::new(&[]);
    for address in SHARED {
        node.ip().add_address(0, "lo0", address).expect("lo0");
    }
    let before = node.interfaces();
    assert_eq!(node.fence(), 0);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
    assert_eq!(fenced(&node), node.having(&SHARED));
    assert_eq!(fenced(&node).len(), 4);
    let after = node.interfaces();
    let untouched = |all: &[Interface]| -> Vec<Interface> {
        let others = all.iter().filter(|one| !SHARED.contains(&one.address));
        others.cloned().collect()
    };
    assert_eq!(untouched(&before), untouched(&after));
    assert_eq!(node.warnings(), [""; 0]);
}

#[test]
fn without_a_list_all_but_loopback_goes() {
    let node = Node::with_addresses(None, &[]);
    assert_eq!(node.fence(), 0);
    assert_eq!(fenced(&node), node.having(&[SHARED, OWN].concat()));
    assert_eq!(fenced(&node).len(), 4);
}

#[test]
fn an_address_that_is_down_is_a_source_and_goes_too() {
    let node = Node::new(&[]);
    let socket = node.udp(SHARED[0], 5000);
    let receiver = node.udp(OWN[0], 5001);
    for one in node.having(&SHARED) {
        node.set_flags(&one, one.flags & !IFF_UP);
    }
    socket
        .send_to(Some((OWN[0], 5001)), false, 3)
        .expect("sent");
    assert_eq!(receiver.receive(), Ok(3));
    assert_eq!(node.fence(), 0);
    let sent = socket.send_to(Some((OWN[0], 5001)), false, 3);
    assert_eq!(sent, Err(Errno::ENETUNREACH));
}

#[test]
fn who_sends_while_the_flags_are_set_is_stopped_afterwards() {
    for (shared, own) in SHARED.into_iter().zip(OWN) {
        let node = Node::with_addresses(Some(&shared.to_string()), &[]);
        let socket = Arc::new(node.udp(shared, 5000));
        let receiver = node.udp(own, 5001);
        let sender = socket.clone();
        node.ip().in_gap(0, move || {
            let sent = sender.send_to(Some((own, 5001)), false, 3);
            assert_eq!(sent, Ok(3));
        });
        assert_eq!(node.fence(), 0);
        assert_eq!(receiver.receive(), Ok(3));
        let sent = socket.send_to(Some((own, 5001)), false, 3);
        assert_eq!(sent, Err(Errno::ENETUNREACH));
        assert_eq!(receiver.receive(), Err(Errno::EAGAIN));
    }
}

/// lo0 has all the addresses that ip allows it: none can be added there.
#[test]
fn who_sends_is_stopped_where_lo0_is_full() {
    for (shared, own) in SHARED.into_iter().zip(OWN) {
        let node = Node::with_addresses(Some(&shared.to_string()), &[]);
        let others = (1_u16..).map(|number| match shared {
            IpAddr::V4(_) => IpAddr::from([10, 9, (number >> 8) as u8, number as u8]),
            IpAddr::V6(_) => IpAddr::from([0xfd09, 0, 0, 0, 0, 0, 0, number]),
        });
        for other in others {
            match node.ip().add_address(0, "lo0", other) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, Errno::ERANGE);
                    break;
                }
            }
        }
        let socket = Arc::new(node.udp(shared, 5000));
        let _receiver = node.udp(own, 5001);
        let sender = socket.clone();
        node.ip().in_gap(0, move || {
            let sent = sender.send_to(Some((own, 5001)), false, 3);
            assert_eq!(sent, Ok(3));
        });
        assert_eq!(node.fence(), 0);
        assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
        let sent = socket.send_to(Some((own, 5001)), false, 3);
        assert_eq!(sent, Err(Errno::ENETUNREACH));
        assert_eq!(fenced(&node), node.having(&[shared]));
    }
}

#[test]
fn at_the_deadline_the_modules_thread_does_it_alone() {
    let node = Node::new(&[]);
    node.grant(1, 10);
    node.0.seconds(9);
    assert_eq!(node.fence_state(), abi::CLINETCTL_UNFENCED);
    assert_eq!(fenced(&node), []);
    node.0.seconds(2);
    assert_eq!(node.state().cst_lapsed, 1);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
    assert_eq!(fenced(&node), node.having(&SHARED));
}

#[test]
fn a_panic_instead_of_a_fence() {
    let node = Node::new(&[("clinet_fence", 1)]);
    node.grant(1, 10);
    node.0.seconds(9);
    assert!(node.kernel().fault().is_none());
    let seconds = std::panic::AssertUnwindSafe(|| node.0.seconds(2));
    std::panic::catch_unwind(seconds).expect_err("the machine panics");
    let fault = node.kernel().fault().expect("it has panicked");
    assert!(
        fault.message.contains("the deadline of the grants"),
        "{fault}"
    );
    assert_eq!(fenced(&node), []);
}

#[test]
fn no_fence_leaves_the_addresses_alone() {
    let node = Node::new(&[("clinet_fence", 2)]);
    node.grant(1, 10);
    let socket = node.udp(SHARED[0], 5000);
    node.0.seconds(30);
    assert_eq!(node.state().cst_lapsed, 1);
    assert_eq!(node.fence_state(), abi::CLINETCTL_UNFENCED);
    assert_eq!(fenced(&node), []);
    // What needs no question goes on.
    let sent = socket.send_to(Some((OWN[0], 5001)), true, 3);
    assert_eq!(sent, Ok(3));
}

#[test]
fn a_fence_that_takes_too_long_is_missed_and_goes_on() {
    let node = Node::new(&[]);
    node.grant(1, 10);
    node.kernel().delay_ioctls(Duration::from_secs(F));
    node.0.seconds(10 + F - 1);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCING);
    node.0.seconds(3);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCE_MISSED);
    node.0.seconds(200);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
    assert_eq!(fenced(&node), node.having(&SHARED));
}

#[test]
fn what_fails_is_tried_again() {
    for function in ["ksocket_socket", "ksocket_ioctl"] {
        let node = Node::new(&[]);
        node.kernel().fail_next(function);
        assert_eq!(node.fence(), 0, "{function}");
        assert_eq!(fenced(&node), node.having(&SHARED), "{function}");
    }
    let node = Node::new(&[]);
    node.kernel().fail_allocations(true);
    node.grant(1, 1);
    node.0.seconds(1 + F + 2);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCE_MISSED);
    node.kernel().fail_allocations(false);
    node.0.seconds(1);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
}

#[test]
fn an_interface_that_refuses_is_named_and_the_others_go() {
    let node = Node::new(&[]);
    let stubborn = node.having(&SHARED).remove(0);
    node.set_flags(&stubborn, stubborn.flags | IFF_VRRP);
    node.grant(1, 1);
    node.0.seconds(1 + F + 2);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCE_MISSED);
    assert_eq!(fenced(&node), node.having(&SHARED[1..]));
    let named = "clinet: the shared address of lo0:2 cannot be taken away: error 22";
    let warnings = node.warnings();
    let told = warnings.iter().filter(|text| *text == named).count();
    assert_eq!(told, 1, "{warnings:?}");
    node.0.seconds(15);
    let warnings = node.warnings();
    let told = warnings.iter().filter(|text| *text == named).count();
    assert!((2..=3).contains(&told), "{warnings:?}");
}

#[test]
fn what_comes_up_while_it_is_fenced_goes_again() {
    let node = Node::new(&[]);
    assert_eq!(node.fence(), 0);
    for address in SHARED {
        assert!(node.ip().set_address(0, address, true));
        node.ip().add_address(0, "lo0", address).expect("lo0");
    }
    let socket = node.udp(SHARED[0], 5000);
    node.0.seconds(2);
    assert_eq!(node.fence_state(), abi::CLINETCTL_FENCED);
    assert_eq!(fenced(&node), node.having(&SHARED));
    assert_eq!(fenced(&node).len(), 4);
    let sent = socket.send_to(Some((OWN[0], 5001)), true, 3);
    assert_eq!(sent, Err(Errno::ENETUNREACH));
}

#[test]
fn a_machine_without_ipv6_is_fenced() {
    let node = Node::new(&[]);
    for one in node.interfaces() {
        if one.address.is_ipv6() && one.name != "lo0" {
            let removed = node.ip().remove_interface(0, one.address, &one.name);
            removed.expect("a logical interface");
        }
    }
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let removed = node.ip().remove_interface(0, loopback, "lo0");
    removed.expect("it has no others");
    assert_eq!(node.fence(), 0);
    assert_eq!(fenced(&node).len(), 1);
    assert!(node.interfaces().iter().all(|one| one.address.is_ipv4()));
}
