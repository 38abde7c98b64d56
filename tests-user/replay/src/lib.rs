// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Reads a capture and turns the traffic of shared addresses into what the
//! TCP/IP stack of each node would do: `connect()`, an incoming SYN, the end
//! of a connection, a UDP send. A [`Stack`] is driven through it, and a
//! [`Report`] says what came of it.
//!
//! * [`Capture`]: pcap, pcapng and snoop files, one packet at a time.
//! * `link`, `decode`: from link-layer frame to TCP and UDP header.
//! * `tcp`: the life of one TCP flow, `flows`: all of them, and the questions.
//! * [`Stack`]: what is driven; [`ModelStack`] is a plain one.
//!
//! # Nodes
//!
//! A node is the source MAC address of frames from, and the destination MAC
//! address of frames to, a shared address. A frame to a group address
//! (multicast, broadcast) names no node: it is counted and otherwise ignored.
//! A frame between two shared addresses concerns both nodes.
//!
//! Raw IP and loopback captures have no MAC addresses. Linux cooked captures
//! have the sender's only, so a connection's two directions could not be
//! brought together. In all of them there is one node, called `all`.
//!
//! [`Options::nodes`] overrides all this: the node is the local port modulo N.
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
//! * A flow ends at a RST, whatever its sequence number, or when the FINs of
//!   both sides are acknowledged. There is no TIME_WAIT. Packets that come
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
mod decode;
mod errno;
mod flows;
mod link;
mod model;
mod report;
mod stack;
mod tcp;

pub use capture::{Capture, CaptureError, Format, Record, Timestamp};
pub use errno::errno_name;
pub use link::{LinkType, UnsupportedLink};
pub use model::ModelStack;
pub use report::{Counters, NodeReport, Refusal, Report};
pub use stack::{Answer, Direction, FiveTuple, NodeId, Protocol, Stack, StackError, UdpAnswer};

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
    /// How many refusals the report lists; the others are only counted.
    pub listed_refusals: usize,
    /// How many ended TCP flows are remembered, so that their late packets are
    /// not taken for flows seen in mid-stream.
    pub remembered_endings: usize,
}

impl Options {
    /// For these shared addresses, with nodes by MAC address and the usual
    /// limits: 100,000 listed refusals, 131,072 remembered endings.
    pub fn new(shared: Vec<IpAddr>) -> Self {
        Self {
            shared,
            nodes: None,
            listed_refusals: 100_000,
            remembered_endings: 1 << 17,
        }
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
    match run(reader, options, &mut flows, progress) {
        Ok(()) => Ok(flows.into_report()),
        Err(cause) => Err(ReplayError {
            cause,
            report: Box::new(flows.into_report()),
        }),
    }
}

fn run<R: Read>(
    reader: R,
    options: &Options,
    flows: &mut flows::Flows<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), ReplayFailure> {
    if options.shared.is_empty() {
        return Err(ReplayFailure::Options(
            "no shared address given: name at least one",
        ));
    }
    if options.nodes == Some(0) {
        return Err(ReplayFailure::Options(
            "a cluster has at least one node: 0 given",
        ));
    }
    let mut capture = Capture::new(reader)?;
    let mut told = 0;
    while let Some(record) = capture.next_record()? {
        flows
            .packet(&record)
            .map_err(|error| ReplayFailure::Stack {
                packet: record.number,
                error,
            })?;
        let (bytes, packets) = (record.end, record.number);
        if bytes - told >= 1 << 20 {
            told = bytes;
            progress(bytes, packets);
        }
    }
    progress(capture.position(), capture.packets());
    Ok(())
}
