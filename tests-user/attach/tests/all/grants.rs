// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which local ports are this node's, at the call sites of a stock ip.

use std::sync::atomic::{AtomicBool, Ordering};

use clinet_attach_tests::Machine;
use clinet_kernel::together;
use clinet_module_tests::{
    Control, EADDRINUSE, EADDRNOTAVAIL, EBUSY, ENOTACTIVE, FLOWS, Grants, Node, abi,
    every_row_holds,
};

/// Without a fence, which has nothing to take away here.
fn unfenced() -> Machine {
    Machine::attached(&[("clinet_fence", 2)])
}

/// Ports 40000 to 40999 of 32768 to 65535 for 100 seconds.
fn grant(machine: &Machine) {
    assert_eq!(try_to_grant(machine, 1), 0);
}

fn try_to_grant(machine: &Machine, sequence: u64) -> i32 {
    let deadline = machine.clock() + 100_000_000_000;
    let grants = Grants::with_space(32768..=65535).and(40000..=40999);
    let mut grants = grants.until(deadline);
    grants.terms.cg_sequence = sequence;
    machine.set_grants(&mut grants)
}

#[test]
fn every_row_holds_at_the_call_sites_of_ip() {
    every_row_holds(&unfenced());
}

/// Whatever is granted is granted on the global stack.
#[test]
fn a_shared_address_in_another_stack_is_refused_unless_a_policy_admits_it() {
    let machine = unfenced();
    machine.kernel.add_netstack(3);
    let ask = |flow: &clinet_module_tests::Flow, port| {
        let tuple = flow.tuple(port);
        match flow.outgoing {
            true => machine.connect(3, &tuple),
            false => machine.connect_in(3, &tuple),
        }
    };
    for flow in FLOWS {
        assert_eq!(ask(&flow, 40000), 0);
    }
    grant(&machine);
    for (flow, port) in FLOWS.iter().flat_map(|flow| [(flow, 40001), (flow, 5)]) {
        let counter = format!("{}_other_stack", flow.counters);
        let before = machine.number_of(&counter);
        assert_eq!(ask(flow, port), EADDRNOTAVAIL, "{flow:?}");
        assert_eq!(machine.number_of(&counter), before + 1);
    }
    let mut loopback = FLOWS[0].tuple(5);
    loopback.laddr[..4].copy_from_slice(&[127, 0, 0, 1]);
    assert_eq!(machine.connect(3, &loopback), 0);
    assert_eq!(machine.connect(0, &loopback), 0);
    assert_eq!(machine.set(abi::CLINETCTL_OTHER_STACK, 1, 0), 0);
    for (flow, port) in FLOWS.iter().flat_map(|flow| [(flow, 40002), (flow, 6)]) {
        let counter = format!("{}_other_stack_admitted", flow.counters);
        let before = machine.number_of(&counter);
        assert_eq!(ask(flow, port), 0, "{flow:?}");
        assert_eq!(machine.number_of(&counter), before + 1);
    }
}

#[test]
fn in_the_mode_observe_refusals_are_counted_only() {
    let machine = Machine::new();
    machine.load(&[
        ("clinet_fence", 2),
        ("clinet_mode", 1),
        ("clinet_port_space", machine.kernel.string("32768-65535")),
        ("clinet_grants", machine.kernel.string("40000-40999")),
    ]);
    machine.seconds(1);
    for flow in FLOWS {
        let of = |name| machine.number_of(&format!("{}_{name}", flow.counters));
        let before = (of("not_granted"), of("observed"));
        assert_eq!(Node::ask(&machine, flow.outgoing, &flow.tuple(32768)), 0);
        assert_eq!(
            (of("not_granted"), of("observed")),
            (before.0 + 1, before.1 + 1)
        );
    }
}

