// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What was seen.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use clinet_slices::names::{NodeId, Protocol, Uuid};

use crate::history::Change;
use crate::observer::Seen;
use crate::settings::Settings;

/// A start of a machine.
#[derive(Clone, Debug)]
pub struct Boot {
    /// When.
    pub at: u64,
    /// Its id.
    pub id: Uuid,
    /// What it sent, in its order.
    pub packets: Vec<Packet>,
}

/// A packet that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When.
    pub at: u64,
    /// Of which protocol.
    pub protocol: Protocol,
    /// From which port of a shared address.
    pub port: u16,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: NodeId,
    /// Its machine.
    pub machine: Uuid,
    /// All of its boots, in their order.
    pub boots: Vec<Boot>,
    /// What its module said.
    pub seen: Vec<Seen>,
}

/// The operator said that a node's machine is off.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The number of the node.
    pub node: usize,
    /// When.
    pub at: u64,
}

/// The directory was one of earlier for a while: what it says is no evidence.
#[derive(Clone, Copy, Debug)]
pub struct Restored {
    /// Since when.
    pub from: u64,
    /// Until when.
    pub until: u64,
}

/// Everything that was seen.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the nodes went by.
    pub settings: Settings,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What the directory said.
    pub changes: Vec<Change>,
    /// Until when that is all: it says nothing of what came later.
    pub read_until: u64,
    /// Nodes that were said to be off.
    pub fenced: Vec<Word>,
    /// Times of a restored directory.
    pub restored: Vec<Restored>,
}

impl Evidence {
    /// Does what the directory said between these times count?
    pub fn counts(&self, from: u64, until: u64) -> bool {
        let overlaps = |one: &Restored| from <= one.until && one.from <= until;
        !self.restored.iter().any(overlaps)
    }

    /// The name of a node.
    pub fn name(&self, node: usize) -> &str {
        self.nodes[node].name.as_str()
    }

    /// `time`, measured by a clock that may be off, is at most so long by another.
    pub fn longest(&self, time: u64) -> u64 {
        time + self.error(time)
    }

    /// The same, and at least so long.
    pub fn shortest(&self, time: u64) -> u64 {
        time - self.error(time).min(time)
    }

    fn error(&self, time: u64) -> u64 {
        time / 1_000_000 * u64::from(self.settings.rate_ppm) * 2
    }
}

/// Reads what a machine noted of its packets, those from a shared address.
///
/// # Errors
///
/// The file is not there, or has another line than those of `lab node --sent`;
/// the last one may be cut short, if the machine was killed in the middle of it.
pub fn packets(file: &Path, shared: &[IpAddr]) -> anyhow::Result<Vec<Packet>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let packet = |line: &str| packet(line).with_context(|| format!("{}: {line}", file.display()));
    let is_shared = |(source, packet)| shared.contains(&source).then_some(packet);
    let packets = whole.lines().map(packet);
    packets
        .filter_map(|packet| packet.map(is_shared).transpose())
        .collect()
}

/// A packet and its source.
fn packet(line: &str) -> Option<(IpAddr, Packet)> {
    let mut words = line.split(' ');
    let at = words.next()?.parse().ok()?;
    let protocol = words.next()?.parse().ok()?;
    let local: SocketAddr = words.next()?.parse().ok()?;
    let packet = Packet {
        at,
        protocol,
        port: local.port(),
    };
    Some((local.ip(), packet))
}
