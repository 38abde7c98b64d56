// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an arriving segment does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{
    Conn, TIME_WAIT, Tcb, TcpState, ask, end, find_listener, send_ack, send_reset, send_syn_ack,
};
use crate::address::canonical;
use crate::clock::Timeout;
use crate::error::Errno;
use crate::lock;
use crate::node::{CONTEXTS, Node};
use crate::wire::{Body, Packet, Segment};

/// A segment arrives, in a network interrupt.
pub(crate) fn input(node: &Node, packet: &Packet, segment: &Segment) {
    let ends = (canonical(packet.to), canonical(packet.from));
    let conn = node.state.tables().connected.get(&ends).cloned();
    if let Some(conn) = conn {
        let mut tcb = lock(&conn.squeue);
        let is_new = segment.syn && !segment.ack;
        if tcb.is_alive() && tcb.ends() == Some(ends) {
            if tcb.state != TcpState::TimeWait || !is_new {
                return connection_input(node, &conn, &mut tcb, segment);
            }
            end(node, &CONTEXTS.interrupt, &conn, &mut tcb, None);
        }
    }
    if segment.rst {
        return;
    }
    if segment.syn
        && !segment.ack
        && let Some(listener) = find_listener(&node.state, packet.to)
    {
        return listener_input(node, &listener, packet, segment);
    }
    reset_sender(node, packet, segment);
}

/// Answers a segment that belongs to nothing.
fn reset_sender(node: &Node, packet: &Packet, segment: &Segment) {
    let reset = Segment {
        rst: true,
        from_serial: segment.to_serial,
        to_serial: segment.from_serial,
        ..Segment::default()
    };
    let packet = Packet {
        from: packet.to,
        to: packet.from,
        body: Body::Tcp(reset),
    };
    node.network.send(&node.state, packet);
}

/// A SYN for a listener: the question comes before the SYN-ACK. A refused SYN
/// is dropped, and a copy of it asks again.
fn listener_input(node: &Node, listener: &Arc<Conn>, packet: &Packet, segment: &Segment) {
    let listening = lock(&listener.squeue);
    if listening.state != TcpState::Listen {
        return reset_sender(node, packet, segment);
    }
    if lock(&listener.eagers).len() >= listening.backlog {
        return;
    }
    let (local, foreign) = (canonical(packet.to), canonical(packet.from));
    let eager = Conn::new(node.state.serial());
    let mut tcb = lock(&eager.squeue);
    let context = &CONTEXTS.interrupt;
    if ask(node, context, &mut tcb, false, (local, foreign)).is_err() {
        return;
    }
    tcb.local = Some(local);
    tcb.foreign = Some(foreign);
    tcb.peer_serial = segment.from_serial;
    tcb.state = TcpState::SynReceived;
    tcb.listener = Arc::downgrade(listener);
    let mut tables = node.state.tables();
    tables.connected.insert((local, foreign), eager.clone());
    drop(tables);
    lock(&listener.eagers).push(eager.clone());
    send_syn_ack(node, &tcb, &eager);
}

/// A segment for a connection that exists.
fn connection_input(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb, segment: &Segment) {
    let for_us = segment.to_serial == conn.serial;
    if segment.rst {
        if for_us {
            let refused = tcb.state == TcpState::SynSent;
            let error = if refused {
                Errno::ECONNREFUSED
            } else {
                Errno::ECONNRESET
            };
            end(node, &CONTEXTS.interrupt, conn, tcb, Some(error));
        }
        return;
    }
    if segment.syn {
        return syn_input(node, conn, tcb, segment);
    }
    if !for_us || segment.from_serial != tcb.peer_serial {
        // Half of an earlier connection: the peer has to forget it.
        let packet = tcb.ends().map(|(to, from)| Packet {
            from,
            to,
            body: Body::Tcp(segment.clone()),
        });
        if let Some(packet) = packet.filter(|_| !for_us) {
            reset_sender(node, &packet, segment);
        }
        return;
    }
    if tcb.state == TcpState::SynReceived {
        establish(conn, tcb);
    }
    if segment.acks_fin {
        fin_acknowledged(node, conn, tcb);
    }
    if !segment.data.is_empty() {
        data_input(node, conn, tcb, segment);
    }
    if segment.fin {
        fin_input(node, conn, tcb);
    }
}

/// A SYN, with ACK or without, for a connection that exists.
fn syn_input(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb, segment: &Segment) {
    let same_peer = tcb.peer_serial == segment.from_serial;
    match (tcb.state, segment.ack) {
        (TcpState::SynSent, true) if segment.to_serial == conn.serial => {
            tcb.peer_serial = segment.from_serial;
            establish(conn, tcb);
            send_ack(node, tcb, conn, false);
        }
        // Both sides opened at the same time, and both have asked.
        (TcpState::SynSent, false) => {
            tcb.peer_serial = segment.from_serial;
            tcb.state = TcpState::SynReceived;
            send_syn_ack(node, tcb, conn);
        }
        (TcpState::SynReceived, true) if same_peer && segment.to_serial == conn.serial => {
            establish(conn, tcb);
            send_ack(node, tcb, conn, false);
        }
        (TcpState::SynReceived, false) if same_peer => send_syn_ack(node, tcb, conn),
        // The peer knows nothing of this connection any more, and will say so.
        (_, false) if !same_peer => send_ack(node, tcb, conn, false),
        _ => {}
    }
}

fn establish(conn: &Conn, tcb: &mut Tcb) {
    tcb.state = TcpState::Established;
    conn.ready.store(true, Ordering::Release);
}

fn data_input(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb, segment: &Segment) {
    if tcb.closed {
        // Nobody will read it.
        send_reset(node, tcb, conn);
        end(node, &CONTEXTS.interrupt, conn, tcb, None);
    } else {
        tcb.received.extend(&segment.data);
    }
}

fn fin_acknowledged(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb) {
    match tcb.state {
        TcpState::FinWait1 => tcb.state = TcpState::FinWait2,
        TcpState::Closing => enter_time_wait(node, conn, tcb),
        TcpState::LastAck => end(node, &CONTEXTS.interrupt, conn, tcb, None),
        _ => {}
    }
}

fn fin_input(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb) {
    match tcb.state {
        TcpState::Established => tcb.state = TcpState::CloseWait,
        TcpState::FinWait1 => tcb.state = TcpState::Closing,
        TcpState::FinWait2 => enter_time_wait(node, conn, tcb),
        _ => return,
    }
    send_ack(node, tcb, conn, true);
}

fn enter_time_wait(node: &Node, conn: &Arc<Conn>, tcb: &mut Tcb) {
    tcb.state = TcpState::TimeWait;
    let at = node.network.clock.now() + TIME_WAIT;
    node.network
        .set_timer(node.id(), conn, at, Timeout::TimeWait);
}
