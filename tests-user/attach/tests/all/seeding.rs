// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What audits register of connections that nobody asked about.

use crate::common::{attached, audits, established, next_audit, tuple};
use clinet_attach_tests::{Machine, TcpInfo};
use clinet_module_tests::{TCP, Tuple};

#[test]
fn two_audits_run_right_after_attach_and_seed_the_registry() {
    let machine = Machine::new();
    machine.connections(&[established(1), established(2)]);
    machine.load(&[]);
    machine.kernel.settle();
    assert_eq!(audits(&machine), 1);
    assert!(!machine.has(&tuple(1)));
    // Not two in one second: what is changing now needs time.
    assert_eq!(machine.call("clinet_audit", &[]), 0);
    machine.kernel.settle();
    assert_eq!(audits(&machine), 1);
    machine.seconds(1);
    assert_eq!(audits(&machine), 2);
    assert!(machine.has(&tuple(1)) && machine.has(&tuple(2)));
    assert_eq!(machine.number("attach", "audit_added"), 2);
    // One reference: ip will tell one end.
    machine.disconnect(0, &tuple(1));
    assert!(!machine.has(&tuple(1)));
    // The call asked for one more.
    machine.seconds(10);
    assert_eq!(audits(&machine), 3);
}

#[test]
fn a_second_attach_seeds_anew() {
    let machine = attached(&[]);
    machine.connections(&[established(1)]);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    machine.seconds(2);
    assert!(machine.has(&tuple(1)));
}

/// What an audit before the attach saw is not one of the two in a row.
#[test]
fn an_attach_forgets_what_the_last_audit_saw() {
    let machine = attached(&[]);
    machine.connections(&[established(1)]);
    next_audit(&machine);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    machine.seconds(1);
    let before = audits(&machine);
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    machine.kernel.settle();
    assert_eq!(audits(&machine), before + 1);
    assert!(!machine.has(&tuple(1)), "after one audit");
    machine.seconds(1);
    assert!(machine.has(&tuple(1)));
}

#[test]
fn addresses_that_become_shared_are_seeded() {
    let machine = attached(&[("clinet_addrs", 0)]);
    let list = |text: &str| {
        let text = machine.kernel.string(text);
        machine.call("clinet_set_addrs", &[text])
    };
    assert_eq!(list("203.0.113.1"), 0);
    machine.connections(&[established(1)]);
    machine.seconds(3);
    assert!(!machine.has(&tuple(1)));
    assert_eq!(machine.connect(0, &tuple(2)), 0);
    assert!(!machine.has(&tuple(2)), "its address is not shared");
    assert_eq!(list("203.0.113.1, 192.0.2.10"), 0);
    machine.seconds(2);
    assert!(machine.has(&tuple(1)));
    // A list that is none changes nothing.
    assert_eq!(list("192.0.2.10,"), 22);
    assert!(machine.warnings()[0].contains("character 12 "));
    assert_eq!(machine.call("clinet_set_addrs", &[0]), 22);
    assert_eq!(machine.connect(0, &tuple(3)), 0);
    assert!(machine.has(&tuple(3)));
    assert_eq!(list(""), 0);
    assert_eq!(machine.connect(0, &Tuple::v6(TCP, 3, 4)), 0);
    assert!(machine.has(&Tuple::v6(TCP, 3, 4)));
}

/// Memory for what is missing may be short: then it is counted, and the next
/// audits add it.
#[test]
fn without_memory_nothing_is_added_and_later_it_is() {
    let machine = attached(&[]);
    machine.connections(&[established(1), established(2)]);
    machine.kernel.fail_allocations(true);
    next_audit(&machine);
    next_audit(&machine);
    assert_eq!(machine.number("attach", "audit_forgotten"), 4);
    assert_eq!(machine.number("attach", "audit_added"), 0);
    machine.kernel.fail_allocations(false);
    next_audit(&machine);
    next_audit(&machine);
    assert_eq!(machine.number("attach", "audit_added"), 2);
}

#[test]
fn many_connections_are_seeded() {
    let machine = Machine::new();
    let all: Vec<TcpInfo> = (1..=700).map(established).collect();
    machine.connections(&all);
    machine.load(&[]);
    machine.seconds(2);
    assert_eq!(machine.number("attach", "audit_added"), 700);
    let before = machine.kernel.kmem_in_use();
    machine.seconds(600);
    assert_eq!(machine.number("attach", "audit_removed"), 0);
    assert!(
        machine.kernel.kmem_in_use() <= before,
        "what was missing is forgotten"
    );
}

/// More than the registry has memory for at first.
#[test]
fn more_connections_than_there_is_memory_for_are_seeded_at_once() {
    let machine = Machine::new();
    let all: Vec<TcpInfo> = (1..=40_000).map(established).collect();
    machine.connections(&all);
    machine.load(&[("clinet_max_tuples", 1 << 20)]);
    machine.seconds(2);
    assert_eq!(machine.number("attach", "audit_added"), 40_000);
    assert_eq!(machine.number("attach", "audit_conflicts"), 0);
}
