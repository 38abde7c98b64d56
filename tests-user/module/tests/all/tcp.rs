// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C5: TCP asks once per connection, and each accepted question is ended once.

use std::sync::atomic::Ordering;

use clinet_module_tests::{
    Args, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINPROGRESS, EINVAL, INET, INET6, Loaded, PEER4,
    SHARED4, TCP, TcpState, Tuple, What, ptr, ptr_mut,
};

const V4: Tuple = Tuple::v4(TCP, 40000, 80);
const V6: Tuple = Tuple::v6(TCP, 40001, 443);

fn connect(loaded: &Loaded, state: &mut TcpState, outgoing: bool, tuple: &Tuple) -> i32 {
    let args = [
        ptr_mut(state),
        u64::from(outgoing),
        u64::from(tuple.family),
        ptr(&tuple.laddr),
        u64::from(tuple.lport),
        ptr(&tuple.faddr),
        u64::from(tuple.fport),
    ];
    loaded.call("clinet_tcp_connect", &args)
}

fn disconnect(loaded: &Loaded, state: &mut TcpState) {
    loaded.tell("clinet_tcp_disconnect", &[ptr_mut(state)]);
}

#[test]
fn c5_each_connect_and_each_syn_is_asked_about_once() {
    let (loaded, recorder) = Loaded::with_recorder();
    for (outgoing, tuple) in [(true, V4), (false, V4), (true, V6), (false, V6)] {
        let mut state = TcpState::default();
        assert_eq!(connect(&loaded, &mut state, outgoing, &tuple), 0);
        assert_eq!(
            recorder.take(),
            [(What::Connect2(u32::from(outgoing)), tuple)]
        );
    }
    assert_eq!(loaded.stat("tcp_out_asked"), 2);
    assert_eq!(loaded.stat("tcp_in_asked"), 2);
}

#[test]
fn c5_an_accepted_question_is_ended_exactly_once() {
    let (loaded, recorder) = Loaded::with_recorder();
    for tuple in [V4, V6] {
        let mut state = TcpState::default();
        assert_eq!(connect(&loaded, &mut state, true, &tuple), 0);
        recorder.take();
        for _ in 0..3 {
            disconnect(&loaded, &mut state);
        }
        assert_eq!(recorder.take(), [(What::Disconnect, tuple)]);
    }
    assert_eq!(loaded.stat("ended"), 2);
}

/// The stack clears its own addresses before it closes: what is told is what
/// was asked.
#[test]
fn c5_the_end_names_the_tuple_of_the_question() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = TcpState::default();
    let mut tuple = V4;
    assert_eq!(connect(&loaded, &mut state, true, &tuple), 0);
    tuple.laddr = [0; 16];
    tuple.faddr = [0; 16];
    std::hint::black_box(&tuple);
    recorder.take();
    disconnect(&loaded, &mut state);
    assert_eq!(recorder.take(), [(What::Disconnect, V4)]);
}

#[test]
fn c5_a_refused_question_is_not_ended_and_asks_again() {
    let (loaded, recorder) = Loaded::with_recorder();
    recorder.answer(EADDRINUSE);
    let mut state = TcpState::default();
    for _ in 0..3 {
        assert_eq!(connect(&loaded, &mut state, false, &V4), EADDRINUSE);
        disconnect(&loaded, &mut state);
        assert_eq!(recorder.take(), [(What::Connect2(0), V4)]);
    }
    recorder.answer(0);
    assert_eq!(connect(&loaded, &mut state, false, &V4), 0);
    disconnect(&loaded, &mut state);
    assert_eq!(
        recorder.take(),
        [(What::Connect2(0), V4), (What::Disconnect, V4)]
    );
    assert_eq!(loaded.stat("tcp_in_refused"), 3);
}

