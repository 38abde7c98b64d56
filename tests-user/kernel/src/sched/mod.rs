// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who runs, who waits and for what, and what happens when time passes.
//!
//! Threads that modules make are *background*: the machine knows when all of
//! them have come to rest, and only then does time go on. Time is moved by a
//! test, or by a thread of the test that sleeps inside a module: nobody else
//! would move it then, unless the machine's clock is kept by somebody.

mod threads;
mod timeouts;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::fault;
use crate::locks::{self, Work, lock};
use crate::machine::Machine;
use crate::together;

thread_local! {
    static BACKGROUND: Cell<bool> = const { Cell::new(false) };
}

/// Is this a thread that the machine made?
pub(crate) fn is_background() -> bool {
    BACKGROUND.get()
}

/// Why a thread that waited goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// Somebody signalled what it waited for.
    Signalled,
    /// Its time came.
    TimedOut,
    /// The program got a signal.
    Interrupted,
}

struct Waiter {
    id: u64,
    /// The address of what it waits for.
    key: Option<u64>,
    /// In nanoseconds since boot.
    deadline: Option<u64>,
    /// Of a wait that a signal ends: the file through which a program came.
    file: Option<u64>,
    background: bool,
    /// Its wait is over.
    ended: Option<Wake>,
    /// It goes on.
    woken: Option<Wake>,
}

/// A call that is to come.
struct Timeout {
    function: u64,
    argument: u64,
    by: u64,
}

/// A thread and the function that it began with.
struct Thread {
    id: u64,
    function: u64,
    ended: bool,
    host: JoinHandle<()>,
}

#[derive(Default)]
pub(crate) struct State {
    last_id: u64,
    /// Background threads that are not waiting.
    running: usize,
    waiters: Vec<Waiter>,
    /// By deadline and handle.
    timeouts: BTreeMap<(u64, u64), Timeout>,
    /// The functions of all timeouts ever, by handle.
    callouts: BTreeMap<u64, u64>,
    /// Handles of the timeouts that are running.
    firing: Vec<u64>,
    /// Time passes by [`Sched::advance_to`] alone.
    keeps_time: bool,
    /// Threads of modules whose time has come do not go on.
    holds_threads: bool,
    threads: Vec<Thread>,
    /// The files whose next wait is interrupted.
    interrupted: Vec<u64>,
}

impl State {
    /// May this thread let time pass, since only that can change something?
    fn may_pass(&self) -> bool {
        !is_background() && self.running == 0 && !self.keeps_time
    }

    fn next_event(&self) -> Option<u64> {
        let waiters = self.waiters.iter().filter(|waiter| waiter.ended.is_none());
        let timeouts = self.timeouts.keys().map(|&(deadline, _)| deadline);
        waiters
            .filter_map(|waiter| waiter.deadline)
            .chain(timeouts)
            .min()
    }

    fn wake(&mut self, why: Wake, limit: usize, wanted: impl Fn(&Waiter) -> bool) {
        let waiting = self
            .waiters
            .iter_mut()
            .filter(|waiter| waiter.ended.is_none() && wanted(waiter));
        for waiter in waiting.take(limit) {
            waiter.ended = Some(why);
        }
        self.let_go_on();
    }

    /// Those whose wait is over go on, unless they are held.
    fn let_go_on(&mut self) {
        for waiter in &mut self.waiters {
            let held = self.holds_threads && waiter.background;
            if waiter.woken.is_none() && waiter.ended.is_some() && !held {
                waiter.woken = waiter.ended;
                self.running += usize::from(waiter.background);
            }
        }
    }
}

/// The threads and the pending events of one machine.
#[derive(Default)]
pub(crate) struct Sched {
    state: Mutex<State>,
    changed: Condvar,
}

