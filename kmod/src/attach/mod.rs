// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A stock ip: its hooks call the provider, and an audit keeps the registry true
//! where ip's calls do not balance.
//!
//! | part | |
//! |---|---|
//! | `hooks` | which variables of ip are set, in which order |
//! | `adapters` | what ip calls while attached |
//! | `pass` | what it calls after a detach |
//! | `ip` | ip found, its variables and its walk |
//! | `audit` | registry and ip compared; [`crate::audit`] has what needs no kernel |
//! | `state` | what is true now, readable from anywhere |
//!
//! # Leaving and staying
//!
//! ip tests a variable and then loads it again to call it, and counts nobody
//! who is inside. So no variable ever becomes NULL again, and from the first
//! store on the module stays loaded. *Detach* replaces our functions by ones
//! that are resident and touch nothing.
//!
//! A thread that was on its way into an adapter when that happened still runs
//! it. It finds memory that is there: the registry's own is only freed by
//! `_fini`, which comes to pass only if nothing was ever stored, and what the
//! registry frees while it runs it frees under the lock under which it is
//! used. So threads need not be counted, on a path where each count would cost
//! as much as the question. What such a thread registers after the entries
//! were cleared, it sees afterwards that it was late, and they are cleared
//! once more ([`state::clear_if_detached`]).

mod adapters;
mod audit;
mod hooks;
mod ip;
mod pass;
pub mod state;

use core::sync::atomic::{AtomicU32, Ordering};

use crate::kernel::errno::Errno;
use crate::kernel::log;
use crate::kernel::mutex::KMutex;
use crate::registry::hash::Secret;
use crate::settings::{self, Mode, Settings};
use crate::{builtin, work};
use audit::Auditor;
use hooks::{Hook, Variable};
use ip::{Ip, Refusal};
use state::State;

/// Audits that run in a row when one is asked for: less than two change
/// nothing.
const ROW: u32 = 2;

/// Seconds between two rows for ends that are in doubt, at least: a peer can make
/// any number of them, and an audit goes through all of ip's connections.
const DOUBT_PERIOD: u32 = 10;

struct Attachment {
    /// ip, held open from the first successful check on.
    ip: Option<Ip>,
    variables: [Option<Variable>; Hook::ALL.len()],
    /// A hook was set: the module stays.
    resident: bool,
    /// To be attached as soon as the module is loaded.
    at_load: bool,
    /// `_fini` has agreed to go.
    closed: bool,
    hook_disconnect: bool,
    hook_listen: bool,
    audit_period: u32,
    auditor: Auditor,
    /// When the last audit ran, in seconds.
    audited: u32,
    /// When audits were last asked for by a doubt, in seconds.
    doubted: u32,
}

static ATTACHMENT: KMutex<Attachment> = KMutex::new(Attachment {
    ip: None,
    variables: [None; Hook::ALL.len()],
    resident: false,
    at_load: false,
    closed: false,
    hook_disconnect: true,
    hook_listen: false,
    audit_period: 0,
    auditor: Auditor::new(),
    audited: 0,
    doubted: 0,
});

/// Audits that are still to run, one a second.
static WANTED: AtomicU32 = AtomicU32::new(0);

/// Takes the settings over. May sleep.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
#[inline(never)]
pub unsafe fn init(settings: &Settings, secret: Secret) {
    // SAFETY: nobody has used the mutex.
    unsafe { ATTACHMENT.init() };
    let mut attachment = ATTACHMENT.lock();
    attachment.at_load = settings.attach && !settings.detach;
    attachment.hook_disconnect = settings.hook_disconnect;
    // The built-in provider learns nothing from them.
    attachment.hook_listen = !settings.provider;
    attachment.audit_period = settings.audit_period;
    attachment.auditor.set_secret(secret);
}

