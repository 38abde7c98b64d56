// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module offers its control device besides grants and events.

use std::collections::BTreeSet;
use std::ffi::CStr;

use clinet_control::abi;
use clinet_kernel::KstatValue;
use clinet_module_tests::{
    Control, EBUSY, EINVAL, ENOENT, ENXIO, FLOWS, Loaded, TCP, Tuple, UDP, device_tuple, ptr,
    ptr_mut,
};

const EPROTONOSUPPORT: i32 = 120;

#[test]
fn the_versions_are_told() {
    let loaded = Loaded::with_builtin();
    let version = loaded.module.symbol("clinet_control_version").unwrap();
    assert_eq!(version.size, 4);
    let text = loaded.module.symbol("clinet_version").unwrap();
    assert_eq!(text.size, env!("CARGO_PKG_VERSION").len() as u64 + 1);
    let start = std::ptr::with_exposed_provenance(text.address as usize);
    // SAFETY: `const char clinet_version[]`.
    let text = unsafe { CStr::from_ptr(start) };
    assert_eq!(text.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_state_is_told() {
    let loaded = Loaded::new(&[
        ("clinet_node_id", 9),
        ("clinet_max_tuples", 5000),
        ("clinet_fence_seconds", 7),
    ]);
    assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, 1, 2)), 0);
    assert_eq!(loaded.connect2(true, &Tuple::v6(UDP, 1, 2)), 0);
    assert_eq!(
        loaded.other_node("clinet_install", 4, &Tuple::v4(TCP, 5, 6)),
        0
    );
    // By then the module has the memory that it keeps in reserve.
    loaded.kernel.settle();
    let state = loaded.state();
    assert_eq!((state.cst_mode, state.cst_node), (2, 9));
    assert_eq!(state.cst_provider, abi::CLINETCTL_BUILT_IN_PROVIDER);
    assert_eq!((state.cst_tuples, state.cst_capacity), (3, 5000));
    assert_eq!((state.cst_udp_tuples, state.cst_endpoints), (1, 1));
    assert_eq!((state.cst_addresses, state.cst_nodes), (2, 1));
    assert_eq!(state.cst_memory, loaded.kernel.kmem_in_use() as u64);
    assert_eq!((state.cst_fence_action, state.cst_fence_seconds), (0, 7));
    assert_eq!(
        (state.cst_fence, state.cst_lapsed),
        (abi::CLINETCTL_UNFENCED, 0)
    );
    assert_eq!(state.cst_now, loaded.kernel.uptime().as_nanos() as u64);
    assert_eq!(loaded.control("clinet_control_state", &[0]), EINVAL);
    let (foreign, _recorder) = Loaded::with_recorder();
    assert_eq!(
        foreign.state().cst_provider,
        abi::CLINETCTL_FOREIGN_PROVIDER
    );
    let none = Loaded::new(&[("clinet_provider", 0)]);
    assert_eq!(none.state().cst_provider, abi::CLINETCTL_NO_PROVIDER);
}

/// The names are those of the kstats, each once.
#[test]
fn the_counters_are_those_of_the_kstats() {
    let loaded = Loaded::with_builtin();
    assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, 1, 2)), 0);
    loaded.kernel.settle();
    let stats = loaded.stats();
    let names: BTreeSet<&str> = stats.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names.len(), stats.len());
    let mut expected = 0;
    for kstat in ["registry", "attach", "grants"] {
        for (name, value) in loaded.kernel.kstat("clinet", 0, kstat).unwrap() {
            let KstatValue::Uint64(value) = value else {
                continue;
            };
            expected += 1;
            let told = loaded.number_of(&name);
            assert!(told == value || name == "clock", "{name}");
        }
    }
    assert_eq!(stats.len(), expected);
    assert_eq!(loaded.number_of("tcp_out_registered"), 1);
    let mut stat = [0_u64; 6];
    let end = [stats.len() as u64, ptr_mut(&mut stat)];
    assert_eq!(loaded.control("clinet_control_stat", &end), ENOENT);
    assert_eq!(loaded.control("clinet_control_stat", &[0, 0]), EINVAL);
}

#[test]
fn a_query_says_what_a_question_would_get() {
    let loaded = Loaded::new(&[("clinet_node_id", 5)]);
    for flow in FLOWS {
        let tuple = flow.tuple(5000);
        let free = loaded.query(&tuple, !flow.outgoing).unwrap();
        assert_eq!((free.cq_error, free.cq_reason), (0, abi::CLINET_FREE));
        assert_eq!(loaded.connect2(flow.outgoing, &tuple), 0);
        let ours = loaded.query(&tuple, !flow.outgoing).unwrap();
        assert_eq!((ours.cq_reason, ours.cq_owner), (abi::CLINET_OURS, 5));
        assert_eq!((ours.cq_references, ours.cq_granted), (1, 0));
        loaded.disconnect(&tuple);
    }
    let other = Tuple::v4(TCP, 1, 2);
    assert_eq!(loaded.other_node("clinet_install", 8, &other), 0);
    let owned = loaded.query(&other, false).unwrap();
    assert_eq!((owned.cq_error, owned.cq_owner), (125, 8));
    let sctp = loaded.query(
        &Tuple {
            protocol: 132,
            ..other
        },
        false,
    );
    assert_eq!(sctp.err(), Some(EPROTONOSUPPORT));
    assert_eq!(loaded.control("clinet_control_query", &[0]), EINVAL);
    let none = Loaded::new(&[("clinet_provider", 0)]);
    assert_eq!(none.query(&other, false).err(), Some(ENXIO));
}

