// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Looks after the grants: a thread of its own, which a fence may keep busy, and a
//! callout, which comes whatever threads do.
//!
//! The thread says five times a second that it is there, compares the clocks
//! (`clock`), and takes the shared addresses away when the deadline has passed or
//! somebody says so (`fencing`). The callout shuts the gate of [`crate::grants`] in
//! time, also when the thread hangs. It is always set before a change may open the
//! gate, and waits for nothing.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use crate::builtin::NodeGrants;
use crate::grants::{self, HEARTBEAT_TIMEOUT, Refused, Snapshot, Terms};
use crate::kernel::callout::Callout;
use crate::kernel::errno::Errno;
use crate::kernel::mutex::KMutex;
use crate::kernel::task::Task;
use crate::kernel::{log, sys};
use crate::settings::{self, Mode, policy};
use crate::stats::Counter;
use crate::{attach, builtin, events};

mod clock;
mod fencing;

pub use clock::now;
pub use fencing::{Fence, bring_back, fence, take_away};

/// The thread.
pub static TASK: Task = Task::new(work);

/// Its rest while something is granted until a deadline.
const SHORT: Duration = Duration::from_millis(200);
/// Its rest otherwise.
const LONG: Duration = Duration::from_secs(1);

/// Shuts the gate.
fn shut() {
    if let Some(grants) = builtin::grants() {
        grants.shut_if_due(now());
    }
}

/// Its mutex serialises what sets the callout.
static CALLOUT: KMutex<Callout> = KMutex::new(Callout::unset(shut));

/// Serialises what grants with what disarms the grants, so that neither overtakes the
/// other.
static ARMING: KMutex<()> = KMutex::new(());

/// How often the deadline of what was granted passed.
pub static LAPSES: Counter = Counter::zero();
/// How often the wall clock jumped.
pub static JUMPS: Counter = Counter::zero();
/// How often the shared addresses were taken away.
pub static FENCES: Counter = Counter::zero();
/// ... and not in time.
pub static FENCES_MISSED: Counter = Counter::zero();
/// How often they were brought back.
pub static UNFENCES: Counter = Counter::zero();

/// It was told that the deadline has passed.
static LAPSE_NOTICED: AtomicBool = AtomicBool::new(false);

/// Sets the mutexes up, and compares the clocks for the first time.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
pub unsafe fn init() {
    // SAFETY: nobody has used the mutexes.
    unsafe {
        CALLOUT.init();
        ARMING.init();
    }
    clock::init();
}

/// Takes the callout back. Sleeps.
///
/// # Safety
///
/// Nobody else is in the module or will be; the thread is gone.
pub unsafe fn fini() {
    CALLOUT.lock().cancel();
    // SAFETY: nobody uses them any more.
    unsafe {
        CALLOUT.destroy();
        ARMING.destroy();
    }
}

/// Sets the callout for a gate that is due to be shut.
fn set_callout(grants: &NodeGrants, callout: &mut Callout, due: Option<u64>, now: u64) {
    match due {
        Some(due) if due > now => callout.set(Duration::from_nanos(due - now)),
        // One that is about to come stays: this thread may be stopped right here.
        Some(_) => grants.shut_if_due(now),
        None => callout.cancel(),
    }
}

/// Sets the callout for a deadline, and then makes the change that may open the gate
/// until then. It does not stand for the thread, which may hang.
fn change(
    grants: &NodeGrants,
    deadline: u64,
    change: impl FnOnce(&NodeGrants) -> Result<(), Refused>,
) -> Result<(), Errno> {
    let mut callout = CALLOUT.lock();
    set_callout(grants, &mut callout, grants.due(deadline), now());
    let result = change(grants);
    if result.is_err() {
        let deadline = grants.snapshot().terms.deadline;
        set_callout(grants, &mut callout, grants.due(deadline), now());
        // The callout that was taken back may have been about to.
        grants.shut_if_due(now());
    }
    drop(callout);
    TASK.wake();
    result.map_err(errno)
}

fn errno(refused: Refused) -> Errno {
    match refused {
        Refused::Stale => Errno::STALE,
        Refused::Invalid => Errno::INVAL,
        Refused::Passed => Errno::AGAIN,
    }
}

/// Replaces everything that is granted; `ports` are the bitmaps of TCP and UDP.
/// Sleeps.
///
/// # Errors
///
/// `ESTALE`, `EINVAL`; `ENXIO` if the built-in provider does not answer, and
/// `ENOTACTIVE` if it refuses nothing.
pub fn set_grants(terms: &Terms, ports: [&[u64]; 2]) -> Result<(), Errno> {
    let _arming = ARMING.lock();
    let grants = answering()?;
    change(grants, terms.deadline, |grants| {
        grants.replace(terms, ports, now)
    })?;
    events::happened(sys::CLINETCTL_EVENT_GRANTS, terms.sequence);
    Ok(())
}

/// Grants what was configured, while the module is loaded: nobody else is in it yet.
///
/// # Errors
///
/// As for [`set_grants`].
pub fn configure(terms: &Terms, ports: [&[u64]; 2]) -> Result<(), Errno> {
    let grants = builtin::grants().ok_or(Errno::NXIO)?;
    grants.replace(terms, ports, now).map_err(errno)
}