#[test]
fn c4_a_connection_fails_with_the_errno_of_the_provider() {
    let (loaded, recorder) = Loaded::with_recorder();
    for outgoing in [true, false] {
        let mut state = TcpState::default();
        for errno in [1, 13, EADDRINUSE, EADDRNOTAVAIL, 1000] {
            recorder.answer(errno);
            assert_eq!(connect(&loaded, &mut state, outgoing, &V4), errno);
        }
        for harmful in [-8, EINPROGRESS] {
            recorder.answer(harmful);
            let error = connect(&loaded, &mut state, outgoing, &V4);
            assert_eq!(error, EADDRNOTAVAIL, "{harmful}");
        }
    }
}

#[test]
fn c5_any_true_boolean_is_outgoing() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = TcpState::default();
    let [laddr, faddr] = [ptr(&SHARED4), ptr(&PEER4)];
    let args = [ptr_mut(&mut state), 2, 2, laddr, 1, faddr, 2];
    assert_eq!(loaded.call("clinet_tcp_connect", &args), 0);
    assert!(matches!(recorder.take()[..], [(What::Connect2(1), _)]));
}

#[test]
fn c5_a_question_that_is_still_open_is_ended_before_the_next() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = TcpState::default();
    assert_eq!(connect(&loaded, &mut state, true, &V4), 0);
    recorder.answer(EADDRINUSE);
    assert_eq!(connect(&loaded, &mut state, true, &V6), EADDRINUSE);
    disconnect(&loaded, &mut state);
    let expected = [
        (What::Connect2(1), V4),
        (What::Disconnect, V4),
        (What::Connect2(1), V6),
    ];
    assert_eq!(recorder.take(), expected);
}

#[test]
fn c5_an_unspecified_local_address_is_accepted_without_a_question() {
    let (loaded, recorder) = Loaded::with_recorder();
    recorder.answer(EADDRINUSE);
    let mut mapped = [0; 16];
    mapped[10..12].fill(0xff);
    for (family, laddr) in [(INET, [0; 16]), (INET6, [0; 16]), (INET6, mapped)] {
        for outgoing in [true, false] {
            let mut state = TcpState::default();
            let tuple = Tuple {
                family,
                laddr,
                ..V6
            };
            assert_eq!(connect(&loaded, &mut state, outgoing, &tuple), 0);
            disconnect(&loaded, &mut state);
            assert_eq!(loaded.connect2(outgoing, &tuple), 0);
            loaded.disconnect(&tuple);
        }
    }
    assert_eq!(recorder.take(), []);
    assert_eq!(loaded.stat("no_laddr"), 12);
}

/// Only the local address is looked at, and all of it.
#[test]
fn c5_other_addresses_with_zeros_are_asked_about() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut ends_in_zeros = V6;
    ends_in_zeros.laddr[12..].fill(0);
    let mut begins_with_zeros = V6;
    begins_with_zeros.laddr[..15].fill(0);
    let no_peer = Tuple {
        faddr: [0; 16],
        ..V6
    };
    for tuple in [ends_in_zeros, begins_with_zeros, no_peer] {
        let mut state = TcpState::default();
        assert_eq!(connect(&loaded, &mut state, true, &tuple), 0);
        disconnect(&loaded, &mut state);
        let expected = [(What::Connect2(1), tuple), (What::Disconnect, tuple)];
        assert_eq!(recorder.take(), expected);
    }
}

#[test]
fn c5_an_open_question_is_ended_before_one_that_is_not_asked() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = TcpState::default();
    assert_eq!(connect(&loaded, &mut state, true, &V4), 0);
    recorder.take();
    let tuple = Tuple {
        laddr: [0; 16],
        ..V6
    };
    assert_eq!(connect(&loaded, &mut state, true, &tuple), 0);
    assert_eq!(recorder.take(), [(What::Disconnect, V4)]);
    disconnect(&loaded, &mut state);
    assert_eq!(recorder.take(), []);
}

/// Accepts, and writes where the addresses are.
extern "C" fn scribble(
    _protocol: u8,
    _is_outgoing: u32,
    _family: u16,
    laddr: *mut u8,
    _lport: u16,
    faddr: *mut u8,
    _fport: u16,
) -> i32 {
    for addr in [laddr, faddr] {
        // SAFETY: every family has four bytes, and the contract makes them
        // writable; alignment does not matter.
        unsafe { addr.cast::<[u8; 4]>().write_unaligned([0xff; 4]) };
    }
    0
}

