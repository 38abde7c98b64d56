// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Each reason is counted, apart for each protocol and direction.

use std::time::Duration;

use clinet_control::abi;
use clinet_module_tests::{
    Control, EADDRINUSE, EADDRNOTAVAIL, EINVAL, Loaded, STATS, TCP, Tuple, UDP,
};

use super::*;

/// A protocol and direction, and what its counters begin with.
type Flow = (u8, bool, &'static str);

const FLOWS: [Flow; 3] = [
    (TCP, true, "flow_tcp_out"),
    (TCP, false, "flow_tcp_in"),
    (UDP, true, "flow_udp"),
];

/// The counters of flows that are not zero, without those of `before`.
fn counted(loaded: &Loaded, before: &[(&str, u64)]) -> Vec<(&'static str, u64)> {
    let flows = STATS.iter().filter(|name| name.starts_with("flow_"));
    let counts = flows.map(|name| {
        let earlier = before.iter().find(|(other, _)| other == name);
        (
            *name,
            loaded.stat(name) - earlier.map_or(0, |(_, count)| *count),
        )
    });
    counts.filter(|(_, count)| *count != 0).collect()
}

/// Asks once; then `reasons` have been counted once, and nothing else has.
fn expect(loaded: &Loaded, flow: Flow, tuple: &Tuple, answer: i32, reasons: &[&str]) {
    let (protocol, outgoing, name) = flow;
    let tuple = Tuple { protocol, ..*tuple };
    let before = counted(loaded, &[]);
    assert_eq!(loaded.connect2(outgoing, &tuple), answer, "{tuple:?}");
    let mut expected: Vec<_> = reasons
        .iter()
        .chain(&["asked"])
        .map(|reason| (format!("{name}_{reason}"), 1))
        .collect();
    let mut counted: Vec<_> = counted(loaded, &before)
        .into_iter()
        .map(|(name, count)| (name.to_owned(), count))
        .collect();
    expected.sort_unstable();
    counted.sort_unstable();
    assert_eq!(counted, expected, "{tuple:?}");
}

#[test]
fn what_is_accepted_and_what_another_node_owns() {
    for mode in [1, 2] {
        let loaded = Loaded::new(&[("clinet_mode", mode)]);
        for (port, flow) in (1..).zip(FLOWS) {
            let tuple = Tuple::v4(flow.0, port, 80);
            expect(&loaded, flow, &tuple, 0, &["registered"]);
            expect(&loaded, flow, &tuple, 0, &["repeated"]);
            expect(&loaded, flow, &tuple, 0, &["repeated"]);
            let theirs = Tuple { fport: 81, ..tuple };
            assert_eq!(loaded.other_node("clinet_install", 9, &theirs), 0);
            match mode {
                1 => expect(&loaded, flow, &theirs, 0, &["owned", "observed"]),
                _ => expect(&loaded, flow, &theirs, EADDRINUSE, &["owned"]),
            }
        }
        assert_eq!(loaded.stat("registered"), 3);
        assert_eq!(loaded.stat("repeated"), 6);
        assert_eq!(loaded.stat("owned_elsewhere"), 3);
    }
}

#[test]
fn what_is_not_looked_at() {
    let loaded = Loaded::with_builtin();
    for (port, flow) in (1..).zip(FLOWS) {
        let tuple = Tuple::v4(flow.0, port, 80);
        let mut loopback = tuple;
        loopback.laddr[..4].copy_from_slice(&[127, 0, 0, 1]);
        expect(&loaded, flow, &loopback, 0, &["not_shared"]);
        let text = loaded.kernel.string("203.0.113.1");
        let set = |text| loaded.call_in(&Context::thread(), "clinet_set_addrs", &[text]);
        assert_eq!(set(text), 0);
        // By the filter, and by the list for those that it lets pass.
        for last in 0..32 {
            let mut other = tuple;
            other.laddr[3] = last;
            expect(&loaded, flow, &other, 0, &["not_shared"]);
        }
        assert_eq!(set(loaded.kernel.string("")), 0);
    }
    assert_eq!(loaded.stat("tuples"), 0);
}

/// Of TCP nobody asks about such.
#[test]
fn what_has_no_local_address() {
    let loaded = Loaded::with_builtin();
    let any = Tuple {
        laddr: [0; 16],
        ..Tuple::v4(UDP, 1, 2)
    };
    expect(&loaded, FLOWS[2], &any, 0, &["no_address"]);
    assert_eq!((loaded.stat("tuples"), loaded.stat("unspecified")), (0, 1));
    let before = counted(&loaded, &[]);
    assert_eq!(
        loaded.connect2(
            true,
            &Tuple {
                protocol: TCP,
                ..any
            }
        ),
        0
    );
    assert_eq!(counted(&loaded, &before), []);
}

#[test]
fn a_full_table() {
    for (mode, refuse) in [(1, 1), (2, 0), (2, 1)] {
        let loaded = Loaded::new(&[
            ("clinet_max_tuples", 64),
            ("clinet_full_refuse", refuse),
            ("clinet_mode", mode),
        ]);
        for port in 0..64 {
            assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, port, 7)), 0);
        }
        for (port, flow) in (1..).zip(FLOWS) {
            let tuple = Tuple::v4(flow.0, port, 80);
            match (mode, refuse) {
                (1, _) => expect(&loaded, flow, &tuple, 0, &["full", "observed"]),
                (_, 0) => expect(&loaded, flow, &tuple, 0, &["full"]),
                _ => expect(&loaded, flow, &tuple, EADDRNOTAVAIL, &["full"]),
            }
        }
        let policy = (loaded.stat("full_admitted"), loaded.stat("full_refused"));
        let expected = match (mode, refuse) {
            // An observer refuses nothing.
            (1, _) | (_, 0) => (3, 0),
            _ => (0, 3),
        };
        assert_eq!(policy, expected);
    }
}

