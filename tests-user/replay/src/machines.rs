// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which machine is behind a MAC address.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::Options;
use crate::mac::{Mac, is_no_own};
use crate::report::{Counters, NodeReport};
use crate::senders::{Sender, Way};
use crate::stack::{NodeId, Stack, StackError};

/// What stands behind a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The node that it is known to be: by hand, or the only one.
    Fixed(usize),
    /// The node that sends with it.
    Node(usize),
    /// The node that answered for it last: it is a virtual address, a router's,
    /// or another interface of that node.
    Stands(usize),
    /// Nobody yet; an index into the silent addresses.
    Silent(usize),
}

struct Node {
    id: NodeId,
    /// What the stack calls it.
    index: usize,
    /// The packet with which it appeared.
    first: u64,
    counters: Counters,
    /// An earlier node that turned out to be the same machine.
    same_as: Option<usize>,
}

/// A MAC address that was sent to and for which nobody has answered.
struct Silent {
    mac: Mac,
    first: u64,
    packets: u64,
    undecodable: u64,
}

/// All nodes, and what is known of MAC addresses.
pub(crate) struct Machines {
    modulo: Option<u32>,
    nodes: Vec<Node>,
    by_id: HashMap<NodeId, usize, RandomState>,
    by_mac: HashMap<Mac, Place, RandomState>,
    named: HashMap<Mac, NodeId>,
    silent: Vec<Silent>,
    /// By shared address.
    senders: HashMap<u128, Sender, RandomState>,
}

impl Machines {
    pub(crate) fn new(options: &Options) -> Self {
        let named = options.named.iter().flat_map(|named| {
            let id = NodeId::Named(named.name.as_str().into());
            named.macs.iter().map(move |mac| (*mac, id.clone()))
        });
        Self {
            modulo: options.nodes,
            nodes: Vec::new(),
            by_id: HashMap::default(),
            by_mac: HashMap::default(),
            named: named.collect(),
            silent: Vec::new(),
            senders: HashMap::default(),
        }
    }

    /// What is behind a shared address, given its MAC address and its port.
    /// `None`: no port to go by.
    pub(crate) fn place(
        &mut self,
        stack: &mut dyn Stack,
        packet: u64,
        address: u128,
        mac: Option<Mac>,
        port: Option<u16>,
    ) -> Result<Option<Place>, StackError> {
        let id = match (self.modulo, mac) {
            (Some(nodes), _) => match port {
                Some(port) => NodeId::Modulo(u32::from(port) % nodes),
                None => return Ok(None),
            },
            // Another interface of the capture may have had MAC addresses.
            (None, None) => match self.senders.get(&address) {
                Some(sender) => return Ok(Some(Place::Fixed(self.machine(sender.node)))),
                None => NodeId::All,
            },
            (None, Some(mac)) => {
                if let Some(place) = self.by_mac.get(&mac) {
                    return Ok(Some(*place));
                }
                let place = match self.named.get(&mac) {
                    Some(id) => Place::Fixed(self.node(stack, id.clone(), packet)?),
                    None => self.be_silent(mac, packet),
                };
                self.by_mac.insert(mac, place);
                return Ok(Some(place));
            }
        };
        Ok(Some(Place::Fixed(self.node(stack, id, packet)?)))
    }

    fn node(&mut self, stack: &mut dyn Stack, id: NodeId, first: u64) -> Result<usize, StackError> {
        if let Some(node) = self.by_id.get(&id) {
            return Ok(*node);
        }
        let index = stack.add_node(&id)?;
        let node = self.nodes.len();
        self.by_id.insert(id.clone(), node);
        self.nodes.push(Node {
            id,
            index,
            first,
            counters: Counters::default(),
            same_as: None,
        });
        Ok(node)
    }

    fn be_silent(&mut self, mac: Mac, first: u64) -> Place {
        self.silent.push(Silent {
            mac,
            first,
            packets: 0,
            undecodable: 0,
        });
        Place::Silent(self.silent.len() - 1)
    }

    /// What is now known of a MAC address that has been seen.
    pub(crate) fn known(&self, mac: Mac) -> Option<Place> {
        self.by_mac.get(&mac).copied()
    }

