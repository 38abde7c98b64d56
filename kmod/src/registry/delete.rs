// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Deleting an entry because somebody says so.

use super::entry::Kind;
use super::env::Env;
use super::{Registry, StackId, key, local};
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
        let deleted = self.with_name(&local(stack, &tuple.local.addr), |local| {
            let key = key(local, tuple);
            let hash = key.hash(&self.secret);
            let mut table = self.lock(hash, local)?;
            let home = table.home(hash);
            let Some((at, entry)) = table.find_mut(home, &key) else {
                return Some(Deleted::Nothing);
            };
            let entry = *entry;
            let deleted = match entry.kind() {
                Kind::Tcp if !force => return Some(Deleted::Live),
                Kind::Other(..) => Deleted::Others,
                _ => Deleted::Ours,
            };
            if !only_look {
                self.remove(&mut table, home, at, &entry);
            }
            Some(deleted)
        });
        deleted.unwrap_or(Deleted::Nothing)
    }
}
