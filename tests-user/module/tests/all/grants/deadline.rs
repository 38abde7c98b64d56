// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The gate is shut before the deadline, whatever threads and clocks do.

use std::time::Duration;

use clinet_module_tests::{Control, EADDRNOTAVAIL, ESTALE, FLOWS};

use super::{SECOND, ask_held_up, grants, tcp, unfenced};

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
