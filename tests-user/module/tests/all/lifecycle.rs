// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Loading and unloading, tunables, and what is left behind.

use clinet_kernel::{Context, Kernel};
use clinet_module_tests::{
    EADDRINUSE, EINVAL, ENXIO, Loaded, SHARED4, TCP, Tuple, UDP, module_file, ptr, ptr_mut,
};

const ENOENT: i32 = 2;
const ENOSPC: i32 = 28;

#[test]
fn modinfo_shows_a_description_with_the_version() {
    let loaded = Loaded::with_builtin();
    let info = loaded.module.info();
    assert_eq!(
        info.linkinfo,
        format!("cluster client 5-tuples {}", env!("CARGO_PKG_VERSION"))
    );
    assert!(info.linkinfo.len() <= 31);
    assert_eq!(info.rev, 1);
}

#[test]
fn a_module_that_nobody_used_unloads_without_a_trace() {
    let kernel = Kernel::new();
    for _ in 0..3 {
        let module = kernel
            .load(
                "misc/clinet",
                &module_file(),
                &[("clinet_provider", 0), ("clinet_attach", 0)],
            )
            .unwrap();
        kernel.unload(&module).unwrap();
        assert_eq!(kernel.kmem_in_use(), 0);
    }
    assert!(kernel.log().is_empty());
}

/// The built-in provider is set up but loses to somebody who was there first:
/// its memory stays, as the module does.
#[test]
fn memory_is_given_back_by_fini() {
    let loaded = Loaded::new(&[("cl_inet_disconnect", 0x1234)]);
    assert_ne!(loaded.kernel.kmem_in_use(), 0);
    loaded
        .slot("cl_inet_disconnect")
        .store(0, std::sync::atomic::Ordering::SeqCst);
    loaded.kernel.unload(&loaded.module).unwrap();
    assert_eq!(loaded.kernel.kmem_in_use(), 0);
}

#[test]
fn memory_follows_the_tuples() {
    let loaded = Loaded::new(&[]);
    loaded.kernel.settle();
    let idle = loaded.kernel.kmem_in_use();
    assert!(idle <= 1 << 20, "{idle} bytes");
    let tuples = 40_000;
    let tuple = |n: u32| Tuple::v4(TCP, (n / 1000) as u16, (n % 1000) as u16);
    for n in 0..tuples {
        assert_eq!(loaded.connect2(true, &tuple(n)), 0);
        if n % 1000 == 0 {
            loaded.kernel.settle();
        }
    }
    assert_eq!(loaded.stat("tuples"), u64::from(tuples));
    let grown = loaded.kernel.kmem_in_use() - idle;
    assert!(grown > 20 * tuples as usize, "{grown} bytes more");
    for n in 0..tuples {
        loaded.disconnect(&tuple(n));
    }
    loaded.tell("clinet_sweep", &[]);
    loaded.kernel.settle();
    assert_eq!(loaded.kernel.kmem_in_use(), idle);
}

/// With no time for the task, a hook has to do with what there is.
#[test]
fn hooks_allocate_nothing() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 64)]);
    loaded.kernel.settle();
    let before = loaded.kernel.kmem_allocations();
    for port in 0..100 {
        for protocol in [TCP, UDP] {
            let tuple = Tuple::v4(protocol, port, 80);
            assert_eq!(loaded.connect2(true, &tuple), 0);
            loaded.disconnect(&tuple);
        }
    }
    assert_eq!(loaded.kernel.kmem_allocations(), before);
}

#[test]
fn any_allocation_may_fail_and_nothing_is_left() {
    let tunables = [("clinet_max_tuples", 256), ("clinet_attach", 0)];
    let kernel = Kernel::new();
    let module = kernel.load("misc/clinet", &module_file(), &tunables);
    let allocations = kernel.kmem_allocations();
    assert!(module.is_ok() && allocations > 0);
    for nth in 1..=allocations {
        let kernel = Kernel::new();
        kernel.fail_nth_allocation(nth);
        match kernel.load("misc/clinet", &module_file(), &tunables) {
            // Without kstats it says so; without a part of the reserve nothing is
            // missing.
            Ok(_) => assert!(kernel.log().iter().all(|line| line.text.contains("kstats"))),
            // The error would name what was left behind.
            Err(error) => {
                assert_eq!(error.to_string(), "_init of misc/clinet returned errno 12");
                assert_eq!(kernel.kmem_in_use(), 0);
            }
        }
    }
}

