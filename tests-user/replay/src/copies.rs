// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Copies of a packet: a router's two sides in one capture.

use std::hash::BuildHasher;

use etherparse::{IpNumber, ip_number};
use foldhash::fast::RandomState;

use crate::decode::{Macs, Packet};

/// How many packets are remembered. A router is done with one after a few; a
/// port that mirrors both of its sides may mix them more.
const REMEMBERED: usize = 1 << 14;

/// What stays the same of a packet when it is routed, besides its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    /// Of IPv4: identification, flags and fragment offset. 0 for IPv6.
    fragment: u32,
    protocol: u8,
    /// Of what the IP header carries, in bytes.
    len: usize,
    /// TCP up to its flags, UDP up to its checksum. A router may change the TCP
    /// checksum, when it lowers the maximum segment size.
    head: [u8; 14],
}

impl Identity {
    pub(crate) fn new(fragment: u32, protocol: IpNumber, len: usize, captured: &[u8]) -> Self {
        let mut head = [0; 14];
        let wanted = if protocol == ip_number::TCP { 14 } else { 8 };
        let known = captured.len().min(wanted);
        head[..known].copy_from_slice(&captured[..known]);
        Self {
            fragment,
            protocol: protocol.0,
            len,
            head,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Seen {
    /// Of all that routing leaves alone; 0 for none.
    hash: u64,
    ttl: u8,
    source: [u8; 6],
    destination: [u8; 6],
}

impl Seen {
    /// Is `later` the same packet on another link? A router lowers the time to
    /// live; what only passes a frame on is the receiver of one and the sender
    /// of the other.
    fn is_copied_by(&self, later: &Seen) -> bool {
        let (source, destination) = (self.source, self.destination);
        let moved = (source, destination) != (later.source, later.destination);
        moved
            && self.hash == later.hash
            && (self.ttl != later.ttl || destination == later.source || source == later.destination)
    }
}

/// The packets that were seen last.
pub(crate) struct Copies {
    /// By the hash; a later packet takes an earlier one's place.
    seen: Vec<Seen>,
    hasher: RandomState,
}

impl Copies {
    pub(crate) fn new() -> Self {
        Self {
            seen: vec![Seen::default(); REMEMBERED],
            hasher: RandomState::default(),
        }
    }

    /// The source and destination MAC addresses that this packet was first seen
    /// with, if it is a copy.
    pub(crate) fn original(&mut self, packet: &Packet) -> Option<([u8; 6], [u8; 6])> {
        let Macs::Ethernet {
            source,
            destination,
        } = packet.macs
        else {
            return None;
        };
        let hash = self
            .hasher
            .hash_one((packet.source, packet.destination, packet.identity));
        let this = Seen {
            hash: hash | 1,
            ttl: packet.ttl,
            source,
            destination,
        };
        let slot = &mut self.seen[(hash >> 32) as usize % REMEMBERED];
        if slot.is_copied_by(&this) {
            return Some((slot.source, slot.destination));
        }
        *slot = this;
        None
    }
}
