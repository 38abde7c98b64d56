// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Attach and detach beside others: threads that are late, another module that
//! stores at the same time, and what is true between two stores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clinet_attach_tests::{Machine, SET, VARIABLES, connect_arguments};
use clinet_kernel::{Context, together};
use clinet_module_tests::{EBUSY, TCP, Tuple, UDP, ptr};

/// A thread that read the variable before a detach calls what it read
/// afterwards: it registers, and the entry is cleared all the same.
#[test]
fn a_thread_that_is_late_leaves_nothing() {
    let machine = Machine::attached(&[]);
    let connect2 = machine.hook("cl_inet_connect2");
    let bind = machine.hook("cl_inet_bind");
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    machine.seconds(2);
    let tuple = Tuple::v4(TCP, 1, 2);
    let context = Context::interrupt();
    let args = connect_arguments(0, false, &tuple);
    assert_eq!(machine.call_hook(connect2, &context, &args), 0);
    machine.kernel.settle();
    assert!(!machine.has(&tuple));
    let udp = Tuple::v4(UDP, 1, 2);
    let args = [0, UDP.into(), udp.family.into(), ptr(&udp.laddr), 1, 0];
    let _ = machine.call_hook(bind, &context, &args);
    machine.seconds(15);
    assert_eq!(machine.number("registry", "endpoints"), 0);
}

/// More than it takes until a race is lost.
const TRIES: usize = 100_000;

/// Attaches while another thread stores 7 into a variable after some time,
/// as a module would that finds it as it is now.
fn attach_against(machine: &Machine, name: &str, patience: u32) -> i32 {
    let variable = machine.variable(name);
    let free = variable.load(Ordering::SeqCst);
    let go = AtomicBool::new(false);
    together::scope(|threads| {
        threads.spawn(|over| {
            while !go.load(Ordering::Acquire) && !over.is_set() {
                std::hint::spin_loop();
            }
            for _ in 0..patience {
                std::hint::spin_loop();
            }
            let _ = variable.compare_exchange(free, 7, Ordering::SeqCst, Ordering::SeqCst);
        });
        go.store(true, Ordering::Release);
        machine.call("clinet_attach_ip", &[])
    })
}

/// Somebody stores between the check and the stores. When that happens cannot
/// be told, so it is tried until it did; for each hook in the order in which
/// they are set.
#[test]
fn a_race_lost_midway_leaves_functions_that_accept_everything() {
    for (lost, name) in SET.into_iter().enumerate() {
        let (machine, result) = (0..3000)
            .cycle()
            .take(TRIES)
            .map(|patience| {
                let machine = Machine::new();
                machine.load(&[("clinet_provider", 1), ("clinet_attach", 0)]);
                let result = attach_against(&machine, name, patience);
                (machine, result)
            })
            .find(|(machine, _)| machine.string("reason").contains("has just set"))
            .expect("it is lost within so many tries");
        assert_eq!(result, EBUSY);
        assert!(machine.string("reason").contains(name));
        assert_eq!(machine.warnings(), [machine.string("reason")]);
        assert_eq!(machine.number("attach", "hooks"), 0);
        // The first one: nothing was stored.
        let state = if lost == 0 {
            "refused"
        } else {
            "partially attached"
        };
        assert_eq!(machine.string("state"), state);
        for (index, other) in SET.into_iter().enumerate() {
            let value = machine.hook(other);
            assert_eq!(value == 7, index == lost, "{other}");
            assert_eq!(value != 0, index <= lost, "{other} when {name} is lost");
        }
        let tuple = Tuple::v4(TCP, 1, 2);
        if lost > 0 {
            machine.disconnect(0, &tuple);
        }
        for hook in ["cl_inet_bind", "cl_inet_unbind"] {
            if machine.hook(hook) != 7 {
                machine.local(hook, 0, &Tuple::v4(UDP, 1, 2));
            }
        }
        // When the other one is gone, it goes on.
        machine.variable(name).store(0, Ordering::SeqCst);
        assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
        assert_eq!(machine.connect(0, &tuple), 0);
        assert!(machine.has(&tuple));
    }
}

