// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is seen from outside and set from outside: tunables, kstats, probes,
//! and what happens when memory is short.

use std::sync::atomic::Ordering;
use std::time::Duration;

use clinet_attach_tests::{Machine, SET, TcpInfo, connect_arguments, state};
use clinet_kernel::{Context, KstatValue};
use clinet_module_tests::{EADDRINUSE, ENXIO, TCP, Tuple, UDP, module_file, ptr, ptr_mut};

#[test]
fn the_mode_may_change_while_the_module_runs() {
    let machine = Machine::attached(&[]);
    let owned = Tuple::v4(TCP, 1, 2);
    assert_eq!(machine.other_node("clinet_install", 2, &owned), 0);
    let set = |mode| {
        machine.write("clinet_mode", mode);
        machine.seconds(1);
    };
    for (mode, name, answer) in [
        (2, "enforce", EADDRINUSE),
        (1, "observe", 0),
        (0, "off", 0),
        (2, "enforce", EADDRINUSE),
    ] {
        set(mode);
        assert_eq!(machine.string("mode"), name);
        assert_eq!(machine.connect(0, &owned), answer, "{name}");
    }
    assert!(machine.warnings().is_empty());
    set(3);
    machine.seconds(5);
    assert_eq!(machine.string("mode"), "enforce");
    assert_eq!(machine.warnings().len(), 1, "once, not every second");
}

#[test]
fn what_is_live_and_out_of_range_is_put_back() {
    let machine = Machine::new();
    machine.load(&[("clinet_mode", 7), ("clinet_detach", 2)]);
    let is = |tunable, value| machine.tunable(tunable).load(Ordering::SeqCst) == value;
    assert!(is("clinet_mode", 2) && is("clinet_detach", 0));
    machine.kernel.clear_log();
    machine.write("clinet_mode", 1);
    machine.seconds(1);
    for (tunable, in_force) in [("clinet_mode", 1), ("clinet_detach", 0)] {
        machine.write(tunable, 3);
        machine.seconds(5);
        assert!(is(tunable, in_force), "{tunable}");
        let warnings = machine.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(tunable), "{warnings:?}");
        machine.kernel.clear_log();
    }
    assert_eq!(machine.string("mode"), "observe");
    assert_eq!(machine.string("state"), "attached");
}

/// Off: nothing is registered, by a hook or an audit, and nothing is heard.
/// After that the registry begins anew, with what ip has.
#[test]
fn off_hears_nothing_and_what_follows_begins_anew() {
    for after in [1, 2] {
        let machine = Machine::attached(&[("clinet_audit_period", 10)]);
        let [ended, asked, there] = [1, 2, 3].map(|port| Tuple::v4(TCP, port, 80));
        let (udp, tuples) = (Tuple::v4(UDP, 4, 53), || {
            machine.number("registry", "tuples")
        });
        let bind = || machine.local("cl_inet_bind", 0, &udp);
        let unbind = || machine.local("cl_inet_unbind", 0, &udp);
        machine.connections(&[TcpInfo::of(&there, state::ESTABLISHED)]);
        assert_eq!(machine.connect(0, &ended), 0);
        bind();
        let set = |mode| {
            machine.write("clinet_mode", mode);
            machine.kernel.advance(Duration::from_secs(1));
            machine.kernel.settle();
        };
        set(0);
        let (before, audits) = (tuples(), machine.number("attach", "audits"));
        machine.disconnect(0, &ended);
        assert_eq!(machine.connect(0, &asked), 0);
        unbind();
        assert_eq!(machine.connect(0, &udp), 0);
        assert_eq!(machine.call("clinet_audit", &[]), ENXIO);
        machine.seconds(30);
        assert_eq!(
            (tuples(), machine.number("attach", "audits")),
            (before, audits)
        );
        assert!(!machine.has(&asked) && !machine.has(&there) && !machine.has(&udp));
        assert_eq!(machine.number("registry", "unknown"), 0);
        set(after);
        assert!(!machine.has(&ended) && !machine.has(&there));
        machine.seconds(1);
        assert!(machine.has(&there));
        assert_eq!(machine.number("attach", "audits"), audits + 2);
        // Of the two binds one is counted.
        bind();
        assert_eq!(machine.connect(0, &udp), 0);
        unbind();
        assert!(!machine.has(&udp));
    }
}

