// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The stack of `lab replay`: each node is a machine with its own loaded copy
//! of the module, which decides.
//!
//! Between the nodes there is a directory, as a cluster has one: it knows who
//! holds what, and tells a node's module about another's 5-tuple right before
//! the question that needs it. The answer is the module's.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use clinet_ip::{Clinet, ClinetTcp, ClinetUdp, Context, Errno, Kernel, Mode, SetupError, Stats};
use clinet_replay::{Answer, Direction, FiveTuple, NodeId, Stack, StackError, UdpAnswer};

/// Where a 5-tuple is held.
struct Holder {
    node: usize,
    references: u64,
}

/// One node: its module, and its sockets.
struct Node {
    clinet: Clinet,
    tcp: HashMap<FiveTuple, ClinetTcp>,
    udp: HashMap<(IpAddr, u16), ClinetUdp>,
}

/// A cluster of loaded modules.
pub struct ModuleStack {
    file: Vec<u8>,
    max_tuples: u32,
    /// As the module's tunable has it.
    shared: String,
    context: Context,
    nodes: Vec<Node>,
    holders: HashMap<FiveTuple, Holder>,
    /// Questions whose answer the module could not know, for want of room.
    uninformed: u64,
}

/// Room for 5-tuples that each node has at least, the module's own minimum.
const LEAST_TUPLES: u32 = 64;

/// A node's number in the cluster: 0 is none.
fn number(node: usize) -> u32 {
    node as u32 + 1
}

fn ends(flow: &FiveTuple) -> (SocketAddr, SocketAddr) {
    (flow.local.into(), flow.foreign.into())
}

impl ModuleStack {
    /// A cluster whose nodes load `file` with room for `max_tuples` 5-tuples and
    /// share these addresses.
    ///
    /// # Errors
    ///
    /// If the file does not load.
    pub fn new(file: Vec<u8>, max_tuples: u32, shared: &[IpAddr]) -> Result<Self, SetupError> {
        Clinet::load(Arc::new(Kernel::new()), &file, &[("clinet_provider", 0)])?;
        let shared: Vec<String> = shared.iter().map(IpAddr::to_string).collect();
        Ok(Self {
            file,
            max_tuples,
            shared: shared.join(","),
            context: Context::no_sleep(),
            nodes: Vec::new(),
            holders: HashMap::new(),
            uninformed: 0,
        })
    }

    /// The counters of each node's module.
    pub fn stats(&self) -> Vec<Stats> {
        self.nodes.iter().map(|node| node.clinet.stats()).collect()
    }

    /// Questions that were not decided by all that the cluster knew, because
    /// a module's table was full.
    pub fn undecided(&self) -> u64 {
        let admitted: u64 = self.stats().iter().map(|stats| stats.full_admitted).sum();
        admitted + self.uninformed
    }

    /// Lets a node put a question, with its module knowing what the cluster
    /// knows.
    fn ask(
        &mut self,
        node: usize,
        flow: &FiveTuple,
        question: impl FnOnce(&mut Node, &Context) -> Result<(), Errno>,
    ) -> Answer {
        let (local, foreign) = ends(flow);
        let protocol = flow.protocol.number();
        let owner = self
            .holders
            .get(flow)
            .map(|holder| holder.node)
            .filter(|owner| *owner != node);
        let asker = &mut self.nodes[node];
        if let Some(owner) = owner
            && asker
                .clinet
                .install(number(owner), protocol, local, foreign)
                .is_err()
        {
            self.uninformed += 1;
        }
        let answer = question(asker, &self.context);
        if let Some(owner) = owner {
            // Not there if it could not be installed.
            let _ = asker
                .clinet
                .withdraw(number(owner), protocol, local, foreign);
        }
        match answer {
            Ok(()) => {
                let holder = self.holders.entry(*flow).or_insert(Holder {
                    node,
                    references: 0,
                });
                holder.references += 1;
                Answer::Accepted
            }
            Err(Errno(errno)) => Answer::Refused { errno, owner },
        }
    }
}

impl Stack for ModuleStack {
    fn add_node(&mut self, _node: &NodeId) -> Result<usize, StackError> {
        let index = self.nodes.len();
        // A capture can have any number of MAC addresses, this machine has not
        // any amount of memory: from the 17th node on tables are smaller.
        let max_tuples = self.max_tuples.checked_shr(index as u32 / 16);
        let max_tuples = max_tuples.unwrap_or(0).max(LEAST_TUPLES);
        let kernel = Arc::new(Kernel::new());
        let tunables = [
            ("clinet_addrs", kernel.string(&self.shared)),
            ("clinet_max_tuples", u64::from(max_tuples)),
            ("clinet_node_id", u64::from(number(index))),
        ];
        let clinet = Clinet::load(kernel, &self.file, &tunables)
            .map_err(|error| StackError(error.into()))?;
        crate::fatal::progress();
        clinet.set_mode(Mode::Direct);
        self.nodes.push(Node {
            clinet,
            tcp: HashMap::new(),
            udp: HashMap::new(),
        });
        Ok(index)
    }

    fn tcp_connect(&mut self, node: usize, direction: Direction, flow: &FiveTuple) -> Answer {
        let outgoing = direction == Direction::Outgoing;
        let (local, foreign) = ends(flow);
        self.ask(node, flow, |node, context| {
            let ct = node.tcp.entry(*flow).or_default();
            let answer = node
                .clinet
                .tcp_connect(context, ct, outgoing, local, foreign);
            if answer.is_err() {
                node.tcp.remove(flow);
            }
            answer
        })
    }

    fn tcp_end(&mut self, node: usize, flow: &FiveTuple) {
        let ending = &mut self.nodes[node];
        if let Some(mut ct) = ending.tcp.remove(flow) {
            ending.clinet.tcp_disconnect(&self.context, &mut ct);
        }
        if let Some(holder) = self.holders.get_mut(flow)
            && holder.node == node
        {
            holder.references -= 1;
            if holder.references == 0 {
                self.holders.remove(flow);
            }
        }
    }

    fn udp_send(&mut self, node: usize, flow: &FiveTuple) -> UdpAnswer {
        let (local, foreign) = ends(flow);
        let sender = &mut self.nodes[node];
        let cu = sender.udp.entry(flow.local).or_insert_with(|| {
            let mut cu = ClinetUdp::default();
            sender.clinet.udp_bind(&self.context, &mut cu, local);
            cu
        });
        let ask = match sender.clinet.udp_send_begin(&self.context, cu, foreign) {
            Ok(Some(ask)) => ask,
            Ok(None) => {
                return UdpAnswer {
                    asked: false,
                    answer: Answer::Accepted,
                };
            }
            Err(Errno(errno)) => {
                return UdpAnswer {
                    asked: false,
                    answer: Answer::Refused { errno, owner: None },
                };
            }
        };
        let answer = self.ask(node, flow, |node, context| {
            node.clinet.udp_send_ask(context, &ask, local)?;
            if let Some(cu) = node.udp.get_mut(&flow.local) {
                node.clinet.udp_send_end(context, cu, &ask);
            }
            Ok(())
        });
        UdpAnswer {
            asked: true,
            answer,
        }
    }
}
