// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Setting the module up and taking it down, for the C glue.

use core::ffi::{CStr, c_int};

use super::attach::share;
use crate::kernel::errno::{self, Errno};
use crate::kernel::{log, random, sys};
use crate::registry::hash::{SECRET_BYTES, Secret};
use crate::settings::{self, Settings};
use crate::work::{self, TASK};
use crate::{attach, builtin, contract, report};

/// Sets everything up, and takes it down again if it cannot be.
fn init(tunables: &sys::clinet_tunables_t) -> Result<(), Errno> {
    let settings = Settings::check(tunables, log::warn);
    settings::set_mode(settings.mode);
    let secret = secret();
    builtin::init(&settings, secret)?;
    // SAFETY: this runs in _init; nobody else is in the module yet.
    unsafe { attach::init(&settings, secret) };
    // SAFETY: as above.
    unsafe { report::init() };
    share_configured(tunables, &settings);
    work::init(&settings);
    // SAFETY: as above; nobody has woken the task.
    if let Err(error) = unsafe { TASK.start(c"clinet") } {
        // SAFETY: as above, and nothing is associated.
        unsafe { take_down() };
        log::warn(c"clinet: not loaded: no thread can be made for it");
        return Err(error);
    }
    builtin::set_waker(|| TASK.wake());
    Ok(())
}

/// The secret of the module's hashes. Without one the module still does its
/// work, only remote ends could make it slow.
fn secret() -> Secret {
    if let Some(bytes) = random::bytes::<SECRET_BYTES>() {
        return Secret::new(bytes);
    }
    log::warn(c"clinet: no random numbers: who knows this may slow the table down");
    let mut bytes = [0; SECRET_BYTES];
    // Anything that spreads: steps of the golden ratio.
    let mut byte = 0_u8;
    for slot in &mut bytes {
        byte = byte.wrapping_add(159);
        *slot = byte;
    }
    Secret::new(bytes)
}

/// Tells the provider which addresses are shared.
#[inline(never)]
fn share_configured(tunables: &sys::clinet_tunables_t, settings: &Settings) {
    if settings.all_addresses || tunables.ct_addrs.is_null() || !builtin::is_set_up() {
        return;
    }
    // SAFETY: krtld stores the address of a string that stays.
    let list = unsafe { CStr::from_ptr(tunables.ct_addrs) };
    // What is wrong with the list is in the log by now.
    let _ = share(
        list.to_bytes(),
        "clinet_addrs",
        "all addresses but loopback are shared",
    );
}

/// Everything but the task.
///
/// # Safety
///
/// Nobody else is in the module, and nothing is associated.
unsafe fn take_down() {
    // SAFETY: passed on by the caller.
    unsafe { report::fini() };
    // SAFETY: passed on by the caller.
    unsafe { attach::fini() };
    // SAFETY: passed on by the caller.
    unsafe { builtin::fini() };
}

c_function! {
    /// # Safety
    ///
    /// `tunables` is NULL or readable. Called by `_init`, once, before anybody
    /// else is in the module.
    fn clinet_module_init(tunables: *const sys::clinet_tunables_t) -> c_int {
        // SAFETY: NULL, or valid and used by nobody else during the call: the caller promises it.
        match unsafe { tunables.as_ref() } {
            Some(tunables) => errno::to_c(init(tunables)),
            None => Errno::INVAL.number(),
        }
    }
}

c_function! {
    /// # Safety
    ///
    /// Called by `_init`, once, when it cannot fail any more.
    fn clinet_module_start() {
        builtin::associate();
        attach::start();
        work::open();
    }
}

c_function! {
    /// # Safety
    ///
    /// None: there are no pointers.
    fn clinet_module_busy() -> c_int {
        if contract::is_associated() {
            return Errno::BUSY.number();
        }
        errno::to_c(attach::close())
    }
}

c_function! {
    /// # Safety
    ///
    /// Nobody else is in the module, and nothing is associated.
    fn clinet_module_fini() {
        // SAFETY: passed on by the caller; the task is the last one inside.
        unsafe { TASK.stop() };
        // SAFETY: passed on by the caller.
        unsafe { take_down() };
    }
}
