// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Listing entries, and deleting those that a filter wants.

#![forbid(unsafe_code)]

use crate::call::{Call, only};
use crate::filter::Filter;
use crate::kernel::buffer::Buffer;
use crate::kernel::clinet;
use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// An ioctl looks at no more entries than this.
const MOST_LOOKED_AT: usize = sys::CLINETCTL_MOST_ENTRIES as usize;
/// How many are in the kernel's memory at once.
const BATCH: usize = 512;
const LEAST: usize = sys::CLINET_LIST_LEAST as usize;

/// Entries from a cursor on, batch after batch, up to the bound of one ioctl.
struct Walk {
    entries: Buffer<sys::clinet_entry_t>,
    cursor: sys::clinet_cursor_t,
    looked_at: usize,
    is_done: bool,
}

impl Walk {
    fn new([cc_shard, cc_fraction]: [u32; 2], room: usize) -> Self {
        Self {
            entries: Buffer::zeroed(BATCH.min(room)),
            cursor: sys::clinet_cursor_t {
                cc_shard,
                cc_fraction,
            },
            looked_at: 0,
            is_done: false,
        }
    }

    /// The next entries, `room` at most; `None` if there are no more for this
    /// ioctl.
    fn next(&mut self, room: usize) -> Result<Option<&mut [sys::clinet_entry_t]>, Errno> {
        if self.is_done || room < LEAST || self.looked_at >= MOST_LOOKED_AT {
            return Ok(None);
        }
        let room = room.min(self.entries.len());
        let batch = self.entries.get_mut(..room).unwrap_or_default();
        let (count, is_last) = clinet::list(&mut self.cursor, batch)?;
        self.is_done = is_last;
        // A batch counts as full: an empty one was work as well.
        self.looked_at = self.looked_at.saturating_add(room);
        Ok(batch.get_mut(..count))
    }

    fn cursor(&self) -> [u32; 2] {
        [self.cursor.cc_shard, self.cursor.cc_fraction]
    }
}

/// Moves those that fit to the front; returns how many.
fn keep(filter: &Filter, entries: &mut [sys::clinet_entry_t]) -> usize {
    let mut kept = 0;
    for index in 0..entries.len() {
        if let Some(&entry) = entries.get(index)
            && filter.fits(&entry)
            && let Some(place) = entries.get_mut(kept)
        {
            *place = entry;
            kept += 1;
        }
    }
    kept
}

/// `CLINETCTL_LIST`.
///
/// # Errors
///
/// [`Errno::INVAL`] for a size, count or filter that is none, [`Errno::FAULT`],
/// and clinet's.
pub fn list(call: &Call<'_>, list: &mut sys::clinetctl_list_t) -> Result<(), Errno> {
    let filter = Filter::new(&list.cl_filter)?;
    let room = list.cl_count as usize;
    let size = size_of::<sys::clinet_entry_t>();
    if !(LEAST..=sys::CLINETCTL_MOST_ENTRIES as usize).contains(&room)
        || list.cl_entry_size as usize != size
        || list.cl_pad != 0
    {
        return Err(Errno::INVAL);
    }
    let mut walk = Walk::new(list.cl_cursor, room);
    let mut place = list.cl_entries;
    let mut filled = 0;
    while let Some(entries) = walk.next(room.saturating_sub(filled))? {
        let kept = keep(&filter, entries);
        let kept = entries.get(..kept).unwrap_or_default();
        if !kept.is_empty() {
            call.user.write(kept, place)?;
        }
        filled = filled.saturating_add(kept.len());
        place = place.wrapping_add(size_of_val(kept) as u64);
    }
    list.cl_cursor = walk.cursor();
    list.cl_count = filled as u32;
    list.cl_done = walk.is_done.into();
    Ok(())
}

/// `CLINETCTL_FLUSH`.
///
/// # Errors
///
/// [`Errno::INVAL`] for a filter or flags that are none, and clinet's when it
/// does not list.
pub fn flush(_: &Call<'_>, flush: &mut sys::clinetctl_flush_t) -> Result<(), Errno> {
    let filter = Filter::new(&flush.cf_filter)?;
    only(
        flush.cf_flags,
        sys::CLINETCTL_FORCE | sys::CLINETCTL_DRY_RUN,
    )?;
    let mut walk = Walk::new(flush.cf_cursor, BATCH);
    let (mut deleted, mut kept) = (0_u64, 0_u64);
    while let Some(entries) = walk.next(BATCH)? {
        for entry in entries.iter().filter(|entry| filter.fits(entry)) {
            match clinet::delete(&tuple(entry), entry.ce_stack, flush.cf_flags) {
                Ok(()) => deleted = deleted.saturating_add(1),
                // It went by itself meanwhile.
                Err(Errno::NOENT) => {}
                Err(_) => kept = kept.saturating_add(1),
            }
        }
    }
    flush.cf_cursor = walk.cursor();
    flush.cf_done = walk.is_done.into();
    flush.cf_deleted = deleted;
    flush.cf_kept = kept;
    Ok(())
}

fn tuple(entry: &sys::clinet_entry_t) -> sys::clinetctl_tuple_t {
    sys::clinetctl_tuple_t {
        ct_laddr: entry.ce_laddr,
        ct_faddr: entry.ce_faddr,
        ct_lport: entry.ce_lport,
        ct_fport: entry.ce_fport,
        ct_protocol: entry.ce_protocol,
        ct_pad: [0; 3],
    }
}
