// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What other nodes own, as far as this one is told.
//!
//! An owner's entries have the epoch that they were named in. Epochs from the
//! owner's floor to its present one are alive: a purge moves both on, the begin
//! of a resynchronisation the present one, and its end the floor. So all that was
//! not named in between dies at once, and a sweep drops it.

use super::entry::{Entry, Kind};
use super::env::{Env, Word};
use super::names::{Meaning, NoName};
use super::{Full, Node, ROUNDS, Registry, Verdict, key, local};
use crate::flow::{FiveTuple, Protocol};

/// Why an entry of another node was not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInstalled {
    /// The 5-tuple belongs to this or a third node: a conflict.
    OwnedBy(Node),
    /// No other node has this number, or there is no local address.
    Invalid,
    /// The local address is not shared.
    NotShared,
    /// A limit is reached.
    Full(Full),
    /// There is no room now, as for [`Verdict::Late`].
    Late,
}

/// Epochs run out, until a sweep is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The epochs of an owner: the note of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    /// The first one that is alive.
    floor: u8,
    /// The one that entries get now.
    present: u8,
    /// How many passed since a sweep that began after the last one was done.
    passed: u8,
    /// Sweeps begun when the last one passed.
    pass: u32,
}

impl From<u64> for Epochs {
    #[inline]
    fn from(note: u64) -> Self {
        Self {
            floor: note as u8,
            present: (note >> 8) as u8,
            passed: (note >> 16) as u8,
            pass: (note >> 32) as u32,
        }
    }
}

impl From<Epochs> for u64 {
    fn from(epochs: Epochs) -> Self {
        let [floor, present, passed] =
            [epochs.floor, epochs.present, epochs.passed].map(Self::from);
        floor | present << 8 | passed << 16 | Self::from(epochs.pass) << 32
    }
}

/// Epochs that may pass without a sweep, of 256 that can be told apart: by purges,
/// and by resynchronisations, which leave some for a purge.
const MOST_PASSED: u8 = 250;
const MOST_BEGUN: u8 = 200;

impl Epochs {
    /// Does what was named in this epoch count?
    #[inline]
    pub fn is_alive(self, epoch: u8) -> bool {
        epoch.wrapping_sub(self.floor) <= self.present.wrapping_sub(self.floor)
    }

    /// The next epoch, if fewer than `most` passed; `begun` and `done` sweeps have
    /// been.
    fn advance(&mut self, (begun, done): (u32, u32), most: u8) -> Result<(), TooMany> {
        if done.wrapping_sub(self.pass).cast_signed() > 0 {
            self.passed = self.present.wrapping_sub(self.floor);
        }
        if self.passed >= most {
            return Err(TooMany);
        }
        self.passed += 1;
        // One that has begun meanwhile may have seen the epochs as they were.
        self.pass = begun.wrapping_add(1);
        self.present = self.present.wrapping_add(1);
        Ok(())
    }
}

fn owner(node: Node) -> Meaning {
    Meaning {
        words: [0; 2],
        tag: node,
    }
}

impl<E: Env> Registry<E> {
    /// Another node says that it owns the 5-tuple (of the global stack). Ok if
    /// it did already.
    ///
    /// # Errors
    ///
    /// Why not; then nothing changed.
    pub fn install(&self, node: Node, tuple: &FiveTuple) -> Result<(), NotInstalled> {
        if !self.is_other(node) {
            return Err(NotInstalled::Invalid);
        }
        let mut result = Err(NotInstalled::Late);
        for _ in 0..ROUNDS {
            result = self.try_install(node, tuple);
            if result != Err(NotInstalled::Late) {
                break;
            }
        }
        result
    }

