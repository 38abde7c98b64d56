// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is known of each 5-tuple of TCP.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::decode::TcpHeader;
use crate::flows::{Moment, Tuple};
use crate::mac::Mac;
use crate::tcp::{Sender, State, Streams};

/// A flow that came in by a MAC address that does not send, until a node answers.
pub(crate) struct Waiting {
    pub(crate) mac: Mac,
    pub(crate) began: Moment,
    /// The SYN that began it; `None`: first seen in mid-stream.
    pub(crate) syn: Option<TcpHeader>,
    pub(crate) streams: Streams,
    pub(crate) over: bool,
}

/// What is known of a 5-tuple.
#[derive(Default)]
pub(crate) struct Entry {
    /// By node. One, unless two nodes have used the 5-tuple.
    pub(crate) flows: SmallVec<[(usize, State); 1]>,
    pub(crate) waiting: Option<Box<Waiting>>,
}

impl Entry {
    pub(crate) fn state(&mut self, node: usize) -> Option<&mut State> {
        let mut flows = self.flows.iter_mut();
        flows.find(|(of, _)| *of == node).map(|(_, state)| state)
    }

    pub(crate) fn set(&mut self, node: usize, new: State) {
        match self.state(node) {
            Some(state) => *state = new,
            None => self.flows.push((node, new)),
        }
    }

    /// The node with a flow that this segment can be one of.
    pub(crate) fn fitting(&self, sender: Sender, header: &TcpHeader) -> Option<usize> {
        let mut flows = self.flows.iter();
        flows
            .find(|(_, state)| state.fits(sender, header))
            .map(|(node, _)| *node)
    }

    /// The node that holds the 5-tuple.
    pub(crate) fn holder(&self) -> Option<usize> {
        let mut flows = self.flows.iter();
        flows
            .find(|(_, state)| matches!(state, State::Open { .. }))
            .map(|(node, _)| *node)
    }
}

/// All 5-tuples of TCP.
pub(crate) struct Connections {
    pub(crate) entries: HashMap<Tuple, Entry, RandomState>,
    /// How many of them wait for an answer.
    pub(crate) waiting: usize,
    /// Ended flows, oldest first, with the serial of their ending.
    endings: VecDeque<(Tuple, usize, u64)>,
    remembered: usize,
    serial: u64,
}

impl Connections {
    /// Without any, remembering so many endings.
    pub(crate) fn new(remembered: usize) -> Self {
        Self {
            entries: HashMap::default(),
            waiting: 0,
            endings: VecDeque::new(),
            remembered,
            serial: 0,
        }
    }

    pub(crate) fn state(&mut self, tuple: &Tuple, node: usize) -> Option<&mut State> {
        self.entries.get_mut(tuple)?.state(node)
    }

    pub(crate) fn take_waiting(
        &mut self,
        tuple: &Tuple,
        wanted: impl FnOnce(&Waiting) -> bool,
    ) -> Option<Waiting> {
        let entry = self.entries.get_mut(tuple)?;
        if !wanted(entry.waiting.as_deref()?) {
            return None;
        }
        self.waiting -= 1;
        entry.waiting.take().map(|waiting| *waiting)
    }

    pub(crate) fn wait(&mut self, tuple: &Tuple, waiting: Waiting) {
        self.waiting += 1;
        let entry = self.entries.entry(*tuple).or_default();
        entry.waiting = Some(Box::new(waiting));
    }

    /// The serial of the next ending.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Remembers the last ending, and forgets the oldest if they are too many.
    pub(crate) fn remember_ending(&mut self, tuple: &Tuple, node: usize) {
        self.endings.push_back((*tuple, node, self.serial));
        while self.endings.len() > self.remembered {
            let Some((tuple, node, ending)) = self.endings.pop_front() else {
                return;
            };
            let Some(entry) = self.entries.get_mut(&tuple) else {
                continue;
            };
            // The 5-tuple may be in use again.
            entry.flows.retain(|(of, state)| {
                *of != node || !matches!(state, State::Ended { serial, .. } if *serial == ending)
            });
            if entry.flows.is_empty() && entry.waiting.is_none() {
                self.entries.remove(&tuple);
            }
        }
    }
}