/// Lets ip go.
///
/// # Safety
///
/// Called by `_fini` after [`close`] agreed, or by an `_init` that fails;
/// nobody else is in the module or will be.
pub unsafe fn fini() {
    let mut attachment = ATTACHMENT.lock();
    attachment.auditor.forget();
    let ip = attachment.ip.take();
    drop(attachment);
    drop(ip);
    // SAFETY: nobody uses it any more.
    unsafe { ATTACHMENT.destroy() };
}

/// Agrees to an unload unless a hook was ever set; nothing of ip is touched
/// afterwards.
///
/// # Errors
///
/// `EBUSY`: a thread of ip may be inside.
pub fn close() -> Result<(), Errno> {
    let mut attachment = ATTACHMENT.lock();
    if attachment.resident {
        return Err(Errno::BUSY);
    }
    attachment.closed = true;
    Ok(())
}

/// Sets ip's hooks if that is to be done when the module is loaded. A kernel
/// where it cannot be done stays as it was; the log and the kstat say so.
pub fn start() {
    if ATTACHMENT.lock().at_load {
        let _ = attach();
    }
}

/// Sets ip's hooks. Sleeps.
///
/// # Errors
///
/// As `clinet_attach_ip` says; the log and the kstat have the reason.
#[inline(never)]
pub fn attach() -> Result<(), Errno> {
    let mut attachment = ATTACHMENT.lock();
    if attachment.closed {
        return Err(Errno::BUSY);
    }
    if state::get() == State::Attached {
        return Ok(());
    }
    let result = attachment.attach();
    drop(attachment);
    match result {
        Ok(()) => {
            work::TASK.wake();
            Ok(())
        }
        Err(refusal) => {
            log::warn(refusal.reason);
            Err(refusal.errno)
        }
    }
}

/// Has ip's hooks accept everything. Sleeps.
///
/// # Errors
///
/// `ENXIO`: they were never set.
pub fn detach() -> Result<(), Errno> {
    let mut attachment = ATTACHMENT.lock();
    match state::get() {
        State::Never | State::Refused => return Err(Errno::NXIO),
        State::Partial | State::Detached => return Ok(()),
        State::Attached => {}
    }
    attachment.release(State::Detached, c"");
    drop(attachment);
    work::TASK.wake();
    Ok(())
}

/// Has two audits run soon. Any context.
///
/// # Errors
///
/// `ENXIO`: there is nothing to compare.
pub fn audit() -> Result<(), Errno> {
    if !can_audit() {
        return Err(Errno::NXIO);
    }
    WANTED.store(ROW, Ordering::Relaxed);
    work::TASK.wake();
    Ok(())
}

/// Clears all of this node's entries and has audits register what ip has. For the
/// module's thread.
pub fn start_anew() {
    let mut attachment = ATTACHMENT.lock();
    builtin::clear_all();
    attachment.seed();
}

/// ip asks, and the built-in provider answers and registers.
fn can_audit() -> bool {
    state::get() == State::Attached && builtin::is_associated() && settings::mode() != Mode::Off
}

/// What is due now, in seconds; for the module's thread.
#[inline(never)]
pub fn work(now: u32) {
    let mut attachment = ATTACHMENT.lock();
    if state::CLEARING.swap(false, Ordering::AcqRel) && state::get() != State::Attached {
        builtin::clear_local();
    }
    attachment.compare_hooks();
    if can_audit() {
        attachment.settle_doubt(now);
        attachment.audit_if_due(now);
    }
}

impl Attachment {
    /// Is the hook one that these settings want?
    fn wants(&self, hook: Hook) -> bool {
        match hook {
            Hook::Disconnect => self.hook_disconnect,
            Hook::Listen | Hook::Unlisten => self.hook_listen,
            Hook::Unbind | Hook::Bind | Hook::Connect2 => true,
        }
    }

