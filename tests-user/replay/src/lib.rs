// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads a capture and turns the traffic of shared addresses into what the
//! TCP/IP stack of each node would do: `connect()`, an incoming SYN, the end
//! of a connection, a UDP send. A [`Stack`] is driven through it, and a
//! [`Report`] says what came of it.
//!
//! * [`Capture`]: pcap, pcapng and snoop files, packed or not, one packet at a
//!   time.
//! * `link`, `encapsulation`, `decode`: from link-layer frame to TCP and UDP
//!   header.
//! * `copies`, `machines`: which node a packet is of; `refusals`: between whom a
//!   question was refused.
//! * `tcp`: the life of one TCP flow, `connections`: all of them, `segments`:
//!   whose a segment is, `questions`: what it means there, `flows`: all packets.
//! * [`Stack`]: what is driven; [`ModelStack`] is a plain one.
//!
//! # Nodes
//!
//! A node is a machine. It is told by MAC addresses, which machines share, take
//! over from each other and put on packets that they pass on:
//!
//! * A source MAC address of frames from a shared address is a node.
//! * A destination MAC address that never sends (of VRRP, HSRP or CARP, say) is
//!   that of the node which answers. A SYN to it waits for the answer; the next
//!   answer may be another node's, to which the address then belongs. If nobody
//!   answers until the capture's end, and nobody holds the 5-tuple, it is a
//!   node itself. A virtual address that does send is the node that sent from
//!   the shared address before.
//!   A group address as source names nobody and is that node's, too.
//! * A packet that was seen before with other MAC addresses and another time to
//!   live, or from the one who had received it, is a copy, seen on both sides
//!   of a router or relay. So is one with the same identification, above 1, of
//!   IPv4: a host with a wireless link puts its own MAC address on what its
//!   virtual machines send, and after that all that it sends again is known. A
//!   copy is counted as that and otherwise ignored.
//! * A MAC address that sends a segment of another node's TCP connection, by
//!   its sequence and acknowledgement numbers, or repeats its SYN, is the same
//!   machine's. A RST says nothing: who takes an address over sends it too.
//! * Many machines count what they send in the identification of IPv4. A new
//!   MAC address whose first UDP datagram goes on with the count of the node
//!   that sent from there before is that node's: it is damaged, or a router's.
//! * Packets whose time to live says that they have passed a router bring that
//!   router's MAC address; two of these from one shared address are one node.
//!
//! All these are guesses, and a refusal says whether it rests on them.
//! [`Options::named`] says which machine has which MAC addresses, and
//! [`Options::nodes`] that the node is the local port modulo N. What was refused
//! between two nodes that turn out to be one machine is taken back in the end.
//!
//! A frame to a group address (multicast, broadcast) names no node: it is
//! counted and otherwise ignored, unless it is TCP. Then it is for the node that
//! has the connection, or that answers its SYN. A frame between two shared
//! addresses concerns both nodes.
//!
//! Raw IP and loopback captures have no MAC addresses, or zeros. Linux cooked
//! captures have the sender's only, so a connection's two directions could not
//! be brought together. In all of them there is one node, called `all`. Where
//! some interfaces of a capture have MAC addresses, a packet without is of the
//! node that sent from the shared address before.
//!
//! # Tunnels
//!
//! With [`Options::inner`] a packet is the innermost IP packet in it; else a
//! tunnel is counted under its name, and only what is outside is looked at.
//!
//! # Rules for TCP
//!
//! * A flow is a 5-tuple on a node, seen from its shared address. It begins
//!   with a SYN without ACK: from the shared address it is outgoing, to it
//!   incoming. The stack is asked, and the SYN counted, once per initial
//!   sequence number. A repeated incoming SYN is asked about again, but not
//!   counted again, if the answer to the last one was a refusal.
//! * A SYN with another initial sequence number on the 5-tuple of an open flow
//!   is a new connection whose predecessor's end is missing in the capture:
//!   the old flow is ended first. The one exception is the answering SYN of a
//!   simultaneous open: it is counted and belongs to the flow, and nobody is
//!   asked again.
//! * A flow ends at a RST that counts, or when the FINs of both sides are
//!   acknowledged. A RST counts if its sequence number is inside the receiver's
//!   window or among what the sender has sent and the receiver not
//!   acknowledged; from a side that has sent nothing yet, if it acknowledges
//!   the other's SYN. What answers a SYN without acknowledging it is of an
//!   older connection and ignored. There is no TIME_WAIT. Packets that come
//!   later belong to the ended flow: they are not a new one and are ignored
//!   (the last [`Options::remembered_endings`] of them are known).
//! * Packets of a refused flow are ignored, on the other side as well if that
//!   is a shared address too: a refused connect() sends nothing.
//! * A flow whose first packet is anything but such a SYN is counted as seen
//!   in mid-stream, and nobody is asked.
//!
//! # Rules for UDP
//!
//! Every datagram from a shared address is a send on the one unconnected
//! socket of its node, local address and local port. Whether it is a question
//! is decided by the [`Stack`]. Of a fragmented datagram only the first
//! fragment counts.

mod capture;
mod connections;
mod copies;
mod decode;
mod encapsulation;
mod errno;
mod flows;
mod link;
mod mac;
mod machines;
mod model;
mod questions;
mod refusals;
mod report;
mod segments;
mod senders;
mod stack;
mod tcp;