fn delete(loaded: &Loaded, tuple: &Tuple, flags: u32) -> i32 {
    let tuple = device_tuple(tuple);
    loaded.control("clinet_control_delete", &[ptr(&tuple), 0, flags.into()])
}

#[test]
fn an_entry_is_deleted_whoever_owns_it() {
    let loaded = Loaded::with_builtin();
    let (force, dry) = (abi::CLINETCTL_FORCE, abi::CLINETCTL_DRY_RUN);
    let tcp = Tuple::v4(TCP, 1, 2);
    let udp = Tuple::v6(UDP, 1, 2);
    let other = Tuple::v4(TCP, 3, 4);
    for tuple in [&tcp, &udp, &other] {
        assert_eq!(delete(&loaded, tuple, 0), ENOENT);
    }
    assert_eq!(loaded.connect2(true, &tcp), 0);
    assert_eq!(loaded.connect2(true, &udp), 0);
    assert_eq!(loaded.other_node("clinet_install", 7, &other), 0);
    assert_eq!(delete(&loaded, &tcp, 0), EBUSY);
    for (tuple, flags) in [(&tcp, force), (&udp, 0), (&other, 0)] {
        assert_eq!(delete(&loaded, tuple, flags | dry), 0);
        assert_eq!(delete(&loaded, tuple, flags | 4), EINVAL);
        assert_eq!(delete(&loaded, tuple, flags), 0);
        assert_eq!(delete(&loaded, tuple, flags), ENOENT);
        let free = loaded.query(tuple, false).unwrap();
        assert_eq!(free.cq_reason, abi::CLINET_FREE);
    }
    assert_eq!(loaded.state().cst_tuples, 0);
    assert_eq!(loaded.control("clinet_control_delete", &[0, 0, 0]), EINVAL);
}

fn addresses(loaded: &Loaded, room: u32) -> (String, u32) {
    let mut text = [b'?'; 64];
    let mut length = room;
    let args = [ptr_mut(&mut text), ptr_mut(&mut length)];
    assert_eq!(loaded.control("clinet_control_addrs", &args), 0);
    let written = text.iter().take_while(|byte| **byte != b'?').count();
    (String::from_utf8(text[..written].into()).unwrap(), length)
}

#[test]
fn the_shared_addresses_are_told_as_text() {
    let loaded = Loaded::with_builtin();
    assert_eq!(addresses(&loaded, 64), (String::new(), 0));
    let list = loaded.kernel.string("2001:db8::10, 192.0.2.10");
    assert_eq!(loaded.control("clinet_set_addrs", &[list]), 0);
    let (all, length) = addresses(&loaded, 64);
    let mut each: Vec<&str> = all.split(',').collect();
    each.sort_unstable();
    assert_eq!((each, length), (vec!["192.0.2.10", "2001:db8::10"], 23));
    assert_eq!(addresses(&loaded, 5), (all[..5].to_owned(), 23));
    assert_eq!(addresses(&loaded, 0), (String::new(), 23));
    assert_eq!(loaded.control("clinet_control_addrs", &[0, 0]), EINVAL);
}

#[test]
fn properties_are_set_in_their_range() {
    let loaded = Loaded::with_builtin();
    type Of = fn(&abi::clinetctl_state_t) -> u32;
    let cases: [(u32, Of, &[u64], &[u64]); 6] = [
        (abi::CLINETCTL_FULL, |state| state.cst_full, &[1, 0], &[2]),
        (
            abi::CLINETCTL_INCOMING,
            |state| state.cst_incoming,
            &[1, 0],
            &[2],
        ),
        (
            abi::CLINETCTL_EXPLICIT,
            |state| state.cst_explicit,
            &[1, 0],
            &[2],
        ),
        (
            abi::CLINETCTL_OTHER_STACK,
            |state| state.cst_other_stack,
            &[1, 0],
            &[2],
        ),
        (
            abi::CLINETCTL_FENCE_ACTION,
            |state| state.cst_fence_action,
            &[1, 2, 0],
            &[3],
        ),
        (
            abi::CLINETCTL_FENCE_SECONDS,
            |state| state.cst_fence_seconds,
            &[1, 60],
            &[0, 61, 1 << 32 | 5],
        ),
    ];
    for (property, of, good, bad) in cases {
        for value in good {
            assert_eq!(loaded.set(property, *value, 0), 0);
            assert_eq!(u64::from(of(&loaded.state())), *value);
        }
        for value in bad {
            let before = of(&loaded.state());
            assert_eq!(
                loaded.set(property, *value, 0),
                EINVAL,
                "{property}: {value}"
            );
            assert_eq!(of(&loaded.state()), before);
        }
    }
    for property in [0, 8, u32::MAX] {
        assert_eq!(loaded.set(property, 1, 0), EINVAL);
    }
    assert_eq!(loaded.set(abi::CLINETCTL_FULL, 1, 2), EINVAL);
    for mode in [0, 1, 2] {
        assert_eq!(loaded.set(abi::CLINETCTL_MODE, mode, 0), 0);
        assert_eq!(u64::from(loaded.state().cst_mode), mode);
    }
}
