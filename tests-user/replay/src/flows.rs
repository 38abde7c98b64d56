// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All flows of all nodes: from packets to questions, endings and counts.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use foldhash::fast::RandomState;

use crate::Options;
use crate::capture::Record;
use crate::decode::{Macs, Malformed, Packet, TcpHeader, Transport, decode};
use crate::errno::errno_name;
use crate::report::{Counters, NodeReport, Refusal, Report};
use crate::stack::{Answer, Direction, FiveTuple, NodeId, Protocol, Stack, StackError};
use crate::tcp::{Sender, State, Streams, Syn};

/// A TCP flow on its node. Addresses are those of IPv6, IPv4 v4-mapped.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    local: u128,
    foreign: u128,
    node: u32,
    local_port: u16,
    foreign_port: u16,
}

struct Node {
    id: NodeId,
    /// What the stack calls it.
    index: usize,
    counters: Counters,
}

/// Which nodes a packet concerns, as indices into `nodes`.
#[derive(Clone, Copy)]
struct Concerned {
    source: Option<usize>,
    destination: Option<usize>,
}

pub(crate) struct Flows<'a> {
    stack: &'a mut dyn Stack,
    options: &'a Options,
    shared: HashSet<u128, RandomState>,
    nodes: Vec<Node>,
    node_by_id: HashMap<NodeId, usize, RandomState>,
    flows: HashMap<Key, State, RandomState>,
    /// Ended flows, oldest first, with the serial of their ending.
    endings: VecDeque<(Key, u64)>,
    serial: u64,
    totals: Counters,
    refusals: Vec<Refusal>,
    refusals_omitted: u64,
}