#[test]
fn a_tunable_detaches_and_attaches() {
    let machine = Machine::attached(&[]);
    machine.write("clinet_detach", 1);
    machine.seconds(1);
    assert_eq!(machine.string("state"), "detached");
    // A C call is not undone by a tunable that nobody has changed.
    assert_eq!(machine.call("clinet_attach_ip", &[]), 0);
    machine.seconds(5);
    assert_eq!(machine.string("state"), "attached");
    machine.write("clinet_detach", 0);
    machine.seconds(1);
    assert_eq!(machine.string("state"), "attached");
    machine.write("clinet_detach", 1);
    machine.seconds(1);
    machine.write("clinet_detach", 0);
    machine.seconds(1);
    assert_eq!(machine.string("state"), "attached");
}

#[test]
fn detached_at_load_is_not_attached_and_may_be_later() {
    let machine = Machine::attached(&[("clinet_detach", 1)]);
    assert_eq!(machine.hooks(), [0; 12]);
    machine.write("clinet_detach", 0);
    machine.seconds(1);
    assert_eq!(machine.string("state"), "attached");
}

#[test]
fn a_tunable_out_of_range_is_replaced_with_one_warning() {
    let machine = Machine::attached(&[
        ("clinet_attach", 2),
        ("clinet_mode", 7),
        ("clinet_audit_period", 86_401),
        ("clinet_hook_disconnect", 2),
    ]);
    assert_eq!(machine.warnings().len(), 4, "{:?}", machine.warnings());
    assert_eq!(machine.string("state"), "attached");
    assert_eq!(machine.string("mode"), "enforce");
    assert_eq!(machine.number("attach", "hooks"), SET.len() as u64);
}

#[test]
fn shared_addresses_come_from_the_list_or_the_scope() {
    let list = "203.0.113.1, 2001:db8::10";
    for (text, scope, v4, v6) in [
        (Some(list), 0, false, true),
        (Some(list), 1, true, true),
        (Some(" "), 0, true, true),
        (None, 0, true, true),
        (Some("203.0.113.1,x"), 0, true, true),
    ] {
        let machine = Machine::new();
        let address = text.map_or(0, |text| machine.kernel.string(text));
        machine.load(&[("clinet_addrs", address), ("clinet_scope", scope)]);
        for (tuple, shared) in [(Tuple::v4(TCP, 1, 2), v4), (Tuple::v6(TCP, 1, 2), v6)] {
            assert_eq!(machine.connect(0, &tuple), 0);
            let held = machine.other_node("clinet_install", 2, &tuple) == 125;
            assert_eq!(held, shared, "{text:?}, {scope}");
        }
        let mut loopback = Tuple::v4(TCP, 1, 2);
        loopback.laddr[..4].copy_from_slice(&[127, 0, 0, 1]);
        assert_eq!(machine.connect(0, &loopback), 0);
        assert_ne!(machine.other_node("clinet_install", 2, &loopback), 125);
        let warned = machine
            .warnings()
            .iter()
            .any(|text| text.contains("character 13 "));
        assert_eq!(warned, text == Some("203.0.113.1,x"));
    }
}

#[test]
fn the_kstats_have_counters_gauges_and_texts() {
    let machine = Machine::attached(&[]);
    assert_eq!(machine.number("registry", "tuples"), 0);
    assert_eq!(machine.connect(0, &Tuple::v4(TCP, 1, 2)), 0);
    assert_eq!(machine.number("registry", "tuples"), 1);
    assert_ne!(machine.number("registry", "capacity"), 0);
    for name in ["endpoints", "bytes"] {
        let _ = machine.number("registry", name);
    }
    let values = machine
        .kernel
        .kstat("clinet", 0, "registry")
        .expect("it is there");
    let mut names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.len() > 20);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), values.len(), "no two values of one name");
    assert!(
        values
            .iter()
            .all(|(_, value)| matches!(value, KstatValue::Uint64(_)))
    );
}

