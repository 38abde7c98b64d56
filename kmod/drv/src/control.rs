// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The control role, and the commands that only it has: grants, their deadline,
//! and the fence.

#![forbid(unsafe_code)]

use crate::call::{Call, only};
use crate::change::plain;
use crate::files;
use crate::kernel::buffer::Buffer;
use crate::kernel::clinet::{self, Bitmap};
use crate::kernel::errno::Errno;
use crate::kernel::sys;

/// `CLINETCTL_CONTROL`.
///
/// # Errors
///
/// [`Errno::INVAL`] for flags, [`Errno::BUSY`] while another file has the role.
pub fn take(call: &Call<'_>, action: &sys::clinetctl_action_t) -> Result<(), Errno> {
    plain(action)?;
    files::take_control(call.minor)
}

/// `CLINETCTL_RELEASE`.
///
/// # Errors
///
/// [`Errno::INVAL`] for flags, [`Errno::ACCES`] if another thread was faster.
pub fn release(call: &Call<'_>, action: &sys::clinetctl_action_t) -> Result<(), Errno> {
    plain(action)?;
    files::release_control(call.minor)
}

/// `CLINETCTL_SET_GRANTS`. Both bitmaps are here before anything changes.
///
/// # Errors
///
/// [`Errno::FAULT`], and clinet's.
pub fn set_grants(call: &Call<'_>, grants: &mut sys::clinetctl_grants_t) -> Result<(), Errno> {
    let mut bitmaps = Buffer::<[Bitmap; 2]>::zeroed(1);
    let Some(bitmaps) = bitmaps.first_mut() else {
        return Err(Errno::NOMEM);
    };
    let places = grants.cg_bitmap;
    for (place, bitmap) in places.into_iter().zip(bitmaps.iter_mut()) {
        call.user.read(place, bitmap)?;
    }
    clinet::set_grants(grants, bitmaps)?;
    grants.cg_bitmap = places;
    Ok(())
}

/// `CLINETCTL_SET_DEADLINE`.
///
/// # Errors
///
/// clinet's.
pub fn set_deadline(_: &Call<'_>, deadline: &mut sys::clinetctl_deadline_t) -> Result<(), Errno> {
    clinet::set_deadline(deadline)
}

/// `CLINETCTL_FENCE`.
///
/// # Errors
///
/// [`Errno::INVAL`] for flags, and clinet's.
pub fn fence(_: &Call<'_>, fence: &sys::clinetctl_unfence_t) -> Result<(), Errno> {
    only(fence.cu_flags | fence.cu_pad, 0)?;
    clinet::fence()
}

/// `CLINETCTL_UNFENCE`.
///
/// # Errors
///
/// [`Errno::INVAL`] for unknown flags, and clinet's.
pub fn unfence(_: &Call<'_>, unfence: &sys::clinetctl_unfence_t) -> Result<(), Errno> {
    only(unfence.cu_flags, sys::CLINETCTL_RECORDS_KEPT)?;
    only(unfence.cu_pad, 0)?;
    clinet::unfence(unfence)
}
