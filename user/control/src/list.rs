// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Entries of the registry, some at a time.

use zerocopy::{FromZeros, IntoBytes};

use crate::abi::{self, clinet_entry_t, clinetctl_list_t, command};
use crate::control::Control;
use crate::device::Region;
use crate::{Entry, Error, Filter};

/// Room for so many entries is what a listing needs, however long it is.
const ROOM: usize = 16384;

/// A listing under way. An entry that is there all the time is listed exactly
/// once, others perhaps. Ends after the first error.
pub struct List<'a> {
    control: &'a Control,
    request: clinetctl_list_t,
    entries: Vec<clinet_entry_t>,
    /// The next of `entries`, and their end.
    next: usize,
    filled: usize,
    done: bool,
}

impl<'a> List<'a> {
    pub(crate) fn new(control: &'a Control, filter: &Filter) -> Self {
        Self {
            control,
            request: clinetctl_list_t {
                cl_filter: filter.into(),
                ..FromZeros::new_zeroed()
            },
            entries: vec![clinet_entry_t::new_zeroed(); ROOM],
            next: 0,
            filled: 0,
            done: false,
        }
    }

    /// Gets the next ones, perhaps none.
    fn fill(&mut self) -> Result<(), Error> {
        let bytes = self.entries.as_mut_slice().as_mut_bytes();
        let memory = Region::Writable(bytes);
        self.request.cl_entries = memory.address();
        self.request.cl_count = ROOM as u32;
        self.request.cl_entry_size = size_of::<clinet_entry_t>() as u32;
        self.control
            .command("list", command::LIST, &mut self.request, &mut [memory])?;
        self.next = 0;
        self.filled = self.request.cl_count as usize;
        self.done = self.request.cl_done != 0;
        if self.filled > ROOM {
            return Err(Error::Nonsense("more entries than there is room for"));
        }
        Ok(())
    }
}

impl Iterator for List<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next >= self.filled {
            if self.done {
                return None;
            }
            if let Err(error) = self.fill() {
                self.filled = 0;
                self.done = true;
                return Some(Err(error));
            }
        }
        let entry = self.entries.get(self.next)?;
        self.next += 1;
        Some(Entry::try_from(entry))
    }
}

const _: () = assert!(ROOM <= abi::CLINETCTL_MOST_ENTRIES as usize);
