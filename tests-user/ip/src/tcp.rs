// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! TCP: what a stack does around the questions that it asks.
//!
//! A connection's mutex is its squeue: the module is called inside of it, and
//! it is never taken twice by one thread, except for that of a listener and
//! then of the connection that is being made.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use clinet_kernel::Context;

use crate::address::{FiveTuple, canonical};
use crate::clock::Timeout;
use crate::error::Errno;
use crate::lock;
use crate::node::{CONTEXTS, Node, NodeState};
use crate::types::ClinetTcp;
use crate::wire::{Body, Packet, Segment};

mod input;
mod socket;

pub(crate) use input::input;
pub use socket::TcpSocket;

/// How long a SYN waits for an answer before it is sent again, the last one
/// for all further times. Copies leave at 1.1, 3.4 and 7.9 seconds, and so on.
const SYN_WAITS: [Duration; 7] = [
    Duration::from_millis(1100),
    Duration::from_millis(2300),
    Duration::from_millis(4500),
    Duration::from_secs(9),
    Duration::from_secs(18),
    Duration::from_secs(36),
    Duration::from_secs(60),
];

/// How long connect() tries.
pub const CONNECT_ABORT: Duration = Duration::from_secs(180);
/// How long a connection stays in TIME_WAIT.
pub const TIME_WAIT: Duration = Duration::from_secs(60);

/// The state of a TCP endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// Neither connected nor listening.
    Idle,
    /// It listens.
    Listen,
    /// Its SYN was sent.
    SynSent,
    /// A SYN was answered.
    SynReceived,
    /// It is connected.
    Established,
    /// The peer has closed.
    CloseWait,
    /// Both have closed, the peer first; our FIN is not acknowledged.
    LastAck,
    /// We have closed; our FIN is not acknowledged.
    FinWait1,
    /// We have closed, and the peer knows.
    FinWait2,
    /// Both have closed at the same time; our FIN is not acknowledged.
    Closing,
    /// Both have closed, we first.
    TimeWait,
    /// The program has closed the socket, and there is no connection.
    Closed,
}

/// A connection or listener.
pub(crate) struct Conn {
    serial: u64,
    squeue: Mutex<Tcb>,
    /// A listener's connections that nobody accepted.
    eagers: Mutex<Vec<Arc<Conn>>>,
    listening: AtomicBool,
    /// Established: accept() may take it.
    ready: AtomicBool,
}

/// What the squeue protects.
struct Tcb {
    state: TcpState,
    /// Bound, or the source that was chosen.
    local: Option<SocketAddr>,
    /// `local` was the program's choice.
    bound: bool,
    foreign: Option<SocketAddr>,
    peer_serial: u64,
    /// The module's state of this connection; it never moves.
    ct: ClinetTcp,
    /// What the directory was told.
    held: Option<FiveTuple>,
    /// The program has closed it.
    closed: bool,
    /// A connect was refused: only close is left.
    refused: bool,
    error: Option<Errno>,
    syns: usize,
    first_syn: Duration,
    backlog: usize,
    received: VecDeque<u8>,
    listener: Weak<Conn>,
}

impl Conn {
    fn new(serial: u64) -> Arc<Self> {
        Arc::new(Self {
            serial,
            squeue: Mutex::new(Tcb {
                state: TcpState::Idle,
                local: None,
                bound: false,
                foreign: None,
                peer_serial: 0,
                ct: ClinetTcp::default(),
                held: None,
                closed: false,
                refused: false,
                error: None,
                syns: 0,
                first_syn: Duration::ZERO,
                backlog: 0,
                received: VecDeque::new(),
                listener: Weak::new(),
            }),
            eagers: Mutex::default(),
            listening: AtomicBool::new(false),
            ready: AtomicBool::new(false),
        })
    }
}

impl Tcb {
    fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((canonical(self.local?), canonical(self.foreign?)))
    }

    /// Is there a connection, or one in the making?
    fn is_alive(&self) -> bool {
        !matches!(
            self.state,
            TcpState::Idle | TcpState::Listen | TcpState::Closed
        )
    }
}

/// Is there a connection with these ends?
pub(crate) fn is_connected(node: &NodeState, tuple: &FiveTuple) -> bool {
    let ends = (tuple.local, tuple.foreign);
    node.tables().connected.contains_key(&ends)
}

/// Does somebody listen?
pub(crate) fn is_listening(node: &NodeState, local: SocketAddr) -> bool {
    find_listener(node, local).is_some()
}

fn find_listener(node: &NodeState, local: SocketAddr) -> Option<Arc<Conn>> {
    let candidates = node.tables().tcp.candidates(local);
    candidates
        .into_iter()
        .find(|conn| conn.listening.load(Ordering::Acquire))
}