#[test]
fn tunables_out_of_range_are_replaced_and_said_so() {
    for limit in [0, 63, (1 << 24) + 1, u64::from(u32::MAX)] {
        let loaded = Loaded::new(&[("clinet_max_tuples", limit)]);
        assert_eq!(loaded.stat("capacity"), 1 << 20, "{limit}");
        let log = loaded.kernel.log();
        assert!(
            log.iter()
                .any(|message| message.text.contains("clinet_max_tuples")),
            "{log:?}"
        );
    }
    let loaded = Loaded::new(&[("clinet_max_tuples", 64)]);
    assert_eq!(loaded.stat("capacity"), 64);
    assert!(loaded.kernel.log().is_empty());
    let loaded = Loaded::new(&[("clinet_node_id", 0)]);
    let log = loaded.kernel.log();
    assert!(
        log.iter()
            .any(|message| message.text.contains("clinet_node_id")),
        "{log:?}"
    );
}

#[test]
fn a_full_table_admits_or_refuses_as_it_is_told() {
    for (policy, answer, counter) in [(0, 0, "full_admitted"), (1, 126, "full_refused")] {
        let loaded = Loaded::new(&[("clinet_max_tuples", 64), ("clinet_full_refuse", policy)]);
        for port in 0..64 {
            assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, port, 80)), 0);
        }
        assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, 64, 80)), answer);
        assert_eq!(loaded.stat(counter), 1);
        assert_eq!(loaded.stat("tuples"), 64);
        assert_eq!(
            loaded.other_node("clinet_install", 2, &Tuple::v4(TCP, 65, 80)),
            ENOSPC
        );
        // Those that are in stay in, and a place that becomes free is used.
        assert_eq!(
            loaded.other_node("clinet_install", 2, &Tuple::v4(TCP, 0, 80)),
            EADDRINUSE
        );
        loaded.disconnect(&Tuple::v4(TCP, 0, 80));
        assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, 64, 80)), 0);
        assert_eq!(loaded.stat(counter), 1);
    }
}

/// Reclaims what is dead; the module's own thread may take seconds to.
fn sweep(loaded: &Loaded) {
    let _ = loaded.call_in(&Context::thread(), "clinet_sweep", &[]);
}

#[test]
fn other_nodes_entries_come_and_go() {
    let loaded = Loaded::new(&[("clinet_node_id", 5)]);
    let tuple = Tuple::v6(UDP, 1, 2);
    let install = |owner| loaded.other_node("clinet_install", owner, &tuple);
    let withdraw = |owner| loaded.other_node("clinet_withdraw", owner, &tuple);
    for owner in [0, 5] {
        assert_eq!(install(owner), EINVAL);
        assert_eq!(loaded.call("clinet_purge", &[u64::from(owner)]), EINVAL);
    }
    assert_eq!(withdraw(6), ENOENT);
    assert_eq!([install(6), install(6)], [0, 0]);
    assert_eq!(install(7), EADDRINUSE);
    assert_eq!(withdraw(7), ENOENT);
    assert_eq!([withdraw(5), withdraw(0)], [EINVAL, EINVAL]);
    assert_eq!(loaded.stat("conflicts"), 1);
    assert_eq!(loaded.stat("tuples"), 1);
    // Our own disconnect does not touch it.
    loaded.disconnect(&tuple);
    assert_eq!(loaded.stat("tuples"), 1);
    assert_eq!(loaded.stat("unknown"), 1);
    assert_eq!([withdraw(6), withdraw(6)], [0, ENOENT]);
    for port in 0..10 {
        assert_eq!(
            loaded.other_node(
                "clinet_install",
                6 + u32::from(port % 2),
                &Tuple::v4(TCP, port, 1)
            ),
            0
        );
    }
    assert_eq!(loaded.call("clinet_purge", &[6]), 0);
    sweep(&loaded);
    assert_eq!(loaded.stat("tuples"), 5);
    let sctp = Tuple {
        protocol: 132,
        ..tuple
    };
    assert_eq!(loaded.other_node("clinet_install", 6, &sctp), 120);
    let unspecified = Tuple {
        laddr: [0; 16],
        ..tuple
    };
    assert_eq!(loaded.other_node("clinet_install", 6, &unspecified), EINVAL);
}

/// 16 endpoints, and 64 more whose binds are counted apart. A bind beyond that is
/// counted nowhere; everybody else's unbind ends what it always does.
#[test]
fn a_bind_without_room_is_counted_and_takes_nothing_away() {
    let loaded = Loaded::new(&[("clinet_max_tuples", 64)]);
    let local = |function, port: u16| {
        loaded.tell(
            function,
            &[u64::from(UDP), 2, ptr(&SHARED4), u64::from(port)],
        );
    };
    for port in 1..=80 {
        local("clinet_bind", port);
    }
    assert_eq!(loaded.stat("binds_uncounted"), 0);
    local("clinet_bind", 99);
    assert_eq!(loaded.stat("binds_uncounted"), 1);
    for port in [1, 70] {
        let tuple = Tuple::v4(UDP, port, 53);
        local("clinet_bind", port);
        assert_eq!(loaded.connect2(true, &tuple), 0);
        local("clinet_unbind", port);
        let held = i32::from(port == 1) * EADDRINUSE;
        assert_eq!(loaded.other_node("clinet_install", 2, &tuple), held);
        local("clinet_unbind", port);
        assert_eq!(loaded.other_node("clinet_install", 2, &tuple), 0);
    }
}

