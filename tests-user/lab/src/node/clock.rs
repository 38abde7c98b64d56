// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The machine's clock follows the host's, at a rate that can be set.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use clinet_ip::Cluster;

use crate::fatal;

/// The machine's clock is moved so often, if nobody asks before.
const TICK: Duration = Duration::from_millis(10);

/// Where the machine's time was at a moment of the host's.
struct Rate {
    since: Instant,
    /// The machine's time then.
    at: Duration,
    /// Millionths by which it is faster than the host's.
    ppm: i32,
}

impl Rate {
    /// The machine's time at `now`.
    fn time(&self, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.since).as_nanos();
        let faster = i128::from(self.ppm) + 1_000_000;
        let elapsed = elapsed as i128 * faster.max(0) / 1_000_000;
        self.at + Duration::from_nanos(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// Begins anew at `now`.
    fn restart(&mut self, now: Instant) {
        self.at = self.time(now);
        self.since = now;
    }
}

/// Keeps the clock of a machine, which is a node of `cluster`.
pub struct Clock {
    cluster: Arc<Cluster>,
    rate: Mutex<Rate>,
}

impl Clock {
    /// A clock that runs as the host's does, by `ppm` millionths faster.
    pub fn new(cluster: Arc<Cluster>, ppm: i32) -> Self {
        let rate = Rate {
            since: Instant::now(),
            at: cluster.now(),
            ppm,
        };
        Self {
            cluster,
            rate: Mutex::new(rate),
        }
    }

    /// Makes it as late on the machine as it is by now. What is due meanwhile
    /// has happened when this returns.
    pub fn catch_up(&self) {
        let rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let time = rate.time(Instant::now());
        let behind = time.saturating_sub(self.cluster.now());
        // The cluster's clock has milliseconds.
        if behind >= Duration::from_millis(1) {
            self.cluster.advance(behind);
        }
    }

    /// It runs by `ppm` millionths faster from now on.
    pub fn set_rate(&self, ppm: i32) {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.restart(Instant::now());
        rate.ppm = ppm;
    }

    /// It jumps forward.
    pub fn jump(&self, by: Duration) {
        {
            let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
            rate.restart(Instant::now());
            rate.at += by;
        }
        self.catch_up();
    }
}

/// Moves a clock until it is dropped.
pub struct Ticking {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticking {
    /// Begins to move it.
    pub fn start(clock: Arc<Clock>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                clock.catch_up();
                fatal::progress();
                thread::sleep(TICK);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the machine has been told already.
            drop(thread.join());
        }
    }
}
