// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Looks after the grants: a thread of its own, which a fence may keep busy, and a
//! callout, which comes whatever threads do.
//!
//! The thread says five times a second that it is there, compares the clocks, and
//! takes the shared addresses away when the deadline has passed or somebody says
//! so. The callout shuts the gate of [`crate::grants`] in time, also when the
//! thread hangs. It is always set before a change may open the gate, and waits for
//! nothing.
//!
//! One mutex serialises what sets the callout. Only threads that may sleep take it,
//! and of ours only that of the grants is taken with it.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use crate::builtin::NodeGrants;
use crate::grants::{self, Refused, Snapshot, TENDED, Terms};
use crate::kernel::callout::{Callout, Handler};
use crate::kernel::errno::Errno;
use crate::kernel::mutex::KMutex;
use crate::kernel::task::Task;
use crate::kernel::{log, sys, time};
use crate::settings::policy;
use crate::{builtin, events, fence};

/// The thread.
pub static TASK: Task = Task::new(work);

/// Its rest while something is granted until a deadline.
const SHORT: Duration = Duration::from_millis(200);
/// Its rest otherwise.
const LONG: Duration = Duration::from_secs(1);

/// A difference between two clocks that no clock makes by itself, in nanoseconds.
const JUMP: u64 = 2_000_000_000;

/// What a thread that waits for a fence grants beyond the time of the fence itself,
/// in nanoseconds.
const GRACE: u64 = 1_000_000_000;

/// What it grants for connections to end, in nanoseconds: TCP looks at all of them
/// once for each shared address, and 200 addresses took 12 seconds where that was
/// slowest (measured under emulation).
const ENDING: u64 = 60_000_000_000;

/// Shuts the gate.
struct Shut;

impl Handler for Shut {
    fn run() {
        if let Some(grants) = builtin::grants() {
            grants.shut_if_due(now());
        }
    }
}

static CALLOUT: KMutex<Callout<Shut>> = KMutex::new(Callout::unset());

/// What the wall clock jumped, by which the module's clock is ahead of the
/// kernel's: a deadline that was chosen before a jump is none after it.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// The module's clock, in nanoseconds. Any context.
pub fn now() -> u64 {
    time::nanoseconds().wrapping_add(AHEAD.load(Ordering::Relaxed))
}

/// Where the fence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fence {
    /// The addresses are not touched.
    Unfenced = sys::CLINETCTL_UNFENCED,
    /// They are being taken away.
    Fencing = sys::CLINETCTL_FENCING,
    /// They are away.
    Fenced = sys::CLINETCTL_FENCED,
    /// They are not away in time; that is tried again.
    Missed = sys::CLINETCTL_FENCE_MISSED,
    /// They are being brought back.
    Unfencing = sys::CLINETCTL_UNFENCING,
}

impl Fence {
    /// Its name in the kstat.
    pub fn name(self) -> &'static CStr {
        match self {
            Self::Unfenced => c"unfenced",
            Self::Fencing => c"fencing",
            Self::Fenced => c"fenced",
            Self::Missed => c"missed",
            Self::Unfencing => c"unfencing",
        }
    }

    const ALL: [Self; 5] = [
        Self::Unfenced,
        Self::Fencing,
        Self::Fenced,
        Self::Missed,
        Self::Unfencing,
    ];
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
    let number = FENCE.load(Ordering::Acquire);
    let found = Fence::ALL.into_iter().find(|fence| *fence as u32 == number);
    found.unwrap_or(Fence::Missed)
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

/// How often something happened since the module was loaded.
pub struct Counts {
    /// The deadline of what was granted passed.
    pub lapses: AtomicU64,
    /// The wall clock jumped.
    pub jumps: AtomicU64,
    /// The shared addresses were taken away.
    pub fences: AtomicU64,
    /// ... and not in time.
    pub missed: AtomicU64,
    /// They were brought back.
    pub unfences: AtomicU64,
}

/// Read for the kstats.
pub static COUNTS: Counts = Counts {
    lapses: AtomicU64::new(0),
    jumps: AtomicU64::new(0),
    fences: AtomicU64::new(0),
    missed: AtomicU64::new(0),
    unfences: AtomicU64::new(0),
};

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// It was told that the deadline has passed.
static TOLD: AtomicBool = AtomicBool::new(false);

/// By how much the wall clock was ahead of the kernel's when they were compared.
static APART: AtomicU64 = AtomicU64::new(0);

/// Sets the callout's mutex up, and compares the clocks for the first time.
///
/// # Safety
///
/// Called by `_init`, once, before anybody else is in the module.
pub unsafe fn init() {
    // SAFETY: nobody has used the mutex.
    unsafe { CALLOUT.init() };
    let _first = jump();
}