    fn try_install(&self, node: Node, tuple: &FiveTuple) -> Result<(), NotInstalled> {
        let local = self
            .local(0, &tuple.local.addr)
            .map_err(|verdict| match verdict {
                Verdict::Unspecified => NotInstalled::Invalid,
                Verdict::NotShared => NotInstalled::NotShared,
                Verdict::Late => NotInstalled::Late,
                _ => NotInstalled::Full(Full::Addresses),
            })?;
        let meaning = owner(node);
        let found = self.owners.find(&meaning);
        let name =
            match found {
                Some(name) => name,
                None => self.owners.add(&meaning, || self.tell_tallies()).map_err(
                    |none| match none {
                        NoName::TooMany => NotInstalled::Full(Full::Nodes),
                        NoName::Busy => NotInstalled::Late,
                    },
                )?,
            };
        let key = key(local, tuple);
        let hash = key.hash(&self.secret);
        let over = match tuple.protocol {
            Protocol::Tcp => None,
            Protocol::Udp => self.generation_that_is_over(local, &key),
        };
        let mut table = self.lock(hash, local).ok_or(NotInstalled::Late)?;
        let home = table.home(hash);
        if !name.holds() {
            return Err(NotInstalled::Late);
        }
        let epochs = Epochs::from(name.note().load());
        let new = Entry::other(&key, name.number(), epochs.present);
        let verdict = match table.find_mut(home, &key) {
            None => self.add(&mut table, home, new),
            Some((at, entry)) => {
                let holder = match entry.kind() {
                    Kind::Other(number, epoch) => self.owner(number, epoch),
                    Kind::Udp if over == Some(entry.generation()) => None,
                    _ => Some(self.settings.node),
                };
                match holder {
                    Some(holder) if holder == node => {
                        *entry = new;
                        Verdict::Repeated
                    }
                    Some(holder) => return Err(NotInstalled::OwnedBy(holder)),
                    None => self.replace(&mut table, home, at, new),
                }
            }
        };
        let grows = table.grows();
        drop(table);
        if grows {
            self.grow(hash);
        }
        match verdict {
            Verdict::Full(full) => Err(NotInstalled::Full(full)),
            Verdict::Late => Err(NotInstalled::Late),
            _ => Ok(()),
        }
    }

    /// The generation of a UDP entry of this node that its endpoint has left
    /// behind. The entry is asked first: what its endpoint says after that holds for
    /// good.
    fn generation_that_is_over(
        &self,
        local: super::Numbered<'_, E>,
        key: &super::Key,
    ) -> Option<u8> {
        let hash = key.hash(&self.secret);
        let seen = {
            let table = self.lock(hash, local)?;
            let home = table.home(hash);
            let entry = table.find(home, key)?;
            (entry.kind() == Kind::Udp).then(|| entry.generation())
        };
        seen.filter(|seen| self.generation(key) != Some(*seen))
    }

    /// Another node gives the 5-tuple up. False if it did not own it. `None`:
    /// no other node has this number.
    pub fn withdraw(&self, node: Node, tuple: &FiveTuple) -> Option<bool> {
        if !self.is_other(node) {
            return None;
        }
        let withdrawn = self.with_name(&local(0, &tuple.local.addr), |local| {
            let key = key(local, tuple);
            let hash = key.hash(&self.secret);
            let mut table = self.lock(hash, local)?;
            let home = table.home(hash);
            let Some((at, entry)) = table.find_mut(home, &key) else {
                return Some(false);
            };
            let entry = *entry;
            let owned = match entry.kind() {
                Kind::Other(number, epoch) => self.owner(number, epoch) == Some(node),
                _ => false,
            };
            if owned {
                self.remove(&mut table, home, at, &entry);
            }
            Some(owned)
        });
        Some(withdrawn.unwrap_or(false))
    }

    /// Another node left: all that it owned is dead. `None`: no other node has this
    /// number.
    ///
    /// # Errors
    ///
    /// That happened too often since the last sweep.
    pub fn purge(&self, node: Node) -> Option<Result<(), TooMany>> {
        self.change_epochs(node, |epochs, sweeps| {
            epochs.advance(sweeps, MOST_PASSED)?;
            epochs.floor = epochs.present;
            Ok(())
        })
    }

    /// What another node owns is named anew from now on. As [`Registry::purge`].
    ///
    /// # Errors
    ///
    /// As for [`Registry::purge`].
    pub fn resync_begin(&self, node: Node) -> Option<Result<(), TooMany>> {
        self.change_epochs(node, |epochs, sweeps| epochs.advance(sweeps, MOST_BEGUN))
    }

    /// What was not named since [`Registry::resync_begin`] is dead; without that,
    /// nothing.
    ///
    /// # Errors
    ///
    /// None.
    pub fn resync_end(&self, node: Node) -> Option<Result<(), TooMany>> {
        self.change_epochs(node, |epochs, (begun, _)| {
            epochs.floor = epochs.present;
            epochs.pass = begun.wrapping_add(1);
            Ok(())
        })
    }

    fn change_epochs(
        &self,
        node: Node,
        change: impl FnOnce(&mut Epochs, (u32, u32)) -> Result<(), TooMany>,
    ) -> Option<Result<(), TooMany>> {
        if !self.is_other(node) {
            return None;
        }
        let sweeps = (self.nameless.begun(), self.nameless.done());
        let mut result = Ok(());
        // Without a name it owns nothing.
        let _known = self.owners.change_note(&owner(node), |note| {
            let mut epochs = Epochs::from(note);
            result = change(&mut epochs, sweeps);
            epochs.into()
        });
        self.nameless.mark();
        Some(result)
    }

    fn is_other(&self, node: Node) -> bool {
        node != 0 && node != self.settings.node
    }
}
