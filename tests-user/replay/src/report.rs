// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What a replay found.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Counts of one node or of the whole capture.
///
/// Serialised with one more field, `udp_skipped_share`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets in the capture; of a node, those from or to its shared
    /// addresses.
    pub packets: u64,
    /// Packets with a malformed or cut header at or below TCP and UDP. A node
    /// is charged only if its addresses were readable.
    pub undecodable: u64,
    /// Packets without a shared address, among them all that are not IP, but
    /// not those that were not looked into. Always zero for a node.
    pub not_shared: u64,
    /// TCP connections that a node began: SYNs by initial sequence number.
    pub tcp_out: u64,
    /// TCP connections that came in: SYNs by initial sequence number.
    pub tcp_in: u64,
    /// TCP flows first seen in mid-stream. Nobody was asked about them.
    pub tcp_midstream: u64,
    /// Accepted TCP connections that the capture does not see end.
    pub tcp_open: u64,
    /// UDP datagrams sent.
    pub udp_sends: u64,
    /// UDP datagrams that took a question.
    pub udp_asked: u64,
    /// Questions that were refused, TCP and UDP.
    pub refused: u64,
}

impl Counters {
    /// The share of UDP sends that needed no question, 0 to 1; `None` without
    /// a send.
    pub fn udp_skipped_share(&self) -> Option<f64> {
        (self.udp_sends > 0)
            .then(|| (self.udp_sends - self.udp_asked) as f64 / self.udp_sends as f64)
    }

    /// Adds what another node counts of packets.
    pub(crate) fn add_packets_of(&mut self, node: &Counters) {
        self.packets += node.packets;
        self.undecodable += node.undecodable;
    }

    /// Adds what nodes count of flows and questions; packets are counted once
    /// for the capture.
    pub(crate) fn add_flows_of(&mut self, node: &Counters) {
        self.tcp_out += node.tcp_out;
        self.tcp_in += node.tcp_in;
        self.tcp_midstream += node.tcp_midstream;
        self.tcp_open += node.tcp_open;
        self.udp_sends += node.udp_sends;
        self.udp_asked += node.udp_asked;
        self.refused += node.refused;
    }

    fn serialize_into<S: SerializeStruct>(&self, out: &mut S) -> Result<(), S::Error> {
        out.serialize_field("packets", &self.packets)?;
        out.serialize_field("undecodable", &self.undecodable)?;
        out.serialize_field("not_shared", &self.not_shared)?;
        out.serialize_field("tcp_out", &self.tcp_out)?;
        out.serialize_field("tcp_in", &self.tcp_in)?;
        out.serialize_field("tcp_midstream", &self.tcp_midstream)?;
        out.serialize_field("tcp_open", &self.tcp_open)?;
        out.serialize_field("udp_sends", &self.udp_sends)?;
        out.serialize_field("udp_asked", &self.udp_asked)?;
        out.serialize_field("udp_skipped_share", &self.udp_skipped_share())?;
        out.serialize_field("refused", &self.refused)
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Counters", 11)?;
        self.serialize_into(&mut out)?;
        out.end()
    }
}

/// One node's counts. Serialised as one flat object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// The node's name: see [`crate::NodeId`].
    pub node: String,
    /// Its counts.
    pub counters: Counters,
}

impl Serialize for NodeReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("NodeReport", 12)?;
        out.serialize_field("node", &self.node)?;
        self.counters.serialize_into(&mut out)?;
        out.end()
    }
}

/// A question that was answered with no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The packet that led to the question; 1 is the capture's first.
    pub packet: u64,
    /// When it was captured: seconds since 1970 with nine decimals, if the
    /// capture says.
    pub time: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `out` or `in`; a UDP send is `out`.
    pub direction: String,
    /// The shared address and port: `192.0.2.10:40000`, `[2001:db8::10]:40000`.
    pub local: String,
    /// The other end.
    pub foreign: String,
    /// What the program sees: an illumos error number.
    pub errno: i32,
    /// Its name.
    pub errno_name: String,
    /// The node that holds the 5-tuple, if known.
    pub owner: Option<String>,
    /// The node that asked.
    pub asker: String,
    /// One of the two nodes is known by its MAC address only, which may be a
    /// router's: nobody has said that they are two machines.
    pub guessed_nodes: bool,
}

/// What a replay found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The whole capture.
    pub totals: Counters,
    /// Packets that were seen before on another link, on a router's other side
    /// for instance. They count in `totals.packets` and nowhere else.
    pub routed_copies: u64,
    /// Packets that were not looked into, by the name of the tunnel or of the
    /// link type.
    pub not_looked_into: BTreeMap<String, u64>,
    /// Packets of shared addresses that are SCTP, DCCP or UDP-Lite, by that
    /// name. Nobody is asked about them.
    pub other_transports: BTreeMap<String, u64>,
    /// Parts of a pcapng file that were skipped, by their version: `2.0`.
    pub skipped_sections: BTreeMap<String, u64>,
    /// Packets of shared addresses that name no node: frames to a group address
    /// (multicast, broadcast), or, where ports tell nodes, packets without one.
    /// They count in `totals.packets` and nowhere else.
    pub no_node: u64,
    /// Each node, in the order in which they appear in the capture.
    pub nodes: Vec<NodeReport>,
    /// The refusals, in the capture's order; not all, if there are very many.
    pub refusals: Vec<Refusal>,
    /// Refusals that are counted but not listed.
    pub refusals_omitted: u64,
}
