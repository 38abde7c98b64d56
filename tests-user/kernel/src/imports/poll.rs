// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `pollwakeup`, `pollhead_clean`, and who waits on which `pollhead_t`.
//!
//! A pollhead that nobody waits on is all zeros. While somebody does, its
//! first word is not: as in a kernel, whose list begins there.

use std::ops::Range;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::imports;
use crate::context::here;
use crate::fault::fault;
use crate::locks::lock;
use crate::machine::Machine;
use crate::memory;

/// The first word of a pollhead that somebody waits on.
const LISTED: u64 = 0xffff_ff05_0000_0000;
/// The name of the locks of poll(2) in the order of locks: chpoll is called
/// with them held, pollwakeup takes them.
pub(crate) const POLL_LOCK: &str = "the poll cache";
/// What wakes whoever waits, asked for or not: POLLERR and POLLHUP.
const ALWAYS: i16 = 0x0008 | 0x0010;

struct Poller {
    id: u64,
    /// 0 for one that was taken off.
    pollhead: u64,
    events: i16,
    woken: bool,
}

#[derive(Default)]
struct State {
    last: u64,
    pollers: Vec<Poller>,
}

/// The threads of one machine that poll.
#[derive(Default)]
pub(crate) struct Polls {
    state: Mutex<State>,
    changed: Condvar,
}

impl Polls {
    /// Waits on a pollhead from now on, though not yet sleeping.
    pub fn add(&self, machine: &Machine, pollhead: u64, events: i16) -> u64 {
        check_pollhead("poll", machine, pollhead);
        let mut state = lock(&self.state);
        state.last += 1;
        let id = state.last;
        state.pollers.push(Poller {
            id,
            pollhead,
            events,
            woken: false,
        });
        memory::write(pollhead, LISTED);
        id
    }

    /// Waits no more.
    pub fn remove(&self, id: u64) {
        let mut state = lock(&self.state);
        let Some(index) = state.pollers.iter().position(|poller| poller.id == id) else {
            return;
        };
        let pollhead = state.pollers.remove(index).pollhead;
        if pollhead != 0 && state.pollers.iter().all(|other| other.pollhead != pollhead) {
            memory::write(pollhead, 0_u64);
        }
    }

    fn clean(&self, pollhead: u64) {
        let mut state = lock(&self.state);
        for poller in &mut state.pollers {
            if poller.pollhead == pollhead {
                poller.pollhead = 0;
            }
        }
        memory::write(pollhead, 0_u64);
    }

    /// Sleeps until somebody wakes this poller, or until `end`; returns
    /// whether it was woken, and forgets that.
    pub fn wait(&self, machine: &Machine, id: u64, end: Instant) -> bool {
        const RECHECK: std::time::Duration = std::time::Duration::from_millis(100);
        let mut state = lock(&self.state);
        loop {
            let poller = state.pollers.iter_mut().find(|poller| poller.id == id);
            if poller.is_some_and(|poller| std::mem::take(&mut poller.woken)) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || machine.check_running().is_err() {
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, left.min(RECHECK))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn wake(&self, pollhead: u64, events: i16) {
        let mut state = lock(&self.state);
        for poller in &mut state.pollers {
            if poller.pollhead == pollhead && (poller.events | ALWAYS) & events != 0 {
                poller.woken = true;
            }
        }
        self.changed.notify_all();
    }

    /// A pollhead in a range that somebody waits on.
    pub fn first_within(&self, range: &Range<u64>) -> Option<u64> {
        let state = lock(&self.state);
        let mut pollheads = state.pollers.iter().map(|poller| poller.pollhead);
        pollheads.find(|pollhead| range.contains(pollhead))
    }

    /// The first pollhead in a range that somebody waits on; all who wait there
    /// are taken off.
    pub fn take_within(&self, range: &Range<u64>) -> Option<u64> {
        let mut state = lock(&self.state);
        let mut first = None;
        for poller in &mut state.pollers {
            if range.contains(&poller.pollhead) {
                let pollhead = std::mem::take(&mut poller.pollhead);
                first = first.or(Some(pollhead));
            }
        }
        first
    }
}

fn check_pollhead(what: &str, machine: &Machine, pollhead: u64) {
    if pollhead == 0 || !pollhead.is_multiple_of(8) {
        fault!("{what}: {pollhead:#x} is no pollhead");
    }
    let words: [u64; 3] = memory::read(pollhead);
    if ![0, LISTED].contains(&words[0]) || words[1] != 0 {
        let place = machine.variable_at(pollhead);
        let place = place.unwrap_or_else(|| format!("{pollhead:#x}"));
        fault!("{what}: the pollhead {place} was not initialised with zeros");
    }
}

/// Faults where the locks of poll(2) must not be taken: in chpoll, and with a lock
/// held that chpoll takes.
fn check_locks(what: &str) {
    let frame = here();
    if frame.context.locks.contains(&POLL_LOCK) {
        fault!("{what} in chpoll: it would take the locks of poll(2) again");
    }
    frame.machine.locks.check_named(POLL_LOCK);
}

imports! {
    fn pollwakeup(pollhead: u64, events: u64) {
        let machine = here().machine;
        check_pollhead("pollwakeup", machine, pollhead);
        check_locks("pollwakeup");
        machine.polls.wake(pollhead, events as i16);
    }

    fn pollhead_clean(pollhead: u64) {
        let machine = here().machine;
        check_pollhead("pollhead_clean", machine, pollhead);
        check_locks("pollhead_clean");
        machine.polls.clean(pollhead);
    }
}
