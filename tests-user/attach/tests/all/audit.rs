// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The audit, rule by rule.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::{PERIOD, attached, audits, established, next_audit, tuple};
use clinet_attach_tests::{Machine, TcpInfo, state};
use clinet_module_tests::{EADDRINUSE, Tuple, UDP};

#[test]
fn audits_are_periodic_or_are_not() {
    let machine = attached(&[]);
    next_audit(&machine);
    next_audit(&machine);
    let never = Machine::attached(&[("clinet_audit_period", 0)]);
    assert_eq!(audits(&never), 2);
    never.seconds(1000);
    assert_eq!(audits(&never), 2);
}

#[test]
fn a_c_call_and_a_tunable_ask_for_two_audits() {
    let machine = attached(&[]);
    machine.connections(&[established(1)]);
    assert_eq!(machine.call("clinet_audit", &[]), 0);
    machine.seconds(2);
    assert_eq!(audits(&machine), 4);
    assert!(machine.has(&tuple(1)));
    machine.connections(&[]);
    machine.write("clinet_audit_now", 1);
    machine.seconds(3);
    let audit_now = machine.tunable("clinet_audit_now");
    assert_eq!(audit_now.load(Ordering::SeqCst), 0);
    assert_eq!(audits(&machine), 6);
    assert!(!machine.has(&tuple(1)));
}

#[test]
fn what_one_audit_saw_and_the_next_did_not_is_not_added() {
    let machine = attached(&[]);
    for found in [&[established(1)][..], &[], &[established(1)], &[]] {
        machine.connections(found);
        next_audit(&machine);
        assert!(!machine.has(&tuple(1)));
    }
    machine.connections(&[established(1)]);
    next_audit(&machine);
    next_audit(&machine);
    assert!(machine.has(&tuple(1)));
}

#[test]
fn an_entry_goes_when_two_audits_in_a_row_did_not_see_it() {
    let machine = attached(&[]);
    assert_eq!(machine.connect(0, &tuple(1)), 0);
    machine.connections(&[established(1)]);
    next_audit(&machine);
    machine.connections(&[]);
    next_audit(&machine);
    assert!(machine.has(&tuple(1)), "one audit is not enough");
    machine.connections(&[established(1)]);
    next_audit(&machine);
    machine.connections(&[]);
    next_audit(&machine);
    assert!(machine.has(&tuple(1)), "they were not in a row");
    next_audit(&machine);
    assert!(!machine.has(&tuple(1)));
    assert_eq!(machine.number("attach", "audit_removed"), 1);
}

#[test]
fn only_connections_that_ip_would_have_asked_about_are_added() {
    for (state, hook_disconnect, added) in [
        (-4, 1, false),
        (state::SYN_SENT, 1, false),
        (state::SYN_RCVD, 1, true),
        (state::ESTABLISHED, 0, true),
        (state::TIME_WAIT, 1, true),
        // Nobody will tell its end.
        (state::TIME_WAIT, 0, false),
    ] {
        let machine = attached(&[("clinet_hook_disconnect", hook_disconnect)]);
        machine.connections(&[TcpInfo::of(&tuple(1), state)]);
        next_audit(&machine);
        next_audit(&machine);
        assert_eq!(machine.has(&tuple(1)), added, "{state}, {hook_disconnect}");
        assert_eq!(machine.number("attach", "audit_added"), u64::from(added));
    }
}

/// A connect() that waits for its answer is in the registry and is seen.
#[test]
fn a_connection_keeps_its_entry_in_whatever_state_it_is() {
    let machine = attached(&[]);
    for (port, state) in (1..).zip(state::SYN_SENT..=state::TIME_WAIT) {
        assert_eq!(machine.connect(0, &tuple(port)), 0);
        machine.connections(&[TcpInfo::of(&tuple(port), state)]);
        next_audit(&machine);
        next_audit(&machine);
        next_audit(&machine);
        assert!(machine.has(&tuple(port)), "{state}");
    }
}