fn bits(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(bits: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical()
}

impl<'a> Flows<'a> {
    pub(crate) fn new(options: &'a Options, stack: &'a mut dyn Stack) -> Self {
        Self {
            stack,
            options,
            shared: options.shared.iter().map(bits).collect(),
            nodes: Vec::new(),
            node_by_id: HashMap::default(),
            flows: HashMap::default(),
            endings: VecDeque::new(),
            serial: 0,
            totals: Counters::default(),
            refusals: Vec::new(),
            refusals_omitted: 0,
        }
    }

    /// What has been found so far.
    pub(crate) fn into_report(self) -> Report {
        let mut totals = self.totals;
        for node in &self.nodes {
            totals.add_flows_of(&node.counters);
        }
        let nodes = self.nodes.into_iter().map(|node| NodeReport {
            node: node.id.to_string(),
            counters: node.counters,
        });
        Report {
            totals,
            nodes: nodes.collect(),
            refusals: self.refusals,
            refusals_omitted: self.refusals_omitted,
        }
    }

    /// Takes the capture's next packet. After an error it is not counted.
    pub(crate) fn packet(&mut self, record: &Record<'_>) -> Result<(), StackError> {
        match decode(record) {
            Err(Malformed) => self.totals.undecodable += 1,
            Ok(Some(packet)) if self.is_shared(&packet) => self.shared_packet(record, &packet)?,
            Ok(_) => self.totals.not_shared += 1,
        }
        self.totals.packets += 1;
        Ok(())
    }

    fn is_shared(&self, packet: &Packet) -> bool {
        self.shared.contains(&packet.source) || self.shared.contains(&packet.destination)
    }

    fn shared_packet(&mut self, record: &Record<'_>, packet: &Packet) -> Result<(), StackError> {
        let concerned = self.concerned(packet)?;
        let second = concerned
            .destination
            .filter(|node| Some(*node) != concerned.source);
        for node in concerned.source.into_iter().chain(second) {
            let counters = &mut self.nodes[node].counters;
            counters.packets += 1;
            counters.undecodable += u64::from(packet.transport.is_err());
        }
        match packet.transport {
            Err(Malformed) => self.totals.undecodable += 1,
            Ok(Transport::Tcp {
                source,
                destination,
                header,
            }) => self.tcp(record, packet, concerned, (source, destination), &header),
            Ok(Transport::Udp {
                source,
                destination,
            }) => {
                if let Some(node) = concerned.source {
                    let flow = FiveTuple {
                        protocol: Protocol::Udp,
                        local: (address(packet.source), source),
                        foreign: (address(packet.destination), destination),
                    };
                    self.udp_send(record, node, &flow);
                }
            }
            Ok(Transport::Other) => {}
        }
        Ok(())
    }

    fn concerned(&mut self, packet: &Packet) -> Result<Concerned, StackError> {
        let ports = match packet.transport {
            Ok(
                Transport::Tcp {
                    source,
                    destination,
                    ..
                }
                | Transport::Udp {
                    source,
                    destination,
                },
            ) => Some((source, destination)),
            _ => None,
        };
        let macs = match packet.macs {
            Macs::None => None,
            Macs::Ethernet {
                source,
                destination,
            } => Some((source, destination)),
        };
        let mut concerned = Concerned {
            source: None,
            destination: None,
        };
        if self.shared.contains(&packet.source) {
            let id = self.node_id(macs.map(|m| m.0), ports.map(|p| p.0));
            concerned.source = self.node(id)?;
        }
        if self.shared.contains(&packet.destination) {
            let id = self.node_id(macs.map(|m| m.1), ports.map(|p| p.1));
            concerned.destination = self.node(id)?;
        }
        Ok(concerned)
    }

    /// The node behind a shared address, given its MAC address and its port.
    fn node_id(&self, mac: Option<[u8; 6]>, port: Option<u16>) -> Option<NodeId> {
        match (self.options.nodes, mac) {
            (Some(nodes), _) => port.map(|port| NodeId::Modulo(u32::from(port) % nodes)),
            (None, None) => Some(NodeId::All),
            (None, Some(mac)) if mac[0] & 1 == 0 => Some(NodeId::Mac(mac)),
            (None, Some(_)) => None,
        }
    }

    fn node(&mut self, id: Option<NodeId>) -> Result<Option<usize>, StackError> {
        let Some(id) = id else { return Ok(None) };
        if let Some(node) = self.node_by_id.get(&id) {
            return Ok(Some(*node));
        }
        let index = self.stack.add_node(&id)?;
        let node = self.nodes.len();
        self.nodes.push(Node {
            id,
            index,
            counters: Counters::default(),
        });
        self.node_by_id.insert(id, node);
        Ok(Some(node))
    }

    fn tcp(
        &mut self,
        record: &Record<'_>,
        packet: &Packet,
        concerned: Concerned,
        (source_port, destination_port): (u16, u16),
        header: &TcpHeader,
    ) {
        let received = concerned.destination.map(|node| Key {
            local: packet.destination,
            foreign: packet.source,
            node: node as u32,
            local_port: destination_port,
            foreign_port: source_port,
        });
        // It answers what a refused flow would have sent.
        if concerned.source.is_some()
            && received.is_some_and(|key| self.is_refused(&key, Direction::Outgoing))
        {
            return;
        }
        if let Some(node) = concerned.source {
            let key = Key {
                local: packet.source,
                foreign: packet.destination,
                node: node as u32,
                local_port: source_port,
                foreign_port: destination_port,
            };
            self.tcp_on_node(record, key, Sender::Local, header);
            // What a refused flow would send is not there to be received.
            if matches!(self.flows.get(&key), Some(State::Refused { .. })) {
                return;
            }
        }
        if let Some(key) = received {
            self.tcp_on_node(record, key, Sender::Foreign, header);
        }
    }

    fn is_refused(&self, key: &Key, way: Direction) -> bool {
        matches!(self.flows.get(key), Some(State::Refused { direction, .. }) if *direction == way)
    }

    fn tcp_on_node(&mut self, record: &Record<'_>, key: Key, sender: Sender, header: &TcpHeader) {
        if header.syn && !header.ack && !header.rst {
            self.tcp_syn(record, key, sender, header);
        } else {
            self.tcp_segment(key, sender, header);
        }
    }

    fn tcp_syn(&mut self, record: &Record<'_>, key: Key, sender: Sender, header: &TcpHeader) {
        let syn = match self.flows.get(&key) {
            Some(state) => state.syn(sender, header.sequence),
            None => Syn::Begins,
        };
        match syn {
            Syn::Ignored => return,
            Syn::Belongs => return self.tcp_segment(key, sender, header),
            Syn::Replaces => self.tcp_end(&key),
            Syn::Begins | Syn::Crosses | Syn::AsksAgain => {}
        }
        if syn != Syn::AsksAgain {
            let counters = &mut self.nodes[key.node as usize].counters;
            match sender.direction() {
                Direction::Outgoing => counters.tcp_out += 1,
                Direction::Incoming => counters.tcp_in += 1,
            }
        }
        if syn == Syn::Crosses {
            self.tcp_segment(key, sender, header);
        } else {
            self.tcp_ask(record, key, sender, header);
        }
    }

    fn tcp_ask(&mut self, record: &Record<'_>, key: Key, sender: Sender, header: &TcpHeader) {
        let direction = sender.direction();
        let isn = header.sequence;
        let node = &mut self.nodes[key.node as usize];
        let flow = tcp_flow(&key);
        let state = match self.stack.tcp_connect(node.index, direction, &flow) {
            Answer::Accepted => {
                node.counters.tcp_open += 1;
                let mut streams = Streams::default();
                streams.segment(sender, header);
                State::Open {
                    direction,
                    isn,
                    streams,
                }
            }
            Answer::Refused { errno, owner } => {
                self.refusal(record, key.node as usize, direction, &flow, errno, owner);
                State::Refused { direction, isn }
            }
        };
        self.flows.insert(key, state);
    }

    fn tcp_segment(&mut self, key: Key, sender: Sender, header: &TcpHeader) {
        let state = self.flows.entry(key).or_insert_with(|| {
            self.nodes[key.node as usize].counters.tcp_midstream += 1;
            State::Midstream {
                streams: Streams::default(),
            }
        });
        let (began, over) = match state {
            State::Open {
                direction,
                isn,
                streams,
            } => (Some((*direction, *isn)), streams.segment(sender, header)),
            State::Midstream { streams } => (None, streams.segment(sender, header)),
            State::Refused { .. } | State::Ended { .. } => return,
        };
        if !over {
            return;
        }
        self.serial += 1;
        *state = State::Ended {
            began,
            serial: self.serial,
        };
        self.endings.push_back((key, self.serial));
        if began.is_some() {
            self.tcp_end(&key);
        }
        self.forget_endings();
    }

    /// Tells the stack that an accepted connection is over.
    fn tcp_end(&mut self, key: &Key) {
        let node = &mut self.nodes[key.node as usize];
        node.counters.tcp_open -= 1;
        self.stack.tcp_end(node.index, &tcp_flow(key));
    }

    fn forget_endings(&mut self) {
        while self.endings.len() > self.options.remembered_endings {
            let Some((key, ending)) = self.endings.pop_front() else {
                return;
            };
            // The 5-tuple may be in use again.
            if matches!(self.flows.get(&key), Some(State::Ended { serial, .. }) if *serial == ending)
            {
                self.flows.remove(&key);
            }
        }
    }

    fn udp_send(&mut self, record: &Record<'_>, node: usize, flow: &FiveTuple) {
        let answer = self.stack.udp_send(self.nodes[node].index, flow);
        let counters = &mut self.nodes[node].counters;
        counters.udp_sends += 1;
        counters.udp_asked += u64::from(answer.asked);
        if let Answer::Refused { errno, owner } = answer.answer {
            self.refusal(record, node, Direction::Outgoing, flow, errno, owner);
        }
    }

    fn refusal(
        &mut self,
        record: &Record<'_>,
        node: usize,
        direction: Direction,
        flow: &FiveTuple,
        errno: i32,
        owner: Option<usize>,
    ) {
        self.nodes[node].counters.refused += 1;
        if self.refusals.len() >= self.options.listed_refusals {
            self.refusals_omitted += 1;
            return;
        }
        let owner = owner.and_then(|index| self.nodes.iter().find(|node| node.index == index));
        self.refusals.push(Refusal {
            packet: record.number,
            time: record.time.map(|time| time.to_string()),
            protocol: flow.protocol.to_string(),
            direction: direction.to_string(),
            local: SocketAddr::from(flow.local).to_string(),
            foreign: SocketAddr::from(flow.foreign).to_string(),
            errno,
            errno_name: errno_name(errno),
            owner: owner.map(|node| node.id.to_string()),
            asker: self.nodes[node].id.to_string(),
        });
    }
}

fn tcp_flow(key: &Key) -> FiveTuple {
    FiveTuple {
        protocol: Protocol::Tcp,
        local: (address(key.local), key.local_port),
        foreign: (address(key.foreign), key.foreign_port),
    }
}
