// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Events: who wants which, read(2) and poll(2).

#![forbid(unsafe_code)]

use crate::call::{Call, only};
use crate::files::{self, WOKEN};
use crate::kernel::buffer::Buffer;
use crate::kernel::clinet;
use crate::kernel::errno::Errno;
use crate::kernel::sys;
use crate::kernel::user::Request;

/// How many a read(2) delivers at most.
const BATCH: usize = 64;

/// `CLINETCTL_EVENTS`.
///
/// # Errors
///
/// [`Errno::INVAL`] for events that are none, and clinet's.
pub fn choose(call: &Call<'_>, events: &sys::clinetctl_events_t) -> Result<(), Errno> {
    only(events.ce_mask, sys::CLINETCTL_EVENTS_ALL)?;
    only(events.ce_pad, 0)?;
    match events.ce_mask {
        0 => stop(call.minor),
        mask => start(call.minor, mask),
    }
}

/// Wants these from now on.
fn start(minor: u32, mask: u32) -> Result<(), Errno> {
    let cursor = clinet::events_open(wake, mask)?;
    let mut files = files::lock();
    let file = match files.file(minor) {
        Ok(file) => file,
        Err(error) => {
            drop(files);
            clinet::events_close(mask);
            return Err(error);
        }
    };
    let before = core::mem::replace(&mut file.mask, mask);
    if before == 0 {
        file.cursor = cursor;
        // Some may have come since.
        file.is_ready = true;
    }
    drop(files);
    if before != 0 {
        clinet::events_close(before);
    }
    wake();
    Ok(())
}

/// Wants none any more.
///
/// # Errors
///
/// [`Errno::NXIO`] if the file is not open.
pub fn stop(minor: u32) -> Result<(), Errno> {
    let mut files = files::lock();
    let file = files.file(minor)?;
    let before = core::mem::take(&mut file.mask);
    file.is_ready = false;
    drop(files);
    if before != 0 {
        clinet::events_close(before);
    }
    Ok(())
}

/// Something came: tells those who wait. Called by clinet's thread too.
pub extern "C" fn wake() {
    let mut files = files::lock();
    files.wakes = files.wakes.wrapping_add(1);
    for file in files.all() {
        file.is_ready = file.mask != 0;
    }
    WOKEN.broadcast();
    drop(files);
    files::wake_pollers((sys::POLLIN | sys::POLLRDNORM) as i16);
}

/// May a read(2) find something now?
///
/// # Errors
///
/// [`Errno::NXIO`] if the file is not open.
pub fn is_ready(minor: u32) -> Result<bool, Errno> {
    Ok(files::lock().file(minor)?.is_ready)
}

/// read(2): gives whole events, and waits for one if it may.
///
/// # Errors
///
/// [`Errno::INVAL`] if there is no room for one, [`Errno::AGAIN`] instead of
/// waiting, [`Errno::INTR`] for a signal, [`Errno::FAULT`]: then they are still to
/// be read.
pub fn read(minor: u32, request: &mut Request<'_>) -> Result<(), Errno> {
    let size = size_of::<sys::clinetctl_event_t>();
    let room = request.room().checked_div(size).unwrap_or(0).min(BATCH);
    if room == 0 {
        return Err(Errno::INVAL);
    }
    let mut events = Buffer::<sys::clinetctl_event_t>::zeroed(room);
    loop {
        let mut files = files::lock();
        let seen = files.wakes;
        let file = files.file(minor)?;
        let (start, mask) = (file.cursor, file.mask);
        drop(files);
        let mut cursor = start;
        let count = match mask {
            0 => 0,
            _ => clinet::events(&mut cursor, mask, &mut events)?,
        };
        let mut files = files::lock();
        let is_all = count < room && files.wakes == seen;
        let file = files.file(minor)?;
        // Another thread of the program may have taken these, or the choice may
        // be another one by now.
        if file.cursor != start || file.mask != mask {
            continue;
        }
        file.cursor = cursor;
        file.is_ready &= !is_all;
        if count > 0 {
            drop(files);
            let given = request.give(events.get(..count).unwrap_or_default());
            if given.is_err() {
                put_back(minor, cursor, start);
            }
            return given;
        }
        if !request.may_wait() {
            return Err(Errno::AGAIN);
        }
        while files.wakes == seen {
            WOKEN.wait_sig(&mut files)?;
        }
    }
}

/// Events that could not be given are to be read again, unless more were taken.
fn put_back(minor: u32, taken: u64, start: u64) {
    if let Ok(file) = files::lock().file(minor)
        && file.cursor == taken
    {
        file.cursor = start;
        file.is_ready = file.mask != 0;
    }
}
