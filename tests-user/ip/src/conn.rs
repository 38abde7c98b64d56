// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One TCP endpoint: ip's conn and, while a program has it, sockfs's socket.

use std::collections::VecDeque;
use std::net::Ipv6Addr;

use crate::address::{IpVersion, UNSET, shown_source};
use crate::error::Errno;
use crate::module::ClinetTcp;
use crate::tcp::Limits;

/// Names a conn of a stack.
pub(crate) type ConnId = u64;

/// The states of TCP with the numbers that `cl_tcp_info_t` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of RFC 9293 and of illumos")]
pub enum TcpState {
    Idle = -5,
    Bound = -4,
    Listen = -3,
    SynSent = -2,
    SynRcvd = -1,
    Established = 0,
    CloseWait = 1,
    FinWait1 = 2,
    Closing = 3,
    LastAck = 4,
    FinWait2 = 5,
    TimeWait = 6,
}

/// The place in the connected hash, by what it was inserted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuple {
    pub laddr: Ipv6Addr,
    pub lport: u16,
    pub faddr: Ipv6Addr,
    pub fport: u16,
}

/// What a timer does when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Sends the SYN again, or gives up after this many.
    Syn { sent: u32 },
    /// Sends data again that did not arrive, and waits twice as long if it does
    /// not now.
    Data { wait: u64 },
    /// Sends the FIN again.
    Fin,
    /// Ends TIME_WAIT.
    TimeWait,
}

/// sockfs's side: what the program sees.
#[derive(Debug, Default)]
pub(crate) struct Sonode {
    pub connected: bool,
    pub cannot_send: bool,
    pub cannot_receive: bool,
    pub accepts: bool,
    /// No connect is under way, or its end is known.
    pub resolved: bool,
    pub error: Option<Errno>,
    pub received: usize,
    pub nonblocking: bool,
    pub linger0: bool,
    pub reuseaddr: bool,
    /// Connections that wait for accept.
    pub queue: VecDeque<ConnId>,
}

/// One TCP endpoint.
#[derive(Debug)]
pub(crate) struct Conn {
    pub family: u16,
    pub version: IpVersion,
    pub state: TcpState,
    /// What bind was given, also after `bind(NULL)`; nothing of an accepted
    /// connection.
    pub bound: Ipv6Addr,
    /// `conn_laddr_v6`: what the hooks are told.
    pub laddr: Ipv6Addr,
    /// `conn_saddr_v6`: what packets and getsockname have.
    pub saddr: Ipv6Addr,
    pub lport: u16,
    pub faddr: Ipv6Addr,
    pub fport: u16,
    pub v6only: bool,
    /// SO_EXCLBIND
    pub exclbind: bool,
    /// SO_REUSEPORT
    pub reuseport: bool,
    /// Who may share the port: the conns of a group, by the one that began it
    /// (`tcp_rg_bind`).
    pub port_group: Option<ConnId>,
    /// When it got its port, and when it began to listen, in a stack's order.
    pub bound_at: u64,
    pub listens_since: u64,
    /// The ports in the header template, which outlives a failed connect.
    pub template: Option<(u16, u16)>,
    /// The place in the connected hash.
    pub connected_hash: Option<Tuple>,
    /// IPCL_CL_LISTENER: cl_inet_listen was told.
    pub announced: bool,
    pub backlog: usize,
    /// What options set that are checked by each other.
    pub limits: Limits,
    /// Milliseconds after which a connect is given up; 0 is never.
    pub abort_threshold: u64,
    /// The listener, until accept.
    pub listener: Option<ConnId>,
    /// Died before accept; closed once more by whoever takes it.
    pub dead: bool,
    pub timer: Option<(u64, Timer)>,
    /// Data that was sent and did not arrive, in bytes.
    pub unsent: Vec<usize>,
    /// The generation in which the source was good.
    pub source_seen: u32,
    /// The contract's state of this connection; it never moves.
    pub ct: Box<ClinetTcp>,
    /// `None` once closed, and before a connection is offered to accept.
    pub sonode: Option<Sonode>,
}

impl Conn {
    pub fn new(family: u16, abort_threshold: u64) -> Self {
        Self {
            family,
            version: IpVersion::of_family(family),
            state: TcpState::Idle,
            bound: UNSET,
            laddr: UNSET,
            saddr: UNSET,
            lport: 0,
            faddr: UNSET,
            fport: 0,
            v6only: false,
            exclbind: false,
            reuseport: false,
            port_group: None,
            bound_at: 0,
            listens_since: 0,
            template: None,
            connected_hash: None,
            announced: false,
            backlog: 0,
            limits: Limits::default(),
            abort_threshold,
            listener: None,
            dead: false,
            timer: None,
            unsent: Vec::new(),
            source_seen: 0,
            ct: Box::default(),
            sonode: Some(Sonode {
                resolved: true,
                ..Sonode::default()
            }),
        }
    }

    pub fn tuple(&self) -> Tuple {
        Tuple {
            laddr: self.laddr,
            lport: self.lport,
            faddr: self.faddr,
            fport: self.fport,
        }
    }

    /// Sets SO_REUSEPORT. A group that is bound outlives it: others go on sharing
    /// the port.
    pub fn set_reuseport(&mut self, id: ConnId, on: bool) {
        if on && !self.reuseport {
            self.port_group.get_or_insert(id);
        } else if !on && self.state == TcpState::Idle {
            self.port_group = None;
        }
        self.reuseport = on;
    }

    /// The address that getsockname shows: without a source, what bind was
    /// given the last time.
    pub fn name(&self) -> Ipv6Addr {
        shown_source(self.family, self.saddr, self.bound)
    }

    /// What becomes of an endpoint whose connection ended while a program has
    /// it: only the address that it was bound to stays, and not what options set
    /// of TCP.
    pub fn reinit(&mut self, abort_threshold: u64) {
        self.limits = Limits::default();
        self.abort_threshold = abort_threshold;
        self.version = IpVersion::of_family(self.family);
        self.state = TcpState::Idle;
        self.laddr = UNSET;
        self.saddr = UNSET;
        self.lport = 0;
        self.port_group = None;
        self.faddr = UNSET;
        self.fport = 0;
        self.template = None;
        self.connected_hash = None;
        self.timer = None;
        self.unsent.clear();
    }
}

impl Sonode {
    /// The upcall of a connection that is up.
    pub fn on_connected(&mut self) {
        self.connected = true;
        self.resolved = true;
    }

    /// The upcall of a connection that ended or never was. What was closed for
    /// sending stays so, even if a later connect succeeds.
    pub fn on_disconnected(&mut self, error: Errno) {
        self.connected = false;
        self.resolved = true;
        self.cannot_send = true;
        self.cannot_receive = true;
        self.error = Some(error);
    }

    pub fn take_error(&mut self) -> Option<Errno> {
        self.error.take()
    }
}
