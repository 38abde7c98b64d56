// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Attach and detach: what is stored, when, and what stays.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clinet_attach_tests::{Machine, SET, VARIABLES, connect_arguments};
use clinet_kernel::Context;
use clinet_kernel::together::{self, Over};
use clinet_module_tests::{EADDRINUSE, TCP, Tuple, UDP};

const EBUSY: i32 = 16;
const ENXIO: i32 = 6;
const ENOTSUP: i32 = 48;

#[test]
fn the_module_sets_four_of_the_twelve_hooks_and_asks() {
    let machine = Machine::attached(&[]);
    for name in VARIABLES {
        assert_eq!(machine.hook(name) != 0, SET.contains(&name), "{name}");
    }
    assert_eq!(machine.string("state"), "attached");
    assert_eq!(machine.string("reason"), "");
    assert_eq!(machine.string("provider"), "built-in");
    assert_eq!(machine.number("attach", "hooks"), 4);
    assert!(machine.warnings().is_empty(), "{:?}", machine.warnings());
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(machine.connect(0, &tuple), 0);
    assert!(machine.has(&tuple));
    machine.disconnect(0, &tuple);
    assert!(!machine.has(&tuple));
    assert_eq!(machine.other_node("clinet_install", 2, &tuple), 0);
    assert_eq!(machine.connect(0, &tuple), EADDRINUSE);
    // Another stack's 5-tuple is another one.
    assert_eq!(machine.connect(3, &tuple), 0);
}

#[test]
fn disconnect_may_be_left_out() {
    let machine = Machine::attached(&[("clinet_hook_disconnect", 0)]);
    assert_eq!(machine.hook("cl_inet_disconnect"), 0);
    assert_eq!(machine.number("attach", "hooks"), 3);
    assert_eq!(machine.string("state"), "attached");
}

#[test]
fn listeners_are_told_about_when_another_may_want_to_know() {
    let machine = Machine::attached(&[("clinet_provider", 0)]);
    assert_eq!(machine.number("attach", "hooks"), 6);
    for name in ["cl_inet_listen", "cl_inet_unlisten"] {
        assert_ne!(machine.hook(name), 0);
        machine.local(name, 0, &Tuple::v4(TCP, 80, 0));
    }
}

#[test]
fn the_module_waits_if_it_is_told_to() {
    let machine = Machine::attached(&[("clinet_attach", 0)]);
    assert_eq!(machine.hooks(), [0; 12]);
    assert_eq!(machine.string("state"), "never attached");
    assert_eq!(machine.call("clinet_detach_ip", &[]), ENXIO);
    assert_eq!(machine.call("clinet_audit", &[]), ENXIO);
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    assert_eq!(machine.string("state"), "attached");
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    assert_eq!(machine.call("clinet_audit", &[]), 0);
}

#[test]
fn a_missing_symbol_leaves_everything_as_it_was() {
    for absent in SET.into_iter().chain(["cl_tcp_walk_list"]) {
        let machine = Machine::without(&[absent]);
        machine.load(&[("clinet_provider", 0)]);
        for name in VARIABLES.iter().filter(|name| **name != absent) {
            assert_eq!(machine.hook(name), 0, "{name} without {absent}");
        }
        let [warning] = &machine.warnings()[..] else {
            panic!("{:?}", machine.warnings());
        };
        assert!(warning.contains(absent), "{warning}");
        assert_eq!(machine.string("state"), "refused");
        assert_eq!(machine.string("reason"), *warning);
        assert_eq!(machine.call("clinet_attach_ip", &[]), ENOTSUP);
        machine.unload().expect("nothing was touched");
    }
}

#[test]
fn a_machine_without_ip_is_left_alone() {
    let machine = clinet_kernel::Kernel::new();
    let file = clinet_module_tests::module_file();
    let tunables = [("clinet_provider", 0)];
    let module = machine
        .load("misc/clinet", &file, &tunables)
        .expect("it loads");
    assert!(machine.log()[0].text.contains("drv/ip"));
    machine.unload(&module).expect("nothing was touched");
}