#[test]
fn one_torn_reading_kills_nothing_and_makes_nothing() {
    let machine = attached(&[]);
    assert_eq!(machine.connect(0, &tuple(1)), 0);
    machine.connections(&[established(1)]);
    next_audit(&machine);
    let whole = established(1);
    let torn = [
        TcpInfo {
            fport: 0,
            faddr: [0; 16],
            ..whole
        },
        TcpInfo {
            laddr: [0; 16],
            ..whole
        },
        TcpInfo {
            ip_version: 6,
            faddr: [0; 16],
            ..whole
        },
        TcpInfo {
            ip_version: 9,
            ..whole
        },
        TcpInfo {
            version: 2,
            ..whole
        },
        // Of two connections: makes sense, and never was.
        TcpInfo {
            fport: 4711,
            ..whole
        },
    ];
    for (number, torn) in torn.iter().enumerate() {
        machine.connections(&[*torn]);
        next_audit(&machine);
        machine.connections(&[whole]);
        next_audit(&machine);
        assert!(machine.has(&tuple(1)), "{number}");
    }
    assert!(!machine.has(&Tuple {
        fport: 4711,
        ..tuple(1)
    }));
    assert_eq!(machine.number("attach", "audit_torn"), 5);
    assert_eq!(machine.number("attach", "audit_added"), 0);
    assert_eq!(machine.number("attach", "audit_removed"), 0);
}

#[test]
fn listeners_and_idle_sockets_are_nothing() {
    let machine = attached(&[]);
    let idle = TcpInfo {
        fport: 0,
        faddr: [0; 16],
        ..TcpInfo::of(&tuple(1), -5)
    };
    let states = [-6, -5, -4, -3].map(|state| TcpInfo { state, ..idle });
    machine.connections(&states);
    next_audit(&machine);
    next_audit(&machine);
    assert_eq!(machine.number("attach", "audit_torn"), 0);
    assert_eq!(machine.number("attach", "audit_added"), 0);
}

#[test]
fn another_owner_is_never_overruled() {
    let machine = attached(&[]);
    assert_eq!(machine.other_node("clinet_install", 2, &tuple(1)), 0);
    machine.connections(&[established(1)]);
    next_audit(&machine);
    next_audit(&machine);
    assert_eq!(machine.number("attach", "audit_conflicts"), 2);
    assert_eq!(machine.number("attach", "audit_added"), 0);
    assert_eq!(machine.connect(0, &tuple(1)), EADDRINUSE);
    machine.connections(&[]);
    next_audit(&machine);
    next_audit(&machine);
    assert_eq!(machine.other_node("clinet_withdraw", 2, &tuple(1)), 0);
}

#[test]
fn an_entry_that_is_owned_between_two_audits_is_a_conflict() {
    let machine = attached(&[]);
    machine.connections(&[established(1)]);
    next_audit(&machine);
    assert_eq!(machine.other_node("clinet_install", 2, &tuple(1)), 0);
    next_audit(&machine);
    assert_eq!(machine.number("attach", "audit_conflicts"), 1);
    assert_eq!(machine.number("attach", "audit_added"), 0);
}

#[test]
fn udp_is_none_of_the_audits_business() {
    let machine = attached(&[]);
    let udp = Tuple::v4(UDP, 1, 80);
    assert_eq!(machine.connect(0, &udp), 0);
    for _ in 0..4 {
        next_audit(&machine);
    }
    assert!(machine.has(&udp));
}

/// What another stack registered is not in ip's list, and is none of ip's.
#[test]
fn entries_of_another_stack_outlive_audits_and_attaching() {
    let machine = attached(&[]);
    assert_eq!(machine.ask(&tuple(1)), 0);
    for _ in 0..4 {
        next_audit(&machine);
    }
    assert!(machine.has(&tuple(1)));
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    machine.seconds(2);
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    assert!(machine.has(&tuple(1)));
    // Its end would not have been heard while the mode was off.
    for mode in [0, 2] {
        assert!(machine.has(&tuple(1)));
        machine.write("clinet_mode", mode);
        machine.seconds(1);
    }
    assert!(!machine.has(&tuple(1)));
}

/// Nor are the sockets that are bound there: of two the first that goes takes nothing
/// with it.
#[test]
fn binds_of_another_stack_outlive_a_detach() {
    let machine = attached(&[]);
    let udp = Tuple::v4(UDP, 1, 80);
    machine.tell("clinet_bind", &udp);
    machine.tell("clinet_bind", &udp);
    machine.local("cl_inet_bind", 0, &udp);
    assert_eq!(machine.ask(&udp), 0);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    machine.seconds(2);
    machine.tell("clinet_unbind", &udp);
    assert!(machine.has(&udp));
    machine.tell("clinet_unbind", &udp);
    assert!(!machine.has(&udp));
}

