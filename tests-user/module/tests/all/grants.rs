// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which local ports are this node's, at the call sites of the contract.

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

/// Not a nanosecond after the deadline is a port registered, and long before it
/// every one is.
#[test]
fn the_gate_is_shut_before_the_deadline_and_not_much_earlier() {
    for odd in [0, 1, 7_777_777, 12_345_678] {
        let loaded = unfenced(&[]);
        loaded.kernel.advance(Duration::from_nanos(odd));
        assert_eq!(loaded.set_grants(&mut grants(&loaded, 10)), 0);
        let deadline = loaded.grants().terms.cg_deadline;
        let until = |time: u64| Duration::from_nanos(time - loaded.clock());
        loaded.kernel.advance(until(deadline - 40_000_000));
        assert_eq!(loaded.connect2(true, &tcp(40000)), 0, "{odd}");
        loaded.kernel.advance(until(deadline - 1));
        assert_eq!(loaded.connect2(true, &tcp(40001)), EADDRNOTAVAIL, "{odd}");
        assert_eq!(loaded.state().cst_lapsed, 1);
        loaded.kernel.advance(Duration::from_nanos(1));
        assert_eq!(loaded.connect2(true, &tcp(40002)), EADDRNOTAVAIL, "{odd}");
        loaded.kernel.advance(Duration::from_millis(20));
        assert_eq!(loaded.number_of("lapses"), 1);
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

/// A thread that is held up between the grants and the registry for longer than the gate
/// is shut before the deadline.
#[test]
fn who_is_held_up_past_the_deadline_registers_nothing() {
    for mut tuple in [FLOWS[0], FLOWS[6]].map(|flow| flow.tuple(40000)) {
        let loaded = unfenced(&[]);
        let mut wanted = grants(&loaded, 10);
        wanted.allow(1, 40000..=40999);
        assert_eq!(loaded.set_grants(&mut wanted), 0);
        // The address has its number.
        assert_eq!(loaded.connect2(true, &tuple), 0);
        tuple.fport = tuple.fport.wrapping_add(1);
        let meanwhile = || loaded.kernel.advance(Duration::from_secs(1));
        assert_eq!(ask_held_up(&loaded, &tuple, meanwhile), 0);
        let tuples = loaded.number_of("tuples");
        tuple.fport = tuple.fport.wrapping_add(1);
        let meanwhile = || loaded.kernel.advance(Duration::from_secs(10));
        assert_eq!(ask_held_up(&loaded, &tuple, meanwhile), EADDRNOTAVAIL);
        assert_eq!(loaded.number_of("tuples"), tuples);
    }
}

/// The same while its port goes to somebody else.
#[test]
fn who_is_held_up_until_its_port_is_not_granted_registers_nothing() {
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set_grants(&mut grants(&loaded, 10)), 0);
    assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
    let tuples = loaded.number_of("tuples");
    let mut other = Grants::with_space(32768..=65535)
        .and(41000..=41999)
        .until(loaded.clock() + 10 * SECOND);
    other.terms.cg_sequence = 2;
    let mut other = Some(other);
    let meanwhile = || assert_eq!(loaded.set_grants(&mut other.take().expect("once")), 0);
    assert_eq!(ask_held_up(&loaded, &tcp(40001), meanwhile), EADDRINUSE);
    assert_eq!(loaded.number_of("tuples"), tuples);
}

#[test]
fn a_deadline_that_moves_on_keeps_the_gate_open() {
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set_grants(&mut grants(&loaded, 5)), 0);
    for sequence in 2..20 {
        loaded.kernel.advance(Duration::from_secs(4));
        assert_eq!(loaded.connect2(true, &tcp(40000 + sequence as u16)), 0);
        let deadline = loaded.clock() + 5 * SECOND;
        assert_eq!(loaded.set_deadline(0, sequence, deadline), 0);
        assert_eq!(loaded.set_deadline(0, sequence, deadline), ESTALE);
        assert_eq!(loaded.set_deadline(1, sequence + 1, deadline), ESTALE);
    }
    // Earlier, and in the past.
    assert_eq!(loaded.set_deadline(0, 20, loaded.clock() + SECOND), 0);
    loaded.kernel.advance(Duration::from_secs(1));
    assert_eq!(loaded.connect2(true, &tcp(40500)), EADDRNOTAVAIL);
    assert_eq!(loaded.set_deadline(0, 21, loaded.clock() + SECOND), 0);
    assert_eq!(loaded.connect2(true, &tcp(40500)), 0);
    assert_eq!(loaded.set_deadline(0, 22, 0), 0);
    assert_eq!(loaded.connect2(true, &tcp(40501)), EADDRNOTAVAIL);
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

/// Two grants that share nothing replace each other while eight threads ask: each
/// is asked about ports of both, and about one that both have.
#[test]
fn nobody_is_refused_or_let_through_while_grants_are_replaced() {
    let loaded = unfenced(&[("clinet_max_tuples", 1 << 20), ("clinet_full_refuse", 1)]);
    let both = Grants::with_space(32768..=65535).and(50000..=50000);
    let mut a = both.clone().and(40000..=40999).until(abi::NO_DEADLINE);
    assert_eq!(loaded.set_grants(&mut a), 0);
    together::scope(|threads| {
        for thread in 0..8_u16 {
            let loaded = &loaded;
            threads.spawn(move |over: &Over| {
                let flow = FLOWS[usize::from(thread)];
                let mut asked = 0_u32;
                while !over.is_set() || asked < 1000 {
                    let mut tuple = flow.tuple(50000);
                    tuple.fport = (asked as u16).to_be();
                    tuple.faddr[3] = thread as u8;
                    assert_eq!(loaded.connect2(flow.outgoing, &tuple), 0);
                    loaded.disconnect(&tuple);
                    // Never granted: neither before nor after.
                    tuple.lport = 60000_u16.to_be();
                    assert_eq!(loaded.connect2(flow.outgoing, &tuple), EADDRINUSE);
                    asked += 1;
                }
            });
        }
        for sequence in 2..500 {
            let ports = if sequence % 2 == 0 {
                41000..=41999
            } else {
                40000..=40999
            };
            let mut next = both.clone().and(ports).until(abi::NO_DEADLINE);
            next.terms.cg_sequence = sequence;
            assert_eq!(loaded.set_grants(&mut next), 0);
        }
    });
}

/// An old port with a new deadline is none: what is replaced is replaced at once.
#[test]
fn no_question_pairs_an_old_port_with_a_new_deadline() {
    let loaded = unfenced(&[("clinet_max_tuples", 1 << 20)]);
    let (old, new) = (40000..=40999, 41000..=41999);
    let mut lapsed = Grants::with_space(32768..=65535).and(old.clone());
    assert_eq!(loaded.set_grants(&mut lapsed), 0);
    together::scope(|threads| {
        for thread in 0..8_u16 {
            let loaded = &loaded;
            threads.spawn(move |over: &Over| {
                let tuple = tcp(40000 + thread);
                let mut asked = 0;
                while !over.is_set() || asked < 1000 {
                    // Granted and lapsed, or not granted.
                    assert_ne!(loaded.connect2(true, &tuple), 0);
                    asked += 1;
                }
            });
        }
        for sequence in 2..1000 {
            let mut next = Grants::with_space(32768..=65535);
            next = match sequence % 2 {
                0 => next.and(new.clone()).until(abi::NO_DEADLINE),
                _ => next.and(old.clone()).until(0),
            };
            next.terms.cg_sequence = sequence;
            assert_eq!(loaded.set_grants(&mut next), 0);
        }
    });
}

#[test]
fn a_jump_of_the_wall_clock_lapses_the_deadline() {
    for (jump, lapses) in [
        (1_900_000_000, false),
        (-1_900_000_000, false),
        (2_100_000_000, true),
        (-2_100_000_000, true),
        (3_600_000_000_000, true),
    ] {
        let loaded = unfenced(&[]);
        assert_eq!(loaded.set_grants(&mut grants(&loaded, 100)), 0);
        let chosen = loaded.clock() + 2 * SECOND;
        loaded.kernel.advance(Duration::from_secs(1));
        loaded.kernel.jump(jump);
        loaded.kernel.advance(Duration::from_millis(400));
        let answer = loaded.connect2(true, &tcp(40000));
        assert_eq!(answer, if lapses { EADDRNOTAVAIL } else { 0 }, "{jump}");
        assert_eq!(loaded.number_of("clock_jumps"), u64::from(lapses));
        assert_eq!(loaded.number_of("lapses"), u64::from(lapses));
        // A deadline that was chosen before the jump has passed, too.
        assert_eq!(loaded.set_deadline(0, 2, chosen), 0);
        let answer = loaded.connect2(true, &tcp(40001));
        assert_eq!(answer, if lapses { EADDRNOTAVAIL } else { 0 }, "{jump}");
        assert_eq!(loaded.set_deadline(0, 3, loaded.clock() + SECOND), 0);
        assert_eq!(loaded.connect2(true, &tcp(40002)), 0);
    }
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

/// The fence needs the module's thread: while it hangs nothing granted is registered.
#[test]
fn a_thread_that_stalls_counts_as_lapsed() {
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set_grants(&mut grants(&loaded, 100)), 0);
    loaded.kernel.advance(Duration::from_secs(1));
    loaded.kernel.hold_threads(true);
    loaded.kernel.advance(Duration::from_millis(1700));
    assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
    loaded.kernel.advance(Duration::from_millis(400));
    assert_eq!(loaded.connect2(true, &tcp(40001)), EADDRNOTAVAIL);
    loaded.kernel.advance(Duration::from_secs(10));
    assert_eq!(loaded.connect2(true, &tcp(40001)), EADDRNOTAVAIL);
    assert_eq!(loaded.number_of("lapses"), 0);
    loaded.kernel.hold_threads(false);
    loaded.kernel.advance(Duration::from_millis(1));
    assert_eq!(loaded.connect2(true, &tcp(40001)), 0);
}

/// Whoever moves the deadline on does not stand for the thread that would fence.
#[test]
fn a_deadline_that_moves_on_does_not_keep_the_gate_of_a_thread_that_stalls_open() {
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set_grants(&mut grants(&loaded, 100)), 0);
    loaded.kernel.advance(Duration::from_secs(1));
    loaded.kernel.hold_threads(true);
    loaded.kernel.advance(Duration::from_millis(1700));
    let deadline = loaded.clock() + 100 * SECOND;
    assert_eq!(loaded.set_deadline(0, 2, deadline), 0);
    assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
    loaded.kernel.advance(Duration::from_millis(400));
    assert_eq!(loaded.connect2(true, &tcp(40001)), EADDRNOTAVAIL);
}