    /// Checks everything, then sets everything.
    fn attach(&mut self) -> Result<(), Refusal> {
        if let Err(refusal) = self.check() {
            self.refuse(refusal);
            return Err(refusal);
        }
        // What was true when ip was last heard need not be so now.
        builtin::clear_local();
        self.seed();
        state::set(State::Attached, c"", 0);
        let mut hooks = 0;
        for variable in self.variables.iter().flatten() {
            if !variable.set() {
                let refusal = Refusal {
                    errno: Errno::BUSY,
                    reason: variable.hook().lost(),
                };
                if self.resident {
                    self.release(State::Partial, refusal.reason);
                } else {
                    self.refuse(refusal);
                }
                return Err(refusal);
            }
            self.resident = true;
            hooks += 1;
        }
        state::set(State::Attached, c"", hooks);
        state::TAKEN.store(false, Ordering::Release);
        Ok(())
    }

    /// Has audits register what ip has; none of them relies on one before.
    fn seed(&mut self) {
        self.auditor.forget();
        WANTED.store(ROW, Ordering::Relaxed);
    }

    /// Notices hooks that another module has replaced since they were set:
    /// there is nothing to be done but to say so.
    fn compare_hooks(&self) {
        if state::get() != State::Attached {
            return;
        }
        let variables = self.variables.iter().flatten();
        let hooks = variables.clone().filter(|variable| variable.asks()).count() as u64;
        let replaced = variables.clone().find(|variable| !variable.asks());
        let reason = replaced.map_or(c"", |variable| variable.hook().replaced());
        if !reason.is_empty() && reason != state::reason() {
            log::warn(reason);
        }
        state::set(State::Attached, reason, hooks);
        let asked = variables
            .clone()
            .any(|variable| variable.hook() == Hook::Connect2 && variable.asks());
        state::TAKEN.store(!asked, Ordering::Release);
    }

    /// Finds ip's variables and looks whether all that are wanted are free.
    fn check(&mut self) -> Result<(), Refusal> {
        let ip = match self.ip.take() {
            Some(ip) => ip,
            None => Ip::open()?,
        };
        let mut variables = [None; Hook::ALL.len()];
        for (place, hook) in variables.iter_mut().zip(Hook::ALL) {
            if self.wants(hook) {
                *place = Some(ip.variable(hook)?);
            }
        }
        self.ip = Some(ip);
        self.variables = variables;
        match variables.iter().flatten().find(|found| !found.is_free()) {
            None => Ok(()),
            Some(variable) => Err(Refusal {
                errno: Errno::BUSY,
                reason: variable.hook().taken(),
            }),
        }
    }

    /// Leaves everything as it is.
    fn refuse(&self, refusal: Refusal) {
        let state = match self.resident {
            true => state::get(),
            false => State::Refused,
        };
        state::set(state, refusal.reason, 0);
        state::TAKEN.store(refusal.errno == Errno::BUSY, Ordering::Release);
    }

    /// Replaces our functions by those that accept everything: the question
    /// first, so that nothing registers whose end is not told.
    fn release(&mut self, state: State, reason: &'static core::ffi::CStr) {
        for variable in self.variables.iter().rev().flatten() {
            variable.pass();
        }
        state::set(state, reason, 0);
        state::CLEARING.store(true, Ordering::Release);
    }

    /// Asks for a row of audits if ends are in doubt.
    fn settle_doubt(&mut self, now: u32) {
        let is_due = now.wrapping_sub(self.doubted) >= DOUBT_PERIOD;
        if is_due && state::DOUBT.swap(false, Ordering::AcqRel) {
            self.doubted = now;
            WANTED.store(ROW, Ordering::Relaxed);
        }
    }

    /// One audit, if one is wanted or the period is over; at most one a
    /// second, so that what was changing for the first is at rest for the
    /// second.
    fn audit_if_due(&mut self, now: u32) {
        let since = now.wrapping_sub(self.audited);
        let wanted = WANTED.load(Ordering::Relaxed);
        let due = self.audit_period != 0 && since >= self.audit_period;
        if since == 0 || (wanted == 0 && !due) {
            return;
        }
        let Some(ip) = &self.ip else {
            return;
        };
        self.audited = now;
        if wanted > 0 {
            WANTED.fetch_sub(1, Ordering::Relaxed);
        }
        self.auditor.run(ip.walk(), self.hook_disconnect);
    }
}
