// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A foreign provider of version 1.1 behind the contract's slot: what it is
//! asked, and that nobody waits for it.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use clinet_attach_tests::Machine;
use clinet_kernel::together;
use clinet_module_tests::{EADDRNOTAVAIL, EINPROGRESS, ENXIO, TCP, Tuple, UDP};

/// A machine whose foreign provider answers with a function of the host.
fn with_provider(function: *const (), tunables: &[(&str, u64)]) -> Machine {
    let machine = Machine::attached(&[&[("clinet_provider", 0)], tunables].concat());
    // SAFETY: a function of seven integers that lives as long as the process.
    unsafe {
        machine
            .kernel
            .provide_with_functions("misc/foreign", &[], &[("answer", function)]);
    }
    let address = machine
        .kernel
        .symbol("misc/foreign", "answer")
        .expect("it is provided");
    machine.module().write("cl_inet_connect2", address);
    machine
}

static ANSWER: AtomicI32 = AtomicI32::new(0);
static ASKED: AtomicU32 = AtomicU32::new(0);

extern "C" fn answer(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> i32 {
    ASKED.fetch_add(1, Ordering::SeqCst);
    ANSWER.load(Ordering::SeqCst)
}

/// One test, since the answers are static.
#[test]
fn a_foreign_provider_is_asked_for_the_global_stack_only() {
    let machine = with_provider(answer as *const (), &[("clinet_mode", 2)]);
    assert_eq!(machine.string("provider"), "foreign or none");
    // There is nothing to compare ip's connections with.
    assert_eq!(machine.call("clinet_audit", &[]), ENXIO);
    let tuple = Tuple::v4(TCP, 1, 2);
    let connect = |stack: i32, says: i32| {
        ANSWER.store(says, Ordering::SeqCst);
        let before = ASKED.load(Ordering::SeqCst);
        let result = machine.connect(stack, &tuple);
        (result, ASKED.load(Ordering::SeqCst) - before)
    };
    assert_eq!(connect(0, 0), (0, 1));
    assert_eq!(connect(0, 125), (125, 1));
    assert_eq!(connect(5, 125), (0, 0));
    assert_eq!(machine.number("attach", "other_stack"), 1);
    // No answer that harms the stack leaves the module.
    for harmful in [-1, -8, i32::MIN, EINPROGRESS] {
        assert_eq!(connect(0, harmful), (EADDRNOTAVAIL, 1), "{harmful}");
    }
    machine.write("clinet_mode", 1);
    machine.seconds(1);
    assert_eq!(machine.string("mode"), "observe");
    assert_eq!(connect(0, 125), (0, 1));
    assert_eq!(machine.number("attach", "foreign_observed"), 1);
    machine.write("clinet_mode", 0);
    machine.seconds(1);
    assert_eq!(connect(0, 125), (0, 0));
}

#[test]
fn without_a_provider_everything_passes_and_is_counted() {
    let machine = Machine::attached(&[("clinet_provider", 0)]);
    assert_eq!(machine.string("provider"), "foreign or none");
    for stack in [0, 7] {
        assert_eq!(machine.connect(stack, &Tuple::v4(TCP, 1, 2)), 0);
        machine.disconnect(stack, &Tuple::v4(TCP, 1, 2));
        for name in [
            "cl_inet_listen",
            "cl_inet_unlisten",
            "cl_inet_bind",
            "cl_inet_unbind",
        ] {
            machine.local(name, stack, &Tuple::v6(UDP, 1, 2));
        }
    }
    let counted = machine.number("registry", "contract_no_provider");
    assert_eq!(counted, 2 * 6, "each call of both stacks");
}

/// Threads inside the provider, and whether they may go on.
struct Gate {
    inside: Mutex<(u32, bool)>,
    changed: Condvar,
}

static GATE: Gate = Gate {
    inside: Mutex::new((0, false)),
    changed: Condvar::new(),
};

/// Lets all out when dropped, in a panic too.
struct Opened;

impl Drop for Opened {
    fn drop(&mut self) {
        let mut inside = GATE.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.1 = true;
        GATE.changed.notify_all();
    }
}

extern "C" fn wait(_: u64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64) -> i32 {
    let mut inside = GATE.inside.lock().expect("nobody panics with it");
    inside.0 += 1;
    GATE.changed.notify_all();
    while !inside.1 {
        inside = GATE.changed.wait(inside).expect("nobody panics with it");
    }
    125
}

/// Threads are held inside an adapter while the module detaches, and is
/// attached again, and detached: nobody waits for them, they find everything
/// that they need, and what they bring back counts.
#[test]
fn threads_inside_an_adapter_do_not_hold_a_detach_up() {
    let machine = with_provider(wait as *const (), &[]);
    let held = together::scope(|threads| {
        let _opened = Opened;
        let inside: Vec<_> = (0..3)
            .map(|port| {
                let machine = &machine;
                threads.spawn(move |_| machine.connect(0, &Tuple::v4(TCP, port, 2)))
            })
            .collect();
        let mut now = GATE.inside.lock().expect("nobody panics with it");
        while now.0 < 3 {
            now = GATE.changed.wait(now).expect("nobody panics with it");
        }
        drop(now);
        for _ in 0..2 {
            assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
            assert_eq!(machine.connect(0, &Tuple::v4(TCP, 9, 2)), 0);
            assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
        }
        assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
        machine.seconds(2);
        assert!(machine.unload().is_err(), "there are threads inside");
        drop(Opened);
        inside
            .into_iter()
            .map(|thread| thread.join().expect("it returns"))
            .collect::<Vec<_>>()
    });
    assert_eq!(held, [125, 125, 125]);
    machine
        .kernel
        .check_memory()
        .expect("nothing freed was written to");
}
