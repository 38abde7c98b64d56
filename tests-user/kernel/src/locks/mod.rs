// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What mutexes and reader/writer locks share: where threads wait for them,
//! who holds what, in which order they are taken, and which exist.

mod held;
mod order;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::{self, fault};
use crate::machine::Machine;
use crate::stack;
pub(crate) use held::{
    Hold, describe_held, forget_held, forget_machine, gave_back, held_count, held_mutexes,
    held_within, holds, now_holds, took,
};
use order::{Node, new_epoch};
pub(crate) use order::{Work, does, doing};

/// Locks a mutex of the host; a thread that faulted leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread as a mutex owner: a multiple of 64 that looks like a kernel
/// address, as a `kthread_t *` does.
#[inline]
pub(crate) fn current_thread() -> u64 {
    const FIRST: u64 = 0xffff_ff01_0000_0000;
    static NEXT: AtomicU64 = AtomicU64::new(FIRST);
    let cpu = stack::cpu();
    // SAFETY: the block is this thread's own.
    unsafe {
        if (*cpu).thread == 0 {
            (*cpu).thread = NEXT.fetch_add(64, Ordering::Relaxed);
        }
        (*cpu).thread
    }
}

/// Is `word` a value that [`current_thread`] gives to some thread?
pub(crate) fn is_thread(word: u64) -> bool {
    word >> 32 == 0xffff_ff01 && word.is_multiple_of(64)
}

/// A lock that was initialised and not destroyed.
pub(crate) struct Live {
    /// `mutex` or `rwlock`.
    pub kind: &'static str,
    /// The place in a module that initialised it.
    pub by: u64,
}

const TURNSTILES: usize = 16;

/// Those who wait for some locks.
#[derive(Default)]
struct Queue {
    /// Background threads that have waited so long that time may pass.
    resting: usize,
    /// Counts how often a lock was given back.
    turn: u64,
}

/// The locks of one machine.
pub(crate) struct Locks {
    live: Mutex<BTreeMap<u64, Live>>,
    /// Pairs "the second was taken while the first was held".
    order: Mutex<HashSet<(Node, Node)>>,
    /// Changes when pairs are forgotten.
    epoch: AtomicU64,
    turnstiles: [(Mutex<Queue>, Condvar); TURNSTILES],
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            live: Mutex::default(),
            order: Mutex::default(),
            epoch: AtomicU64::new(new_epoch()),
            turnstiles: Default::default(),
        }
    }
}

impl Locks {
    /// The queue of the lock at `address`.
    fn turnstile(&self, address: u64) -> &(Mutex<Queue>, Condvar) {
        &self.turnstiles[(address as usize >> 3) % TURNSTILES]
    }

    /// Runs `attempt` until it gives a value, sleeping in between until some
    /// lock of the queue is given back. Each attempt excludes [`Locks::wake`].
    pub fn wait<R>(
        &self,
        machine: &Machine,
        address: u64,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> R {
        // A halted machine gives nothing back any more; and the owner may be
        // waiting for a time that only passes if everybody waits.
        const RECHECK: Duration = Duration::from_millis(20);
        let (mutex, given_back) = self.turnstile(address);
        let mut queue = lock(mutex);
        let mut resting = None;
        loop {
            if let Some(value) = attempt() {
                if resting == Some(queue.turn) {
                    queue.resting -= 1;
                    machine.sched.resume(1);
                }
                return value;
            }
            if let Err(fault) = machine.check_running() {
                drop(queue);
                fault::throw(fault);
            }
            let (held, waited) = given_back
                .wait_timeout(queue, RECHECK)
                .unwrap_or_else(PoisonError::into_inner);
            queue = held;
            if waited.timed_out() {
                if resting != Some(queue.turn) && machine.sched.rest() {
                    queue.resting += 1;
                    resting = Some(queue.turn);
                }
                drop(queue);
                machine.sched.pass_if_idle(machine);
                queue = lock(mutex);
            }
        }
    }

    /// Runs `change` and wakes whoever waits for the lock at `address`.
    pub fn wake<R>(&self, machine: &Machine, address: u64, change: impl FnOnce() -> R) -> R {
        let (mutex, given_back) = self.turnstile(address);
        let mut queue = lock(mutex);
        let value = change();
        queue.turn += 1;
        machine.sched.resume(std::mem::take(&mut queue.resting));
        drop(queue);
        given_back.notify_all();
        value
    }

    /// Notes a new lock.
    pub fn add(&self, machine: &Machine, address: u64, kind: &'static str) {
        let live = Live {
            kind,
            by: fault::caller_address(),
        };
        let known = lock(&self.live).insert(address, live);
        if let Some(known) = known {
            fault!(
                "{kind} at {address:#x} is initialised again; {} did it before and nobody destroyed it",
                machine.place(known.by)
            );
        }
    }

    /// Forgets a lock. False: nobody has initialised it.
    pub fn remove(&self, address: u64) -> bool {
        let known = lock(&self.live).remove(&address).is_some();
        let node = Node::Module(address);
        lock(&self.order).retain(|pair| pair.0 != node && pair.1 != node);
        self.epoch.store(new_epoch(), Ordering::Relaxed);
        known
    }

    /// Describes a live lock inside `range`.
    pub fn within(&self, machine: &Machine, range: Range<u64>) -> Option<String> {
        let live = lock(&self.live);
        let (address, lock) = live.range(range).next()?;
        Some(format!(
            "{} at {address:#x} that {} initialised",
            lock.kind,
            machine.place(lock.by)
        ))
    }

    /// Forgets the live locks that code in `text` initialised, and returns
    /// them with their addresses.
    pub fn take_of(&self, text: &Range<u64>) -> Vec<(u64, Live)> {
        lock(&self.live)
            .extract_if(.., |_, lock| text.contains(&lock.by))
            .collect()
    }

    /// A name for people: the variable if it is one, and the address.
    pub fn name(&self, machine: &Machine, address: u64) -> String {
        match machine.variable_at(address) {
            Some(variable) => format!("{variable} ({address:#x})"),
            None => format!("lock at {address:#x}"),
        }
    }
}