impl Sched {
    /// Sleeps until something changes; a halted machine is noticed anyway.
    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        const RECHECK: Duration = Duration::from_millis(100);
        self.changed
            .wait_timeout(state, RECHECK)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Sleeps until something changes, or lets time pass if only that can
    /// change something and this is a thread of the test.
    fn sleep_or_pass<'a>(
        &self,
        machine: &Machine,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        match state.next_event() {
            Some(event) if state.may_pass() => {
                self.pass(machine, &mut state, event);
                state
            }
            _ => self.sleep(state),
        }
    }

    /// If this is a background thread, it waits from now on, until somebody
    /// [resumes](Sched::resume) it.
    pub fn rest(&self) -> bool {
        let background = is_background();
        lock(&self.state).running -= usize::from(background);
        self.changed.notify_all();
        background
    }

    /// So many background threads that rested run again.
    pub fn resume(&self, threads: usize) {
        if threads > 0 {
            lock(&self.state).running += threads;
        }
    }

    /// Lets time pass if only that can change something and this is a thread
    /// of the test.
    pub fn pass_if_idle(&self, machine: &Machine) {
        let mut state = lock(&self.state);
        if !state.may_pass() {
            return;
        }
        if let Some(event) = state.next_event() {
            self.pass(machine, &mut state, event);
        }
    }

    /// From now on only [`Sched::advance_to`] lets time pass.
    pub fn keep_time(&self) {
        lock(&self.state).keeps_time = true;
    }

    /// From now on threads of modules whose wait is over go on, or do not.
    pub fn hold_threads(&self, hold: bool) {
        let mut state = lock(&self.state);
        state.holds_threads = hold;
        state.let_go_on();
        self.changed.notify_all();
    }

    /// Tells everybody who waits to look again.
    pub fn notify(&self) {
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    /// Waits for a signal of `key`, for the time `deadline`, or until whoever
    /// came through `file` is interrupted. `release` runs when no signal can be
    /// missed any more.
    ///
    /// A program that waits without a deadline waits for the world outside:
    /// time does not pass on its account.
    pub fn block(
        &self,
        machine: &Machine,
        key: Option<u64>,
        deadline: Option<u64>,
        file: Option<u64>,
        release: impl FnOnce(),
    ) -> Wake {
        let background = is_background();
        let mut state = lock(&self.state);
        state.last_id += 1;
        let id = state.last_id;
        state.waiters.push(Waiter {
            id,
            key,
            deadline,
            file,
            background,
            ended: None,
            woken: None,
        });
        let pending = state.interrupted.iter().position(|id| Some(*id) == file);
        if let Some(pending) = pending {
            state.interrupted.remove(pending);
            state.wake(Wake::Interrupted, 1, |waiter| waiter.id == id);
        }
        state.running -= usize::from(background);
        drop(state);
        self.changed.notify_all();
        release();
        let mut state = lock(&self.state);
        loop {
            let mine = state.waiters.iter().position(|waiter| waiter.id == id);
            let mine = mine.expect("only this thread removes its waiter");
            if let Some(why) = state.waiters[mine].woken {
                state.waiters.remove(mine);
                return why;
            }
            if let Err(fault) = machine.check_running() {
                state.waiters.remove(mine);
                state.running += usize::from(background);
                drop(state);
                fault::throw(fault);
            }
            state = match (file, deadline) {
                (Some(_), None) => self.sleep(state),
                _ => self.sleep_or_pass(machine, state),
            };
        }
    }

    /// Interrupts the threads that came through `file` and wait so that a
    /// signal ends it, or else the next one.
    pub fn interrupt(&self, file: u64) {
        let mut state = lock(&self.state);
        let is_meant = |waiter: &Waiter| waiter.ended.is_none() && waiter.file == Some(file);
        if state.waiters.iter().any(is_meant) {
            state.wake(Wake::Interrupted, usize::MAX, is_meant);
        } else {
            state.interrupted.push(file);
        }
        self.changed.notify_all();
    }

    /// Forgets a signal that nobody has got.
    pub fn forget_interrupt(&self, file: u64) {
        lock(&self.state).interrupted.retain(|id| *id != file);
    }

    /// Wakes one thread that waits for `key`, or all.
    pub fn signal(&self, key: u64, all: bool) {
        let limit = if all { usize::MAX } else { 1 };
        lock(&self.state).wake(Wake::Signalled, limit, |waiter| waiter.key == Some(key));
        self.changed.notify_all();
    }

    /// Does anybody wait for a key in `keys`?
    pub fn is_awaited(&self, keys: &Range<u64>) -> bool {
        let state = lock(&self.state);
        let mut waiting = state.waiters.iter().filter_map(|waiter| waiter.key);
        waiting.any(|key| keys.contains(&key))
    }

    /// Waits until `done`, which [`Sched::notify`] makes it look at again.
    pub fn wait_until(&self, machine: &Machine, done: impl Fn(&State) -> bool) {
        let background = usize::from(is_background());
        let mut state = lock(&self.state);
        state.running -= background;
        self.changed.notify_all();
        while !done(&state) && machine.check_running().is_ok() {
            state = self.sleep_or_pass(machine, state);
        }
        state.running += background;
        drop(state);
        if let Err(fault) = machine.check_running() {
            fault::throw(fault);
        }
    }

    /// Makes it the time of `event`, and whatever is due runs.
    fn pass(&self, machine: &Machine, state: &mut State, event: u64) {
        let now = event.max(machine.clock.now());
        machine.clock.set(now);
        state.wake(Wake::TimedOut, usize::MAX, |waiter| {
            waiter.deadline.is_some_and(|deadline| deadline <= now)
        });
        let later = state.timeouts.split_off(&(now + 1, 0));
        for ((_, handle), timeout) in std::mem::replace(&mut state.timeouts, later) {
            state.firing.push(handle);
            let fire = move |machine: &Machine| {
                let context = Context::interrupt();
                // SAFETY: a timeout's function takes one argument.
                let result = locks::doing(Work::Callout(timeout.function), || unsafe {
                    machine.call(&context, timeout.function, &[timeout.argument])
                });
                lock(&machine.sched.state).firing.retain(|&h| h != handle);
                // The fault is recorded in the machine.
                drop(result);
            };
            self.spawn_locked(machine, state, timeout.function, fire);
        }
        self.changed.notify_all();
    }

    /// Lets time pass until `target`, one event after the other.
    pub fn advance_to(&self, machine: &Machine, target: u64) {
        let mut state = lock(&self.state);
        loop {
            state = self.wait_for_rest(machine, state);
            if machine.check_running().is_err() {
                return;
            }
            match state.next_event() {
                Some(event) if event <= target => self.pass(machine, &mut state, event),
                _ => break,
            }
        }
        machine.clock.set(target.max(machine.clock.now()));
    }

    /// Waits until every background thread waits for something.
    pub fn settle(&self, machine: &Machine) {
        drop(self.wait_for_rest(machine, lock(&self.state)));
    }

    /// The same; a halted machine is not waited for.
    fn wait_for_rest<'a>(
        &'a self,
        machine: &Machine,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        let start = Instant::now();
        while state.running > 0 && machine.check_running().is_ok() {
            if start.elapsed() > together::BOUND {
                together::give_up("the threads of the modules have not come to rest");
            }
            state = self.sleep(state);
        }
        state
    }
}
