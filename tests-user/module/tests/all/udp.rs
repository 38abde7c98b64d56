// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C6: when UDP asks. C10: its bad arguments.

use clinet_module_tests::{
    EAFNOSUPPORT, EINVAL, INET, INET6, In6, LPORT, Loaded, PEER4, PEER6, SHARED4, Socket, Tuple,
    UDP, UdpAsk, UdpState, asked, ptr, ptr_mut, sockets,
};

// C6: when it asks.

#[test]
fn c6_a_thousand_sends_to_one_destination_ask_once() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        for _ in 0..1000 {
            assert_eq!(socket.send(&peer, 53), 0);
        }
        let expected = Tuple {
            protocol: UDP,
            family: socket.family,
            laddr: socket.laddr,
            lport: LPORT,
            faddr: peer,
            fport: 53,
        };
        assert_eq!(asked(&recorder), [expected]);
    }
}

#[test]
fn c6_another_address_or_port_is_asked_about_and_the_first_again() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        let mut other = peer;
        other[3] ^= 1;
        for (addr, port) in [(peer, 53), (peer, 54), (other, 54), (peer, 53)] {
            assert_eq!(socket.send(&addr, port), 0);
            assert_eq!(socket.send(&addr, port), 0);
            let tuples = asked(&recorder);
            assert_eq!(tuples.len(), 1);
            assert_eq!((tuples[0].faddr, tuples[0].fport), (addr, port));
        }
    }
}

/// Every byte of the destination counts.
#[test]
fn c6_a_destination_differs_in_any_bit() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut socket = Socket::v6(&loaded);
    for bit in 0..144 {
        let (mut addr, mut port) = (PEER6, 53_u16);
        assert_eq!(socket.send(&addr, port), 0);
        recorder.take();
        match bit {
            0..128 => addr[bit / 8] ^= 1 << (bit % 8),
            _ => port ^= 1 << (bit - 128),
        }
        assert_eq!(socket.send(&addr, port), 0);
        assert_eq!(recorder.questions(), 1, "bit {bit}");
    }
}

#[test]
fn c6_connect_asks_always() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        for _ in 0..3 {
            assert_eq!(socket.connect(&peer, 53), 0);
            assert_eq!(asked(&recorder).len(), 1);
        }
        assert_eq!(socket.send(&peer, 53), 0);
        assert_eq!(asked(&recorder).len(), 0);
        assert_eq!(socket.connect(&peer, 53), 0);
        assert_eq!(asked(&recorder).len(), 1);
    }
}

#[test]
fn c6_a_mapped_destination_is_the_ipv4_one() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut socket = Socket::v4(&loaded);
    assert_eq!(socket.send(&PEER4, 53), 0);
    socket.family = INET6;
    let In6(mapped) = UdpState::at(INET, &PEER4, 53).v6lastdst;
    assert_eq!(socket.send(&mapped, 53), 0);
    assert_eq!(asked(&recorder).len(), 1);
}

#[test]
fn c6_an_unspecified_local_address_is_asked_about() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        let In6(mapped) = UdpState::at(INET, &[0; 16], 0).v6lastdst;
        let unspecified = [[0; 16], mapped];
        let forms = if socket.family == INET { 1 } else { 2 };
        for laddr in &unspecified[..forms] {
            socket.laddr = *laddr;
            socket.reset();
            assert_eq!(socket.send(&peer, 53), 0);
            assert_eq!(socket.connect(&peer, 53), 0);
            let tuples = asked(&recorder);
            assert_eq!(tuples.len(), 2);
            assert!(tuples.iter().all(|tuple| tuple.laddr == *laddr));
        }
    }
}

#[test]
fn c6_without_a_provider_everything_is_accepted() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        assert_eq!(socket.send(&peer, 53), 0);
        assert_eq!(socket.state, socket.at(&peer, 53));
        assert_eq!(socket.connect(&peer, 54), 0);
        assert_eq!(socket.state, socket.at(&peer, 54));
    }
    assert_eq!(loaded.stat("no_provider"), 4);
    assert_eq!(loaded.stat("udp_asked"), 0);
}

#[test]
fn c6_the_built_in_provider_registers_nothing_without_a_local_address() {
    let loaded = Loaded::with_builtin();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        socket.laddr = [0; 16];
        assert_eq!(socket.send(&peer, 53), 0);
    }
    assert_eq!(loaded.stat("unspecified"), 2);
    assert_eq!(loaded.stat("tuples"), 0);
}

// C10: bad arguments.

#[test]
fn c10_bad_arguments_change_nothing() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = UdpState::at(INET, &PEER4, 53);
    let mut ask = UdpAsk::default();
    let [cu, ask] = [ptr_mut(&mut state), ptr_mut(&mut ask)];
    let addr = ptr(&SHARED4);
    for function in ["clinet_udp_send_begin", "clinet_udp_connect_begin"] {
        assert_eq!(loaded.call(function, &[0, ask, 2, addr, 1]), EINVAL);
        assert_eq!(loaded.call(function, &[cu, 0, 2, addr, 1]), EINVAL);
        assert_eq!(loaded.call(function, &[cu, ask, 2, 0, 1]), EINVAL);
        assert_eq!(loaded.call(function, &[cu, ask, 10, addr, 1]), EAFNOSUPPORT);
    }
    for function in ["clinet_udp_send_ask", "clinet_udp_connect_ask"] {
        assert_eq!(loaded.call(function, &[0, addr, 1]), EINVAL);
        // No begin filled it.
        assert_eq!(loaded.call(function, &[ask, addr, 1]), EAFNOSUPPORT);
    }
    for function in ["clinet_udp_send_end", "clinet_udp_connect_end"] {
        loaded.tell(function, &[0, ask]);
        loaded.tell(function, &[cu, 0]);
    }
    loaded.tell("clinet_udp_reset", &[0]);
    assert_eq!(loaded.stat("bad_argument"), 8 + 4 + 4 + 1);
    assert_eq!(state, UdpState::at(INET, &PEER4, 53));
    assert_eq!(recorder.take(), []);
}

/// Calls without a result count bad arguments once and do nothing.
#[test]
fn c10_bad_arguments_of_bind_and_unbind_are_ignored() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = UdpState::at(INET, &PEER4, 53);
    let cu = ptr_mut(&mut state);
    for function in ["clinet_udp_bind", "clinet_udp_unbind"] {
        loaded.tell(function, &[0, 2, ptr(&SHARED4), 1]);
        loaded.tell(function, &[0, 10, 0, 1]);
        loaded.tell(function, &[cu, 2, 0, 1]);
        loaded.tell(function, &[cu, 10, ptr(&SHARED4), 1]);
    }
    assert_eq!(recorder.take(), []);
    assert_eq!(state, UdpState::at(INET, &PEER4, 53));
    assert_eq!(loaded.stat("bad_argument"), 8);
}

/// Even if there is nothing to ask.
#[test]
fn c10_a_send_without_a_place_for_the_question_is_einval() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut state = UdpState::at(INET, &PEER4, 53);
    let args = [ptr_mut(&mut state), 0, 2, ptr(&PEER4), 53];
    assert_eq!(loaded.call("clinet_udp_send_begin", &args), EINVAL);
    assert_eq!(recorder.take(), []);
}
