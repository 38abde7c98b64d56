// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C7: the most recent destination, and the threads that change it while a
//! question is under way.

use clinet_module_tests::{
    ASK, EADDRINUSE, EADDRNOTAVAIL, EHOSTUNREACH, INET, LPORT, Loaded, PEER4, PEER6, RESETS,
    SHARED4, Socket, UDP, UdpAsk, UdpState, What, asked, ptr, ptr_mut, sockets,
};

// C7: the most recent destination.

#[test]
fn c7_the_fields_have_the_layout_that_they_have_in_udp_t() {
    assert_eq!(size_of::<UdpState>(), 20);
    let (loaded, _recorder) = Loaded::with_recorder();
    let mut bytes = [0_u8; 20];
    let mut ask = UdpAsk::default();
    let [state, ask] = [ptr_mut(&mut bytes), ptr_mut(&mut ask)];
    let args = [state, ask, u64::from(INET), ptr(&PEER4), 0x1234];
    assert_eq!(loaded.call("clinet_udp_send_begin", &args), ASK);
    assert_eq!(
        loaded.call("clinet_udp_send_ask", &[ask, ptr(&SHARED4), 1]),
        0
    );
    loaded.tell("clinet_udp_send_end", &[state, ask]);
    let expected = [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 7, 0x34, 0x12, 0, 0,
    ];
    assert_eq!(bytes, expected);
}

#[test]
fn c7_an_accepted_send_or_connect_leaves_it_at_the_peer() {
    let (loaded, _recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        assert_eq!(socket.send(&peer, 53), 0);
        assert_eq!(socket.state, socket.at(&peer, 53));
        assert_eq!(socket.connect(&peer, 54), 0);
        assert_eq!(socket.state, socket.at(&peer, 54));
    }
}

#[test]
fn c7_a_refused_send_is_ehostunreach_and_leaves_it_as_it_was() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        recorder.answer(EADDRINUSE);
        assert_eq!(socket.send(&peer, 53), EHOSTUNREACH);
        assert_eq!(socket.state, UdpState::NONE);
        recorder.answer_for(54, EADDRINUSE);
        assert_eq!(socket.send(&peer, 53), 0);
        recorder.take();
        for _ in 0..2 {
            assert_eq!(socket.send(&peer, 54), EHOSTUNREACH);
            assert_eq!(socket.state, socket.at(&peer, 53));
            assert_eq!(asked(&recorder).len(), 1, "it asks again");
        }
        assert_eq!(socket.send(&peer, 53), 0);
        assert_eq!(asked(&recorder).len(), 0);
        recorder.answer_for(0, 0);
    }
    assert_eq!(loaded.stat("udp_refused"), 6);
}

#[test]
fn c7_a_refused_connect_is_eaddrnotavail_and_leaves_it_zero() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        recorder.answer(0);
        assert_eq!(socket.send(&peer, 53), 0);
        for answer in [EADDRINUSE, 1, -8] {
            recorder.answer(answer);
            assert_eq!(socket.connect(&peer, 53), EADDRNOTAVAIL);
            assert_eq!(socket.state, UdpState::NONE);
        }
        recorder.take();
        recorder.answer(0);
        assert_eq!(socket.send(&peer, 53), 0);
        assert_eq!(asked(&recorder).len(), 1);
    }
}

#[test]
fn c7_the_start_of_connect_forgets_it() {
    let (loaded, _recorder) = Loaded::with_recorder();
    let mut socket = Socket::v4(&loaded);
    assert_eq!(socket.send(&PEER4, 53), 0);
    let mut ask = UdpAsk::default();
    assert_eq!(
        socket.begin("clinet_udp_connect_begin", &mut ask, &PEER4, 53),
        0
    );
    assert_eq!(socket.state, UdpState::NONE);
}

#[test]
fn c7_bind_unbind_and_reset_forget_it() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        for reset in RESETS {
            assert_eq!(socket.send(&peer, 53), 0);
            reset(&mut socket);
            assert_eq!(socket.state, UdpState::NONE);
            recorder.take();
            assert_eq!(socket.send(&peer, 53), 0);
            assert_eq!(recorder.questions(), 1);
        }
    }
}

#[test]
fn c7_bind_and_unbind_are_told_as_udp() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        socket.tell("clinet_udp_bind");
        socket.tell("clinet_udp_unbind");
        let calls = recorder.take();
        assert_eq!(calls.len(), 2);
        for ((told, tuple), what) in calls.into_iter().zip([What::Bind, What::Unbind]) {
            assert_eq!((told, tuple.protocol, tuple.lport), (what, UDP, LPORT));
            assert_eq!((tuple.family, tuple.laddr), (socket.family, socket.laddr));
        }
    }
}

/// All zeros is "none", and nothing equals it.
#[test]
fn c7_no_destination_equals_none() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut socket = Socket::v6(&loaded);
    for _ in 0..3 {
        assert_eq!(socket.send(&[0; 16], 0), 0);
        assert_eq!(asked(&recorder).len(), 1);
    }
    // 0.0.0.0 is kept in another form than none, port or no port.
    let mut socket = Socket::v4(&loaded);
    assert_eq!(socket.send(&[0; 16], 0), 0);
    assert_eq!(asked(&recorder).len(), 1);
}

