// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A UDP socket as a stack that calls clinet has it.

use crate::{
    ASK, INET, INET6, Loaded, PEER4, PEER6, Recorder, SHARED4, SHARED6, Tuple, UdpAsk, UdpState,
    What, ptr, ptr_mut,
};

/// A socket as a stack has it: its local end and its two fields.
pub struct Socket<'a> {
    /// The machine that it is on.
    pub loaded: &'a Loaded,
    /// Its address family.
    pub family: u16,
    /// Its local address; its port is [`LPORT`].
    pub laddr: [u8; 16],
    /// The two fields.
    pub state: UdpState,
}

/// The local port of every socket.
pub const LPORT: u16 = 40000;

impl<'a> Socket<'a> {
    /// An IPv4 socket on the shared address, with no destination.
    pub fn v4(loaded: &'a Loaded) -> Self {
        Self {
            loaded,
            family: INET,
            laddr: SHARED4,
            state: UdpState::NONE,
        }
    }

    /// An IPv6 socket on the shared address, with no destination.
    pub fn v6(loaded: &'a Loaded) -> Self {
        Self {
            family: INET6,
            laddr: SHARED6,
            ..Self::v4(loaded)
        }
    }

    /// `clinet_udp_send_begin` or `clinet_udp_connect_begin`.
    pub fn begin(&mut self, function: &str, ask: &mut UdpAsk, addr: &[u8; 16], port: u16) -> i32 {
        let args = [
            ptr_mut(&mut self.state),
            ptr_mut(ask),
            u64::from(self.family),
            ptr(addr),
            u64::from(port),
        ];
        self.loaded.call(function, &args)
    }

    /// `clinet_udp_send_ask` or `clinet_udp_connect_ask`.
    pub fn ask(&self, function: &str, ask: &UdpAsk) -> i32 {
        let args = [ptr(ask), ptr(&self.laddr), u64::from(LPORT)];
        self.loaded.call(function, &args)
    }

    /// `clinet_udp_send_end` or `clinet_udp_connect_end`.
    pub fn end(&mut self, function: &str, ask: &UdpAsk) {
        self.loaded
            .tell(function, &[ptr_mut(&mut self.state), ptr(ask)]);
    }

    /// `sendto()`.
    pub fn send(&mut self, addr: &[u8; 16], port: u16) -> i32 {
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
    ///
    /// # Panics
    ///
    /// If it cannot begin.
    pub fn connect(&mut self, addr: &[u8; 16], port: u16) -> i32 {
        let mut ask = UdpAsk::default();
        let begun = self.begin("clinet_udp_connect_begin", &mut ask, addr, port);
        assert_eq!(begun, 0);
        let error = self.ask("clinet_udp_connect_ask", &ask);
        if error == 0 {
            self.end("clinet_udp_connect_end", &ask);
        }
        error
    }

    /// `clinet_udp_bind` or `clinet_udp_unbind`.
    pub fn tell(&mut self, function: &str) {
        let args = [
            ptr_mut(&mut self.state),
            u64::from(self.family),
            ptr(&self.laddr),
            u64::from(LPORT),
        ];
        self.loaded.tell(function, &args);
    }

    /// `clinet_udp_reset`.
    pub fn reset(&mut self) {
        self.loaded
            .tell("clinet_udp_reset", &[ptr_mut(&mut self.state)]);
    }

    /// An address of the socket's family.
    pub fn peer(&self) -> [u8; 16] {
        if self.family == INET { PEER4 } else { PEER6 }
    }

    /// The state whose most recent destination this is.
    pub fn at(&self, addr: &[u8; 16], port: u16) -> UdpState {
        UdpState::at(self.family, addr, port)
    }
}

/// All that forgets the most recent destination at once.
pub const RESETS: [fn(&mut Socket<'_>); 3] = [
    |socket| socket.tell("clinet_udp_bind"),
    |socket| socket.tell("clinet_udp_unbind"),
    |socket| socket.reset(),
];

/// The 5-tuples asked about since the last time, and nothing else happened.
///
/// # Panics
///
/// If something else was told.
#[must_use]
pub fn asked(recorder: &Recorder) -> Vec<Tuple> {
    let calls = recorder.take();
    assert!(
        calls.iter().all(|(what, _)| *what == What::Connect2(1)),
        "{calls:?}"
    );
    calls.into_iter().map(|(_, tuple)| tuple).collect()
}

/// A socket of each family.
#[must_use]
pub fn sockets(loaded: &Loaded) -> [Socket<'_>; 2] {
    [Socket::v4(loaded), Socket::v6(loaded)]
}
