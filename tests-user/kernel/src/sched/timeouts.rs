// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Timeouts: calls that are to come.

use std::ops::Range;

use super::{Sched, Timeout};
use crate::locks::lock;
use crate::machine::Machine;

impl Sched {
    /// Calls `function(argument)` at the time `deadline`; returns a handle.
    pub fn add_timeout(&self, deadline: u64, function: u64, argument: u64, by: u64) -> u64 {
        let mut state = lock(&self.state);
        state.last_id += 1;
        let handle = 0xffff_ff03_0000_0000 + state.last_id * 64;
        state.callouts.insert(handle, function);
        state.timeouts.insert(
            (deadline, handle),
            Timeout {
                function,
                argument,
                by,
            },
        );
        handle
    }

    /// The function of a timeout that comes, or came.
    pub fn callout(&self, handle: u64) -> Option<u64> {
        lock(&self.state).callouts.get(&handle).copied()
    }

    /// Takes a timeout back; returns its deadline, or `None` if it is too
    /// late, after the function has returned.
    pub fn cancel_timeout(&self, machine: &Machine, handle: u64) -> Option<u64> {
        let mut state = lock(&self.state);
        let found = state.timeouts.keys().find(|key| key.1 == handle).copied();
        if let Some(key) = found {
            state.timeouts.remove(&key);
            return Some(key.0);
        }
        drop(state);
        self.wait_until(machine, |state| !state.firing.contains(&handle));
        None
    }

    /// Takes the timeouts that code in `text` set; returns their functions.
    pub fn take_timeouts_of(&self, text: &Range<u64>) -> Vec<u64> {
        lock(&self.state)
            .timeouts
            .extract_if(.., |_, timeout| text.contains(&timeout.by))
            .map(|(_, timeout)| timeout.function)
            .collect()
    }
}
