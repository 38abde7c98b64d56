// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Setting the module up and taking it down, for the C glue.

use core::ffi::{CStr, c_char, c_int};

use super::attach::share;
use super::grants;
use crate::kernel::errno::{self, Errno};
use crate::kernel::{log, random, sys};
use crate::registry::hash::{SECRET_BYTES, Secret};
use crate::settings::{self, Settings, policy};
use crate::work::{self, TASK};
use crate::{attach, builtin, contract, events, fence, report, watch};

/// Sets everything up, and takes it down again if it cannot be.
fn init(tunables: &sys::clinet_tunables_t) -> Result<(), Errno> {
    let settings = Settings::check(tunables, log::warn);
    settings::set_mode(settings.mode);
    policy::init(&settings);
    let secret = secret();
    builtin::init(&settings, secret)?;
    // SAFETY: this runs in _init; nobody else is in the module yet.
    unsafe { set_up(&settings, secret) };
    let result = configure(tunables, &settings).and_then(|()| {
        work::init(&settings);
        start_threads()
    });
    if result.is_err() {
        // SAFETY: as above, nothing is associated, and there is no thread.
        unsafe { take_down() };
        return result;
    }
    builtin::set_waker(work::bring_memory);
    Ok(())
}

/// Everything that needs no memory.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
unsafe fn set_up(settings: &Settings, secret: Secret) {
    // SAFETY: passed on by the caller.
    unsafe {
        attach::init(settings, secret);
        events::init();
        fence::init();
        watch::init();
        report::init();
    }
}

/// Makes the module's threads, all or none.
fn start_threads() -> Result<(), Errno> {
    // SAFETY: this runs in _init; nobody has woken a task.
    let result = unsafe { TASK.start(c"clinet") }.and_then(|()| {
        // SAFETY: as above.
        let watching = unsafe { watch::TASK.start(c"clinet_watch") };
        if watching.is_err() {
            // SAFETY: started above, and nobody wakes it yet.
            unsafe { TASK.stop() };
        }
        watching
    });
    if result.is_err() {
        log::warn(c"clinet: not loaded: no thread can be made for it");
    }
    result
}

/// Tells the provider which addresses are shared, and which ports are this node's.
fn configure(tunables: &sys::clinet_tunables_t, settings: &Settings) -> Result<(), Errno> {
    share_configured(tunables, settings)?;
    grant_configured(tunables)
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

/// A string of /etc/system; `None` if it is not set.
fn string(tunable: *const c_char) -> Option<&'static [u8]> {
    if tunable.is_null() {
        return None;
    }
    // SAFETY: krtld stores the address of a string that stays.
    Some(unsafe { CStr::from_ptr(tunable) }.to_bytes())
}

/// Tells the provider which addresses are shared.
#[inline(never)]
fn share_configured(tunables: &sys::clinet_tunables_t, settings: &Settings) -> Result<(), Errno> {
    let Some(list) = string(tunables.ct_addrs) else {
        return Ok(());
    };
    if settings.all_addresses || !builtin::is_set_up() {
        return Ok(());
    }
    let after = "; all addresses but loopback are shared";
    match share(list, "clinet_addrs", after) {
        Err(Errno::NOMEM) => {
            log::warn(c"clinet: not loaded: no memory for clinet_addrs");
            Err(Errno::NOMEM)
        }
        // What is wrong with the list is in the log by now.
        _ => Ok(()),
    }
}

/// Takes the port space and the static grants over.
#[inline(never)]
fn grant_configured(tunables: &sys::clinet_tunables_t) -> Result<(), Errno> {
    let [space, ports] = [tunables.ct_port_space, tunables.ct_grants].map(string);
    if space.is_none() && ports.is_none() {
        return Ok(());
    }
    if !builtin::is_set_up() {
        log::warn(
            c"clinet: not loaded: with clinet_port_space or clinet_grants clinet_provider has to be 1",
        );
        return Err(Errno::INVAL);
    }
    grants::configure(space.unwrap_or(b""), ports.unwrap_or(b""))
}

/// Everything but the tasks.
///
/// # Safety
///
/// Nobody else is in the module, and nothing is associated.
unsafe fn take_down() {
    // SAFETY: passed on by the caller.
    unsafe {
        report::fini();
        watch::fini();
        fence::fini();
        events::fini();
        attach::fini();
        builtin::fini();
    }
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
        // SAFETY: passed on by the caller; the tasks are the last ones inside, and
        // the first of them wakes the other.
        unsafe {
            watch::TASK.stop();
            TASK.stop();
            take_down();
        }
    }
}
