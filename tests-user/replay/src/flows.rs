// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! From packets to nodes, questions and counts.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use foldhash::fast::RandomState;

use crate::Options;
use crate::capture::{Record, Timestamp};
use crate::connections::Connections;
use crate::copies::Copies;
use crate::decode::{Decoded, Macs, Malformed, Packet, Transport, decode};
use crate::mac::{Mac, NO_MAC, is_group};
use crate::machines::{Machines, Place};
use crate::refusals::{Refusals, Refused};
use crate::report::{Counters, Report};
use crate::senders::Way;
use crate::stack::{Answer, Direction, FiveTuple, Protocol, Stack, StackError};

/// How many datagrams to MAC addresses that do not send are remembered until
/// their answer.
const UNANSWERED: usize = 1 << 16;

/// A 5-tuple without its protocol, seen from the shared address. Addresses are
/// those of IPv6, IPv4 v4-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) local: u128,
    pub(crate) foreign: u128,
    pub(crate) local_port: u16,
    pub(crate) foreign_port: u16,
}

impl Tuple {
    /// The same, seen from the other end.
    pub(crate) fn reversed(&self) -> Self {
        Self {
            local: self.foreign,
            foreign: self.local,
            local_port: self.foreign_port,
            foreign_port: self.local_port,
        }
    }

    pub(crate) fn with(&self, protocol: Protocol) -> FiveTuple {
        FiveTuple {
            protocol,
            local: (address(self.local), self.local_port),
            foreign: (address(self.foreign), self.foreign_port),
        }
    }
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

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}

/// The packet that a question comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) number: u64,
    pub(crate) time: Option<Timestamp>,
}

/// What is behind the two ends of a packet, if they are shared addresses.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) source: Option<Place>,
    pub(crate) destination: Option<Place>,
    source_mac: Option<Mac>,
    destination_mac: Option<Mac>,
    /// The packet has passed a router.
    pub(crate) routed: bool,
    /// The identification of a UDP datagram, or 0.
    number: u16,
}

impl Ends {
    pub(crate) fn source_mac(&self) -> Option<Mac> {
        self.source_mac
    }

    pub(crate) fn destination_mac(&self) -> Option<Mac> {
        self.destination_mac
    }
}

pub(crate) struct Flows<'a> {
    pub(crate) stack: &'a mut dyn Stack,
    options: &'a Options,
    shared: HashSet<u128, RandomState>,
    pub(crate) machines: Machines,
    pub(crate) connections: Connections,
    copies: Copies,
    /// Datagrams to MAC addresses that do not send, seen from those who may
    /// answer.
    unanswered: HashMap<Tuple, Mac, RandomState>,
    totals: Counters,
    routed_copies: u64,
    not_looked_into: BTreeMap<String, u64>,
    other_transports: BTreeMap<String, u64>,
    pub(crate) no_node: u64,
    refusals: Refusals,
}

impl<'a> Flows<'a> {
    pub(crate) fn new(options: &'a Options, stack: &'a mut dyn Stack) -> Self {
        Self {
            stack,
            options,
            shared: options.shared.iter().map(bits).collect(),
            machines: Machines::new(options),
            connections: Connections::new(options.remembered_endings),
            copies: Copies::new(),
            unanswered: HashMap::default(),
            totals: Counters::default(),
            routed_copies: 0,
            not_looked_into: BTreeMap::new(),
            other_transports: BTreeMap::new(),
            no_node: 0,
            refusals: Refusals::new(options.listed_refusals),
        }
    }

    /// Asks what could not be asked before the capture's end.
    pub(crate) fn end(&mut self) -> Result<(), StackError> {
        self.end_tcp()?;
        self.machines.end(self.stack)
    }

    /// What has been found so far.
    pub(crate) fn into_report(mut self) -> Report {
        self.refusals.withdraw(&mut self.machines, &self.copies);
        let nodes = self.machines.report();
        for node in &nodes {
            self.totals.add_flows_of(&node.counters);
        }
        Report {
            totals: self.totals,
            routed_copies: self.routed_copies,
            not_looked_into: self.not_looked_into,
            other_transports: self.other_transports,
            skipped_sections: BTreeMap::new(),
            no_node: self.no_node,
            nodes,
            refusals: self.refusals.list(&self.machines),
            refusals_omitted: self.refusals.omitted(),
        }
    }

    /// Takes the capture's next packet. After an error it is not counted.
    pub(crate) fn packet(&mut self, record: &Record<'_>) -> Result<(), StackError> {
        match record
            .link
            .map(|link| decode(link, record, self.options.inner))
        {
            Err(unsupported) => count(&mut self.not_looked_into, &unsupported.name()),
            Ok(Err(Malformed)) => self.totals.undecodable += 1,
            Ok(Ok(Decoded { packet, closed })) => {
                if let Some(name) = closed {
                    count(&mut self.not_looked_into, name);
                }
                match packet.filter(|packet| self.is_shared(packet)) {
                    Some(packet) => self.shared_packet(record, &packet)?,
                    None => self.totals.not_shared += u64::from(closed.is_none()),
                }
            }
        }
        self.totals.packets += 1;
        Ok(())
    }

    fn is_shared(&self, packet: &Packet) -> bool {
        self.is_shared_address(packet.source) || self.is_shared_address(packet.destination)
    }

    pub(crate) fn is_shared_address(&self, address: u128) -> bool {
        self.shared.contains(&address)
    }