#[test]
fn memory_that_is_late() {
    for refuse in [0, 1] {
        let loaded = Loaded::new(&[("clinet_max_tuples", 65536), ("clinet_full_refuse", refuse)]);
        loaded.kernel.settle();
        loaded.kernel.fail_allocations(true);
        for n in 0..21_000 {
            let _ = loaded.connect2(true, &numbered(n));
        }
        for flow in FLOWS {
            let late = (0..5000)
                .map(|fport| Tuple::v6(flow.0, 7, fport))
                .find(|tuple| reason(&loaded, tuple).1 == LATE);
            let answer = if refuse == 1 { EADDRNOTAVAIL } else { 0 };
            expect(&loaded, flow, &late.expect(flow.2), answer, &["late"]);
        }
        loaded.kernel.fail_allocations(false);
    }
}

#[test]
fn nothing_while_it_is_off() {
    let loaded = Loaded::new(&[("clinet_mode", 0)]);
    let tuple = Tuple::v4(UDP, 1, 2);
    let mut loopback = tuple;
    loopback.laddr[..4].copy_from_slice(&[127, 0, 0, 1]);
    for tuple in [tuple, loopback] {
        assert_eq!(loaded.connect2(true, &tuple), 0);
        loaded.disconnect(&tuple);
    }
    assert_eq!(counted(&loaded, &[]), []);
    assert_eq!((loaded.stat("tuples"), loaded.stat("unknown")), (0, 0));
}

