// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Takes the shared addresses away, and brings them back.
//!
//! All functions are for one thread at a time, which may sleep and holds no lock.
//! Each may be called again after an error, and after it was done.

use crate::kernel::errno::Errno;

/// Sets the fence up. May sleep.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
pub unsafe fn init() {}

/// Frees what it has.
///
/// # Safety
///
/// Nobody else is in the module or will be.
pub unsafe fn fini() {}

/// Takes every shared address away.
///
/// # Errors
///
/// Not all of them are away.
pub fn take_down() -> Result<(), Errno> {
    Ok(())
}

/// Brings back what [`take_down`] took away.
///
/// # Errors
///
/// Not all of them are back.
pub fn bring_up() -> Result<(), Errno> {
    Ok(())
}

/// Ends all TCP connections of the shared addresses.
///
/// # Errors
///
/// Some may not have ended.
pub fn abort_connections() -> Result<(), Errno> {
    Ok(())
}
