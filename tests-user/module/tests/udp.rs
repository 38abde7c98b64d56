// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! C6 and C7: when UDP asks, and the most recent destination.

use clinet_module_tests::{
    ASK, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EHOSTUNREACH, EINVAL, INET, INET6, In6, Loaded,
    PEER4, PEER6, Recorder, SHARED4, SHARED6, Tuple, UDP, UdpAsk, UdpState, What, ptr, ptr_mut,
};

/// A socket as a stack has it: its local end and its two fields.
struct Socket<'a> {
    loaded: &'a Loaded,
    family: u16,
    laddr: [u8; 16],
    state: UdpState,
}

const LPORT: u16 = 40000;

impl<'a> Socket<'a> {
    fn v4(loaded: &'a Loaded) -> Self {
        Self {
            loaded,
            family: INET,
            laddr: SHARED4,
            state: UdpState::NONE,
        }
    }

    fn v6(loaded: &'a Loaded) -> Self {
        Self {
            family: INET6,
            laddr: SHARED6,
            ..Self::v4(loaded)
        }
    }

    fn begin(&mut self, function: &str, ask: &mut UdpAsk, addr: &[u8; 16], port: u16) -> i32 {
        let args = [
            ptr_mut(&mut self.state),
            ptr_mut(ask),
            u64::from(self.family),
            ptr(addr),
            u64::from(port),
        ];
        self.loaded.call(function, &args)
    }

    fn ask(&self, function: &str, ask: &UdpAsk) -> i32 {
        let args = [ptr(ask), ptr(&self.laddr), u64::from(LPORT)];
        self.loaded.call(function, &args)
    }

    fn end(&mut self, function: &str, ask: &UdpAsk) {
        self.loaded
            .tell(function, &[ptr_mut(&mut self.state), ptr(ask)]);
    }

    /// `sendto()`.
    fn send(&mut self, addr: &[u8; 16], port: u16) -> i32 {
        let mut ask = UdpAsk::default();
        let begun = self.begin("clinet_udp_send_begin", &mut ask, addr, port);
        if begun != ASK {
            return begun;
        }
        let error = self.ask("clinet_udp_send_ask", &ask);
        if error == 0 {
            self.end("clinet_udp_send_end", &ask);
        }
        error
    }

    /// `connect()`.
    fn connect(&mut self, addr: &[u8; 16], port: u16) -> i32 {
        let mut ask = UdpAsk::default();
        let begun = self.begin("clinet_udp_connect_begin", &mut ask, addr, port);
        assert_eq!(begun, 0);
        let error = self.ask("clinet_udp_connect_ask", &ask);
        if error == 0 {
            self.end("clinet_udp_connect_end", &ask);
        }
        error
    }

    fn tell(&mut self, function: &str) {
        let args = [
            ptr_mut(&mut self.state),
            u64::from(self.family),
            ptr(&self.laddr),
            u64::from(LPORT),
        ];
        self.loaded.tell(function, &args);
    }

    fn reset(&mut self) {
        self.loaded
            .tell("clinet_udp_reset", &[ptr_mut(&mut self.state)]);
    }

    fn peer(&self) -> [u8; 16] {
        if self.family == INET { PEER4 } else { PEER6 }
    }

    fn at(&self, addr: &[u8; 16], port: u16) -> UdpState {
        UdpState::at(self.family, addr, port)
    }
}

fn asked(recorder: &Recorder) -> Vec<Tuple> {
    let calls = recorder.take();
    assert!(
        calls.iter().all(|(what, _)| *what == What::Connect2(1)),
        "{calls:?}"
    );
    calls.into_iter().map(|(_, tuple)| tuple).collect()
}

fn sockets(loaded: &Loaded) -> [Socket<'_>; 2] {
    [Socket::v4(loaded), Socket::v6(loaded)]
}

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
    let resets: [fn(&mut Socket<'_>); 3] = [
        |socket| socket.tell("clinet_udp_bind"),
        |socket| socket.tell("clinet_udp_unbind"),
        |socket| socket.reset(),
    ];
    for mut socket in sockets(&loaded) {
        let peer = socket.peer();
        for reset in resets {
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
    let resets: [fn(&mut Socket<'_>); 3] = [
        |socket| socket.tell("clinet_udp_bind"),
        |socket| socket.tell("clinet_udp_unbind"),
        |socket| socket.reset(),
    ];
    for mut socket in sockets(&loaded) {
        for reset in resets {
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
