// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A plain model of a cluster, against which a real one can be compared.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::stack::{Answer, Direction, FiveTuple, NodeId, Stack, StackError, UdpAnswer};

const EADDRINUSE: i32 = 125;
const EHOSTUNREACH: i32 = 148;

struct Owner {
    node: usize,
    references: u64,
}

/// A cluster in which every 5-tuple has one owner and all nodes know it at
/// once.
///
/// A 5-tuple that another node holds is refused, with EADDRINUSE for TCP and,
/// as a program sees it at `sendto()`, with EHOSTUNREACH for UDP. A UDP send
/// asks if its destination is not the most recent one of its socket; a refusal
/// leaves that as it was. What UDP registers is never removed.
#[derive(Default)]
pub struct ModelStack {
    nodes: usize,
    owners: HashMap<FiveTuple, Owner>,
    last_destinations: HashMap<(usize, IpAddr, u16), (IpAddr, u16)>,
}

impl ModelStack {
    /// Without nodes and flows.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many 5-tuples have an owner.
    pub fn registered(&self) -> usize {
        self.owners.len()
    }

    fn ask(&mut self, node: usize, flow: &FiveTuple, errno: i32) -> Answer {
        let owner = self.owners.entry(*flow).or_insert(Owner {
            node,
            references: 0,
        });
        if owner.node != node {
            return Answer::Refused {
                errno,
                owner: Some(owner.node),
            };
        }
        owner.references += 1;
        Answer::Accepted
    }
}

impl Stack for ModelStack {
    fn add_node(&mut self, _node: &NodeId) -> Result<usize, StackError> {
        self.nodes += 1;
        Ok(self.nodes - 1)
    }

    fn tcp_connect(&mut self, node: usize, _direction: Direction, flow: &FiveTuple) -> Answer {
        self.ask(node, flow, EADDRINUSE)
    }

    fn tcp_end(&mut self, node: usize, flow: &FiveTuple) {
        let Some(owner) = self.owners.get_mut(flow) else {
            return;
        };
        if owner.node == node {
            owner.references -= 1;
            if owner.references == 0 {
                self.owners.remove(flow);
            }
        }
    }

    fn udp_send(&mut self, node: usize, flow: &FiveTuple) -> UdpAnswer {
        let socket = (node, flow.local.0, flow.local.1);
        if self.last_destinations.get(&socket) == Some(&flow.foreign) {
            return UdpAnswer {
                asked: false,
                answer: Answer::Accepted,
            };
        }
        let answer = self.ask(node, flow, EHOSTUNREACH);
        if answer == Answer::Accepted {
            self.last_destinations.insert(socket, flow.foreign);
        }
        UdpAnswer {
            asked: true,
            answer,
        }
    }
}