/// Takes the callout back. Sleeps.
///
/// # Safety
///
/// Nobody else is in the module or will be; the thread is gone.
pub unsafe fn fini() {
    CALLOUT.lock().cancel();
    // SAFETY: nobody uses it any more.
    unsafe { CALLOUT.destroy() };
}

/// Sets the callout for grants with this deadline, which are looked after now.
fn set_callout(callout: &mut Callout<Shut>, deadline: u64, now: u64) {
    match grants::due(deadline, now.saturating_add(TENDED)) {
        Some(due) if due > now => callout.set(Duration::from_nanos(due - now)),
        // Without a deadline, or shut already.
        _ => callout.cancel(),
    }
}

/// Sets the callout for a deadline, and then makes the change that may open the gate
/// until then.
fn change(
    grants: &NodeGrants,
    deadline: u64,
    change: impl FnOnce(&NodeGrants) -> Result<(), Refused>,
) -> Result<(), Errno> {
    let mut callout = CALLOUT.lock();
    set_callout(&mut callout, deadline, now());
    let result = change(grants);
    if result.is_err() {
        set_callout(&mut callout, grants.snapshot().terms.deadline, now());
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
/// `ESTALE`, `EINVAL`; `ENXIO` if the built-in provider does not answer.
pub fn set_grants(terms: &Terms, ports: [&[u64]; 2]) -> Result<(), Errno> {
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
    let grants = answering()?;
    change(grants, deadline, |grants| {
        grants.set_deadline(epoch, sequence, deadline, now)
    })?;
    events::happened(sys::CLINETCTL_EVENT_GRANTS, sequence);
    Ok(())
}

/// The grants, if the provider that they are of is the one that answers.
fn answering() -> Result<&'static NodeGrants, Errno> {
    let grants = builtin::grants().ok_or(Errno::NXIO)?;
    match builtin::is_associated() {
        true => Ok(grants),
        false => Err(Errno::NXIO),
    }
}

/// Is anything granted that somebody else may get as soon as nobody watches?
pub fn is_armed() -> bool {
    builtin::grants().is_some_and(|grants| {
        let snapshot = grants.snapshot();
        snapshot.is_any() && !snapshot.has_lapsed(now())
    })
}

/// Makes sure that nothing is granted before nobody is asked any more. With `force`
/// what is granted lapses, and what then happens is waited for. Sleeps.
///
/// # Errors
///
/// `EBUSY`: something is granted. `ETIME`: what happens is not done in time, and
/// goes on.
pub fn disarm(force: bool) -> Result<(), Errno> {
    let Some(grants) = builtin::grants().filter(|_| is_armed()) else {
        return Ok(());
    };
    if !force {
        return Err(Errno::BUSY);
    }
    grants.lapse(now());
    TASK.wake();
    match policy::FENCE_ACTION.get() {
        policy::NONE => Ok(()),
        _ => wait_for(Fence::Fenced, 0),
    }
}

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
    wait_for(Fence::Fenced, 0)
}

/// Brings the addresses back. `clean`: after the connections have been ended.
/// Sleeps until that is done.
///
/// # Errors
///
/// `ENXIO` without the provider, `ESTALE`, `EAGAIN`: the deadline has passed,
/// `EBUSY`: somebody else waits for the fence, `ETIME`: it is not done in time, and
/// the addresses are taken away again.
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
    wait_for(Fence::Unfenced, ending).inspect_err(|_| done(want))
}

/// Waits until the fence is there, so much longer than a fence may take.
fn wait_for(wanted: Fence, longer: u64) -> Result<(), Errno> {
    let patience = patience().saturating_add(GRACE).saturating_add(longer);
    let until = now().saturating_add(patience);
    loop {
        if fence() == wanted && WANTED.load(Ordering::Acquire) == NOTHING {
            return Ok(());
        }
        if now() >= until {
            return Err(Errno::TIME);
        }
        time::sleep_a_tick();
    }
}

/// What a fence may take, in nanoseconds.
fn patience() -> u64 {
    u64::from(policy::FENCE_SECONDS.get()).saturating_mul(1_000_000_000)
}

/// By how much the wall clock is ahead. The two are read at one moment, or nearly:
/// a thread may be stopped in between, but not again and again.
fn apart() -> u64 {
    const MOMENT: u64 = 10_000_000;
    let mut apart = 0;
    for _ in 0..4 {
        let before = time::nanoseconds();
        apart = time::wall_nanoseconds().wrapping_sub(before);
        if time::nanoseconds().wrapping_sub(before) < MOMENT {
            break;
        }
    }
    apart
}

/// By how much the clocks moved apart since they were last compared, if that is
/// more than clocks do.
fn jump() -> Option<u64> {
    let apart = apart();
    let moved = apart.wrapping_sub(APART.swap(apart, Ordering::Relaxed));
    let moved = moved.cast_signed().unsigned_abs();
    (moved > JUMP).then_some(moved)
}