#[test]
fn c9_a_provider_that_writes_into_the_addresses_spoils_copies() {
    let (loaded, recorder) = Loaded::with_recorder();
    let function = scribble as *const () as u64;
    loaded
        .slot("cl_inet_connect2")
        .store(function, Ordering::SeqCst);
    for tuple in [V4, V6] {
        let mut state = TcpState::default();
        let callers = tuple;
        assert_eq!(connect(&loaded, &mut state, true, &callers), 0);
        assert_eq!(callers, tuple);
        disconnect(&loaded, &mut state);
        assert_eq!(recorder.take(), [(What::Disconnect, tuple)]);
    }
}

#[test]
fn c5_memory_that_was_never_zeroed_is_no_open_question() {
    let (loaded, recorder) = Loaded::with_recorder();
    for byte in [0x01_u8, 0x55, 0xff] {
        let mut bytes = [byte; size_of::<TcpState>()];
        loaded.tell("clinet_tcp_disconnect", &[ptr_mut(&mut bytes)]);
    }
    // The rest looks like a connection: it is the state alone that counts.
    for state in [1, 2, 3, 0x5555_5555, u32::MAX] {
        let mut words = [u32::from(INET6); size_of::<TcpState>() / 4];
        words[0] = state;
        loaded.tell("clinet_tcp_disconnect", &[ptr_mut(&mut words)]);
    }
    assert_eq!(recorder.take(), []);
}

#[test]
fn c5_without_a_provider_nothing_is_owed() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let mut state = TcpState::default();
    assert_eq!(connect(&loaded, &mut state, true, &V4), 0);
    let recorder = loaded.load_recorder("provider_11").unwrap();
    disconnect(&loaded, &mut state);
    assert_eq!(recorder.take(), []);
}

#[test]
fn c10_bad_arguments_change_nothing() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = TcpState::default();
    assert_eq!(connect(&loaded, &mut state, true, &V4), 0);
    recorder.take();
    let state_ptr = ptr_mut(&mut state);
    let [laddr, faddr] = [ptr(&SHARED4), ptr(&PEER4)];
    let bad: [(Args<'_>, i32); 4] = [
        (&[0, 1, 2, laddr, 1, faddr, 2], EINVAL),
        (&[state_ptr, 1, 2, 0, 1, faddr, 2], EINVAL),
        (&[state_ptr, 1, 2, laddr, 1, 0, 2], EINVAL),
        (&[state_ptr, 1, 10, laddr, 1, faddr, 2], EAFNOSUPPORT),
    ];
    for (args, errno) in bad {
        assert_eq!(loaded.call("clinet_tcp_connect", args), errno);
    }
    loaded.tell("clinet_tcp_disconnect", &[0]);
    assert_eq!(recorder.take(), []);
    assert_eq!(loaded.stat("bad_argument"), 5);
    // The open question is still open.
    disconnect(&loaded, &mut state);
    assert_eq!(recorder.take(), [(What::Disconnect, V4)]);
}

#[test]
fn c11_listeners_are_told_as_tcp() {
    let (loaded, recorder) = Loaded::with_recorder();
    for (function, what) in [
        ("clinet_tcp_listen", What::Listen),
        ("clinet_tcp_unlisten", What::Unlisten),
    ] {
        loaded.tell(function, &[u64::from(INET), ptr(&SHARED4), 80]);
        let calls = recorder.take();
        assert_eq!(calls.len(), 1);
        let (told, tuple) = calls[0];
        assert_eq!((told, tuple.protocol, tuple.lport), (what, TCP, 80));
        assert_eq!((tuple.family, tuple.laddr), (INET, SHARED4));
        loaded.tell(function, &[u64::from(INET), 0, 80]);
        assert_eq!(recorder.take(), []);
    }
}
