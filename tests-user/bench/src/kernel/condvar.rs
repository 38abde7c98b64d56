// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `cv_*`. The word of a condition variable counts who waits, so that a
//! signal for nobody costs a load, as on illumos.

use std::cell::Cell;
use std::collections::HashMap;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{clock, imports, mutex, taskq, work};

/// How often each condition variable was signalled.
static SIGNALS: Mutex<Option<HashMap<usize, u64>>> = Mutex::new(None);
static SIGNALLED: Condvar = Condvar::new();
/// All signals.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Threads that wait for `SIGNALLED`.
static BLOCKED: AtomicUsize = AtomicUsize::new(0);
/// Who waits watches `COUNT`.
static WATCH: AtomicBool = AtomicBool::new(false);

/// From now on a thread that waits watches a word of memory, as an idle
/// processor does in illumos (mwait), so that a signal is a store; or it sleeps,
/// and a signal wakes it, which may interrupt a processor of a virtual machine.
/// Watching takes a processor.
pub fn watch(watch: bool) {
    WATCH.store(watch, Ordering::SeqCst);
    COUNT.fetch_add(1, Ordering::SeqCst);
    SIGNALLED.notify_all();
}

/// Waits for any signal, or a while.
fn pause(signals: Signals, at_most: Duration) {
    if !WATCH.load(Ordering::SeqCst) {
        BLOCKED.fetch_add(1, Ordering::SeqCst);
        drop(SIGNALLED.wait_timeout(signals, at_most));
        BLOCKED.fetch_sub(1, Ordering::SeqCst);
        return;
    }
    // Signals are counted with the lock held.
    let seen = COUNT.load(Ordering::SeqCst);
    drop(signals);
    let end = Instant::now() + at_most;
    while COUNT.load(Ordering::SeqCst) == seen && Instant::now() < end {
        for _ in 0..100 {
            spin_loop();
        }
    }
}

thread_local! {
    /// When this thread's last wait ended because it was over.
    static OVER: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Between two waits of a thread that did nothing in between.
const NOTHING: Duration = Duration::from_micros(20);

type Signals = MutexGuard<'static, Option<HashMap<usize, u64>>>;

fn signals() -> Signals {
    SIGNALS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn count(signals: &mut Signals, cv: *mut u16) -> u64 {
    let all = signals.get_or_insert_default();
    *all.entry(cv.addr()).or_default()
}

/// # Safety
/// `cv` is a `kcondvar_t`.
unsafe fn word<'a>(cv: *mut u16) -> &'a AtomicU16 {
    // SAFETY: by the caller's promise two aligned bytes, which everybody
    // accesses atomically.
    unsafe { AtomicU16::from_ptr(cv) }
}

/// Waits for a signal, at most for `time`: was there one?
///
/// # Safety
/// `cv` is a `kcondvar_t`, `lock` a `kmutex_t` that this thread holds.
pub(super) unsafe fn wait(cv: *mut u16, lock: *mut u64, time: Option<Duration>) -> bool {
    work::end();
    let end = time.map(|time| Instant::now() + time);
    let seen = {
        let mut signals = signals();
        // SAFETY: passed on by the caller.
        unsafe { word(cv) }.fetch_add(1, Ordering::Relaxed);
        count(&mut signals, cv)
    };
    // SAFETY: passed on by the caller. A signal from now on is counted, so it
    // is not lost.
    unsafe { mutex::exit(lock) };
    let mut signalled = false;
    // One that only looks at a clock now and then is at rest.
    let goes_on = OVER.take().is_some_and(|over| over.elapsed() < NOTHING);
    taskq::wait(goes_on, || {
        let mut signals = signals();
        signalled = count(&mut signals, cv) != seen;
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if signalled || left.is_some_and(|left| left.is_zero()) {
            return true;
        }
        let short = Duration::from_millis(20);
        pause(signals, left.map_or(short, |left| left.min(short)));
        false
    });
    OVER.set((!signalled).then(Instant::now));
    // SAFETY: passed on by the caller.
    unsafe {
        word(cv).fetch_sub(1, Ordering::Relaxed);
        mutex::enter(lock);
    }
    work::begin();
    signalled
}

/// # Safety
/// `cv` is room for a `kcondvar_t`.
unsafe extern "C" fn cv_init(cv: *mut u16, _name: *const u8, _kind: i32, _argument: *mut ()) {
    // SAFETY: passed on by the caller.
    unsafe { word(cv) }.store(0, Ordering::Relaxed);
}

extern "C" fn cv_destroy(_cv: *mut u16) {}

/// # Safety
/// As for [`wait`].
unsafe extern "C" fn cv_wait(cv: *mut u16, lock: *mut u64) {
    // SAFETY: passed on by the caller.
    unsafe { wait(cv, lock, None) };
}

/// # Safety
/// As for [`wait`].
unsafe extern "C" fn cv_wait_sig(cv: *mut u16, lock: *mut u64) -> i32 {
    // SAFETY: passed on by the caller.
    unsafe { wait(cv, lock, None) };
    1
}

/// # Safety
/// As for [`wait`].
unsafe extern "C" fn cv_timedwait(cv: *mut u16, lock: *mut u64, lbolt: i64) -> i64 {
    let time = clock::until(lbolt);
    // SAFETY: passed on by the caller.
    if unsafe { wait(cv, lock, Some(time)) } {
        1
    } else {
        -1
    }
}

/// # Safety
/// As for [`wait`].
unsafe extern "C" fn cv_reltimedwait(cv: *mut u16, lock: *mut u64, ticks: i64, _how: i32) -> i64 {
    let time = clock::span(ticks);
    // SAFETY: passed on by the caller.
    if unsafe { wait(cv, lock, Some(time)) } {
        1
    } else {
        -1
    }
}

/// Wakes all: who waits looks again at what it waits for.
///
/// # Safety
/// `cv` is a `kcondvar_t`.
pub(super) unsafe extern "C" fn cv_broadcast(cv: *mut u16) {
    // SAFETY: passed on by the caller.
    if unsafe { word(cv) }.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut signals = signals();
    let next = count(&mut signals, cv) + 1;
    signals.get_or_insert_default().insert(cv.addr(), next);
    COUNT.fetch_add(1, Ordering::SeqCst);
    if BLOCKED.load(Ordering::SeqCst) > 0 {
        SIGNALLED.notify_all();
    }
}

imports! {
    cv_init => "cv_init",
    cv_destroy => "cv_destroy",
    cv_wait => "cv_wait",
    cv_wait_sig => "cv_wait_sig",
    cv_timedwait => "cv_timedwait",
    cv_reltimedwait => "cv_reltimedwait",
    cv_broadcast => "cv_signal",
    cv_broadcast => "cv_broadcast",
}
