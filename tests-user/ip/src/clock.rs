// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Virtual time and what is due in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, Weak};
use std::time::Duration;

use crate::lock;
use crate::node::NodeId;
use crate::tcp::Conn;

/// What happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// A SYN was not answered; `sent` have been.
    Syn { sent: usize },
    /// A connection has been in TIME_WAIT for long enough.
    TimeWait,
}

/// A timeout of one connection.
pub(crate) struct Timer {
    pub at: Duration,
    pub node: NodeId,
    pub conn: Weak<Conn>,
    pub timeout: Timeout,
}

/// Ordered by time, then by age.
struct Due(Reverse<(Duration, u64)>, Timer);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

#[derive(Default)]
struct State {
    now: Duration,
    timers: BinaryHeap<Due>,
    set: u64,
}

/// The clock of a cluster; it moves only when it is moved.
#[derive(Default)]
pub(crate) struct Clock(Mutex<State>);

impl Clock {
    pub fn now(&self) -> Duration {
        lock(&self.0).now
    }

    pub fn set(&self, timer: Timer) {
        let mut state = lock(&self.0);
        state.set += 1;
        let order = Reverse((timer.at, state.set));
        state.timers.push(Due(order, timer));
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Duration> {
        lock(&self.0).timers.peek().map(|due| due.1.at)
    }

    /// Moves to the next timer that is due until `limit`, or to `limit`.
    /// Returns the way and the timer.
    pub fn step(&self, limit: Duration) -> (Duration, Option<Timer>) {
        let mut state = lock(&self.0);
        let timer = match state.timers.peek() {
            Some(due) if due.1.at <= limit => state.timers.pop().map(|due| due.1),
            _ => None,
        };
        let to = timer
            .as_ref()
            .map_or(limit, |timer| timer.at)
            .max(state.now);
        let by = to - state.now;
        state.now = to;
        (by, timer)
    }
}