    /// The node behind a place; a silent address becomes one itself.
    pub(crate) fn node_at(
        &mut self,
        stack: &mut dyn Stack,
        place: Place,
    ) -> Result<usize, StackError> {
        let silent = match place {
            Place::Fixed(node) | Place::Node(node) | Place::Stands(node) => {
                return Ok(self.machine(node));
            }
            Place::Silent(silent) => silent,
        };
        let Silent { mac, first, .. } = self.silent[silent];
        let node = self.node(stack, NodeId::Mac(mac), first)?;
        self.by_mac.insert(mac, Place::Node(node));
        self.add_silent(silent, node);
        Ok(node)
    }

    /// The node that sends from a shared address by way of a place. A virtual
    /// MAC address is that of whoever else sends from there; and those of two
    /// routers do not tell two machines behind them apart.
    pub(crate) fn sender(
        &mut self,
        stack: &mut dyn Stack,
        place: Place,
        way: Way,
    ) -> Result<usize, StackError> {
        let before = self.senders.get(&way.address).copied();
        if let (Some(before), Some(mac)) = (before, way.mac) {
            self.compare(place, mac, &before, way);
        }
        let place = match (place, way.mac) {
            (Place::Fixed(_), _) | (_, None) => place,
            (_, Some(mac)) => self.by_mac[&mac],
        };
        let node = self.node_at(stack, place)?;
        let mut sender = before.unwrap_or(Sender::new(node));
        (sender.node, sender.routed) = (node, way.routed);
        sender.note(way.number);
        self.senders.insert(way.address, sender);
        Ok(node)
    }

    /// Is what sends from a shared address now the node that did before?
    fn compare(&mut self, place: Place, mac: Mac, before: &Sender, way: Way) {
        if matches!(place, Place::Fixed(_)) {
            return;
        }
        if self.nodes[before.node].id == NodeId::All {
            self.rename_all(place, mac, before.node);
        } else if is_no_own(mac) && self.names_another(place, before.node) {
            self.stands(mac, place, before.node);
        } else if way.routed && before.routed {
            self.is_way_to(place, before.node);
        } else if let Place::Silent(silent) = place {
            self.show_own(silent, before.node);
            if before.counts_to(way.number) {
                self.answers(mac, before.node);
            }
        }
    }

    fn names_another(&self, place: Place, node: usize) -> bool {
        match place {
            Place::Fixed(other) | Place::Node(other) | Place::Stands(other) => {
                self.machine(other) != self.machine(node)
            }
            Place::Silent(_) => true,
        }
    }

    fn stands(&mut self, mac: Mac, place: Place, node: usize) {
        if let Place::Silent(silent) = place {
            self.add_silent(silent, node);
        }
        self.by_mac.insert(mac, Place::Stands(node));
    }

    /// The machine of which some interface has no MAC addresses shows one.
    fn rename_all(&mut self, place: Place, mac: Mac, all: usize) {
        match place {
            Place::Silent(silent) => {
                self.by_id.remove(&NodeId::All);
                self.by_id.insert(NodeId::Mac(mac), all);
                self.nodes[all].id = NodeId::Mac(mac);
                self.by_mac.insert(mac, Place::Node(all));
                self.add_silent(silent, all);
            }
            Place::Node(other) | Place::Stands(other) => {
                let (a, b) = (self.machine(other), self.machine(all));
                if a != b {
                    self.nodes[a.max(b)].same_as = Some(a.min(b));
                }
            }
            Place::Fixed(_) => {}
        }
    }

    fn is_way_to(&mut self, place: Place, node: usize) {
        match place {
            Place::Silent(silent) => self.answers(self.silent[silent].mac, node),
            Place::Node(other) => self.unite(other, node),
            Place::Fixed(_) | Place::Stands(_) => {}
        }
    }

    /// A node that was known by an address that is no machine's own has sent
    /// with another one, which was not seen before.
    fn show_own(&mut self, silent: usize, before: usize) {
        if let NodeId::Mac(known) = self.nodes[before].id
            && is_no_own(known)
        {
            self.rename(before, known, self.silent[silent].mac);
            self.add_silent(silent, before);
        }
    }

    fn rename(&mut self, node: usize, known: Mac, own: Mac) {
        self.by_id.remove(&NodeId::Mac(known));
        self.by_id.insert(NodeId::Mac(own), node);
        self.nodes[node].id = NodeId::Mac(own);
        if self.by_mac.get(&known) == Some(&Place::Node(node)) {
            self.by_mac.insert(known, Place::Stands(node));
        }
        self.by_mac.insert(own, Place::Node(node));
    }