/// The same when functions of ours were there before.
#[test]
fn a_race_lost_at_a_later_attach_leaves_them_again() {
    let machine = Machine::attached(&[]);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    let pass = machine.hooks();
    let name = "cl_inet_connect2";
    for patience in (0..3000).cycle().take(TRIES) {
        let result = attach_against(&machine, name, patience);
        if machine.string("state") == "partially attached" {
            assert_eq!(result, EBUSY);
            break;
        }
        let _ = machine.call("clinet_detach_ip", &[]);
        let index = VARIABLES.iter().position(|other| *other == name);
        machine
            .variable(name)
            .store(pass[index.expect("a variable")], Ordering::SeqCst);
    }
    for (index, other) in VARIABLES.iter().enumerate() {
        let expected = if *other == name { 7 } else { pass[index] };
        assert_eq!(machine.hook(other), expected, "{other}");
    }
}

/// What makes a registration is never there without what ends it, at attach
/// and at detach, between any two instructions.
#[test]
fn no_registration_misses_its_end() {
    let machine = Machine::attached(&[("clinet_max_tuples", 64)]);
    let adapters = machine.hooks();
    let hook = |name: &str| {
        let index = VARIABLES.iter().position(|other| *other == name);
        (machine.variable(name), adapters[index.expect("a variable")])
    };
    let asks = |(variable, adapter): (&AtomicU64, u64)| variable.load(Ordering::SeqCst) == adapter;
    let hooks = SET.map(hook);
    let pairs = [
        ("cl_inet_connect2", "cl_inet_disconnect"),
        ("cl_inet_connect2", "cl_inet_unbind"),
        ("cl_inet_connect2", "cl_inet_bind"),
        ("cl_inet_bind", "cl_inet_unbind"),
    ];
    let looks = pairs.map(|(makes, ends)| (hook(makes), hook(ends)));
    let alone = AtomicU64::new(0);
    // By how many hooks ask at the same time: one bit each.
    let seen = AtomicU64::new(0);
    let look = || {
        for (pair, (makes, ends)) in looks.iter().enumerate() {
            if asks(*makes) && !asks(*ends) {
                alone.fetch_or(1 << pair, Ordering::SeqCst);
            }
        }
        let asking = hooks.iter().filter(|hook| asks(**hook)).count();
        seen.fetch_or(1 << asking, Ordering::SeqCst);
    };
    for function in ["clinet_detach_ip", "clinet_attach_ip"] {
        seen.store(0, Ordering::SeqCst);
        assert_eq!(machine.step(function, &look), 0);
        let alone = alone.load(Ordering::SeqCst);
        let pair = pairs.get(alone.trailing_zeros() as usize);
        assert_eq!(pair, None, "{function}: the first without the second");
        assert_eq!(seen.load(Ordering::SeqCst), 0b11111, "{function}");
    }
}

/// Sockets of two threads, while a third attaches, detaches and audits.
#[test]
fn detach_under_load_leaves_nothing() {
    let machine = Machine::attached(&[]);
    together::scope(|threads| {
        for base in [1000, 2000] {
            let machine = &machine;
            threads.spawn(move |over| {
                while !over.is_set() {
                    for port in base..base + 50 {
                        let tuple = Tuple::v4(TCP, port, 2);
                        assert_eq!(machine.connect(0, &tuple), 0);
                        if port % 3 == 0 {
                            machine.disconnect(0, &tuple);
                        }
                        let tuple = Tuple::v6(UDP, port, 2);
                        machine.local("cl_inet_bind", 0, &tuple);
                        assert_eq!(machine.connect(0, &tuple), 0);
                        machine.local("cl_inet_unbind", 0, &tuple);
                    }
                }
            });
        }
        for _ in 0..200 {
            assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
            assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
            let _ = machine.call("clinet_audit", &[]);
        }
        assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    });
    machine.seconds(2);
    for port in (1000..1050).chain(2000..2050) {
        assert!(!machine.has(&Tuple::v4(TCP, port, 2)), "{port}");
        assert!(!machine.has(&Tuple::v6(UDP, port, 2)), "{port}");
    }
    machine
        .kernel
        .check_memory()
        .expect("nothing freed was written to");
}