/// Moves the deadline. Sleeps.
///
/// # Errors
///
/// As for [`set_grants`].
pub fn set_deadline(epoch: u64, sequence: u64, deadline: u64) -> Result<(), Errno> {
    let _arming = ARMING.lock();
    let grants = answering()?;
    change(grants, deadline, |grants| {
        grants.set_deadline(epoch, sequence, deadline, now)
    })?;
    events::happened(sys::CLINETCTL_EVENT_GRANTS, sequence);
    Ok(())
}

/// The grants, if the provider that they are of is the one that answers, and what it
/// refuses is refused.
fn answering() -> Result<&'static NodeGrants, Errno> {
    let grants = builtin::grants().ok_or(Errno::NXIO)?;
    if !builtin::is_associated() {
        return Err(Errno::NXIO);
    }
    match settings::mode() == Mode::Enforce && attach::state::may_ask() {
        true => Ok(grants),
        false => Err(Errno::NOTACTIVE),
    }
}

/// Is anything granted that somebody else may get as soon as nobody watches?
pub fn is_armed() -> bool {
    builtin::grants().is_some_and(|grants| {
        let snapshot = grants.snapshot();
        snapshot.is_any() && !snapshot.has_lapsed(now())
    })
}

/// Makes a change after which nothing is refused any more, while nothing is granted.
/// With `force` what is granted lapses, and what then happens is waited for. Sleeps.
///
/// # Errors
///
/// `EBUSY`: something is granted. `ETIME`: what happens is not done in time, and
/// goes on. That of the change.
pub fn disarm(force: bool, change: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let _arming = ARMING.lock();
    if let Some(grants) = builtin::grants().filter(|_| is_armed()) {
        if !force {
            return Err(Errno::BUSY);
        }
        grants.lapse(now());
        TASK.wake();
        if policy::FENCE_ACTION.get() != policy::NONE {
            fencing::wait_until_away()?;
        }
    }
    change()
}

/// What the thread does.
fn work() -> Duration {
    let Some(grants) = builtin::grants() else {
        return LONG;
    };
    if clock::has_jumped() {
        JUMPS.bump();
        let snapshot = grants.snapshot();
        if snapshot.is_any() && snapshot.terms.deadline != grants::FOREVER {
            log::warn(c"clinet: the clock jumped by more than two seconds: the grants have lapsed");
            grants.lapse(now());
        }
    }
    if is_armed() && is_replaced() {
        log::warn(
            c"clinet: another provider is asked instead of the built-in one: the grants have lapsed",
        );
        grants.lapse(now());
    }
    heartbeat(grants);
    let snapshot = grants.snapshot();
    let now = now();
    match snapshot.has_lapsed(now) {
        true => notice_lapsed(&snapshot),
        false => LAPSE_NOTICED.store(false, Ordering::Relaxed),
    }
    fencing::act(&snapshot, now);
    rest(&snapshot)
}

/// Has another provider taken the slot, or the hook by which ip asks?
fn is_replaced() -> bool {
    (builtin::is_associated() && !builtin::answers()) || attach::state::is_taken()
}

/// Until when there is nothing to do.
fn rest(snapshot: &Snapshot) -> Duration {
    let is_idle = !snapshot.is_any() || snapshot.terms.deadline == grants::FOREVER;
    if is_idle && fence() == Fence::Unfenced {
        return LONG;
    }
    match snapshot.terms.deadline.checked_sub(now()) {
        // Not before it has passed.
        Some(left) => SHORT.min(Duration::from_nanos(left.saturating_add(1))),
        None => SHORT,
    }
}

/// Says that the thread is there.
fn heartbeat(grants: &NodeGrants) {
    let mut callout = CALLOUT.lock();
    let (deadline, at) = (grants.snapshot().terms.deadline, now());
    let due = grants::due(deadline, at.saturating_add(HEARTBEAT_TIMEOUT));
    set_callout(grants, &mut callout, due, at);
    grants.heartbeat(now);
}

/// Says that the deadline has passed or a fence is missed, in case the thread that
/// fences hangs. For another thread that may sleep.
pub fn notice() {
    if let Some(grants) = builtin::grants() {
        let snapshot = grants.snapshot();
        if snapshot.has_lapsed(now()) {
            notice_lapsed(&snapshot);
        }
        fencing::notice_missed(&snapshot);
    }
}

/// Says so once when the deadline has passed, or panics if that is wanted.
fn notice_lapsed(snapshot: &Snapshot) {
    if !LAPSE_NOTICED.swap(true, Ordering::Relaxed) {
        LAPSES.bump();
        log::warn(c"clinet: the deadline of the grants has passed");
        events::happened(sys::CLINETCTL_EVENT_LAPSED, snapshot.terms.deadline);
        if policy::FENCE_ACTION.get() == policy::PANIC {
            log::panic(c"clinet: the deadline of the grants has passed, and clinet_fence is 1");
        }
    }
}
