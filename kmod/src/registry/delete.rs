// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Deleting an entry because somebody says so.

use super::entry::Kind;
use super::env::Env;
use super::{ROUNDS, Registry, StackId, key, local};
use crate::flow::FiveTuple;

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// There was none.
    Nothing,
    /// It is a TCP connection of this node, and stays.
    Live,
    /// It was this node's.
    Ours,
    /// It was another node's.
    Others,
}

impl<E: Env> Registry<E> {
    /// Deletes the entry of a 5-tuple, whoever owns it; a TCP connection of this
    /// node only by `force`. With `only_look` nothing goes.
    pub fn delete(
        &self,
        stack: StackId,
        tuple: &FiveTuple,
        force: bool,
        only_look: bool,
    ) -> Deleted {
        for _ in 0..ROUNDS {
            let Some(local) = self.locals.find(&local(stack, &tuple.local.addr)) else {
                return Deleted::Nothing;
            };
            let key = key(local, tuple);
            let hash = key.hash(&self.secret);
            let Some(mut table) = self.lock(hash, local) else {
                continue;
            };
            let Some(at) = table.find(hash, &key) else {
                return Deleted::Nothing;
            };
            let Some(entry) = table.get(at).copied() else {
                return Deleted::Nothing;
            };
            let deleted = match entry.kind() {
                Kind::Tcp if !force => return Deleted::Live,
                Kind::Other(..) => Deleted::Others,
                _ => Deleted::Ours,
            };
            if !only_look {
                self.remove(&mut table, hash, at, &entry);
            }
            return deleted;
        }
        Deleted::Nothing
    }
}