    fn shared_packet(&mut self, record: &Record<'_>, packet: &Packet) -> Result<(), StackError> {
        if self.options.nodes.is_none()
            && let Some(original) = self.copies.original(packet)
        {
            self.routed_copy(packet, original);
            return Ok(());
        }
        if let Some(name) = packet.other_transport() {
            count(&mut self.other_transports, name);
        }
        let moment = Moment {
            number: record.number,
            time: record.time,
        };
        let (source_port, destination_port) = packet.ports().unwrap_or_default();
        let tuple = Tuple {
            local: packet.source,
            foreign: packet.destination,
            local_port: source_port,
            foreign_port: destination_port,
        };
        let ends = self.ends(moment, packet)?;
        if let Ok(Transport::Tcp { header, .. }) = packet.transport {
            return self.tcp(moment, &tuple, ends, &header);
        }
        self.totals.undecodable += u64::from(packet.transport.is_err());
        self.datagram(moment, packet, &tuple, ends)
    }

    /// What the two sides of a router or relay say of its MAC addresses.
    fn routed_copy(&mut self, packet: &Packet, original: (Mac, Mac)) {
        self.routed_copies += 1;
        let Macs::Ethernet {
            source,
            destination,
        } = packet.macs
        else {
            return;
        };
        for (shared, nearer, farther) in [
            (packet.source, original.0, source),
            (packet.destination, destination, original.1),
        ] {
            if self.shared.contains(&shared)
                && farther != NO_MAC
                && let Some(Place::Fixed(node) | Place::Node(node)) = self.machines.known(nearer)
            {
                self.machines.answers(farther, node);
            }
        }
    }

    fn ends(&mut self, moment: Moment, packet: &Packet) -> Result<Ends, StackError> {
        let (source_mac, destination_mac) = match packet.macs {
            Macs::None => (None, None),
            Macs::Ethernet {
                source,
                destination,
            } => (
                Some(source).filter(|mac| *mac != NO_MAC),
                Some(destination).filter(|mac| *mac != NO_MAC),
            ),
        };
        let ports = packet.ports();
        let mut place = |address, mac, port| {
            if self.shared.contains(&address) {
                self.machines
                    .place(self.stack, moment.number, address, mac, port)
            } else {
                Ok(None)
            }
        };
        let source = place(packet.source, source_mac, ports.map(|p| p.0))?;
        // A group is no node.
        let destination = match destination_mac {
            Some(mac) if is_group(mac) && self.options.nodes.is_none() => None,
            _ => place(packet.destination, destination_mac, ports.map(|p| p.1))?,
        };
        let number = match packet.transport {
            Ok(Transport::Udp { .. }) => packet.identity.number(),
            _ => 0,
        };
        Ok(Ends {
            source,
            destination,
            source_mac,
            destination_mac,
            routed: packet.is_routed(),
            number,
        })
    }

    /// Anything but TCP. What is sent from a shared address makes a node of its
    /// MAC address.
    fn datagram(
        &mut self,
        moment: Moment,
        packet: &Packet,
        tuple: &Tuple,
        ends: Ends,
    ) -> Result<(), StackError> {
        let undecodable = packet.transport.is_err();
        let source = match ends.source {
            Some(place) => Some(self.sender_by_address(tuple, place, ends)?),
            None => None,
        };
        if let Some(node) = source {
            self.machines.count(node, undecodable);
            if !self.unanswered.is_empty()
                && let Some(mac) = self.unanswered.remove(tuple)
            {
                self.machines.answers(mac, node);
            }
        }
        match ends.destination {
            Some(Place::Silent(silent)) => self.machines.count_silent(silent, undecodable),
            Some(place) => {
                let node = self.machines.node_at(self.stack, place)?;
                if Some(node) != source {
                    self.machines.count(node, undecodable);
                }
            }
            None => self.no_node += u64::from(source.is_none()),
        }
        if let Some(Place::Silent(_) | Place::Stands(_)) = ends.destination
            && let Some(mac) = ends.destination_mac()
        {
            if self.unanswered.len() >= UNANSWERED {
                self.unanswered.clear();
            }
            self.unanswered.insert(tuple.reversed(), mac);
        }
        if let (Some(node), Ok(Transport::Udp { .. })) = (source, packet.transport) {
            self.udp_send(moment, node, &tuple.with(Protocol::Udp));
        }
        Ok(())
    }

    /// The node that sends from a shared address, as far as no connection tells.
    pub(crate) fn sender_by_address(
        &mut self,
        tuple: &Tuple,
        place: Place,
        ends: Ends,
    ) -> Result<usize, StackError> {
        let way = Way {
            address: tuple.local,
            mac: ends.source_mac(),
            routed: ends.routed,
            number: ends.number,
        };
        self.machines.sender(self.stack, place, way)
    }

    fn udp_send(&mut self, moment: Moment, node: usize, flow: &FiveTuple) {
        let mut answer = self.stack.udp_send(self.machines.index(node), flow);
        // Held by what turned out to be the same machine.
        if let Answer::Refused {
            owner: Some(owner), ..
        } = answer.answer
            && let Some(holder) = self.machines.by_index(owner)
            && self.machines.machine(holder) == self.machines.machine(node)
        {
            answer = self.stack.udp_send(owner, flow);
        }
        let counters = self.machines.counters(node);
        counters.udp_sends += 1;
        counters.udp_asked += u64::from(answer.asked);
        if let Answer::Refused { errno, owner } = answer.answer {
            self.refusal(moment, node, Direction::Outgoing, flow, errno, owner);
        }
    }

    pub(crate) fn refusal(
        &mut self,
        moment: Moment,
        node: usize,
        direction: Direction,
        flow: &FiveTuple,
        errno: i32,
        owner: Option<usize>,
    ) {
        self.machines.counters(node).refused += 1;
        let owner = owner.and_then(|index| self.machines.by_index(index));
        self.refusals.add(Refused {
            moment,
            direction,
            flow: *flow,
            errno,
            asker: node,
            owner,
        });
    }
}
