// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the fence took away: the interfaces, and how they were before.

#![forbid(unsafe_code)]

/// Interfaces at most; what is taken away beyond them is not brought back.
pub const MOST: usize = 512;

/// The name of a logical interface, in C's form.
pub type Name = [u8; 32];

/// An address in IPv6 form.
pub type Address = [u8; 16];

/// An interface that was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name then.
    pub name: Name,
    /// Its address.
    pub address: Address,
    /// Those of its flags that a fence changes, as they were before.
    pub flags: u64,
}

impl Entry {
    const NONE: Self = Self {
        name: [0; 32],
        address: [0; 16],
        flags: 0,
    };
}

/// All of them, in no order.
pub struct Taken {
    entries: [Entry; MOST],
    used: usize,
}

/// There is room for no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Taken {
    /// None.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            entries: [Entry::NONE; MOST],
            used: 0,
        }
    }

    fn all(&self) -> &[Entry] {
        self.entries.get(..self.used).unwrap_or(&[])
    }

    /// The entry of this number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<Entry> {
        self.all().get(number).copied()
    }

    /// Remembers an interface. What is remembered of it already stays: that is how
    /// it was before the first try.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn remember(&mut self, entry: Entry) -> Result<(), Full> {
        if self.find(&entry.name, &entry.address).is_some() {
            return Ok(());
        }
        *self.entries.get_mut(self.used).ok_or(Full)? = entry;
        self.used += 1;
        Ok(())
    }

    /// What is remembered of an interface.
    #[must_use]
    pub fn find(&self, name: &Name, address: &Address) -> Option<Entry> {
        let is_it = |entry: &&Entry| entry.name == *name && entry.address == *address;
        self.all().iter().find(is_it).copied()
    }

    /// The first one that had this address.
    #[must_use]
    pub fn with_address(&self, address: &Address) -> Option<Entry> {
        let has_it = |entry: &&Entry| entry.address == *address;
        self.all().iter().find(has_it).copied()
    }

    /// Forgets an interface.
    pub fn forget(&mut self, gone: &Entry) {
        let Some(last) = self.all().last().copied() else {
            return;
        };
        let mut all = self.entries.iter_mut().take(self.used);
        if let Some(place) = all.find(|entry| *entry == gone) {
            *place = last;
            self.used = self.used.saturating_sub(1);
        }
    }

    /// Forgets all of them.
    pub fn forget_all(&mut self) {
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;

    fn entry(name: u8, address: u8, flags: u64) -> Entry {
        Entry {
            name: [name; 32],
            address: [address; 16],
            flags,
        }
    }

    #[test]
    fn the_first_memory_of_an_interface_stays() {
        let mut taken = Box::new(Taken::empty());
        assert_eq!(taken.remember(entry(1, 1, 1)), Ok(()));
        assert_eq!(taken.remember(entry(1, 1, 0)), Ok(()));
        assert_eq!(taken.remember(entry(2, 1, 0)), Ok(()));
        assert_eq!(taken.find(&[1; 32], &[1; 16]), Some(entry(1, 1, 1)));
        assert_eq!(taken.with_address(&[1; 16]), Some(entry(1, 1, 1)));
        assert_eq!(taken.find(&[1; 32], &[2; 16]), None);
        taken.forget(&entry(1, 1, 1));
        assert_eq!(taken.with_address(&[1; 16]), Some(entry(2, 1, 0)));
        assert_eq!(taken.get(0), Some(entry(2, 1, 0)));
        assert_eq!(taken.get(1), None);
        taken.forget(&entry(1, 1, 1));
        taken.forget_all();
        assert_eq!(taken.get(0), None);
    }

    #[test]
    fn there_is_room_for_twice_as_many_as_a_list_of_addresses_has() {
        let mut taken = Box::new(Taken::empty());
        for number in 0..MOST as u64 {
            let mut one = entry(0, 0, 0);
            one.name[..8].copy_from_slice(&number.to_be_bytes());
            assert_eq!(taken.remember(one), Ok(()));
        }
        assert_eq!(taken.remember(entry(1, 1, 0)), Err(Full));
        const { assert!(MOST >= 2 * crate::settings::addresses::MAX) };
    }
}