/// Whatever came through the contract is forgotten, too: its end was not heard.
#[test]
fn what_was_there_before_it_was_off_is_not_there_afterwards() {
    let loaded = Loaded::new(&[]);
    let flow = Tuple::v4(UDP, 1, 2);
    let [protocol, family, laddr, lport, ..] = args(&flow);
    loaded.tell("clinet_bind", &[protocol, family, laddr, lport]);
    for tuple in [flow, Tuple::v4(TCP, 1, 2)] {
        assert_eq!(loaded.connect2(true, &tuple), 0);
    }
    let there = || (loaded.state().cst_tuples, loaded.state().cst_endpoints);
    assert_eq!(there(), (2, 1));
    for mode in [0, 2] {
        assert_eq!(loaded.set(abi::CLINETCTL_MODE, mode, 0), 0);
    }
    // An endpoint goes with a sweep after those of its entries.
    loaded.kernel.advance(Duration::from_secs(5));
    assert_eq!(there(), (0, 0));
}

/// What ends, and what is told of things that nobody knows.
#[test]
fn ends_and_what_is_unknown() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 64)]);
    let ends = || ["removed", "unknown", "binds_uncounted"].map(|name| loaded.stat(name));
    let endpoint = |call, tuple: &Tuple| {
        let [protocol, family, laddr, lport, ..] = args(tuple);
        loaded.tell(call, &[protocol, family, laddr, lport]);
    };
    for protocol in [TCP, UDP] {
        let tuple = Tuple::v4(protocol, 1, 2);
        let [removed, unknown, _] = ends();
        for _ in 0..2 {
            assert_eq!(loaded.connect2(true, &tuple), 0);
        }
        loaded.disconnect(&tuple);
        assert_eq!(ends(), [removed, unknown, 0]);
        loaded.disconnect(&tuple);
        assert_eq!(ends(), [removed + 1, unknown, 0]);
        loaded.disconnect(&tuple);
        assert_eq!(ends(), [removed + 1, unknown + 1, 0]);
    }
    let flow = Tuple::v4(UDP, 1, 2);
    let any = Tuple {
        laddr: [0; 16],
        ..flow
    };
    endpoint("clinet_unbind", &any);
    endpoint("clinet_bind", &any);
    assert_eq!(ends(), [2, 2, 0]);
    endpoint("clinet_unbind", &Tuple { lport: 9, ..flow });
    assert_eq!(ends(), [2, 3, 0]);
    // One endpoint of 16 is there since the connects; 64 are counted apart.
    for lport in 100..180 {
        endpoint("clinet_bind", &Tuple { lport, ..flow });
    }
    assert_eq!(ends(), [2, 3, 1]);
    endpoint("clinet_unbind", &Tuple { lport: 100, ..flow });
    assert_eq!(ends(), [2, 3, 1]);
}

#[test]
fn a_purge_is_counted_if_there_is_such_a_node() {
    let loaded = Loaded::with_builtin();
    assert_eq!(loaded.call("clinet_purge", &[2]), 0);
    assert_eq!(loaded.call("clinet_purge", &[0]), EINVAL);
    assert_eq!(loaded.stat("purged"), 1);
}

/// Who calls the slot and not the contract's function may pass anything, also
/// about an address that is not shared.
#[test]
fn what_the_provider_is_asked_wrongly_is_counted_as_that() {
    let loaded = Loaded::with_builtin();
    let text = loaded.kernel.string("203.0.113.1");
    assert_eq!(
        loaded.call_in(&Context::thread(), "clinet_set_addrs", &[text]),
        0
    );
    let [protocol, family, laddr, lport, faddr, fport] = args(&Tuple::v4(TCP, 1, 2));
    let slot = clinet_module_tests::read(loaded.slot("cl_inet_connect2"));
    let ask = |faddr| {
        let question = [protocol, 1, family, laddr, lport, faddr, fport];
        // SAFETY: a provider's function; the pointers are NULL or good.
        unsafe { loaded.module.call(&loaded.context, slot, &question) as i32 }
    };
    let counts = || ["bad_argument", "flow_tcp_out_not_shared"].map(|name| loaded.stat(name));
    assert_eq!((ask(faddr), counts()), (0, [0, 1]));
    assert_eq!((ask(0), counts()), (EINVAL, [1, 1]));
}
