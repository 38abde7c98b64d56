// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The comparison of the registry with the stack's own list of TCP connections.
//!
//! An entry that came through ip's hooks goes when two whole audits in a row did
//! not see its connection. What is registered while an audit is under way counts as
//! seen by it.

use super::entry::{Entry, Kind};
use super::env::Env;
use super::{Node, ROUNDS, Registry, StackId, Verdict, Via, key, local};
use crate::flow::{Direction, FiveTuple};

/// What an audit learns of a connection of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// It is registered, and counts as seen.
    Present,
    /// It is not registered.
    Absent,
    /// It was not registered, and is now.
    Added,
    /// Another node owns it.
    OwnedBy(Node),
    /// Nobody looks at it.
    NotShared,
    /// It is not registered: there was no room.
    NoRoom,
}

impl<E: Env> Registry<E> {
    /// An audit begins.
    pub fn audit_begin(&self) {
        for shard in self.shards.iter() {
            shard.lock().audited = true;
        }
    }

    /// An audit found a TCP connection in the stack.
    pub fn audit_seen(&self, stack: StackId, tuple: &FiveTuple) -> Audit {
        let Some(local) = self.locals.find(&local(stack, &tuple.local.addr)) else {
            return match self.is_shared(&tuple.local.addr) {
                true => Audit::Absent,
                false => Audit::NotShared,
            };
        };
        let key = key(local, tuple);
        let hash = key.hash(&self.secret);
        let Some(mut table) = self.lock(hash, local) else {
            return Audit::Absent;
        };
        let home = table.home(hash);
        match table.find_mut(home, &key) {
            None => Audit::Absent,
            Some((_, entry)) => self.see(entry),
        }
    }

    fn see(&self, entry: &mut Entry) -> Audit {
        match entry.kind() {
            Kind::Other(owner, epoch) => self
                .owner(owner, epoch)
                .map_or(Audit::Absent, Audit::OwnedBy),
            Kind::Tcp => {
                entry.set_seen();
                Audit::Present
            }
            Kind::Udp | Kind::Endpoint => Audit::Present,
        }
    }

    /// Registers a connection that two audits found, with one reference. As an incoming
    /// one: ip's list does not say, and it may be one that was reset, whose end ip tells
    /// twice. Not inline: in
    /// the walk's function LLVM makes a jump table of the verdicts, and fills it up
    /// with an instruction that stops the machine for those that `add` never has.
    #[inline(never)]
    pub fn audit_add(&self, stack: StackId, tuple: &FiveTuple) -> Audit {
        for _ in 0..ROUNDS {
            let local = match self.local(stack, &tuple.local.addr) {
                Ok(local) => local,
                Err(Verdict::Full(_)) => return Audit::NoRoom,
                Err(Verdict::Late) => continue,
                Err(_) => return Audit::NotShared,
            };
            let key = key(local, tuple);
            let hash = key.hash(&self.secret);
            let Some(mut table) = self.lock(hash, local) else {
                continue;
            };
            let home = table.home(hash);
            let new = Entry::tcp(&key, Direction::Incoming, Via::Ip, true);
            let verdict = match table.find_mut(home, &key) {
                None => self.add(&mut table, home, new),
                Some((at, entry)) => match self.see(entry) {
                    Audit::Absent => self.replace(&mut table, home, at, new),
                    // Somebody registered it meanwhile, who will end it, too.
                    present => return present,
                },
            };
            let grows = table.grows();
            drop(table);
            if grows {
                self.grow(hash);
            }
            match verdict {
                Verdict::Registered => return Audit::Added,
                Verdict::Late => {}
                _ => return Audit::NoRoom,
            }
        }
        Audit::NoRoom
    }
}
