// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The commands that change nothing.

#![forbid(unsafe_code)]

use core::ffi::{CStr, c_char};

use zerocopy::FromZeros;

use crate::call::{Call, check_tuple};
use crate::kernel::buffer::Buffer;
use crate::kernel::clinet::{self, Bitmap};
use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// `CLINETCTL_GET_VERSION`: the only one that takes a head of any version.
///
/// # Errors
///
/// [`Errno::INVAL`] if the structure is too small, [`Errno::FAULT`].
pub fn version(call: &Call<'_>) -> Result<(), Errno> {
    let head = call.head()?;
    if (head.ch_size as usize) < size_of::<sys::clinetctl_version_t>() {
        return Err(Errno::INVAL);
    }
    let mut version = sys::clinetctl_version_t::new_zeroed();
    version.cv_head = head;
    version.cv_current = sys::CLINETCTL_VERSION;
    version.cv_previous = sys::CLINETCTL_VERSION_PREVIOUS;
    put(&mut version.cv_module, clinet::version());
    put(&mut version.cv_contract, clinet::contract());
    call.user.write(&[version], call.argument)
}

/// Puts a string into a member that is all zeros, the last of which stays.
fn put(member: &mut [c_char], text: &CStr) {
    let room = member.len().saturating_sub(1);
    for (place, byte) in member.iter_mut().take(room).zip(text.to_bytes()) {
        *place = *byte as c_char;
    }
}

/// `CLINETCTL_GET_STATE`.
///
/// # Errors
///
/// clinet's.
pub fn state(_: &Call<'_>, state: &mut sys::clinetctl_state_t) -> Result<(), Errno> {
    clinet::state(state)
}

/// `CLINETCTL_GET_STATS`.
///
/// # Errors
///
/// [`Errno::INVAL`] for too much room, [`Errno::FAULT`].
pub fn stats(call: &Call<'_>, stats: &mut sys::clinetctl_stats_t) -> Result<(), Errno> {
    if stats.cs_count > sys::CLINETCTL_MOST_STATS {
        return Err(Errno::INVAL);
    }
    let mut total = 0;
    let mut place = stats.cs_stats;
    for number in 0..sys::CLINETCTL_MOST_STATS {
        let mut stat = sys::clinetctl_stat_t::new_zeroed();
        match clinet::stat(number, &mut stat) {
            Ok(()) => {}
            Err(Errno::NOENT) => break,
            Err(error) => return Err(error),
        }
        total += 1;
        if number < stats.cs_count {
            call.user.write(&[stat], place)?;
            place = place.wrapping_add(size_of::<sys::clinetctl_stat_t>() as u64);
        }
    }
    stats.cs_count = stats.cs_count.min(total);
    stats.cs_total = total;
    Ok(())
}

/// `CLINETCTL_GET_CLOCK`.
///
/// # Errors
///
/// None.
pub fn clock(_: &Call<'_>, clock: &mut sys::clinetctl_clock_t) -> Result<(), Errno> {
    clock.cc_now = clinet::clock();
    Ok(())
}

/// `CLINETCTL_QUERY`.
///
/// # Errors
///
/// [`Errno::INVAL`] for a value that is none, and clinet's.
pub fn query(_: &Call<'_>, query: &mut sys::clinetctl_query_t) -> Result<(), Errno> {
    check_tuple(&query.cq_tuple)?;
    if query.cq_incoming > 1 {
        return Err(Errno::INVAL);
    }
    clinet::query(query)
}

/// `CLINETCTL_GET_GRANTS`.
///
/// # Errors
///
/// [`Errno::FAULT`], and clinet's.
pub fn grants(call: &Call<'_>, grants: &mut sys::clinetctl_grants_t) -> Result<(), Errno> {
    let mut bitmaps = Buffer::<[Bitmap; 2]>::zeroed(1);
    let Some(bitmaps) = bitmaps.first_mut() else {
        return Err(Errno::NOMEM);
    };
    let places = grants.cg_bitmap;
    clinet::get_grants(grants, bitmaps)?;
    grants.cg_bitmap = places;
    for (place, bitmap) in places.into_iter().zip(bitmaps.iter()) {
        call.user.write(bitmap, place)?;
    }
    Ok(())
}

/// `CLINETCTL_GET_ADDRS`.
///
/// # Errors
///
/// [`Errno::INVAL`] for too much room, [`Errno::FAULT`], and clinet's.
pub fn addrs(call: &Call<'_>, text: &mut sys::clinetctl_text_t) -> Result<(), Errno> {
    if text.cx_length > sys::CLINETCTL_MOST_TEXT || text.cx_pad != 0 {
        return Err(Errno::INVAL);
    }
    let room = text.cx_length as usize;
    // One byte at least: clinet takes no NULL.
    let mut buffer = Buffer::<u8>::zeroed(room.max(1));
    let length = clinet::addrs(&mut buffer)?;
    let there = room.min(length as usize);
    call.user
        .write(buffer.get(..there).unwrap_or_default(), text.cx_text)?;
    text.cx_length = length;
    Ok(())
}