#[test]
fn every_stack_is_walked_whatever_the_build_of_the_kernel() {
    use clinet_kernel::NetstackLayout::{Of2015, Of2021};
    for layout in [Of2015, Of2021] {
        let machine = Machine::new();
        machine.kernel.set_netstack_layout(layout);
        machine.kernel.add_netstack(3);
        machine.kernel.add_netstack(41);
        machine.walk(|stack| match stack {
            0 | 3 | 41 => Some(vec![established(stack as u16 + 100)]),
            _ => None,
        });
        machine.load(&[]);
        machine.seconds(3);
        assert_eq!(audits(&machine), 2);
        assert_eq!(machine.number("attach", "audit_added"), 3);
        // Those of stack 3 are entries of stack 3.
        machine.disconnect(0, &tuple(103));
        machine.walk(|_| Some(Vec::new()));
        machine.seconds(600);
        assert_eq!(machine.number("attach", "audit_removed"), 3);
    }
}

#[test]
fn an_audit_that_cannot_see_every_stack_removes_nothing() {
    let machine = attached(&[]);
    machine.kernel.add_netstack(3);
    assert_eq!(machine.connect(0, &tuple(1)), 0);
    // ip does not know the stack any more, which is still in the list.
    machine.walk(|stack| (stack == 0).then(Vec::new));
    let before = audits(&machine);
    machine.seconds(3 * PERIOD);
    assert_eq!(audits(&machine), before);
    assert_eq!(machine.number("attach", "audits_incomplete"), 3);
    assert!(machine.has(&tuple(1)));
    machine.kernel.remove_netstack(3);
    machine.seconds(3 * PERIOD);
    assert!(!machine.has(&tuple(1)));
}

/// A stack that goes while it is walked is held meanwhile, and let go.
#[test]
fn a_stack_may_go_during_the_walk() {
    let machine = Machine::new();
    machine.kernel.add_netstack(3);
    let kernel = Arc::downgrade(&machine.kernel);
    let walks = Arc::new(AtomicU64::new(0));
    let counted = walks.clone();
    machine.walk(move |stack| {
        if stack == 3 && counted.fetch_add(1, Ordering::Relaxed) == 0 {
            kernel.upgrade().expect("it is on").remove_netstack(3);
        }
        Some(Vec::new())
    });
    machine.load(&[]);
    machine.seconds(3);
    assert_eq!(walks.load(Ordering::Relaxed), 1);
    // Nobody holds it any more, or the id would be in use.
    machine.kernel.add_netstack(3);
    assert_eq!(machine.number("attach", "audits"), 1);
    assert_eq!(machine.number("attach", "audits_incomplete"), 1);
}

/// The kernel's list is gone through by place: a stack that leaves it meanwhile
/// hides the one behind it.
#[test]
fn a_stack_that_another_hides_keeps_its_entries() {
    let machine = attached(&[]);
    machine.kernel.add_netstack(3);
    assert_eq!(machine.connect(3, &tuple(1)), 0);
    let tuples = || machine.number("registry", "tuples");
    let kernel = Arc::downgrade(&machine.kernel);
    machine.walk(move |stack| {
        if stack > 3 {
            kernel.upgrade().expect("it is on").remove_netstack(stack);
        }
        Some(if stack == 3 {
            vec![established(1)]
        } else {
            Vec::new()
        })
    });
    let before = audits(&machine);
    for going in 4..8 {
        machine.kernel.add_netstack(going);
        machine.seconds(PERIOD);
        assert_eq!(tuples(), 1, "stack {going} went");
    }
    assert_eq!(audits(&machine), before);
    assert_eq!(machine.number("attach", "audits_incomplete"), 4);
    machine.seconds(4 * PERIOD);
    assert_eq!(audits(&machine), before + 4);
    assert_eq!(tuples(), 1);
}

/// What registers while the walk has passed its place already is not taken
/// for dead by this audit and the next.
#[test]
fn what_registers_during_an_audit_counts_as_seen() {
    let machine = Arc::new(attached(&[]));
    let inside = Arc::downgrade(&machine);
    let mut first = true;
    machine.walk(move |_| {
        if std::mem::take(&mut first) {
            let machine = inside.upgrade().expect("it is on");
            assert_eq!(machine.connect(0, &tuple(1)), 0);
        }
        Some(Vec::new())
    });
    next_audit(&machine);
    assert!(machine.has(&tuple(1)));
    next_audit(&machine);
    assert!(machine.has(&tuple(1)));
}

#[test]
fn after_a_detach_nothing_is_compared() {
    let machine = attached(&[]);
    machine.connections(&[established(1)]);
    let before = audits(&machine);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    machine.seconds(5 * PERIOD);
    assert_eq!(audits(&machine), before);
    assert!(!machine.has(&tuple(1)));
}