#[test]
fn a_hook_that_somebody_has_set_leaves_everything_as_it_was() {
    for taken in SET {
        let machine = Machine::new();
        machine.variable(taken).store(0x1234, Ordering::SeqCst);
        let before = machine.hooks();
        machine.load(&[("clinet_provider", 0)]);
        // The check is before the first store: nothing changed, and without
        // clinet's own provider all six are looked at.
        assert_eq!(machine.hooks(), before, "{taken}");
        let [warning] = &machine.warnings()[..] else {
            panic!("{:?}", machine.warnings());
        };
        assert!(warning.contains(taken), "{warning}");
        assert_eq!(machine.string("state"), "refused");
        assert_eq!(machine.call("clinet_attach_ip", &[]), EBUSY);
        // When it is free again, it can be attached to.
        machine.variable(taken).store(0, Ordering::SeqCst);
        assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
        assert_eq!(machine.string("state"), "attached");
        assert_eq!(machine.string("reason"), "");
    }
}

#[test]
fn a_module_that_never_attached_unloads_without_a_trace() {
    for attach in [0, 1] {
        let machine = Machine::new();
        // Taken, so that nothing is stored even if it is tried.
        machine
            .variable("cl_inet_connect2")
            .store(0x1234, Ordering::SeqCst);
        machine.load(&[("clinet_provider", 0), ("clinet_attach", attach)]);
        machine.seconds(3);
        machine.unload().expect("it leaves nothing behind");
        assert_eq!(machine.kernel.kmem_in_use(), 0);
        for name in ["attach", "registry"] {
            assert!(machine.kernel.kstat("clinet", 0, name).is_none());
        }
        let again = machine.try_load(&[("clinet_provider", 0), ("clinet_attach", 0)]);
        machine
            .kernel
            .unload(&again.expect("it loads again"))
            .expect("and goes");
    }
}

#[test]
fn from_the_first_store_on_the_module_stays() {
    let machine = Machine::attached(&[("clinet_provider", 0)]);
    let stays = || {
        let error = machine.unload().expect_err("it stays");
        assert!(error.contains("errno 16"), "{error}");
    };
    stays();
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    machine.seconds(2);
    stays();
    assert!(machine.hooks().iter().filter(|hook| **hook != 0).count() == 6);
}

#[test]
fn after_a_detach_everything_is_accepted_and_nothing_is_left() {
    let machine = Machine::attached(&[]);
    let tuple = Tuple::v4(TCP, 1, 2);
    let owned = Tuple::v4(TCP, 3, 4);
    assert_eq!(machine.connect(0, &tuple), 0);
    assert_eq!(machine.connect(0, &Tuple::v6(UDP, 1, 2)), 0);
    assert_eq!(machine.other_node("clinet_install", 2, &owned), 0);
    assert_eq!(machine.connect(0, &owned), EADDRINUSE);
    let before = machine.hooks();
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    let after = machine.hooks();
    for (index, name) in VARIABLES.iter().enumerate() {
        // Replaced, and never NULL again.
        assert_eq!(after[index] != before[index], SET.contains(name), "{name}");
        assert_eq!(after[index] != 0, SET.contains(name), "{name}");
    }
    machine.seconds(1);
    assert_eq!(machine.string("state"), "detached");
    assert_eq!(machine.number("attach", "hooks"), 0);
    assert!(!machine.has(&tuple));
    assert_eq!(machine.connect(0, &owned), 0);
    assert_eq!(machine.connect(0, &tuple), 0);
    assert!(!machine.has(&tuple));
    machine.disconnect(0, &tuple);
    machine.local("cl_inet_bind", 0, &Tuple::v4(UDP, 5, 0));
    machine.local("cl_inet_unbind", 0, &Tuple::v4(UDP, 5, 0));
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    assert_eq!(machine.call("clinet_audit", &[]), ENXIO);
    // The other node's entry is none of this node's.
    assert_eq!(machine.other_node("clinet_withdraw", 2, &owned), 0);
}

