// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which node a TCP segment belongs to.

use crate::connections::{Entry, Waiting};
use crate::decode::TcpHeader;
use crate::flows::{Ends, Flows, Moment, Tuple};
use crate::mac::{Mac, is_group};
use crate::machines::Place;
use crate::stack::{Direction, StackError};
use crate::tcp::{Sender, State, Streams};

/// Whom a segment to a shared address is for.
#[derive(Clone, Copy)]
enum Receiver {
    Node(usize),
    /// Whoever will answer for this address.
    Unknown(Mac),
}

impl Flows<'_> {
    pub(crate) fn tcp(
        &mut self,
        moment: Moment,
        sent: &Tuple,
        ends: Ends,
        header: &TcpHeader,
    ) -> Result<(), StackError> {
        let received = sent.reversed();
        if self.connections.waiting > 0 {
            self.settle(sent);
            self.settle(&received);
        }
        let source = match ends.source {
            Some(place) => Some(self.sender(sent, place, ends, header)?),
            None => None,
        };
        let receiver = match ends.destination {
            Some(place) => Some(self.receiver(&received, place, ends.destination_mac(), header)?),
            None => self.in_group(&received, ends, header),
        };
        self.count(source, receiver, ends.destination);
        // It answers what a refused flow would have sent.
        if let (Some(_), Some(Receiver::Node(node))) = (source, receiver)
            && self.is_refused(&received, node, Some(Direction::Outgoing))
        {
            return Ok(());
        }
        if let Some(node) = source {
            self.answer(sent, node, header);
            self.tcp_on_node(moment, sent, node, Sender::Local, header);
            // What a refused flow would send is not there to be received.
            if self.is_refused(sent, node, None) {
                return Ok(());
            }
        }
        match receiver {
            Some(Receiver::Node(node)) => {
                self.tcp_on_node(moment, &received, node, Sender::Foreign, header);
            }
            Some(Receiver::Unknown(mac)) => self.wait(moment, &received, mac, header)?,
            None => {}
        }
        Ok(())
    }

    fn count(
        &mut self,
        source: Option<usize>,
        receiver: Option<Receiver>,
        destination: Option<Place>,
    ) {
        if let Some(node) = source {
            self.machines.count(node, false);
        }
        match (receiver, destination) {
            (Some(Receiver::Node(node)), _) => {
                if Some(node) != source {
                    self.machines.count(node, false);
                }
            }
            (Some(Receiver::Unknown(_)), Some(Place::Silent(silent))) => {
                self.machines.count_silent(silent, false);
            }
            (Some(Receiver::Unknown(_)), Some(Place::Stands(node))) => {
                self.machines.count(node, false);
            }
            (_, _) => self.no_node += u64::from(source.is_none()),
        }
    }

    /// Which node of a group receives this segment: the one with that
    /// connection, or which answers.
    fn in_group(&self, tuple: &Tuple, ends: Ends, header: &TcpHeader) -> Option<Receiver> {
        let mac = ends.destination_mac().filter(|mac| is_group(*mac))?;
        if !self.is_shared_address(tuple.local) {
            return None;
        }
        if let Some(node) = self.fitting(tuple, Sender::Foreign, header) {
            return Some(Receiver::Node(node));
        }
        header.is_first().then_some(Receiver::Unknown(mac))
    }

    /// The node of a machine that has a flow with this 5-tuple.
    fn own_flow(&self, tuple: &Tuple, node: usize) -> Option<usize> {
        let entry = self.connections.entries.get(tuple)?;
        let machine = self.machines.machine(node);
        let mut nodes = entry.flows.iter().map(|(of, _)| *of);
        nodes.find(|of| self.machines.machine(*of) == machine)
    }

    fn fitting(&self, tuple: &Tuple, sender: Sender, header: &TcpHeader) -> Option<usize> {
        self.connections.entries.get(tuple)?.fitting(sender, header)
    }

    /// Which node sent this segment: the one that has its MAC address, unless
    /// another's connection goes on by way of that address.
    fn sender(
        &mut self,
        tuple: &Tuple,
        place: Place,
        ends: Ends,
        header: &TcpHeader,
    ) -> Result<usize, StackError> {
        match place {
            Place::Fixed(node) => return Ok(node),
            Place::Node(node) => {
                if let Some(own) = self.own_flow(tuple, node) {
                    return Ok(own);
                }
            }
            Place::Stands(_) | Place::Silent(_) => {}
        }
        if let Some(node) = self.fitting(tuple, Sender::Local, header) {
            // Whoever takes an address over resets what he does not know.
            if let Some(mac) = ends.source_mac().filter(|_| !header.rst) {
                self.machines.belongs(mac, place, node);
            }
            return Ok(node);
        }
        let node = self.sender_by_address(tuple, place, ends)?;
        Ok(self.own_flow(tuple, node).unwrap_or(node))
    }

    /// Which node receives this segment.
    fn receiver(
        &mut self,
        tuple: &Tuple,
        place: Place,
        mac: Option<Mac>,
        header: &TcpHeader,
    ) -> Result<Receiver, StackError> {
        let is_first = header.is_first();
        match (place, mac) {
            (Place::Fixed(node), _) => Ok(Receiver::Node(node)),
            (Place::Node(node), _) => {
                let own = self.own_flow(tuple, node);
                let other = || {
                    self.fitting(tuple, Sender::Foreign, header)
                        .filter(|_| !is_first)
                };
                Ok(Receiver::Node(own.or_else(other).unwrap_or(node)))
            }
            (Place::Stands(_) | Place::Silent(_), Some(mac)) => {
                if let Some(node) = self.fitting(tuple, Sender::Foreign, header) {
                    return Ok(Receiver::Node(node));
                }
                let entry = self.connections.entries.get(tuple);
                let late = entry
                    .filter(|entry| !is_first && entry.waiting.is_none())
                    .and_then(|entry| entry.flows.last());
                Ok(match late {
                    Some((node, _)) => Receiver::Node(*node),
                    None => Receiver::Unknown(mac),
                })
            }
            (place, None) => Ok(Receiver::Node(self.machines.node_at(self.stack, place)?)),
        }
    }

    /// What waits for a MAC address that has sent meanwhile is for that node.
    fn settle(&mut self, tuple: &Tuple) {
        let machines = &self.machines;
        let sends = |waiting: &Waiting| match machines.known(waiting.mac) {
            Some(Place::Node(node)) => Some(node),
            _ => None,
        };
        let Some(waiting) = self
            .connections
            .take_waiting(tuple, |waiting| sends(waiting).is_some())
        else {
            return;
        };
        if let Some(node) = sends(&waiting) {
            let node = self.own_flow(tuple, node).unwrap_or(node);
            self.resolve(tuple, waiting, node);
        }
    }

    /// A segment to an address for which nobody has answered yet.
    fn wait(
        &mut self,
        moment: Moment,
        tuple: &Tuple,
        mac: Mac,
        header: &TcpHeader,
    ) -> Result<(), StackError> {
        let entry = self.connections.entries.entry(*tuple).or_default();
        if let Some(waiting) = &mut entry.waiting {
            let again = waiting
                .syn
                .is_some_and(|syn| syn.sequence == header.sequence);
            if again || !header.is_first() {
                waiting.mac = mac;
                waiting.over |= waiting.streams.segment(Sender::Foreign, header);
                return Ok(());
            }
            if let Some(waiting) = self.connections.take_waiting(tuple, |_| true) {
                self.resolve_unanswered(tuple, waiting)?;
            }
        }
        let mut streams = Streams::default();
        let over = streams.segment(Sender::Foreign, header);
        self.connections.wait(
            tuple,
            Waiting {
                mac,
                began: moment,
                syn: header.is_first().then_some(*header),
                streams,
                over,
            },
        );
        Ok(())
    }

    /// A node sends on a 5-tuple: is that the answer somebody waits for? If it
    /// has a flow there already, only what acknowledges the new SYN is.
    fn answer(&mut self, tuple: &Tuple, node: usize, header: &TcpHeader) {
        if self.connections.waiting == 0 {
            return;
        }
        let is_new = self.own_flow(tuple, node).is_none();
        let is_answer = |waiting: &Waiting| {
            !header.is_first()
                && (is_new || waiting.syn.is_none() || waiting.streams.answers(header))
        };
        let Some(waiting) = self.connections.take_waiting(tuple, is_answer) else {
            return;
        };
        self.take_over(tuple, &waiting, node);
        self.machines.answers(waiting.mac, node);
        self.resolve(tuple, waiting, node);
    }

    /// The foreign end has begun anew by way of the same address, for which
    /// another node stood: what it had with that one is over.
    fn take_over(&mut self, tuple: &Tuple, waiting: &Waiting, node: usize) {
        if waiting.syn.is_some()
            && let Some(Place::Stands(before)) = self.machines.known(waiting.mac)
            && let Some(old) = self.own_flow(tuple, before)
            && self.machines.machine(old) != self.machines.machine(node)
            && let Some(State::Open { .. }) = self.connections.state(tuple, old)
        {
            self.end_flow(tuple, old);
        }
    }

    /// A waiting flow turns out to be this node's.
    fn resolve(&mut self, tuple: &Tuple, waiting: Waiting, node: usize) {
        let Waiting {
            began,
            syn,
            streams: known,
            over,
            ..
        } = waiting;
        let Some(syn) = syn else {
            let entry = self.connections.entries.entry(*tuple).or_default();
            if entry.state(node).is_none() {
                entry.set(node, State::Midstream { streams: known });
                self.machines.counters(node).tcp_midstream += 1;
            }
            return;
        };
        self.tcp_on_node(began, tuple, node, Sender::Foreign, &syn);
        if let Some(State::Open { isn, streams, .. }) = self.connections.state(tuple, node)
            && *isn == syn.sequence
        {
            *streams = known;
            if over {
                self.end_flow(tuple, node);
            }
        }
    }

    /// Nobody has answered. Then it is for whom the address stands, or itself
    /// is a node; but what holds the 5-tuple already is not contradicted by
    /// that.
    fn resolve_unanswered(&mut self, tuple: &Tuple, waiting: Waiting) -> Result<(), StackError> {
        let entry = self.connections.entries.get(tuple);
        let node = match (
            entry.and_then(Entry::holder),
            self.machines.known(waiting.mac),
        ) {
            (Some(holder), Some(Place::Silent(_) | Place::Stands(_))) => {
                self.machines.answers(waiting.mac, holder);
                holder
            }
            (_, Some(place)) => self.machines.node_at(self.stack, place)?,
            (_, None) => return Ok(()),
        };
        let node = self.own_flow(tuple, node).unwrap_or(node);
        self.resolve(tuple, waiting, node);
        Ok(())
    }

    /// Resolves all that nobody has answered.
    pub(crate) fn end_tcp(&mut self) -> Result<(), StackError> {
        self.connections.waiting = 0;
        let mut unanswered: Vec<(Tuple, Waiting)> = Vec::new();
        for (tuple, entry) in &mut self.connections.entries {
            if let Some(waiting) = entry.waiting.take() {
                unanswered.push((*tuple, *waiting));
            }
        }
        unanswered.sort_by_key(|(_, waiting)| waiting.began.number);
        for (tuple, waiting) in unanswered {
            self.resolve_unanswered(&tuple, waiting)?;
        }
        Ok(())
    }
}