#[test]
fn the_state_is_copied_as_far_as_there_is_room() {
    let machine = Machine::attached(&[]);
    let mut words = [u64::MAX; 9];
    assert_eq!(machine.call("clinet_state", &[ptr_mut(&mut words), 72]), 0);
    // CLINET_ATTACHED, enforce.
    assert_eq!(words[0], 1 | 2 << 32);
    assert_eq!(words[1..3], [4, 2]);
    assert_eq!(clinet_module_tests::c_string(words[6]), "");
    assert_eq!(words[7], u64::MAX);
    let mut words = [u64::MAX; 9];
    assert_eq!(machine.call("clinet_state", &[ptr_mut(&mut words), 4]), 0);
    assert_eq!(words[0], 1 | u64::from(u32::MAX) << 32);
    assert_eq!(machine.call("clinet_state", &[0, 72]), 22);
}

#[test]
fn a_second_module_of_the_name_has_no_kstats_and_works() {
    let machine = Machine::attached(&[("clinet_attach", 0)]);
    let other = machine
        .kernel
        .load(
            "misc/other",
            &module_file(),
            &[("clinet_attach", 0), ("clinet_provider", 0)],
        )
        .expect("it loads");
    let warnings = machine.warnings();
    assert!(
        warnings
            .iter()
            .any(|text| text.contains("namespace collision"))
    );
    assert!(warnings.iter().any(|text| text.contains("kstats")));
    machine.kernel.unload(&other).expect("it goes");
    assert_eq!(machine.string("state"), "never attached");
}

/// Each hook where ip calls it: in a squeue, in an interrupt thread, with ip's
/// locks held. The kernel of the tests faults on a wait or a wrong lock.
#[test]
fn hooks_run_in_every_context_of_ip() {
    for tunables in [&[][..], &[("clinet_provider", 0)]] {
        let machine = Machine::attached(tunables);
        let before = machine.kernel.kmem_allocations();
        machine.kernel.settle();
        machine.kernel.reset_stack_depth();
        for context in [
            Context::no_sleep(),
            Context::interrupt(),
            Context::no_sleep().holding("uf_lock"),
        ] {
            for tuple in [Tuple::v4(TCP, 1, 2), Tuple::v6(UDP, 1, 2)] {
                let args = connect_arguments(0, false, &tuple);
                assert_eq!(
                    machine.through("cl_inet_connect2", &context, &args),
                    Some(0)
                );
                machine.disconnect(0, &tuple);
            }
        }
        machine.local("cl_inet_unlisten", 0, &Tuple::v6(TCP, 1, 2));
        assert_eq!(machine.kernel.kmem_allocations(), before);
        let depth = machine.kernel.max_stack_depth();
        assert!(depth < 1024, "{depth} bytes");
    }
}

/// Arguments that ip never passes are no reason to stop the machine.
#[test]
fn odd_arguments_are_refused_or_ignored() {
    let machine = Machine::attached(&[]);
    let tuple = Tuple::v4(TCP, 1, 2);
    let context = Context::no_sleep();
    let good = connect_arguments(0, true, &tuple);
    for (index, value, answer) in [(1, 132, 0), (3, 10, 124), (4, 0, 22), (6, 0, 22)] {
        let mut args = good;
        args[index] = value;
        assert_eq!(
            machine.through("cl_inet_connect2", &context, &args),
            Some(answer)
        );
    }
    let local = [0, 6, 99, ptr(&tuple.laddr), 80, 0];
    assert!(machine.through("cl_inet_bind", &context, &local).is_some());
    let local = [0, 6, 2, 0, 80, 0];
    assert!(
        machine
            .through("cl_inet_unbind", &context, &local)
            .is_some()
    );
}

#[test]
fn the_probes_are_probes() {
    let machine = Machine::attached(&[]);
    let image = machine.module().image().expect("it is a file");
    let mut names: Vec<&str> = image.probes().iter().map(|probe| &*probe.name).collect();
    names.sort_unstable();
    names.dedup();
    let expected = [
        "accept",
        "age",
        "ask",
        "audit-fix",
        "install-conflict",
        "refuse",
        "register",
        "remove",
    ];
    assert_eq!(names, expected);
}

/// Time goes on, and nothing happens that nobody asked for.
#[test]
fn an_idle_module_allocates_nothing() {
    let machine = Machine::attached(&[]);
    machine.seconds(2);
    let before = machine.kernel.kmem_in_use();
    machine.seconds(700);
    assert_eq!(machine.kernel.kmem_in_use(), before);
    assert!(machine.warnings().is_empty());
}