/// A change that is refused takes the callout back in the tick in which it would have
/// come.
#[test]
fn a_stale_change_does_not_keep_the_gate_open() {
    const TICK: u64 = 10_000_000;
    let loaded = unfenced(&[]);
    let phase = TICK + TICK / 2 - loaded.clock() % TICK;
    loaded.kernel.advance(Duration::from_nanos(phase));
    let deadline = loaded.clock() + SECOND + TICK / 4;
    let mut wanted = grants(&loaded, 0).until(deadline);
    assert_eq!(loaded.set_grants(&mut wanted), 0);
    loaded.kernel.settle();
    loaded.kernel.hold_threads(true);
    // After the gate's time, two ticks before the deadline, and before the tick.
    let until = Duration::from_nanos(deadline - 2 * TICK + 1 - loaded.clock());
    loaded.kernel.advance(until);
    assert_eq!(loaded.set_deadline(0, 1, deadline), ESTALE);
    loaded.kernel.advance(Duration::from_nanos(2 * TICK - 2));
    assert_eq!(loaded.connect2(true, &tcp(40000)), EADDRNOTAVAIL);
}

/// A callout comes at a tick, and the time of the next one has a fraction of a
/// microsecond left over.
#[test]
fn the_gate_is_shut_in_time_whatever_is_left_of_a_microsecond() {
    const TICK: u64 = 10_000_000;
    let loaded = unfenced(&[]);
    let phase = TICK - 1 - loaded.clock() % TICK;
    loaded.kernel.advance(Duration::from_nanos(phase));
    let deadline = loaded.clock() + SECOND + 900;
    let mut wanted = grants(&loaded, 0).until(deadline);
    assert_eq!(loaded.set_grants(&mut wanted), 0);
    loaded.kernel.settle();
    assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
    loaded.kernel.hold_threads(true);
    let until = Duration::from_nanos(deadline - 1 - loaded.clock());
    loaded.kernel.advance(until);
    assert_eq!(loaded.connect2(true, &tcp(40001)), EADDRNOTAVAIL);
}

/// The deadline passes without the thread, too.
#[test]
fn the_gate_is_shut_at_the_deadline_whatever_the_thread_does() {
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set_grants(&mut grants(&loaded, 1)), 0);
    loaded.kernel.settle();
    loaded.kernel.hold_threads(true);
    loaded.kernel.advance(Duration::from_millis(960));
    assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
    loaded.kernel.advance(Duration::from_millis(39));
    assert_eq!(loaded.connect2(true, &tcp(40001)), EADDRNOTAVAIL);
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
