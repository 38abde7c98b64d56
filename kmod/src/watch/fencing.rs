// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where the fence is, what is wanted of it, and the steps in between.
//!
//! Whoever wants the addresses away or back says so in a word and waits, looking
//! tick by tick; the thread alone takes the steps.

use core::ffi::CStr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::{FENCES, FENCES_MISSED, TASK, UNFENCES, answering, errno, now};
use crate::grants::Snapshot;
use crate::kernel::errno::Errno;
use crate::kernel::{log, sys, time};
use crate::settings::policy;
use crate::{builtin, events, fence};

/// What a thread that waits for a fence grants beyond the time of the fence itself,
/// in nanoseconds.
const GRACE: u64 = 1_000_000_000;

/// What it grants for connections to end, in nanoseconds: TCP looks at all of them
/// once for each shared address, and 200 addresses took 12 seconds where that was
/// slowest (measured under emulation).
const ENDING: u64 = 60_000_000_000;

c_enum! {
    /// Where the fence is.
    pub enum Fence {
        /// The addresses are not touched.
        Unfenced = sys::CLINETCTL_UNFENCED, c"unfenced";
        /// They are being taken away.
        Fencing = sys::CLINETCTL_FENCING, c"fencing";
        /// They are away.
        Fenced = sys::CLINETCTL_FENCED, c"fenced";
        /// They are not away in time; that is tried again.
        Missed = sys::CLINETCTL_FENCE_MISSED, c"missed";
        /// They are being brought back.
        Unfencing = sys::CLINETCTL_UNFENCING, c"unfencing";
    }
}

static FENCE: AtomicU32 = AtomicU32::new(Fence::Unfenced as u32);

/// Between two looks at what is away, in nanoseconds.
const KEEP: u64 = 1_000_000_000;

/// When what is away is looked at again.
static KEPT_UNTIL: AtomicU64 = AtomicU64::new(0);

/// When the fence that is under way has to be done.
static DUE: AtomicU64 = AtomicU64::new(0);

/// Where the fence is. Any context.
pub fn fence() -> Fence {
    Fence::from_number(FENCE.load(Ordering::Acquire)).unwrap_or(Fence::Missed)
}

fn set_fence(fence: Fence) {
    FENCE.store(fence as u32, Ordering::Release);
    events::happened(sys::CLINETCTL_EVENT_FENCED, fence as u64);
}

/// What somebody waits for.
const NOTHING: u32 = 0;
const WANT_FENCE: u32 = 1;
const WANT_UNFENCE: u32 = 2;
/// The same after the connections have been ended.
const WANT_CLEAN_UNFENCE: u32 = 3;

static WANTED: AtomicU32 = AtomicU32::new(NOTHING);

/// Lapses the deadline and takes the addresses away. Sleeps until that is done.
///
/// # Errors
///
/// `ENXIO` without the provider, `ETIME`: it is not done in time, and goes on.
pub fn take_away() -> Result<(), Errno> {
    let grants = builtin::grants().ok_or(Errno::NXIO)?;
    grants.lapse(now());
    WANTED.store(WANT_FENCE, Ordering::Release);
    TASK.wake();
    wait_until_away()
}

/// Brings the addresses back. `clean`: after the connections have been ended.
/// Sleeps until that is done.
///
/// # Errors
///
/// `ENXIO` and `ENOTACTIVE` as for a grant, `ESTALE`, `EAGAIN`: the deadline has passed,
/// `EBUSY`: somebody else waits for the fence, `ETIME`: it cannot be done, or not in
/// time, and the addresses are taken away again.
pub fn bring_back(epoch: u64, sequence: u64, clean: bool) -> Result<(), Errno> {
    let grants = answering()?;
    grants.may_unfence(epoch, sequence, now()).map_err(errno)?;
    if fence() == Fence::Unfenced {
        return Ok(());
    }
    let want = if clean {
        WANT_CLEAN_UNFENCE
    } else {
        WANT_UNFENCE
    };
    WANTED
        .compare_exchange(NOTHING, want, Ordering::AcqRel, Ordering::Relaxed)
        .map_err(|_| Errno::BUSY)?;
    TASK.wake();
    let ending = if clean { ENDING } else { 0 };
    let is_over = || WANTED.load(Ordering::Acquire) != want;
    wait(ending, is_over).inspect_err(|_| done(want))?;
    match fence() {
        Fence::Unfenced => Ok(()),
        _ if grants.snapshot().has_lapsed(now()) => Err(Errno::AGAIN),
        _ => Err(Errno::TIME),
    }
}

/// Waits until the addresses are away. Sleeps.
///
/// # Errors
///
/// `ETIME`: they are not in time, and it goes on.
pub fn wait_until_away() -> Result<(), Errno> {
    wait(0, || {
        fence() == Fence::Fenced && WANTED.load(Ordering::Acquire) == NOTHING
    })
}

