// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `mutex_*`: adaptive mutexes in the eight bytes of a `kmutex_t`.
//!
//! The word has the owner, or nothing there when it is free, and bits below: somebody
//! waits; it was initialised; it was taken before that; it was taken where nothing
//! may sleep. All-zero memory is a free mutex, and stays one that must not be
//! initialised once it was taken: whoever holds it at that moment would lose it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::imports;
use crate::context::{Frame, here};
use crate::fault::fault;
use crate::locks::{self, Hold, current_thread};
use crate::machine::Machine;
use crate::memory::{self, touching};
use crate::stack;

const ADAPTIVE: u64 = 0;
const DRIVER: u64 = 4;
const DEFAULT: u64 = 6;
/// The highest interrupt priority whose mutexes are adaptive.
const LOCK_LEVEL: u64 = 10;

const WAITERS: u64 = 1;
const INITIALISED: u64 = 8;
const EARLY: u64 = 16;
const IN_HOOKS: u64 = 32;
/// The bits that stay while owners change.
const KIND: u64 = INITIALISED | EARLY | IN_HOOKS;
/// The word of a destroyed mutex.
const DEAD: u64 = 6;

thread_local! {
    /// What this thread does before a module takes a mutex in it.
    static BEFORE: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Has this thread do something, once, just before a module takes a mutex in it: wait
/// for another thread, as one does that an interrupt or a busy machine holds up there.
/// The kernel may be used by other threads meanwhile.
pub fn before_next_mutex(run: impl FnOnce() + 'static) {
    BEFORE.set(Some(Box::new(run)));
}

/// Takes the mutex at `address` for the current thread.
#[inline]
pub(crate) fn enter(address: u64) {
    let frame = here();
    let me = current_thread();
    frame.machine.locks.check_order(frame, address);
    let word: &AtomicU64 = memory::atomic(address);
    let me = me | in_hooks(frame);
    if try_take(word, me).is_err() {
        enter_contended(frame.machine, address, word, me);
    }
    locks::took(frame, address, Hold::Mutex);
}

/// The mark of a mutex that this frame takes.
#[inline]
fn in_hooks(frame: &Frame<'_>) -> u64 {
    match frame.context.may_sleep {
        true => 0,
        false => IN_HOOKS,
    }
}

/// Takes the mutex if it is free, or gives its word. The `owner` may be marked.
#[inline]
fn try_take(word: &AtomicU64, owner: u64) -> Result<(), u64> {
    touching(|| {
        let value = word.load(Ordering::Relaxed);
        if value & !KIND != 0 {
            return Err(value);
        }
        let early = if value & INITIALISED == 0 { EARLY } else { 0 };
        let taken = owner | value | early;
        let result = word.compare_exchange(value, taken, Ordering::Acquire, Ordering::Relaxed);
        result.map(drop)
    })
}

#[cold]
fn enter_contended(machine: &Machine, address: u64, word: &AtomicU64, marked: u64) {
    let me = owner(marked);
    machine.locks.wait(machine, address, || {
        loop {
            let value = word.load(Ordering::Relaxed);
            if value & !KIND == 0 {
                // Others may still wait: keep them marked.
                if try_take(word, marked | WAITERS).is_ok() {
                    return Some(());
                }
                continue;
            }
            check_word("mutex_enter", machine, address, value);
            if owner(value) == me {
                fault!(
                    "mutex_enter: recursive: this thread holds {} already",
                    machine.locks.name(machine, address)
                );
            }
            let marked =
                word.compare_exchange(value, value | WAITERS, Ordering::Relaxed, Ordering::Relaxed);
            if marked.is_ok() {
                return None;
            }
        }
    });
}

/// Gives the mutex at `address` back.
#[inline]
pub(crate) fn exit(address: u64) {
    let frame = here();
    let me = current_thread();
    let word: &AtomicU64 = memory::atomic(address);
    let value = touching(|| word.load(Ordering::Relaxed));
    let free = value & KIND;
    let alone = value == me | free
        && touching(|| word.compare_exchange(value, free, Ordering::Release, Ordering::Relaxed))
            .is_ok();
    if !alone {
        exit_contended(frame.machine, address, word, me);
    }
    locks::gave_back(address);
}

#[cold]
fn exit_contended(machine: &Machine, address: u64, word: &AtomicU64, me: u64) {
    let value = touching(|| word.load(Ordering::Relaxed));
    if value & !KIND == 0 {
        fault!(
            "mutex_exit: {} is not held",
            machine.locks.name(machine, address)
        );
    }
    check_word("mutex_exit", machine, address, value);
    if owner(value) != me {
        fault!(
            "mutex_exit: {} is held by another thread",
            machine.locks.name(machine, address)
        );
    }
    machine.locks.wake(machine, address, || {
        word.fetch_and(KIND, Ordering::Release);
    });
}

/// The owner in the word of a mutex in use.
fn owner(value: u64) -> u64 {
    value & !(WAITERS | KIND)
}

/// Does the current thread hold the mutex?
pub(crate) fn is_owned(address: u64) -> bool {
    let word: &AtomicU64 = memory::atomic(address);
    let value = touching(|| word.load(Ordering::Relaxed));
    owner(value) == current_thread()
}

/// A mutex that this thread holds, other than `except`, and that was taken before
/// where nothing may sleep: whoever comes from there would wait for a sleeper.
pub(crate) fn held_of_hooks(except: u64) -> Option<u64> {
    let is_of_hooks = |&address: &u64| {
        let word: &AtomicU64 = memory::atomic(address);
        touching(|| word.load(Ordering::Relaxed)) & IN_HOOKS != 0
    };
    let mut held = locks::held_mutexes(here().machine).into_iter();
    held.find(|address| *address != except && is_of_hooks(address))
}

/// Faults on a word that no mutex in use has.
fn check_word(what: &str, machine: &Machine, address: u64, value: u64) {
    if value & !KIND == 0 || locks::is_thread(owner(value)) {
        return;
    }
    let name = machine.locks.name(machine, address);
    match value {
        DEAD => fault!("{what}: {name} is destroyed"),
        0xdead_beef_dead_beef => fault!("{what}: {name} is in freed memory"),
        0xbadd_cafe_badd_cafe => fault!("{what}: {name} is in memory that was never initialised"),
        _ => fault!("{what}: {name} is no mutex: {value:#018x}"),
    }
}

imports! {
    fn mutex_init(mutex: u64, _name: u64, kind: u64, cookie: u64) {
        let machine = here().machine;
        let kind = kind & 0xffff_ffff;
        if ![ADAPTIVE, DRIVER, DEFAULT].contains(&kind) || cookie > LOCK_LEVEL {
            fault!("mutex_init: type {kind} with cookie {cookie:#x} is no adaptive mutex");
        }
        let word: &AtomicU64 = memory::atomic(mutex);
        let value = touching(|| word.load(Ordering::Relaxed));
        let name = || machine.locks.name(machine, mutex);
        if locks::is_thread(owner(value)) && locks::holds(mutex).is_some() {
            fault!("mutex_init: {} is held", name());
        }
        // What is on a stack may have been something else before.
        let is_early = value & EARLY != 0 && (owner(value) == 0 || locks::is_thread(owner(value)));
        if is_early && !stack::contains(mutex) {
            fault!("mutex_init: {} was taken before it is initialised", name());
        }
        machine.locks.add(machine, mutex, "mutex");
        touching(|| word.store(INITIALISED, Ordering::Relaxed));
    }

    fn mutex_destroy(mutex: u64) {
        let machine = here().machine;
        let word: &AtomicU64 = memory::atomic(mutex);
        let value = touching(|| word.swap(DEAD, Ordering::Relaxed));
        check_word("mutex_destroy", machine, mutex, value);
        if value & !KIND != 0 {
            fault!("mutex_destroy: {} is held", machine.locks.name(machine, mutex));
        }
        if !machine.locks.remove(mutex) {
            let name = machine.locks.name(machine, mutex);
            fault!("mutex_destroy: {name} was never initialised");
        }
    }

    fn mutex_enter(mutex: u64) {
        if let Some(run) = BEFORE.take() {
            run();
        }
        enter(mutex);
    }

    fn mutex_exit(mutex: u64) {
        exit(mutex);
    }

    fn mutex_tryenter(mutex: u64) -> i32 {
        let frame = here();
        let word: &AtomicU64 = memory::atomic(mutex);
        match try_take(word, current_thread() | in_hooks(frame)) {
            Ok(()) => {
                locks::took(frame, mutex, Hold::Mutex);
                1
            }
            Err(value) => {
                check_word("mutex_tryenter", frame.machine, mutex, value);
                0
            }
        }
    }

    fn mutex_owned(mutex: u64) -> i32 {
        i32::from(is_owned(mutex))
    }

    fn mutex_owner(mutex: u64) -> u64 {
        let word: &AtomicU64 = memory::atomic(mutex);
        let owner = owner(touching(|| word.load(Ordering::Relaxed)));
        if locks::is_thread(owner) { owner } else { 0 }
    }
}
