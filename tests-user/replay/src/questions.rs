// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a TCP segment means on its node: questions and endings.

use crate::decode::TcpHeader;
use crate::flows::{Flows, Moment, Tuple};
use crate::stack::{Answer, Direction, Protocol};
use crate::tcp::{Sender, State, Streams, Syn};

impl Flows<'_> {
    /// Was the node refused this 5-tuple, in that direction if one is given?
    pub(crate) fn is_refused(
        &mut self,
        tuple: &Tuple,
        node: usize,
        way: Option<Direction>,
    ) -> bool {
        match self.connections.state(tuple, node) {
            Some(State::Refused { direction, .. }) => way.is_none_or(|way| way == *direction),
            _ => false,
        }
    }

    /// Takes a segment that a node sends or receives.
    pub(crate) fn tcp_on_node(
        &mut self,
        moment: Moment,
        tuple: &Tuple,
        node: usize,
        sender: Sender,
        header: &TcpHeader,
    ) {
        if !header.is_first() {
            return self.tcp_segment(tuple, node, sender, header);
        }
        let syn = match self.connections.state(tuple, node) {
            Some(state) => state.syn(sender, header.sequence),
            None => Syn::Begins,
        };
        match syn {
            Syn::Ignored => return,
            Syn::Belongs => return self.tcp_segment(tuple, node, sender, header),
            Syn::Replaces => self.tcp_end(tuple, node),
            Syn::Begins | Syn::Crosses | Syn::AsksAgain => {}
        }
        if syn != Syn::AsksAgain {
            let counters = self.machines.counters(node);
            match sender.direction() {
                Direction::Outgoing => counters.tcp_out += 1,
                Direction::Incoming => counters.tcp_in += 1,
            }
        }
        if syn == Syn::Crosses {
            self.tcp_segment(tuple, node, sender, header);
        } else {
            self.tcp_ask(moment, tuple, node, sender, header);
        }
    }

    fn tcp_ask(
        &mut self,
        moment: Moment,
        tuple: &Tuple,
        node: usize,
        sender: Sender,
        header: &TcpHeader,
    ) {
        let direction = sender.direction();
        let isn = header.sequence;
        let flow = tuple.with(Protocol::Tcp);
        let index = self.machines.index(node);
        let state = match self.stack.tcp_connect(index, direction, &flow) {
            Answer::Accepted => {
                self.machines.counters(node).tcp_open += 1;
                let mut streams = Streams::default();
                streams.segment(sender, header);
                State::Open {
                    direction,
                    isn,
                    streams,
                }
            }
            Answer::Refused { errno, owner } => {
                self.refusal(moment, node, direction, &flow, errno, owner);
                State::Refused { direction, isn }
            }
        };
        let entry = self.connections.entries.entry(*tuple).or_default();
        entry.set(node, state);
    }

    fn tcp_segment(&mut self, tuple: &Tuple, node: usize, sender: Sender, header: &TcpHeader) {
        let entry = self.connections.entries.entry(*tuple).or_default();
        let over = match entry.state(node) {
            Some(State::Open { streams, .. } | State::Midstream { streams }) => {
                streams.segment(sender, header)
            }
            Some(State::Refused { .. } | State::Ended { .. }) => false,
            None => {
                self.machines.counters(node).tcp_midstream += 1;
                let mut streams = Streams::default();
                let over = streams.segment(sender, header);
                entry.set(node, State::Midstream { streams });
                over
            }
        };
        if over {
            self.end_flow(tuple, node);
        }
    }

    /// A flow is over; it is remembered for a while.
    pub(crate) fn end_flow(&mut self, tuple: &Tuple, node: usize) {
        let serial = self.connections.next_serial();
        let Some(state) = self.connections.state(tuple, node) else {
            return;
        };
        let began = match state {
            State::Open { direction, isn, .. } => Some((*direction, *isn)),
            _ => None,
        };
        *state = State::Ended { began, serial };
        if began.is_some() {
            self.tcp_end(tuple, node);
        }
        self.connections.remember_ending(tuple, node);
    }

    /// Tells the stack that an accepted connection is over.
    fn tcp_end(&mut self, tuple: &Tuple, node: usize) {
        self.machines.counters(node).tcp_open -= 1;
        let index = self.machines.index(node);
        self.stack.tcp_end(index, &tuple.with(Protocol::Tcp));
    }
}