/// Waits until something is over, so much longer than a fence may take.
fn wait(longer: u64, is_over: impl Fn() -> bool) -> Result<(), Errno> {
    let timeout = timeout().saturating_add(GRACE).saturating_add(longer);
    let until = now().saturating_add(timeout);
    while !is_over() {
        if now() >= until {
            return Err(Errno::TIME);
        }
        time::sleep_a_tick();
    }
    Ok(())
}

/// What a fence may take, in nanoseconds.
fn timeout() -> u64 {
    u64::from(policy::FENCE_SECONDS.get()).saturating_mul(1_000_000_000)
}

/// When a fence that is needed `since` has to be done; since now, if that is to come.
fn due(since: u64, now: u64) -> u64 {
    since.min(now).saturating_add(timeout())
}

/// Takes the step that is to be taken. Not inline: it has a jump table.
#[inline(never)]
pub fn act(snapshot: &Snapshot, now: u64) {
    let lapsed = snapshot.has_lapsed(now);
    let wanted = WANTED.load(Ordering::Acquire);
    match (fence(), wanted) {
        (Fence::Fenced, WANT_UNFENCE | WANT_CLEAN_UNFENCE) if !lapsed => unfence(wanted),
        (Fence::Unfenced | Fence::Unfencing, _) => {
            let down = lapsed && policy::FENCE_ACTION.get() == policy::DOWN;
            if down || wanted == WANT_FENCE {
                let due = due(if lapsed { snapshot.terms.deadline } else { now }, now);
                DUE.store(due, Ordering::Relaxed);
                begin_fence();
            }
            done(wanted);
        }
        (Fence::Fencing | Fence::Missed, _) => go_on(),
        (Fence::Fenced, _) => {
            keep_away();
            done(wanted);
        }
    }
}

/// Takes away what came up meanwhile, by whoever knows nothing of the fence.
fn keep_away() {
    let now = now();
    if now < KEPT_UNTIL.load(Ordering::Relaxed) {
        return;
    }
    KEPT_UNTIL.store(now.saturating_add(KEEP), Ordering::Relaxed);
    if fence::take_down().is_err() {
        DUE.store(now.saturating_add(timeout()), Ordering::Relaxed);
        set_fence(Fence::Fencing);
    }
}

/// Nobody has to wait for this any more, or wants it.
fn done(wanted: u32) {
    // Another one may have come.
    let _ = WANTED.compare_exchange(wanted, NOTHING, Ordering::AcqRel, Ordering::Relaxed);
}

fn begin_fence() {
    set_fence(Fence::Fencing);
    if let Some(grants) = builtin::grants() {
        grants.set_fenced(true, now);
    }
    go_on();
}

/// Tries to take the addresses away.
fn go_on() {
    let result = fence::take_down();
    if let Some(grants) = builtin::grants() {
        notice_missed(&grants.snapshot());
    }
    if result.is_ok() {
        FENCES.bump();
        set_fence(Fence::Fenced);
    }
}

/// Says so if the addresses are not away in time: for any thread that may sleep, since
/// the one that fences may hang.
pub fn notice_missed(snapshot: &Snapshot) {
    let (fence, now) = (fence(), now());
    let begun = DUE.load(Ordering::Relaxed);
    let due = match fence {
        Fence::Fencing => begun,
        // The deadline passed while they were brought back.
        Fence::Unfencing if snapshot.has_lapsed(now) => {
            due(snapshot.terms.deadline, now).max(begun)
        }
        _ => return,
    };
    if now < due {
        return;
    }
    let (fence, missed) = (fence as u32, Fence::Missed as u32);
    let changed = FENCE.compare_exchange(fence, missed, Ordering::AcqRel, Ordering::Relaxed);
    if changed.is_ok() {
        FENCES_MISSED.bump();
        log::warn(MISSED);
        events::happened(sys::CLINETCTL_EVENT_FENCED, Fence::Missed as u64);
    }
}

const MISSED: &CStr =
    c"clinet: the shared addresses are not taken away in time: switch this node off";

/// Brings the addresses back, or takes them away again.
fn unfence(wanted: u32) {
    // However long connections take to end: nothing is up before they have.
    DUE.store(u64::MAX, Ordering::Relaxed);
    set_fence(Fence::Unfencing);
    let ended = match wanted {
        WANT_CLEAN_UNFENCE => fence::abort_connections(),
        _ => Ok(()),
    };
    DUE.store(now().saturating_add(timeout()), Ordering::Relaxed);
    let has_lapsed = || builtin::grants().is_some_and(|grants| grants.snapshot().has_lapsed(now()));
    let result = ended.and_then(|()| match has_lapsed() {
        true => Err(Errno::AGAIN),
        false => fence::bring_up(),
    });
    let late = now() >= DUE.load(Ordering::Relaxed);
    if result.is_err() || late {
        DUE.store(now().saturating_add(timeout()), Ordering::Relaxed);
        begin_fence();
    } else {
        if let Some(grants) = builtin::grants() {
            grants.set_fenced(false, now);
        }
        UNFENCES.bump();
        set_fence(Fence::Unfenced);
    }
    done(wanted);
}
