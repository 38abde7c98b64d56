// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Questions that were answered with no.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::copies::Copies;
use crate::errno::errno_name;
use crate::flows::Moment;
use crate::machines::Machines;
use crate::report::Refusal;
use crate::stack::{Direction, FiveTuple};

/// One refusal, and between which nodes it is.
pub(crate) struct Refused {
    pub(crate) moment: Moment,
    pub(crate) direction: Direction,
    pub(crate) flow: FiveTuple,
    pub(crate) errno: i32,
    pub(crate) asker: usize,
    /// The node that holds the 5-tuple, if known.
    pub(crate) owner: Option<usize>,
}

impl Refused {
    fn told(&self, machines: &Machines) -> Refusal {
        let guessed = machines.is_guessed(self.asker)
            || self.owner.is_some_and(|owner| machines.is_guessed(owner));
        Refusal {
            packet: self.moment.number,
            time: self.moment.time.map(|time| time.to_string()),
            protocol: self.flow.protocol.to_string(),
            direction: self.direction.to_string(),
            local: SocketAddr::from(self.flow.local).to_string(),
            foreign: SocketAddr::from(self.flow.foreign).to_string(),
            errno: self.errno,
            errno_name: errno_name(self.errno),
            owner: self.owner.map(|owner| machines.name(owner)),
            asker: machines.name(self.asker),
            guessed_nodes: guessed,
        }
    }
}

/// All refusals: so many are listed, the others counted.
pub(crate) struct Refusals {
    most: usize,
    listed: Vec<Refused>,
    /// By who asked and who holds the 5-tuple.
    omitted: HashMap<(usize, Option<usize>), u64>,
}

impl Refusals {
    /// None yet.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            listed: Vec::new(),
            omitted: HashMap::new(),
        }
    }

    pub(crate) fn add(&mut self, refused: Refused) {
        if self.listed.len() < self.most {
            self.listed.push(refused);
        } else {
            let between = (refused.asker, refused.owner);
            *self.omitted.entry(between).or_default() += 1;
        }
    }

    /// Takes back what was refused between two nodes that turned out to be one
    /// machine, or of which one only passes on what the other sends.
    pub(crate) fn withdraw(&mut self, machines: &mut Machines, copies: &Copies) {
        let mut withdrawn = |asker, owner: Option<usize>, count| {
            let is_one = owner.is_some_and(|owner| is_one(machines, copies, asker, owner));
            machines.counters(asker).refused -= if is_one { count } else { 0 };
            is_one
        };
        self.listed
            .retain(|refused| !withdrawn(refused.asker, refused.owner, 1));
        self.omitted
            .retain(|(asker, owner), count| !withdrawn(*asker, *owner, *count));
    }

    /// How many are counted only.
    pub(crate) fn omitted(&self) -> u64 {
        self.omitted.values().sum()
    }

    /// Those that are listed, in the capture's order.
    pub(crate) fn list(&self, machines: &Machines) -> Vec<Refusal> {
        let refused = self.listed.iter();
        let mut list: Vec<Refusal> = refused.map(|refused| refused.told(machines)).collect();
        // A question may have waited for its answer.
        list.sort_by_key(|refusal| refusal.packet);
        list
    }
}

fn is_one(machines: &Machines, copies: &Copies, asker: usize, owner: usize) -> bool {
    let relayed = match (machines.mac(asker), machines.mac(owner)) {
        (Some(asker), Some(owner)) => copies.is_relay(asker, owner),
        _ => false,
    };
    relayed || machines.machine(asker) == machines.machine(owner)
}
