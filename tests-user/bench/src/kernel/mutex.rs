// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `mutex_*` apart from the fast paths, and mutexes that are timed.

use std::cell::RefCell;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Import, imports, thread};
use crate::cpu;

/// Turns of a loop before the processor is given up: a holder that runs is
/// done by then.
const SPINS: u32 = 200;

/// The word of a mutex.
///
/// # Safety
/// `lock` is a `kmutex_t` that lives for `'a`.
unsafe fn word<'a>(lock: *mut u64) -> &'a AtomicU64 {
    // SAFETY: by the caller's promise eight aligned bytes, which everybody
    // accesses atomically.
    unsafe { AtomicU64::from_ptr(lock) }
}

/// Somebody else holds the mutex, or it is misused.
///
/// # Safety
/// `lock` is a `kmutex_t`.
pub unsafe extern "C" fn enter_slow(lock: *mut u64, me: u64) {
    // SAFETY: passed on by the caller.
    let word = unsafe { word(lock) };
    assert_ne!(word.load(Ordering::Relaxed), me, "recursive mutex_enter");
    loop {
        for _ in 0..SPINS {
            if word.load(Ordering::Relaxed) == 0
                && word
                    .compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
            {
                return;
            }
            spin_loop();
        }
        std::thread::yield_now();
    }
}

/// The caller does not hold what it gives back: never returns.
pub extern "C" fn exit_slow(_lock: *mut u64, _me: u64) {
    panic!("mutex_exit of a mutex that this thread does not hold");
}

/// # Safety
/// `lock` is room for a `kmutex_t`.
unsafe extern "C" fn mutex_init(lock: *mut u64, _name: *const u8, _kind: i32, _cookie: *mut ()) {
    // SAFETY: passed on by the caller.
    unsafe { word(lock) }.store(0, Ordering::Relaxed);
}

extern "C" fn mutex_destroy(_lock: *mut u64) {}

/// # Safety
/// `lock` is a `kmutex_t`.
unsafe extern "C" fn mutex_owned(lock: *mut u64) -> i32 {
    // SAFETY: passed on by the caller.
    i32::from(unsafe { word(lock) }.load(Ordering::Relaxed) == thread::current())
}

/// # Safety
/// `lock` is a `kmutex_t`.
unsafe extern "C" fn mutex_owner(lock: *mut u64) -> u64 {
    // SAFETY: passed on by the caller.
    unsafe { word(lock) }.load(Ordering::Relaxed)
}

imports! {
    mutex_init => "mutex_init",
    mutex_destroy => "mutex_destroy",
    mutex_owned => "mutex_owned",
    mutex_owner => "mutex_owner",
}

/// Takes a mutex for a thread that is attached.
///
/// # Safety
/// `lock` is a `kmutex_t`.
pub(super) unsafe fn enter(lock: *mut u64) {
    let me = thread::current();
    // SAFETY: passed on by the caller.
    let free = unsafe { word(lock) }.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed);
    if free.is_err() {
        // SAFETY: passed on by the caller.
        unsafe { enter_slow(lock, me) };
    }
}

/// Gives it back.
///
/// # Safety
/// `lock` is a `kmutex_t`.
pub(super) unsafe fn exit(lock: *mut u64) {
    // SAFETY: passed on by the caller.
    let word = unsafe { word(lock) };
    assert_eq!(word.load(Ordering::Relaxed), thread::current());
    word.store(0, Ordering::Release);
}

thread_local! {
    /// Mutexes that this thread holds and since when, and how long it held
    /// others. None: nobody asked.
    static HOLDS: RefCell<Option<Holds>> = const { RefCell::new(None) };
}

/// One hold of a mutex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The address of the mutex.
    pub mutex: usize,
    /// How long it was held.
    pub cycles: u64,
}

#[derive(Debug, Default)]
struct Holds {
    held: Vec<(*mut u64, u64)>,
    over: Vec<Hold>,
}

/// # Safety
/// `lock` is a `kmutex_t`.
unsafe extern "C" fn timed_enter(lock: *mut u64) {
    // SAFETY: passed on by the caller.
    unsafe { enter(lock) };
    HOLDS.with_borrow_mut(|holds| {
        if let Some(holds) = holds {
            holds.held.push((lock, cpu::cycles()));
        }
    });
}

/// # Safety
/// `lock` is a `kmutex_t`.
unsafe extern "C" fn timed_tryenter(lock: *mut u64) -> i32 {
    // SAFETY: passed on by the caller.
    let word = unsafe { word(lock) };
    let me = thread::current();
    let free = word.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed);
    if free.is_ok() {
        HOLDS.with_borrow_mut(|holds| {
            if let Some(holds) = holds {
                holds.held.push((lock, cpu::cycles()));
            }
        });
    }
    i32::from(free.is_ok())
}

/// # Safety
/// `lock` is a `kmutex_t`.
unsafe extern "C" fn timed_exit(lock: *mut u64) {
    let now = cpu::cycles();
    HOLDS.with_borrow_mut(|holds| {
        let Some(holds) = holds else { return };
        if let Some(place) = holds.held.iter().rposition(|held| held.0 == lock) {
            let (_, since) = holds.held.swap_remove(place);
            holds.over.push(Hold {
                mutex: lock.addr(),
                cycles: now.saturating_sub(since),
            });
        }
    });
    // SAFETY: passed on by the caller.
    unsafe { exit(lock) };
}

/// The mutexes of a kernel that notes how long they are held.
pub(super) fn timed() -> Vec<Import> {
    vec![
        Import::new("mutex_enter", timed_enter as *const ()),
        Import::new("mutex_exit", timed_exit as *const ()),
        Import::new("mutex_tryenter", timed_tryenter as *const ()),
    ]
}

/// Runs `work` in a kernel with timed mutexes: which this thread held and how
/// long, in the order in which it gave them back.
pub fn holds_of(work: impl FnOnce()) -> Vec<Hold> {
    begin_timing();
    work();
    end_timing()
}

/// The mutexes are timed that this thread takes from now on.
pub(super) fn begin_timing() {
    // Room beforehand: a list that grows would be timed, too.
    let room = Holds {
        held: Vec::with_capacity(64),
        over: Vec::with_capacity(1 << 21),
    };
    HOLDS.set(Some(room));
}

/// They are not any more: how long each was held, as [`holds_of`] says.
pub(super) fn end_timing() -> Vec<Hold> {
    HOLDS.take().unwrap_or_default().over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hold_is_timed_in_the_order_of_giving_back() {
        thread::attach();
        let (mut outer, mut inner) = (0_u64, 0_u64);
        let pause = std::time::Duration::from_millis(20);
        // SAFETY: both are free mutexes of this thread.
        let holds = holds_of(|| unsafe {
            timed_enter(&raw mut outer);
            timed_enter(&raw mut inner);
            timed_exit(&raw mut inner);
            std::thread::sleep(pause);
            timed_exit(&raw mut outer);
        });
        let [short, long] = holds[..] else {
            panic!("{holds:?}");
        };
        let slept = pause.as_nanos() as f64 / cpu::cycle_ns();
        assert_eq!(
            [short.mutex, long.mutex],
            [(&raw mut inner).addr(), (&raw mut outer).addr()]
        );
        assert!(
            (short.cycles as f64) < slept && long.cycles as f64 > slept * 0.9,
            "{holds:?}"
        );
        // Nobody asks any more.
        // SAFETY: as above.
        unsafe {
            timed_enter(&raw mut outer);
            timed_exit(&raw mut outer);
        }
        assert!(end_timing().is_empty());
    }
}