pub use capture::{Capture, CaptureError, Format, Record, Timestamp};
pub use errno::errno_name;
pub use link::{LinkType, UnsupportedLink};
pub use model::ModelStack;
pub use report::{Counters, NodeReport, Refusal, Report};
pub use stack::{Answer, Direction, FiveTuple, NodeId, Protocol, Stack, StackError, UdpAnswer};

use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;

/// What to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// The addresses that the nodes share. A v4-mapped IPv6 address is the
    /// IPv4 address.
    pub shared: Vec<IpAddr>,
    /// `Some(n)`: a packet's node is its local port modulo `n`, not a MAC
    /// address.
    pub nodes: Option<u32>,
    /// Machines with the MAC addresses that they are known to have.
    pub named: Vec<NamedNode>,
    /// Looks into tunnels.
    pub inner: bool,
    /// How many refusals the report lists; the others are only counted.
    pub listed_refusals: usize,
    /// How many ended TCP flows are remembered, so that their late packets are
    /// not taken for flows seen in mid-stream.
    pub remembered_endings: usize,
}

/// A machine that somebody has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedNode {
    /// Its name in the report.
    pub name: String,
    /// All its MAC addresses, virtual ones as well.
    pub macs: Vec<[u8; 6]>,
}

impl Options {
    /// For these shared addresses, with nodes by MAC address and the usual
    /// limits: 100,000 listed refusals, 131,072 remembered endings.
    pub fn new(shared: Vec<IpAddr>) -> Self {
        Self {
            shared,
            nodes: None,
            named: Vec::new(),
            inner: false,
            listed_refusals: 100_000,
            remembered_endings: 1 << 17,
        }
    }

    fn check(&self) -> Result<(), ReplayFailure> {
        if self.shared.is_empty() {
            return Err(ReplayFailure::Options(
                "no shared address given: name at least one",
            ));
        }
        if self.nodes == Some(0) {
            return Err(ReplayFailure::Options(
                "a cluster has at least one node: 0 given",
            ));
        }
        let mut macs: Vec<_> = self.named.iter().flat_map(|node| &node.macs).collect();
        let given = macs.len();
        macs.sort_unstable();
        macs.dedup();
        if macs.len() < given {
            return Err(ReplayFailure::Options(
                "a MAC address belongs to one node: one is given twice",
            ));
        }
        Ok(())
    }
}

/// Why a replay stopped, and what it had by then.
#[derive(Debug, thiserror::Error)]
#[error("{cause}{}", covered(.report))]
pub struct ReplayError {
    /// What went wrong.
    pub cause: ReplayFailure,
    /// Covers every packet before the one that the failure names.
    pub report: Box<Report>,
}

fn covered(report: &Report) -> String {
    match report.totals.packets {
        0 => String::new(),
        1 => "; the report covers packet 1".to_owned(),
        n => format!("; the report covers packets 1 to {n}"),
    }
}

/// What can stop a replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFailure {
    /// No shared address, or no node.
    #[error("{0}")]
    Options(&'static str),
    /// The capture cannot be read, or no further.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The stack cannot answer what was to be asked in the end.
    #[error("in the end: {0}")]
    End(StackError),
    /// The stack cannot go on.
    #[error("packet {packet}: {error}")]
    Stack {
        /// 1 is the first packet of the capture.
        packet: u64,
        /// What the stack said.
        error: StackError,
    },
}

/// Reads a capture to its end and drives `stack` through it.
///
/// `progress` is told, about once per mebibyte, how many bytes have been read
/// and how many packets processed.
///
/// # Errors
///
/// The cause, and the report of all packets before it.
pub fn replay<R: Read>(
    reader: R,
    options: &Options,
    stack: &mut dyn Stack,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, ReplayError> {
    let mut flows = flows::Flows::new(options, stack);
    let mut skipped = BTreeMap::new();
    let result = options.check().and_then(|()| {
        let mut capture = Capture::new(reader)?;
        let result = run(&mut capture, &mut flows, progress);
        skipped = capture.skipped_sections();
        result
    });
    let result = result.and(flows.end().map_err(ReplayFailure::End));
    let mut report = flows.into_report();
    report.skipped_sections = skipped;
    match result {
        Ok(()) => Ok(report),
        Err(cause) => Err(ReplayError {
            cause,
            report: Box::new(report),
        }),
    }
}

fn run(
    capture: &mut Capture<'_>,
    flows: &mut flows::Flows<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), ReplayFailure> {
    let mut told = 0;
    let mut unsupported = None;
    let mut is_supported = false;
    while let Some(record) = capture.next_record()? {
        flows
            .packet(&record)
            .map_err(|error| ReplayFailure::Stack {
                packet: record.number,
                error,
            })?;
        match record.link {
            Ok(_) => is_supported = true,
            Err(link) => unsupported = unsupported.or(Some(link)),
        }
        let (bytes, packets) = (record.end, record.number);
        if bytes - told >= 1 << 20 {
            told = bytes;
            progress(bytes, packets);
        }
    }
    progress(capture.position(), capture.packets());
    match unsupported {
        Some(link) if !is_supported => Err(CaptureError::Link(link).into()),
        _ => Ok(()),
    }
}
