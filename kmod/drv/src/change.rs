// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The commands that change something.

#![forbid(unsafe_code)]

use core::ffi::CStr;

use crate::call::{Call, check_tuple, only};
use crate::kernel::buffer::Buffer;
use crate::kernel::clinet;
use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// `CLINETCTL_SET`.
///
/// # Errors
///
/// [`Errno::INVAL`] for unknown flags, and clinet's.
pub fn set(_: &Call<'_>, property: &sys::clinetctl_property_t) -> Result<(), Errno> {
    only(property.cp_flags, sys::CLINETCTL_FORCE)?;
    clinet::set(property.cp_property, property.cp_value, property.cp_flags)
}

/// `CLINETCTL_SET_ADDRS`.
///
/// # Errors
///
/// [`Errno::INVAL`] for a text that is too long or has a NUL, [`Errno::FAULT`],
/// and clinet's.
pub fn set_addrs(call: &Call<'_>, text: &sys::clinetctl_text_t) -> Result<(), Errno> {
    if text.cx_length > sys::CLINETCTL_MOST_TEXT || text.cx_pad != 0 {
        return Err(Errno::INVAL);
    }
    let length = text.cx_length as usize;
    // The last byte stays 0: it ends the string.
    let mut buffer = Buffer::<u8>::zeroed(length.saturating_add(1));
    let place = buffer.get_mut(..length).unwrap_or_default();
    call.user.read(text.cx_text, place)?;
    let list = CStr::from_bytes_with_nul(&buffer).map_err(|_| Errno::INVAL)?;
    clinet::set_addrs(list)
}

/// `CLINETCTL_ATTACH`.
///
/// # Errors
///
/// [`Errno::INVAL`] for flags, and clinet's.
pub fn attach(_: &Call<'_>, action: &sys::clinetctl_action_t) -> Result<(), Errno> {
    plain(action)?;
    clinet::attach()
}

/// `CLINETCTL_DETACH`.
///
/// # Errors
///
/// [`Errno::INVAL`] for unknown flags, and clinet's.
pub fn detach(_: &Call<'_>, action: &sys::clinetctl_action_t) -> Result<(), Errno> {
    only(action.ca_flags, sys::CLINETCTL_FORCE)?;
    only(action.ca_pad, 0)?;
    clinet::detach(action.ca_flags)
}

/// `CLINETCTL_AUDIT`.
///
/// # Errors
///
/// [`Errno::INVAL`] for flags, and clinet's.
pub fn audit(_: &Call<'_>, action: &sys::clinetctl_action_t) -> Result<(), Errno> {
    plain(action)?;
    clinet::audit()
}

/// `CLINETCTL_SWEEP`.
///
/// # Errors
///
/// [`Errno::INVAL`] for flags.
pub fn sweep(_: &Call<'_>, action: &sys::clinetctl_action_t) -> Result<(), Errno> {
    plain(action)?;
    clinet::sweep();
    Ok(())
}

/// An action that has no flags.
///
/// # Errors
///
/// [`Errno::INVAL`] if it has.
pub fn plain(action: &sys::clinetctl_action_t) -> Result<(), Errno> {
    only(action.ca_flags | action.ca_pad, 0)
}

/// What is done with one tuple of an owner.
type One = fn(u32, &sys::clinetctl_tuple_t) -> Result<(), Errno>;

/// Does it with all tuples in their order, until one fails. They are copied in
/// and looked through before the first.
fn each(call: &Call<'_>, tuples: &mut sys::clinetctl_tuples_t, one: One) -> Result<(), Errno> {
    if tuples.ct_count > sys::CLINETCTL_MOST_TUPLES {
        return Err(Errno::INVAL);
    }
    let mut all = Buffer::<sys::clinetctl_tuple_t>::zeroed(tuples.ct_count as usize);
    call.user.read(tuples.ct_tuples, &mut all)?;
    for tuple in all.iter() {
        check_tuple(tuple)?;
    }
    tuples.ct_done = 0;
    tuples.ct_error = 0;
    for tuple in all.iter() {
        if let Err(error) = one(tuples.ct_owner, tuple) {
            tuples.ct_error = error.number();
            break;
        }
        tuples.ct_done = tuples.ct_done.saturating_add(1);
    }
    Ok(())
}

/// `CLINETCTL_INSTALL`.
///
/// # Errors
///
/// [`Errno::INVAL`] for too many, [`Errno::FAULT`].
pub fn install(call: &Call<'_>, tuples: &mut sys::clinetctl_tuples_t) -> Result<(), Errno> {
    each(call, tuples, clinet::install)
}

/// `CLINETCTL_WITHDRAW`.
///
/// # Errors
///
/// [`Errno::INVAL`] for too many, [`Errno::FAULT`].
pub fn withdraw(call: &Call<'_>, tuples: &mut sys::clinetctl_tuples_t) -> Result<(), Errno> {
    each(call, tuples, clinet::withdraw)
}

/// `CLINETCTL_PURGE`.
///
/// # Errors
///
/// clinet's.
pub fn purge(_: &Call<'_>, owner: &sys::clinetctl_owner_t) -> Result<(), Errno> {
    only(owner.co_pad, 0)?;
    clinet::purge(owner.co_owner)
}

/// `CLINETCTL_RESYNC_BEGIN`.
///
/// # Errors
///
/// clinet's.
pub fn resync_begin(_: &Call<'_>, owner: &sys::clinetctl_owner_t) -> Result<(), Errno> {
    only(owner.co_pad, 0)?;
    clinet::resync_begin(owner.co_owner)
}

/// `CLINETCTL_RESYNC_END`.
///
/// # Errors
///
/// clinet's.
pub fn resync_end(_: &Call<'_>, owner: &sys::clinetctl_owner_t) -> Result<(), Errno> {
    only(owner.co_pad, 0)?;
    clinet::resync_end(owner.co_owner)
}

/// `CLINETCTL_DELETE`.
///
/// # Errors
///
/// [`Errno::INVAL`] for unknown flags, and clinet's.
pub fn delete(_: &Call<'_>, delete: &sys::clinetctl_delete_t) -> Result<(), Errno> {
    only(
        delete.cd_flags,
        sys::CLINETCTL_FORCE | sys::CLINETCTL_DRY_RUN,
    )?;
    check_tuple(&delete.cd_tuple)?;
    clinet::delete(&delete.cd_tuple, delete.cd_stack, delete.cd_flags)
}
