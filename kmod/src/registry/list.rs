// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Listing all entries, a few at a time.
//!
//! A cursor is a place in the order of the hashes, which no growth changes: an
//! entry that is there all the time is listed exactly once, however long the
//! listing takes.

use super::bucket;
use super::entry::{Entry, Kind, TICKS};
use super::env::Env;
use super::hash::home;
use super::region::Inner;
use super::{Busy, Node, Registry, StackId};
use crate::flow::{Addr, FiveTuple, Protocol, SockAddr};

/// A listing must have room for so many: for all entries that belong to one
/// bucket. There are three on average.
pub const ROOM: usize = 64;

/// Where a listing goes on. Starts as the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The region.
    pub region: u32,
    /// The least fraction that was not listed.
    pub fraction: u32,
}

/// An entry as it is listed. Addresses are in IPv6 form, two words in native
/// byte order; ports are in network byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The stack.
    pub stack: StackId,
    /// Its owner.
    pub owner: Node,
    /// References, if it is this node's.
    pub references: u32,
    /// Its number in the IP header.
    pub protocol: u8,
    /// TCP of this node: was it an outgoing connection?
    pub outgoing: bool,
    /// UDP of this node: ticks since it was last asked about.
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

impl Listed {
    /// Its 5-tuple. `None`: its protocol is none that is asked about, which no
    /// entry's is.
    #[must_use]
    pub fn tuple(&self) -> Option<FiveTuple> {
        Some(FiveTuple {
            protocol: Protocol::from_number(self.protocol)?,
            local: SockAddr {
                addr: Addr::from_words(self.local),
                port: self.lport,
            },
            foreign: SockAddr {
                addr: Addr::from_words(self.foreign),
                port: self.fport,
            },
        })
    }
}

impl<E: Env> Registry<E> {
    /// Hands `room` entries at most to `each`, from `cursor` on; `room` is
    /// [`ROOM`] at least. Where to go on; `None` at the end. Entries of UDP are
    /// listed until a sweep drops them. `each` is called with a region locked.
    ///
    /// # Errors
    ///
    /// Another thread does maintenance.
    pub fn list(
        &self,
        cursor: Cursor,
        tick: u8,
        room: usize,
        mut each: impl FnMut(Listed),
    ) -> Result<Option<Cursor>, Busy> {
        let _turn = self.turn()?;
        let mut at = cursor;
        let mut left = room;
        while let Some(region) = self.region(at.region as usize) {
            // What is on its way belongs to buckets of two arrays.
            self.finish_moving(region);
            let inner = region.lock();
            let len = inner.buckets().len();
            let home = home(at.fraction, len);
            let first = (home, at.fraction);
            let found = self.belonging(&inner, first).count();
            if found > left {
                return Ok(Some(at));
            }
            left -= found;
            self.belonging(&inner, first)
                .filter_map(|entry| self.listed(entry, tick))
                .for_each(&mut each);
            drop(inner);
            // The least fraction that belongs to the next bucket.
            let next = ((home as u64 + 1) << 32).div_ceil((len as u64).max(1));
            at = match u32::try_from(next) {
                Ok(fraction) => Cursor { fraction, ..at },
                Err(_) => Cursor {
                    region: at.region.saturating_add(1),
                    fraction: 0,
                },
            };
        }
        Ok(None)
    }

    /// The entries that belong to a bucket, but for those with a lesser
    /// fraction.
    fn belonging<'a>(
        &'a self,
        inner: &'a Inner<E>,
        (bucket, fraction): (usize, u32),
    ) -> impl Iterator<Item = &'a Entry> {
        let buckets = inner.buckets();
        bucket::run(buckets, bucket).filter(move |entry| {
            let place = entry.hash(&self.secret).fraction();
            home(place, buckets.len()) == bucket && place >= fraction
        })
    }

    /// An entry as it is listed; endpoints and dead ones are not.
    fn listed(&self, entry: &Entry, tick: u8) -> Option<Listed> {
        let live = self.locals.is_live(entry.local())
            && match entry.kind() {
                Kind::Other(owner) => self.owners.is_live(owner),
                _ => true,
            };
        live.then(|| self.last_listed(entry, tick)).flatten()
    }

    /// An entry as it was listed, before its address or owner went.
    pub(super) fn last_listed(&self, entry: &Entry, tick: u8) -> Option<Listed> {
        let local = self.locals.last_meaning(entry.local())?;
        let (owner, references) = match entry.kind() {
            Kind::Endpoint => return None,
            Kind::Other(owner) => (self.owners.last_meaning(owner)?.tag, 0),
            Kind::Tcp | Kind::Udp => (self.settings.node, entry.references() as u32),
        };
        let (lport, fport) = entry.ports();
        Some(Listed {
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
            foreign: entry.foreign(),
            lport,
            fport,
        })
    }
}
