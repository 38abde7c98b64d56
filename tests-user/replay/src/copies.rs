// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Copies of a packet: a router's two sides in one capture.

use std::collections::HashSet;
use std::hash::BuildHasher;

use etherparse::{IpNumber, ip_number};
use foldhash::fast::RandomState;

use crate::decode::{Macs, Packet};
use crate::mac::Mac;

/// How many packets are remembered. A router is done with one after a few; a
/// port that mirrors both of its sides may mix them more.
const REMEMBERED: usize = 1 << 14;

/// How many of them share a slot, so that a copy is not missed because another
/// packet has taken the only one.
const WAYS: usize = 8;

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
    /// The identification of IPv4, which its sender has counted or drawn for
    /// this packet. Some always send 0 or 1.
    pub(crate) fn number(&self) -> u16 {
        (self.fragment >> 16) as u16
    }

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
    source: Mac,
    destination: Mac,
}

impl Seen {
    fn is_moved_to(&self, later: &Seen) -> bool {
        self.hash == later.hash
            && (self.source, self.destination) != (later.source, later.destination)
    }

    /// Is `later` the same packet on another link? A router lowers the time to
    /// live; what only passes a frame on is the receiver of one and the sender
    /// of the other.
    fn is_passed_on_as(&self, later: &Seen) -> bool {
        self.ttl != later.ttl
            || self.destination == later.source
            || self.source == later.destination
    }
}

/// The packets that were seen last.
pub(crate) struct Copies {
    /// By the hash, the last one first; the oldest of a slot is forgotten.
    seen: Vec<[Seen; WAYS]>,
    hasher: RandomState,
    /// Who puts his MAC address on whose frames and changes nothing else, as a
    /// host with a wireless link does for its virtual machines.
    relays: HashSet<(Mac, Mac), RandomState>,
}

impl Copies {
    pub(crate) fn new() -> Self {
        Self {
            seen: vec![[Seen::default(); WAYS]; REMEMBERED / WAYS],
            hasher: RandomState::default(),
            relays: HashSet::default(),
        }
    }

    /// Does one of these put its MAC address on the other's frames?
    pub(crate) fn is_relay(&self, a: Mac, b: Mac) -> bool {
        self.relays.contains(&(a, b)) || self.relays.contains(&(b, a))
    }

    /// The source and destination MAC addresses that this packet was first seen
    /// with, if it is a copy; zeros if that had none.
    pub(crate) fn original(&mut self, packet: &Packet) -> Option<(Mac, Mac)> {
        let (source, destination) = match packet.macs {
            Macs::None => Default::default(),
            Macs::Ethernet {
                source,
                destination,
            } => (source, destination),
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
        let is_numbered = packet.identity.number() > 1;
        let slots = self.seen.len();
        let slot = &mut self.seen[(hash >> 32) as usize % slots];
        let relays = &mut self.relays;
        let mut is_original = |seen: &&Seen| {
            if !seen.is_moved_to(&this) {
                return false;
            }
            if seen.is_passed_on_as(&this) {
                return true;
            }
            let relay = (source, seen.source);
            if is_numbered && source != seen.source {
                relays.insert(relay);
            }
            is_numbered || relays.contains(&relay)
        };
        if let Some(original) = slot.iter().find(&mut is_original) {
            return Some((original.source, original.destination));
        }
        slot.rotate_right(1);
        slot[0] = this;
        None
    }
}
