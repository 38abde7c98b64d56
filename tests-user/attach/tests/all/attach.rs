// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Attach and detach: what is stored, when, and what stays.

use std::sync::atomic::Ordering;

use clinet_attach_tests::{Machine, SET, VARIABLES};
use clinet_module_tests::{EADDRINUSE, EBUSY, ENOTSUP, ENXIO, TCP, Tuple, UDP};

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
    let set = machine.hooks().into_iter().filter(|hook| *hook != 0);
    assert_eq!(set.count(), 6);
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

/// `_fini` has agreed: whoever attaches now would leave ip with pointers into
/// a module that is gone.
#[test]
fn nothing_is_attached_after_fini_has_agreed() {
    let machine = Machine::new();
    machine.load(&[("clinet_provider", 0), ("clinet_attach", 0)]);
    machine.write("clinet_detach", 1);
    machine.seconds(1);
    assert_eq!(machine.call("clinet_module_busy", &[]), 0);
    assert_eq!(machine.call("clinet_attach_ip", &[]), EBUSY);
    machine.write("clinet_detach", 0);
    machine.seconds(1);
    assert_eq!(machine.hooks(), [0; 12]);
    machine.unload().expect("nothing was touched");
}

/// A module that stores without asking: ip does not ask us any more, and
/// somebody has to be told.
#[test]
fn a_hook_that_is_replaced_is_noticed_once() {
    let machine = Machine::attached(&[]);
    let adapters = machine.hooks();
    for (others, name) in (1..).zip(["cl_inet_bind", "cl_inet_connect2"]) {
        machine.variable(name).store(7, Ordering::SeqCst);
        machine.seconds(3);
        assert_eq!(machine.number("attach", "hooks"), 4 - others);
    }
    assert_eq!(machine.string("state"), "attached");
    let [warning] = &machine.warnings()[..] else {
        panic!("{:?}", machine.warnings());
    };
    assert!(warning.contains("cl_inet_bind"), "{warning}");
    assert_eq!(machine.string("reason"), *warning);
    for (name, adapter) in VARIABLES.iter().zip(adapters) {
        machine.variable(name).store(adapter, Ordering::SeqCst);
    }
    machine.seconds(1);
    assert_eq!(machine.number("attach", "hooks"), 4);
    assert_eq!(machine.string("reason"), "");
}
