// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The wire between the nodes. It loses nothing and keeps the order of what
//! one node receives; what has no receiver is dropped.
//!
//! Whoever sends also delivers, once it holds no lock any more: one thread at
//! a time plays the network interrupt of a node.

use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::lock;
use crate::node::NodeId;

/// What a TCP segment says. Serial numbers, one for each connection, stand for
/// sequence numbers: a segment of an earlier connection is told from one of
/// this.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Begins a connection.
    pub syn: bool,
    /// Acknowledges.
    pub ack: bool,
    /// Ends the sender's stream.
    pub fin: bool,
    /// Acknowledges the FIN of the receiver.
    pub acks_fin: bool,
    /// Ends the connection at once.
    pub rst: bool,
    /// The sender's connection.
    pub from_serial: u64,
    /// The receiver's connection, 0 in a first SYN.
    pub to_serial: u64,
    /// The bytes that it carries.
    pub data: Vec<u8>,
}

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A TCP segment.
    Tcp(Segment),
    /// A UDP datagram.
    Udp(Vec<u8>),
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its source.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
    /// What it carries.
    pub body: Body,
}

impl Packet {
    /// Is it a SYN that begins a connection?
    pub fn begins_connection(&self) -> bool {
        matches!(&self.body, Body::Tcp(segment) if segment.syn && !segment.ack)
    }

    /// Is it a RST?
    pub fn is_reset(&self) -> bool {
        matches!(&self.body, Body::Tcp(segment) if segment.rst)
    }
}

/// A packet as a sniffer on the wire sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The virtual time.
    pub at: Duration,
    /// Who sent it.
    pub sender: NodeId,
    /// Who gets it; `None` if nobody.
    pub receiver: Option<NodeId>,
    /// The packet.
    pub packet: Packet,
}

/// What one node has not received yet.
#[derive(Default)]
struct Inbound {
    packets: VecDeque<Packet>,
    /// A thread is delivering.
    busy: bool,
}

#[derive(Default)]
struct State {
    inbound: Vec<Inbound>,
    /// Packets that are queued or being delivered.
    outstanding: usize,
    /// How often nothing was outstanding.
    idle_times: u64,
    unreachable: HashSet<IpAddr>,
    sightings: Option<Vec<Sighting>>,
}

#[derive(Default)]
pub(crate) struct Wire {
    state: Mutex<State>,
    idle: Condvar,
}

impl Wire {
    /// Connects one node more.
    pub fn attach(&self) {
        lock(&self.state).inbound.push(Inbound::default());
    }

    pub fn set_reachable(&self, address: IpAddr, reachable: bool) {
        let unreachable = &mut lock(&self.state).unreachable;
        if reachable {
            unreachable.remove(&address.to_canonical());
        } else {
            unreachable.insert(address.to_canonical());
        }
    }

    pub fn is_reachable(&self, address: IpAddr) -> bool {
        !lock(&self.state)
            .unreachable
            .contains(&address.to_canonical())
    }

    pub fn set_sniffing(&self, on: bool) {
        lock(&self.state).sightings = on.then(Vec::new);
    }

    pub fn take_sightings(&self) -> Vec<Sighting> {
        lock(&self.state)
            .sightings
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Queues a packet for its receiver, if it has one.
    pub fn send(&self, sighting: Sighting) {
        let mut state = lock(&self.state);
        if let Some(sightings) = &mut state.sightings {
            sightings.push(sighting.clone());
        }
        if let Some(receiver) = sighting.receiver {
            state.inbound[receiver.index()]
                .packets
                .push_back(sighting.packet);
            state.outstanding += 1;
        }
    }

    /// Delivers what is queued, as far as no other thread does already.
    pub fn pump(&self, deliver: impl Fn(NodeId, Packet)) {
        let nodes = lock(&self.state).inbound.len();
        loop {
            let before = lock(&self.state).idle_times;
            let mut delivered = false;
            for node in (0..nodes).map(NodeId::from_index) {
                delivered |= self.pump_node(node, &deliver);
            }
            if !delivered || before != lock(&self.state).idle_times {
                return;
            }
        }
    }

    fn pump_node(&self, node: NodeId, deliver: &impl Fn(NodeId, Packet)) -> bool {
        let mut state = lock(&self.state);
        if std::mem::replace(&mut state.inbound[node.index()].busy, true) {
            return false;
        }
        let mut delivered = false;
        while let Some(packet) = state.inbound[node.index()].packets.pop_front() {
            drop(state);
            deliver(node, packet);
            delivered = true;
            state = lock(&self.state);
            state.outstanding -= 1;
            if state.outstanding == 0 {
                state.idle_times += 1;
                self.idle.notify_all();
            }
        }
        state.inbound[node.index()].busy = false;
        delivered
    }

    /// Is nothing queued or being delivered?
    pub fn is_idle(&self) -> bool {
        lock(&self.state).outstanding == 0
    }

    /// Waits until nothing is outstanding at some moment, but not for ever:
    /// a thread that panicked delivers nothing.
    pub fn wait_idle(&self) {
        const RECHECK: Duration = Duration::from_millis(20);
        let state = lock(&self.state);
        let before = state.idle_times;
        let _ = self
            .idle
            .wait_timeout_while(state, RECHECK, |state| {
                state.outstanding > 0 && state.idle_times == before
            })
            .unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u8) -> Sighting {
        let end = SocketAddr::from(([192, 0, 2, 1], 1));
        Sighting {
            at: Duration::ZERO,
            sender: NodeId::from_index(0),
            receiver: Some(NodeId::from_index(1)),
            packet: Packet {
                from: end,
                to: end,
                body: Body::Udp(vec![number]),
            },
        }
    }

    #[test]
    fn packets_arrive_in_order_and_answers_are_delivered_too() {
        let wire = Wire::default();
        wire.attach();
        wire.attach();
        for number in 0..3 {
            wire.send(numbered(number));
        }
        let arrived = Mutex::new(Vec::new());
        wire.pump(|node, packet| {
            if packet.body == Body::Udp(vec![1]) {
                let receiver = Some(NodeId::from_index(0));
                wire.send(Sighting {
                    receiver,
                    ..numbered(9)
                });
            }
            assert!(!wire.is_idle());
            lock(&arrived).push((node.number(), packet.body));
        });
        let expected = [(2, 0), (2, 1), (2, 2), (1, 9)];
        let expected = expected.map(|(node, number)| (node, Body::Udp(vec![number])));
        assert_eq!(*lock(&arrived), expected);
        assert!(wire.is_idle());
    }
}