#[test]
fn an_unspecified_unbind_is_no_unknown_one() {
    let loaded = Loaded::with_builtin();
    loaded.tell("clinet_unbind", &[u64::from(UDP), 2, ptr(&[0_u8; 4]), 1]);
    assert_eq!(loaded.stat("unknown"), 0);
    loaded.tell("clinet_unbind", &[u64::from(UDP), 2, ptr(&SHARED4), 1]);
    assert_eq!(loaded.stat("unknown"), 1);
}

#[test]
fn a_conflict_changes_nothing_and_is_counted() {
    let loaded = Loaded::with_builtin();
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(loaded.connect2(true, &tuple), 0);
    assert_eq!(loaded.other_node("clinet_install", 2, &tuple), EADDRINUSE);
    assert_eq!(loaded.stat("conflicts"), 1);
    assert_eq!(loaded.connect2(true, &tuple), 0);
    assert_eq!(loaded.stat("repeated"), 1);
    // Two references, two ends.
    loaded.disconnect(&tuple);
    assert_eq!(loaded.stat("tuples"), 1);
    loaded.disconnect(&tuple);
    assert_eq!(loaded.stat("tuples"), 0);
    loaded.disconnect(&tuple);
    assert_eq!(loaded.stat("unknown"), 1);
}

#[test]
fn the_conflict_probe_is_a_probe() {
    let loaded = Loaded::with_builtin();
    let image = loaded.module.image().unwrap();
    let names: Vec<&str> = image
        .probes()
        .iter()
        .map(|probe| probe.name.as_str())
        .collect();
    assert!(names.contains(&"install-conflict"), "{names:?}");
}

#[test]
fn without_the_built_in_provider_there_is_nobody_to_tell() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(loaded.other_node("clinet_install", 2, &tuple), ENXIO);
    assert_eq!(loaded.other_node("clinet_withdraw", 2, &tuple), ENXIO);
    assert_eq!(loaded.call("clinet_purge", &[2]), ENXIO);
    assert_eq!(loaded.stat("capacity"), 0);
}

#[test]
fn stats_write_no_more_than_they_were_given() {
    let loaded = Loaded::with_builtin();
    let mut bytes = [0xa5_u8; 900];
    assert_eq!(loaded.call("clinet_stats", &[ptr_mut(&mut bytes), 12]), 0);
    assert!(bytes[12..].iter().all(|byte| *byte == 0xa5));
    assert!(bytes[..12].iter().all(|byte| *byte == 0));
    assert_eq!(loaded.call("clinet_stats", &[ptr_mut(&mut bytes), 900]), 0);
    assert!(bytes[696..].iter().all(|byte| *byte == 0xa5));
    assert!(bytes[..696].iter().all(|byte| *byte != 0xa5));
    assert_eq!(loaded.call("clinet_stats", &[0, 900]), EINVAL);
}

/// Every hook works where ip calls it: in an interrupt thread, and with ip's
/// locks held. The kernel of the tests faults on a wait or a wrong lock.
#[test]
fn hooks_run_in_every_context_of_ip() {
    let mut loaded = Loaded::with_builtin();
    let contexts = [
        Context::interrupt(),
        Context::no_sleep(),
        Context::thread().holding("uf_lock"),
        Context::thread().holding("connf_lock"),
        Context::interrupt().holding("conn_lock"),
    ];
    for context in contexts {
        loaded.context = context;
        for protocol in [TCP, UDP] {
            let tuple = Tuple::v6(protocol, 1, 2);
            assert_eq!(loaded.connect2(false, &tuple), 0);
            assert_eq!(loaded.other_node("clinet_install", 2, &tuple), EADDRINUSE);
            loaded.disconnect(&tuple);
        }
    }
    assert_eq!(loaded.stat("tuples"), 0);
}

#[test]
fn the_hook_path_needs_little_stack() {
    let loaded = Loaded::with_builtin();
    loaded.kernel.settle();
    loaded.kernel.reset_stack_depth();
    for protocol in [TCP, UDP] {
        let tuple = Tuple::v6(protocol, 1, 2);
        loaded.tell(
            "clinet_bind",
            &[u64::from(protocol), 26, ptr(&tuple.laddr), 1],
        );
        assert_eq!(loaded.connect2(false, &tuple), 0);
        loaded.disconnect(&tuple);
        loaded.tell(
            "clinet_unbind",
            &[u64::from(protocol), 26, ptr(&tuple.laddr), 1],
        );
    }
    let depth = loaded.kernel.max_stack_depth();
    assert!(depth <= 896, "{depth} bytes");
    assert!(depth > 0);
}
