// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Listing all entries, a few at a time.
//!
//! A cursor is a place in the order of the hashes, which no growth changes: an
//! entry that is there all the time is listed exactly once, however long the
//! listing takes.

use super::entry::{Entry, Kind, TICKS};
use super::env::Env;
use super::layout::FRACTIONS;
use super::{Busy, Node, Registry, StackId};
use crate::flow::{Addr, FiveTuple, Protocol, SockAddr};

/// A listing must have room for so many: for all entries of one home bucket. There
/// are three on average.
pub const ROOM: usize = 64;

/// Where a listing goes on. Starts as the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The shard.
    pub shard: u32,
    /// The least fraction that was not listed.
    pub fraction: u32,
}

/// An entry as it is listed. Addresses are in IPv6 form, two words in native
/// byte order; ports are in network byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableEntry {
    /// The stack.
    pub stack: StackId,
    /// Its owner.
    pub owner: Node,
    /// References, if it is this node's.
    pub references: u32,
    /// Its number in the IP header.
    pub protocol: u8,
    /// TCP of this node: an outgoing connection; none that an audit added is known to be.
    pub outgoing: bool,
    /// UDP of this node: ticks since it was last asked about; where nothing is ever
    /// too old, [`super::MOST_TICKS`] or so are as many or more.
    pub age: u8,
    /// The local address.
    pub local: [u64; 2],
    /// The foreign address.
    pub foreign: [u64; 2],
    /// The local port.
    pub lport: u16,
    /// The foreign port.
    pub fport: u16,
}

impl TableEntry {
    /// Its 5-tuple. `None`: its protocol is none that is asked about, which no
    /// entry's is.
    #[must_use]
    pub fn tuple(&self) -> Option<FiveTuple> {
        let end = |words, port| SockAddr {
            addr: Addr::from_words(words),
            port,
        };
        Some(FiveTuple {
            protocol: Protocol::from_number(self.protocol)?,
            local: end(self.local, self.lport),
            foreign: end(self.foreign, self.fport),
        })
    }
}

impl<E: Env> Registry<E> {
    /// Hands `room` entries at most to `each`, from `cursor` on; `room` is
    /// [`ROOM`] at least. Where to go on; `None` at the end. Entries of UDP are
    /// listed until a sweep drops them. `each` is called with a shard locked.
    ///
    /// # Errors
    ///
    /// Another thread sweeps or lists.
    pub fn list(
        &self,
        cursor: Cursor,
        tick: u8,
        room: usize,
        mut each: impl FnMut(TableEntry),
    ) -> Result<Option<Cursor>, Busy> {
        let _turn = self.turn()?;
        let mut at = cursor;
        let mut left = room;
        while let Some(shard) = self.shards.get(at.shard as usize) {
            let table = shard.lock();
            let interval = table.layout.interval(at.fraction);
            let fractions = u64::from(at.fraction)..interval.end;
            let belonging = || {
                let home = table.layout.home(at.fraction);
                let entries = table.run(home).map(|(_, entry)| entry);
                entries.filter(|entry| {
                    let hash = entry.hash(&self.secret);
                    entry.kind() != Kind::Endpoint && fractions.contains(&hash.fraction().into())
                })
            };
            let found = belonging().count();
            if found > left {
                return Ok(Some(at));
            }
            left -= found;
            belonging()
                .filter_map(|entry| self.listed(entry, tick))
                .for_each(&mut each);
            drop(table);
            at = match u32::try_from(interval.end) {
                Ok(fraction) if interval.end < FRACTIONS => Cursor { fraction, ..at },
                _ => Cursor {
                    shard: at.shard.saturating_add(1),
                    fraction: 0,
                },
            };
            if left == 0 {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn listed(&self, entry: &Entry, tick: u8) -> Option<TableEntry> {
        let live = self.locals.is_live(entry.local())
            && match entry.kind() {
                Kind::Other(owner, epoch) => self.owner(owner, epoch).is_some(),
                _ => true,
            };
        live.then(|| self.last_of(entry, tick)).flatten()
    }

    /// An entry as it was listed, before its address or owner went.
    pub(super) fn last_of(&self, entry: &Entry, tick: u8) -> Option<TableEntry> {
        let local = self.locals.last_meaning(entry.local())?;
        let (owner, references) = match entry.kind() {
            Kind::Endpoint => return None,
            Kind::Other(owner, _) => (self.owners.last_meaning(owner)?.tag, 0),
            Kind::Tcp | Kind::Udp => (self.settings.node, entry.references() as u32),
        };
        let (lport, fport) = entry.ports();
        Some(TableEntry {
            stack: local.tag,
            owner,
            references,
            protocol: entry.protocol().number(),
            outgoing: entry.kind() == Kind::Tcp && entry.outgoing(),
            age: match entry.kind() {
                Kind::Udp => tick.wrapping_sub(entry.tick()) % TICKS,
                _ => 0,
            },
            local: local.words,
            foreign: entry.address,
            lport,
            fport,
        })
    }
}
