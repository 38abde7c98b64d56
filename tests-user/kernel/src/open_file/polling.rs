// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! poll(2) and sets of /dev/poll.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::OpenFile;
use crate::context::Context;
use crate::driver::cb_ops;
use crate::imports::poll::POLL_LOCK;
use crate::machine::Machine;

/// What is where chpoll puts the events: nobody cleared it.
const NO_EVENTS_YET: i16 = 0x5aa5;

impl OpenFile {
    /// poll(2) for the events of illumos; answers those that came, or 0 when
    /// `timeout` of the host's time is over.
    ///
    /// # Errors
    ///
    /// The errno of illumos.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn poll(&self, events: i16, timeout: Duration) -> Result<i16, i32> {
        let end = Instant::now() + timeout;
        let (come, pollhead) = self.ask_poll(events)?;
        if come != 0 || timeout.is_zero() {
            return Ok(come);
        }
        let listed = self.list(pollhead, events);
        loop {
            // Also once before the first wait: an event may have come before
            // this thread was listed.
            let (come, _) = self.ask_poll(events)?;
            if come != 0 || !self.machine.polls.wait(&self.machine, listed.id, end) {
                return Ok(come);
            }
        }
    }

    /// Puts the file into a set of /dev/poll, which waits for events and keeps the
    /// file's pollhead until it is dropped: also after the file was closed. `None`:
    /// an event is there already.
    ///
    /// # Errors
    ///
    /// The errno of illumos.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn add_to_poll_set(&self, events: i16) -> Result<Option<PollSet>, i32> {
        let (come, pollhead) = self.ask_poll(events)?;
        Ok((come == 0).then(|| self.list(pollhead, events)))
    }

    fn list(&self, pollhead: u64, events: i16) -> PollSet {
        let machine = &self.machine;
        let added = machine.as_kernel(&Context::thread(), || {
            machine.polls.add(machine, pollhead, events)
        });
        PollSet {
            machine: Arc::clone(machine),
            id: added.unwrap_or_else(|fault| panic!("{fault}")),
        }
    }

    /// One call of chpoll: the events that are there, or the pollhead.
    fn ask_poll(&self, events: i16) -> Result<(i16, u64), i32> {
        let mut come = NO_EVENTS_YET;
        let mut pollhead = 0_u64;
        let arguments = [
            self.device,
            events as u64,
            0,
            (&raw mut come) as u64,
            (&raw mut pollhead) as u64,
        ];
        let context = Context::thread().holding(POLL_LOCK);
        self.call(cb_ops::CHPOLL, None, &context, &arguments)?;
        if come == NO_EVENTS_YET {
            self.fault("chpoll did not say which events came");
        }
        if come == 0 && pollhead == 0 {
            self.fault("chpoll answered neither events nor a pollhead");
        }
        Ok((come, pollhead))
    }
}

/// What waits for events of one file, until it is dropped.
pub struct PollSet {
    machine: Arc<Machine>,
    id: u64,
}

impl fmt::Debug for PollSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollSet")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl PollSet {
    /// Was it woken since this was asked last?
    pub fn was_woken(&self) -> bool {
        self.machine
            .polls
            .wait(&self.machine, self.id, Instant::now())
    }
}

impl Drop for PollSet {
    fn drop(&mut self) {
        self.machine.polls.remove(self.id);
    }
}
