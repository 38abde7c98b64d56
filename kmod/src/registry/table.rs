// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A hash table of fixed size in memory that somebody else provides.
//!
//! Chained, with a free list; nothing allocates, nothing rehashes. A slot is
//! named by its number, which stays the same while the slot is in use.

use core::hash::{Hash, Hasher};
use core::ops::DerefMut;

use siphasher::sip::SipHasher13;

/// One slot, free or in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slot<K, V> {
    /// Number of the next slot of the chain or of the free list, plus one;
    /// 0 ends it.
    next: u32,
    used: bool,
    key: K,
    value: V,
}

/// A number of a slot in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Index(u32);

/// The table. `S` and `H` are the memory: slots, and heads of chains.
///
/// # Invariants
///
/// Each slot is in exactly one list: the chain of its key's hash if it is
/// used, the free list if it is not. Lists have no cycles.
#[derive(Debug)]
pub struct Table<K, V, S, H> {
    slots: S,
    heads: H,
    free: u32,
    used: usize,
    secret: [u8; 16],
    kind: core::marker::PhantomData<(K, V)>,
}

impl<K, V, S, H> Table<K, V, S, H>
where
    K: Copy + Eq + Hash + Default,
    V: Copy + Default,
    S: DerefMut<Target = [Slot<K, V>]>,
    H: DerefMut<Target = [u32]>,
{
    /// An empty table in the given memory, whatever that holds. Slots are
    /// numbered with 32 bits: of more than that the rest is not used. `secret`
    /// keeps remote ends from choosing chains.
    pub fn new(mut slots: S, mut heads: H, secret: [u8; 16]) -> Self {
        heads.fill(0);
        let mut free = 0;
        for (slot, number) in slots.iter_mut().zip(1..) {
            *slot = Slot {
                next: free,
                ..Slot::default()
            };
            free = number;
        }
        Self {
            slots,
            heads,
            free,
            used: 0,
            secret,
            kind: core::marker::PhantomData,
        }
    }

    /// Slots in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Slots in all.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The slot of `key`.
    pub fn find(&self, key: &K) -> Option<Index> {
        let mut at = self.heads.get(self.head(key)).copied()?;
        while let Some(slot) = self.slot(at) {
            if slot.key == *key {
                return Some(Index(at));
            }
            at = slot.next;
        }
        None
    }

    /// The key in a slot, if it is in use.
    pub fn key(&self, index: Index) -> Option<&K> {
        self.slot(index.0)
            .filter(|slot| slot.used)
            .map(|slot| &slot.key)
    }

    /// The value in a slot, if it is in use.
    pub fn get(&self, index: Index) -> Option<&V> {
        self.slot(index.0)
            .filter(|slot| slot.used)
            .map(|slot| &slot.value)
    }

    /// The value in a slot, if it is in use.
    pub fn get_mut(&mut self, index: Index) -> Option<&mut V> {
        self.slot_mut(index.0)
            .filter(|slot| slot.used)
            .map(|slot| &mut slot.value)
    }

    /// Takes a free slot for a key that is not in the table. The value is made
    /// from what the slot held last. `None`: no slot is free.
    pub fn insert(&mut self, key: &K, value: impl FnOnce(&V) -> V) -> Option<Index> {
        let number = self.free;
        let head = self.head(key);
        let first = self.heads.get(head).copied()?;
        let slot = self.slot_mut(number)?;
        let free = slot.next;
        *slot = Slot {
            next: first,
            used: true,
            key: *key,
            value: value(&slot.value),
        };
        self.free = free;
        *self.heads.get_mut(head)? = number;
        self.used += 1;
        Some(Index(number))
    }

    /// Frees a slot. Its value stays for the next user to see.
    pub fn remove(&mut self, index: Index) {
        let Some(key) = self.key(index).copied() else {
            return;
        };
        let head = self.head(&key);
        let next = self.slot(index.0).map_or(0, |slot| slot.next);
        let mut at = self.heads.get(head).copied().unwrap_or(0);
        if at == index.0 {
            if let Some(first) = self.heads.get_mut(head) {
                *first = next;
            }
        } else {
            while let Some(slot) = self.slot_mut(at) {
                if slot.next == index.0 {
                    slot.next = next;
                    break;
                }
                at = slot.next;
            }
        }
        let free = self.free;
        if let Some(slot) = self.slot_mut(index.0) {
            slot.used = false;
            slot.next = free;
            self.free = index.0;
            self.used -= 1;
        }
    }

    /// The `number`-th slot, counted round and round, if it is in use.
    pub fn nth(&self, number: usize) -> Option<Index> {
        let number = number.checked_rem(self.slots.len())?;
        let index = Index(u32::try_from(number).ok()?.checked_add(1)?);
        self.key(index).map(|_| index)
    }

    fn head(&self, key: &K) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        key.hash(&mut hasher);
        let hash = hasher.finish() as usize;
        hash.checked_rem(self.heads.len()).unwrap_or(0)
    }

    fn slot(&self, number: u32) -> Option<&Slot<K, V>> {
        self.slots.get(number.checked_sub(1)? as usize)
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot<K, V>> {
        self.slots.get_mut(number.checked_sub(1)? as usize)
    }
}