/// A port or an address alone that is zero is a destination like others.
#[test]
fn c7_only_all_zeros_is_none() {
    let (loaded, recorder) = Loaded::with_recorder();
    let destinations = [
        (Socket::v6(&loaded), [0; 16], 53),
        (Socket::v6(&loaded), PEER6, 0),
        (Socket::v4(&loaded), [0; 16], 53),
        (Socket::v4(&loaded), PEER4, 0),
    ];
    for (mut socket, addr, port) in destinations {
        for _ in 0..3 {
            assert_eq!(socket.send(&addr, port), 0);
            assert_eq!(socket.state, socket.at(&addr, port));
        }
        assert_eq!(asked(&recorder).len(), 1, "{addr:?} {port}");
    }
}

// C7: the endpoint's lock is not held across the question.

/// Begins a send, lets `meanwhile` happen, and ends it.
fn overtaken(socket: &mut Socket<'_>, meanwhile: impl FnOnce(&mut Socket<'_>)) {
    let mut ask = UdpAsk::default();
    let peer = socket.peer();
    assert_eq!(
        socket.begin("clinet_udp_send_begin", &mut ask, &peer, 53),
        ASK
    );
    assert_eq!(socket.ask("clinet_udp_send_ask", &ask), 0);
    meanwhile(socket);
    socket.end("clinet_udp_send_end", &ask);
}

#[test]
fn c7_a_store_gives_way_to_another_thread_that_sent_elsewhere() {
    let (loaded, _recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        overtaken(&mut socket, |socket| assert_eq!(socket.send(&peer, 99), 0));
        assert_eq!(socket.state, socket.at(&peer, 99));
    }
    assert_eq!(loaded.stat("udp_overtaken"), 2);
}

/// From none to none: the two fields do not show it. The provider may have
/// dropped the registration, so the next send has to ask.
#[test]
fn c7_a_store_gives_way_to_a_reset_that_changed_nothing() {
    let (loaded, recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        for reset in RESETS {
            socket.reset();
            overtaken(&mut socket, reset);
            assert_eq!(socket.state, UdpState::NONE);
            recorder.take();
        }
    }
    assert_eq!(loaded.stat("udp_overtaken"), 6);
}

#[test]
fn c7_a_connect_that_began_later_wins_over_a_send() {
    let (loaded, _recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        overtaken(&mut socket, |socket| {
            assert_eq!(socket.connect(&peer, 99), 0)
        });
        assert_eq!(socket.state, socket.at(&peer, 99));
    }
}

/// Resets are counted for several endpoints at a time, not for all: one in a
/// thousand may have to ask once more than it must, not each.
#[test]
fn c7_a_store_rarely_gives_way_to_a_reset_of_another_endpoint() {
    let (loaded, _recorder) = Loaded::with_recorder();
    let mut sockets: Vec<Socket<'_>> = (0..65).map(|_| Socket::v4(&loaded)).collect();
    let (other, sockets) = sockets.split_first_mut().unwrap();
    for socket in &mut *sockets {
        overtaken(socket, |_| other.reset());
    }
    let stored = sockets
        .iter()
        .filter(|socket| socket.state == socket.at(&PEER4, 53));
    assert!(stored.count() > 32);
}

/// From none to none once more: a connect() began, was refused and left the
/// fields as they were, zero.
#[test]
fn c7_a_store_gives_way_to_a_connect_that_was_refused() {
    let (loaded, recorder) = Loaded::with_recorder();
    recorder.answer_for(99, EADDRINUSE);
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        overtaken(&mut socket, |socket| {
            assert_eq!(socket.connect(&peer, 99), EADDRNOTAVAIL)
        });
        assert_eq!(socket.state, UdpState::NONE);
    }
}

#[test]
fn c7_a_connect_wins_over_a_send_that_ended_meanwhile() {
    let (loaded, _recorder) = Loaded::with_recorder();
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        let mut ask = UdpAsk::default();
        let begun = socket.begin("clinet_udp_connect_begin", &mut ask, &peer, 53);
        assert_eq!(begun, 0);
        assert_eq!(socket.ask("clinet_udp_connect_ask", &ask), 0);
        assert_eq!(socket.send(&peer, 99), 0);
        socket.end("clinet_udp_connect_end", &ask);
        assert_eq!(socket.state, socket.at(&peer, 53));
    }
}

#[test]
fn c7_a_connect_gives_way_to_a_reset() {
    let (loaded, _recorder) = Loaded::with_recorder();
    let mut socket = Socket::v4(&loaded);
    let mut ask = UdpAsk::default();
    assert_eq!(
        socket.begin("clinet_udp_connect_begin", &mut ask, &PEER4, 53),
        0
    );
    assert_eq!(socket.ask("clinet_udp_connect_ask", &ask), 0);
    socket.tell("clinet_udp_unbind");
    socket.end("clinet_udp_connect_end", &ask);
    assert_eq!(socket.state, UdpState::NONE);
}