/// The other way round than a change that would disarm what is granted.
#[test]
fn nothing_is_granted_while_nothing_is_refused() {
    let machine = unfenced();
    let refused = |sequence| {
        assert_eq!(try_to_grant(&machine, sequence), ENOTACTIVE);
        assert_eq!(machine.set_deadline(0, sequence, u64::MAX - 1), ENOTACTIVE);
    };
    for mode in [0, 1] {
        assert_eq!(machine.set(abi::CLINETCTL_MODE, mode, 0), 0);
        refused(1);
    }
    assert_eq!(machine.set(abi::CLINETCTL_MODE, 2, 0), 0);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    refused(1);
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    assert_eq!(try_to_grant(&machine, 1), 0);

    let taken = Machine::new();
    taken.variable("cl_inet_bind").store(7, Ordering::SeqCst);
    taken.load(&[("clinet_fence", 2)]);
    assert_eq!(taken.state().cst_attach, 2);
    assert_eq!(try_to_grant(&taken, 1), ENOTACTIVE);
    taken.variable("cl_inet_bind").store(0, Ordering::SeqCst);
    assert_eq!(taken.call("clinet_attach_ip", &[]), 0);
    assert_eq!(try_to_grant(&taken, 1), 0);
}

/// One thread grants and takes it back, the other one detaches, slowly.
#[test]
fn a_grant_and_a_detach_do_not_overtake_each_other() {
    let machine = unfenced();
    let is_over = AtomicBool::new(false);
    together::scope(|threads| {
        threads.spawn(|_| {
            for sequence in (1..).step_by(2) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                if try_to_grant(&machine, sequence) == 0 {
                    for _ in 0..20 {
                        assert_eq!(machine.state().cst_attach, 1, "it is granted");
                    }
                    assert_eq!(machine.set_deadline(0, sequence + 1, 1), 0);
                }
            }
        });
        for _ in 0..20 {
            match machine.step("clinet_detach_ip", &|| ()) {
                0 => assert_eq!(machine.call("clinet_attach_ip", &[]), 0),
                answer => assert_eq!(answer, EBUSY),
            }
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn what_is_granted_lapses_when_another_module_is_asked() {
    let machine = unfenced();
    grant(&machine);
    let adapter = machine.hook("cl_inet_connect2");
    machine
        .variable("cl_inet_connect2")
        .store(7, Ordering::SeqCst);
    machine.seconds(3);
    assert_eq!(machine.state().cst_lapsed, 1);
    assert_eq!(try_to_grant(&machine, 2), ENOTACTIVE);
    machine
        .variable("cl_inet_connect2")
        .store(adapter, Ordering::SeqCst);
    machine.seconds(2);
    assert_eq!(try_to_grant(&machine, 2), 0);
}

#[test]
fn a_detach_has_to_be_forced_while_ports_are_granted() {
    let machine = unfenced();
    grant(&machine);
    assert_eq!(machine.call("clinet_detach_ip", &[]), EBUSY);
    assert_eq!(machine.call("clinet_control_detach", &[0]), EBUSY);
    assert_eq!(machine.state().cst_attach, 1);
    assert_eq!(machine.connect(0, &FLOWS[0].tuple(32768)), EADDRINUSE);
    let forced = [abi::CLINETCTL_FORCE.into()];
    assert_eq!(machine.call("clinet_control_detach", &forced), 0);
    assert_eq!(machine.state().cst_lapsed, 1);
    assert_eq!(machine.connect(0, &FLOWS[0].tuple(32768)), 0);
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    assert_eq!(machine.connect(0, &FLOWS[0].tuple(40000)), EADDRNOTAVAIL);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
}

#[test]
fn tunables_that_disarm_the_grants_are_put_back() {
    let machine = unfenced();
    grant(&machine);
    for (name, value, kept) in [
        ("clinet_mode", 0, 2),
        ("clinet_mode", 1, 2),
        ("clinet_detach", 1, 0),
    ] {
        machine.kernel.clear_log();
        machine.write(name, value);
        machine.seconds(2);
        assert_eq!(machine.tunable(name).load(Ordering::SeqCst), kept, "{name}");
        let expected = format!("clinet: {name} stays {kept} while ports are granted to this node");
        assert_eq!(machine.warnings(), [expected]);
    }
    assert_eq!(machine.set_deadline(0, 2, 0), 0);
    machine.write("clinet_mode", 1);
    machine.write("clinet_detach", 1);
    machine.seconds(2);
    assert_eq!(machine.state().cst_mode, 1);
    assert_eq!(machine.state().cst_attach, 4);
}