#[test]
fn attaching_again_starts_anew() {
    let machine = Machine::attached(&[]);
    let adapters = machine.hooks();
    let tuple = Tuple::v4(TCP, 1, 2);
    for _ in 0..300 {
        assert_eq!(machine.connect(0, &tuple), 0);
        assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
        assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
        // At once, not only when the thread has had its turn.
        assert!(!machine.has(&tuple));
        assert_eq!(machine.hooks(), adapters);
        assert_eq!(machine.connect(0, &tuple), 0);
        machine.kernel.settle();
        assert!(machine.has(&tuple), "a clearing that was due came too late");
    }
}

/// A thread that read the variable before a detach calls what it read
/// afterwards: it registers, and the entry is cleared all the same.
#[test]
fn a_thread_that_is_late_leaves_nothing() {
    let machine = Machine::attached(&[]);
    let connect2 = machine.hook("cl_inet_connect2");
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    machine.seconds(2);
    let tuple = Tuple::v4(TCP, 1, 2);
    let context = Context::interrupt();
    let args = connect_arguments(0, false, &tuple);
    assert_eq!(machine.call_hook(connect2, &context, &args), 0);
    machine.kernel.settle();
    assert!(!machine.has(&tuple));
}

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
            .map(|patience| {
                let machine = Machine::new();
                machine.load(&[("clinet_provider", 1), ("clinet_attach", 0)]);
                let result = attach_against(&machine, name, patience);
                (machine, result)
            })
            .find(|(machine, _)| machine.string("reason").contains("has just set"))
            .expect("it is tried for ever");
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
    for patience in (0..3000).cycle() {
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

#[test]
fn another_module_that_stores_over_a_hook_is_left_alone() {
    let machine = Machine::attached(&[]);
    machine.variable("cl_inet_bind").store(7, Ordering::SeqCst);
    assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
    assert_eq!(machine.hook("cl_inet_bind"), 7);
    assert_eq!(machine.call("clinet_attach_ip", &[]), EBUSY);
    assert_eq!(machine.hook("cl_inet_bind"), 7);
    assert_eq!(machine.string("state"), "detached");
}

/// What makes a registration is never there without what ends it, at attach
/// and at detach. A watcher looks all the time; a phase that is odd is a
/// detach, and what was read in two phases proves nothing.
#[test]
fn no_registration_misses_its_end() {
    const ROUNDS: usize = 1000;
    let machine = Machine::attached(&[]);
    let adapters = machine.hooks();
    // Looked up beforehand: the moments to be caught are short.
    let look = |name: &str| {
        let index = VARIABLES.iter().position(|other| *other == name);
        (machine.variable(name), adapters[index.expect("a variable")])
    };
    let asks = |(variable, adapter): (&AtomicU64, u64)| variable.load(Ordering::SeqCst) == adapter;
    let phase = AtomicU64::new(0);
    let pairs = [
        ("cl_inet_connect2", "cl_inet_disconnect"),
        ("cl_inet_connect2", "cl_inet_unbind"),
        ("cl_inet_connect2", "cl_inet_bind"),
        ("cl_inet_bind", "cl_inet_unbind"),
    ]
    .map(|(makes, ends)| (makes, look(makes), ends, look(ends)));
    let watch = |over: &Over| {
        for (makes, making, ends, ending) in pairs.iter().cycle() {
            if over.is_set() {
                return;
            }
            let before = phase.load(Ordering::SeqCst);
            let (made, ended);
            if before.is_multiple_of(2) {
                made = asks(*making);
                ended = asks(*ending);
            } else {
                ended = asks(*ending);
                made = asks(*making);
            }
            let same = phase.load(Ordering::SeqCst) == before;
            assert!(
                !(made && !ended && same),
                "{makes} without {ends}, phase {before}"
            );
        }
    };
    together::scope(|threads| {
        threads.spawn(watch);
        for _ in 0..ROUNDS {
            phase.fetch_add(1, Ordering::SeqCst);
            assert_eq!(machine.call("clinet_detach_ip", &[]), 0);
            phase.fetch_add(1, Ordering::SeqCst);
            assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
        }
    });
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