    fn add_silent(&mut self, silent: usize, node: usize) {
        let silent = &mut self.silent[silent];
        let counters = &mut self.nodes[node].counters;
        counters.packets += std::mem::take(&mut silent.packets);
        counters.undecodable += std::mem::take(&mut silent.undecodable);
    }

    /// Somebody answered for a MAC address that does not send itself.
    pub(crate) fn answers(&mut self, mac: Mac, node: usize) {
        match self.by_mac.get(&mac) {
            Some(Place::Silent(silent)) => self.add_silent(*silent, node),
            Some(Place::Stands(_)) => {}
            None if !self.named.contains_key(&mac) => {}
            _ => return,
        }
        self.by_mac.insert(mac, Place::Stands(node));
    }

    /// What is at `place` has sent a packet of a connection of `node`: both are
    /// one machine, or passed on by one.
    pub(crate) fn belongs(&mut self, mac: Mac, place: Place, node: usize) {
        match place {
            Place::Fixed(_) => {}
            Place::Node(other) => self.unite(other, node),
            Place::Stands(_) | Place::Silent(_) => self.answers(mac, node),
        }
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.machine(a), self.machine(b));
        let guessed = |node: usize| self.nodes[node].id.is_guessed();
        if a != b && guessed(a) && guessed(b) {
            self.nodes[a.max(b)].same_as = Some(a.min(b));
        }
    }

    /// The first node of the machine that this one is.
    pub(crate) fn machine(&self, mut node: usize) -> usize {
        while let Some(earlier) = self.nodes[node].same_as {
            node = earlier;
        }
        node
    }

    pub(crate) fn counters(&mut self, node: usize) -> &mut Counters {
        &mut self.nodes[node].counters
    }

    /// Counts a packet of a node.
    pub(crate) fn count(&mut self, node: usize, undecodable: bool) {
        let counters = self.counters(node);
        counters.packets += 1;
        counters.undecodable += u64::from(undecodable);
    }

    /// Counts a packet that was sent to a silent address.
    pub(crate) fn count_silent(&mut self, silent: usize, undecodable: bool) {
        let silent = &mut self.silent[silent];
        silent.packets += 1;
        silent.undecodable += u64::from(undecodable);
    }

    /// What the stack calls a node.
    pub(crate) fn index(&self, node: usize) -> usize {
        self.nodes[node].index
    }

    /// The node that the stack calls so.
    pub(crate) fn by_index(&self, index: usize) -> Option<usize> {
        self.nodes.iter().position(|node| node.index == index)
    }

    /// The name of the machine that a node is.
    pub(crate) fn name(&self, node: usize) -> String {
        self.nodes[self.machine(node)].id.to_string()
    }

    /// The MAC address by which a node is known, if by nothing else.
    pub(crate) fn mac(&self, node: usize) -> Option<Mac> {
        match self.nodes[node].id {
            NodeId::Mac(mac) => Some(mac),
            _ => None,
        }
    }

    /// Was a node found by its MAC address only?
    pub(crate) fn is_guessed(&self, node: usize) -> bool {
        self.nodes[node].id.is_guessed()
    }

    /// Silent addresses with packets become nodes: nobody can be asked any more.
    pub(crate) fn end(&mut self, stack: &mut dyn Stack) -> Result<(), StackError> {
        for silent in 0..self.silent.len() {
            if self.silent[silent].packets > 0 {
                self.node_at(stack, Place::Silent(silent))?;
            }
        }
        Ok(())
    }

    /// The machines, in the order in which they appeared.
    pub(crate) fn report(&self) -> Vec<NodeReport> {
        let mut machines: Vec<(u64, Counters)> = self
            .nodes
            .iter()
            .map(|node| (node.first, Counters::default()))
            .collect();
        for (number, node) in self.nodes.iter().enumerate() {
            let machine = &mut machines[self.machine(number)];
            machine.0 = machine.0.min(node.first);
            machine.1.add_packets_of(&node.counters);
            machine.1.add_flows_of(&node.counters);
        }
        let mut rows: Vec<(u64, NodeReport)> = Vec::new();
        for (number, (first, counters)) in machines.into_iter().enumerate() {
            if self.nodes[number].same_as.is_none() {
                let node = self.name(number);
                rows.push((first, NodeReport { node, counters }));
            }
        }
        rows.sort_by_key(|(first, _)| *first);
        rows.into_iter().map(|(_, row)| row).collect()
    }
}
