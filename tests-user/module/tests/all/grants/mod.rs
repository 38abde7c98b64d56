// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which local ports are this node's, at the call sites of the contract.

mod deadline;
mod replaced;

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use clinet_kernel::before_next_mutex;
use clinet_kernel::together::{self, Over};
use clinet_module_tests::{
    Control, EADDRINUSE, EADDRNOTAVAIL, EBUSY, EHOSTUNREACH, EINVAL, ENXIO, ESTALE, FLOWS, Grants,
    Loaded, Node, Tuple, UDP, abi, every_row_holds, sockets,
};

const SECOND: u64 = 1_000_000_000;

/// Without a fence, which has nothing to take away here.
fn unfenced(tunables: &[(&str, u64)]) -> Loaded {
    let loaded = Loaded::new(&[&[("clinet_fence", 2)], tunables].concat());
    // Nothing granted is registered before the module's thread has run.
    loaded.kernel.settle();
    loaded
}

/// From a local port, in host byte order.
fn tcp(port: u16) -> Tuple {
    FLOWS[0].tuple(port)
}

/// Ports 40000 to 40999 of 32768 to 65535, until so many seconds from now.
fn grants(loaded: &Loaded, seconds: u64) -> Grants {
    Grants::with_space(32768..=65535)
        .and(40000..=40999)
        .until(loaded.clock() + seconds * SECOND)
}

#[test]
fn every_row_holds_at_the_contracts_call_sites() {
    every_row_holds(&unfenced(&[]));
}

#[test]
fn udp_gets_the_errnos_of_its_calls() {
    let loaded = unfenced(&[]);
    let mut wanted = Grants::with_space(32768..=65535);
    assert_eq!(loaded.set_grants(&mut wanted), 0);
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        assert_eq!(socket.connect(&peer, 1), EADDRNOTAVAIL);
        assert_eq!(socket.send(&peer, 1), EHOSTUNREACH);
    }
}

/// Asks in a thread that is held up after it looked at the grants and before it
/// registers, while something else happens.
fn ask_held_up(loaded: &Loaded, tuple: &Tuple, happens: impl FnOnce()) -> i32 {
    let (reached, is_there) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    together::scope(|threads| {
        let asks = threads.spawn(move |_: &Over| {
            before_next_mutex(move || {
                reached.send(()).expect("somebody waits");
                // Either way.
                let _ = may_go_on.recv();
            });
            loaded.connect2(true, tuple)
        });
        is_there.recv().expect("it takes a mutex");
        happens();
        drop(go_on);
        asks.join().expect("it has an answer")
    })
}

#[test]
fn what_is_set_is_told_and_what_cannot_be_changes_nothing() {
    let loaded = unfenced(&[]);
    let mut wanted = grants(&loaded, 100);
    wanted.allow(1, 53..=53);
    wanted.terms.cg_epoch = 77;
    wanted.terms.cg_sequence = 9;
    wanted.terms.cg_last[1] = 50000;
    assert_eq!(loaded.set_grants(&mut wanted), 0);
    assert_eq!(wanted.terms.cg_now, loaded.clock());
    let told = loaded.grants();
    assert_eq!(told.terms.cg_epoch, 77);
    assert_eq!(told.terms.cg_sequence, 9);
    assert_eq!(told.terms.cg_deadline, wanted.terms.cg_deadline);
    assert_eq!(told.terms.cg_first, [32768; 2]);
    assert_eq!(told.terms.cg_last, [65535, 50000]);
    assert_eq!((told.count(0), told.count(1)), (1000, 1001));
    assert!(told.has(1, 53) && !told.has(0, 53));
    assert_eq!(told.terms.cg_lapsed, 0);
    let state = loaded.state();
    assert_eq!(state.cst_granted, [1000, 1001]);
    assert_eq!((state.cst_epoch, state.cst_sequence), (77, 9));

    let bad: [fn(&mut Grants); 6] = [
        |grants| grants.terms.cg_first = [0; 2],
        |grants| grants.terms.cg_last[0] = 0,
        |grants| grants.terms.cg_first[1] = 65535,
        |grants| grants.allow(0, 0..=0),
        |grants| grants.allow(1, 0..=0),
        |grants| grants.terms.cg_first[1] = 0,
    ];
    for change in bad {
        let mut bad = wanted.clone();
        bad.terms.cg_sequence = 10;
        change(&mut bad);
        assert_eq!(loaded.set_grants(&mut bad), EINVAL);
    }
    assert_eq!(loaded.set_grants(&mut wanted), ESTALE);
    for function in ["clinet_control_get_grants", "clinet_control_set_grants"] {
        assert_eq!(loaded.control(function, &[0, 0, 0]), EINVAL);
    }
    let told = loaded.grants();
    assert_eq!((told.terms.cg_sequence, told.count(1)), (9, 1001));
    // A protocol without a space.
    let mut one = wanted.clone();
    one.terms.cg_sequence = 10;
    (one.terms.cg_first[1], one.terms.cg_last[1]) = (0, 0);
    assert_eq!(loaded.set_grants(&mut one), 0);
    assert_eq!(loaded.connect2(true, &FLOWS[6].tuple(5000)), 0);
    assert_eq!(loaded.connect2(true, &tcp(5000)), EADDRINUSE);
}