/// What the thread does.
fn work() -> Duration {
    let jumped = jump();
    let Some(grants) = builtin::grants() else {
        return LONG;
    };
    if let Some(moved) = jumped {
        AHEAD.fetch_add(moved, Ordering::Relaxed);
        count(&COUNTS.jumps);
    }
    let snapshot = grants.snapshot();
    if jumped.is_some() && snapshot.is_any() && snapshot.terms.deadline != grants::FOREVER {
        log::warn(c"clinet: the clock jumped by more than two seconds: the grants have lapsed");
        grants.lapse(now());
    }
    if is_armed() && is_replaced() {
        log::warn(
            c"clinet: another provider has replaced the built-in one: the grants have lapsed",
        );
        grants.lapse(now());
    }
    tend();
    let snapshot = grants.snapshot();
    act(&snapshot);
    rest(&snapshot)
}

/// Has another provider taken the slot?
fn is_replaced() -> bool {
    builtin::is_associated() && !builtin::answers()
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
fn tend() {
    if let Some(grants) = builtin::grants() {
        let mut callout = CALLOUT.lock();
        let deadline = grants.snapshot().terms.deadline;
        set_callout(&mut callout, deadline, now());
        grants.tend(now);
    }
}

/// Does what is to be done about the fence. Not inline: it has a jump table.
#[inline(never)]
fn act(snapshot: &Snapshot) {
    let now = now();
    let lapsed = snapshot.has_lapsed(now);
    if lapsed && !TOLD.swap(true, Ordering::Relaxed) {
        count(&COUNTS.lapses);
        log::warn(c"clinet: the deadline of the grants has passed");
        events::happened(sys::CLINETCTL_EVENT_LAPSED, snapshot.terms.deadline);
        if policy::FENCE_ACTION.get() == policy::PANIC {
            log::panic(c"clinet: the deadline of the grants has passed, and clinet_fence is 1");
        }
    } else if !lapsed {
        TOLD.store(false, Ordering::Relaxed);
    }
    let wanted = WANTED.load(Ordering::Acquire);
    match (fence(), wanted) {
        (Fence::Fenced, WANT_UNFENCE | WANT_CLEAN_UNFENCE) if !lapsed => unfence(wanted),
        (Fence::Unfenced | Fence::Unfencing, _) => {
            let down = lapsed && policy::FENCE_ACTION.get() == policy::DOWN;
            if down || wanted == WANT_FENCE {
                // The deadline may have passed a moment ago.
                let since = if lapsed {
                    snapshot.terms.deadline.min(now)
                } else {
                    now
                };
                DUE.store(since.saturating_add(patience()), Ordering::Relaxed);
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
        DUE.store(now.saturating_add(patience()), Ordering::Relaxed);
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
    notice_missed();
    if result.is_ok() {
        count(&COUNTS.fences);
        set_fence(Fence::Fenced);
    }
}

/// Says so if a fence was not done in time. For any thread that may sleep: the one
/// that fences may hang.
pub fn notice_missed() {
    if fence() != Fence::Fencing || now() < DUE.load(Ordering::Relaxed) {
        return;
    }
    let (fencing, missed) = (Fence::Fencing as u32, Fence::Missed as u32);
    let changed = FENCE.compare_exchange(fencing, missed, Ordering::AcqRel, Ordering::Relaxed);
    if changed.is_ok() {
        count(&COUNTS.missed);
        log::warn(MISSED);
        events::happened(sys::CLINETCTL_EVENT_FENCED, Fence::Missed as u64);
    }
}

const MISSED: &CStr =
    c"clinet: the shared addresses are not taken away in time: switch this node off";

/// Brings the addresses back, or takes them away again.
fn unfence(wanted: u32) {
    set_fence(Fence::Unfencing);
    // However long this takes: nothing is up before it is done.
    let ended = match wanted {
        WANT_CLEAN_UNFENCE => fence::abort_connections(),
        _ => Ok(()),
    };
    DUE.store(now().saturating_add(patience()), Ordering::Relaxed);
    let has_lapsed = || builtin::grants().is_some_and(|grants| grants.snapshot().has_lapsed(now()));
    let result = ended.and_then(|()| match has_lapsed() {
        true => Err(Errno::AGAIN),
        false => fence::bring_up(),
    });
    let late = now() >= DUE.load(Ordering::Relaxed);
    if result.is_err() || late {
        DUE.store(now().saturating_add(patience()), Ordering::Relaxed);
        begin_fence();
    } else {
        if let Some(grants) = builtin::grants() {
            grants.set_fenced(false, now);
        }
        count(&COUNTS.unfences);
        set_fence(Fence::Unfenced);
    }
    done(wanted);
}