/// Asks the module; if it accepts, the directory learns of it.
fn ask(
    node: &Node,
    context: &Context,
    tcb: &mut Tcb,
    outgoing: bool,
    (local, foreign): (SocketAddr, SocketAddr),
) -> Result<(), Errno> {
    let Some(clinet) = &node.state.clinet else {
        return Ok(());
    };
    clinet.tcp_connect(context, &mut tcb.ct, outgoing, local, foreign)?;
    if !local.ip().is_unspecified() {
        let tuple = FiveTuple::tcp(local, foreign);
        tcb.held = Some(tuple);
        node.with_others(|others| {
            node.network
                .directory
                .tcp_accepted(node.id(), &tuple, others);
        });
    }
    Ok(())
}

fn send(node: &Node, tcb: &Tcb, conn: &Conn, segment: Segment) {
    let Some((from, to)) = tcb.ends() else {
        return;
    };
    let segment = Segment {
        from_serial: conn.serial,
        to_serial: tcb.peer_serial,
        ..segment
    };
    let body = Body::Tcp(segment);
    node.network.send(&node.state, Packet { from, to, body });
}

/// The connection is gone, or will not come to be: the module is told, and
/// the endpoint is as it was before, unless the program has closed it.
fn end(node: &Node, context: &Context, conn: &Arc<Conn>, tcb: &mut Tcb, error: Option<Errno>) {
    if let Some(clinet) = &node.state.clinet {
        clinet.tcp_disconnect(context, &mut tcb.ct);
    }
    if let Some(tuple) = tcb.held.take() {
        node.with_others(|others| {
            node.network.directory.tcp_ended(node.id(), &tuple, others);
        });
    }
    forget_connection(node, conn, tcb);
    if let Some(listener) = tcb.listener.upgrade() {
        lock(&listener.eagers).retain(|eager| !Arc::ptr_eq(eager, conn));
        tcb.closed |= !conn.ready.load(Ordering::Acquire);
    }
    tcb.error = tcb.error.or(error);
    if tcb.closed || !tcb.bound {
        release_port(node, conn, tcb);
    }
    tcb.state = if tcb.closed {
        TcpState::Closed
    } else {
        TcpState::Idle
    };
}

/// Takes the connection out of the hash.
fn forget_connection(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb) {
    if let Some(ends) = tcb.ends() {
        let mut tables = node.state.tables();
        if tables
            .connected
            .get(&ends)
            .is_some_and(|other| Arc::ptr_eq(other, conn))
        {
            tables.connected.remove(&ends);
        }
    }
    tcb.foreign = None;
    tcb.peer_serial = 0;
}

fn release_port(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb) {
    if let Some(local) = tcb.local.take() {
        node.state.tables().tcp.release(local.port(), conn);
    }
    tcb.bound = false;
}

/// Sends the next SYN and sets the time for the one after it.
fn send_syn(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb) {
    let now = node.network.clock.now();
    if tcb.syns == 0 {
        tcb.first_syn = now;
    }
    let wait = SYN_WAITS[tcb.syns.min(SYN_WAITS.len() - 1)];
    tcb.syns += 1;
    let at = (now + wait).min(tcb.first_syn + CONNECT_ABORT);
    let timeout = Timeout::Syn { sent: tcb.syns };
    node.network.set_timer(node.id(), conn, at, timeout);
    let syn = Segment {
        syn: true,
        ..Segment::default()
    };
    send(node, tcb, conn, syn);
}

/// A timer of `conn` is due; the squeue's worker runs it.
pub(crate) fn timeout(node: &Node, conn: &Arc<Conn>, timeout: Timeout) {
    let mut tcb = lock(&conn.squeue);
    match (timeout, tcb.state) {
        (Timeout::Syn { sent }, TcpState::SynSent) if sent == tcb.syns => {
            if node.network.clock.now() >= tcb.first_syn + CONNECT_ABORT {
                end(
                    node,
                    &CONTEXTS.squeue,
                    conn,
                    &mut tcb,
                    Some(Errno::ETIMEDOUT),
                );
            } else {
                send_syn(node, conn, &mut tcb);
            }
        }
        (Timeout::TimeWait, TcpState::TimeWait) => {
            end(node, &CONTEXTS.squeue, conn, &mut tcb, None);
        }
        _ => {}
    }
}

fn send_syn_ack(node: &Node, tcb: &Tcb, conn: &Conn) {
    let segment = Segment {
        syn: true,
        ack: true,
        ..Segment::default()
    };
    send(node, tcb, conn, segment);
}

fn send_ack(node: &Node, tcb: &Tcb, conn: &Conn, acks_fin: bool) {
    let segment = Segment {
        ack: true,
        acks_fin,
        ..Segment::default()
    };
    send(node, tcb, conn, segment);
}

fn send_fin(node: &Node, tcb: &Tcb, conn: &Conn) {
    let segment = Segment {
        fin: true,
        ack: true,
        ..Segment::default()
    };
    send(node, tcb, conn, segment);
}

fn send_reset(node: &Node, tcb: &Tcb, conn: &Conn) {
    let segment = Segment {
        rst: true,
        ..Segment::default()
    };
    send(node, tcb, conn, segment);
}