#[test]
fn without_the_provider_there_is_nothing_to_grant() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    assert_eq!(loaded.set_grants(&mut Grants::default()), ENXIO);
    assert_eq!(loaded.set_deadline(0, 1, 0), ENXIO);
    assert_eq!(loaded.control("clinet_control_fence", &[]), ENXIO);
    assert_eq!(loaded.set(abi::CLINETCTL_MODE, 1, 0), ENXIO);
}

#[test]
fn static_grants_have_no_deadline() {
    let loaded = unfenced(&[]);
    let mut wanted = grants(&loaded, 0).until(abi::NO_DEADLINE);
    assert_eq!(loaded.set_grants(&mut wanted), 0);
    loaded.kernel.jump(3_600_000_000_000);
    loaded.kernel.advance(Duration::from_secs(1000));
    assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
    assert_eq!(loaded.number_of("lapses"), 0);
}

#[test]
fn a_full_table_refuses_where_there_is_a_port_space() {
    let loaded = unfenced(&[("clinet_max_tuples", 64), ("clinet_udp_share", 100)]);
    assert_eq!(loaded.state().cst_full, 0);
    let mut wanted = grants(&loaded, 100);
    (wanted.terms.cg_first[1], wanted.terms.cg_last[1]) = (0, 0);
    assert_eq!(loaded.set_grants(&mut wanted), 0);
    assert_eq!(loaded.state().cst_full, 1);
    let answers: Vec<i32> = (40000..40100)
        .map(|port| loaded.connect2(true, &tcp(port)))
        .collect();
    assert!(answers[..60].iter().all(|answer| *answer == 0));
    assert!(answers[70..].iter().all(|answer| *answer == EADDRNOTAVAIL));
    assert_eq!(loaded.connect2(true, &Tuple::v4(UDP, 1, 1)), 0);
    let query = loaded.query(&tcp(40999), false).unwrap();
    assert_eq!(
        (query.cq_error, query.cq_reason),
        (EADDRNOTAVAIL, abi::CLINET_FULL)
    );
}

#[test]
fn what_disarms_the_grants_has_to_be_forced() {
    for (property, value) in [(abi::CLINETCTL_MODE, 0), (abi::CLINETCTL_MODE, 1)] {
        let loaded = unfenced(&[]);
        let mut wanted = grants(&loaded, 100);
        assert_eq!(loaded.set_grants(&mut wanted), 0);
        assert_eq!(loaded.set(property, value, 0), EBUSY);
        assert_eq!(loaded.state().cst_mode, 2);
        assert_eq!(loaded.set(property, value, 2), EINVAL);
        assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
        assert_eq!(loaded.set(property, value, abi::CLINETCTL_FORCE), 0);
        assert_eq!(u64::from(loaded.state().cst_mode), value);
        assert_eq!(loaded.set(property, 2, 0), 0);
        assert_eq!(loaded.connect2(true, &tcp(40001)), EADDRNOTAVAIL);
        // What has lapsed is no reason any more.
        assert_eq!(loaded.set(property, value, 0), 0);
    }
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set(abi::CLINETCTL_MODE, 0, 0), 0);
    assert_eq!(loaded.set(abi::CLINETCTL_MODE, 3, 0), EINVAL);
    assert_eq!(loaded.ask(true, &tcp(1)), 0);
}

/// A provider that stores into the slot without looking whether it is free.
#[test]
fn another_provider_in_the_slot_lapses_the_grants() {
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set_grants(&mut grants(&loaded, 100)), 0);
    loaded.kernel.settle();
    let slot = loaded.slot("cl_inet_connect2");
    let own = slot.swap(loaded.module.address("clinet_ask"), Ordering::SeqCst);
    loaded.kernel.advance(Duration::from_millis(400));
    assert_eq!(loaded.state().cst_lapsed, 1);
    slot.store(own, Ordering::SeqCst);
    assert_eq!(loaded.connect2(true, &tcp(40000)), EADDRNOTAVAIL);
}
