// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Time: the clocks, `delay`, and callouts: `timeout`, `realtime_timeout`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::{self, fault};
use crate::locks::Work;
use crate::memory;

/// Nanoseconds in one tick of `hz` = 100.
const TICK: u64 = 10_000_000;
/// The machine has been up for a while: code that takes 0 for "never" or a
/// young clock for granted shows it.
const AT_START: u64 = 100_000_000_000;
/// The time of day at boot, in seconds of the epoch.
const BOOT: u64 = 1_700_000_000;
/// Nanoseconds in one second.
const SECOND: u64 = 1_000_000_000;

/// The clocks of one machine.
pub(crate) struct Clock {
    /// Nanoseconds since boot.
    now: AtomicU64,
    /// The time of day at boot, in nanoseconds of the epoch.
    boot: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            now: AtomicU64::new(AT_START),
            boot: AtomicU64::new(BOOT * SECOND),
        }
    }
}

impl Clock {
    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// Sets the time, which the scheduler never does backwards.
    pub fn set(&self, now: u64) {
        self.now.store(now, Ordering::Release);
    }

    /// The time `by` from now.
    pub fn after(&self, by: Duration) -> u64 {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.now().saturating_add(by)
    }

    pub fn uptime(&self) -> Duration {
        Duration::from_nanos(self.now())
    }

    /// The time of day, in nanoseconds of the epoch.
    pub fn time_of_day(&self) -> u64 {
        self.boot.load(Ordering::Acquire).wrapping_add(self.now())
    }

    /// Sets the time of day ahead, or back; the time since boot stays.
    pub fn jump(&self, ahead: i64) {
        self.boot.fetch_add(ahead as u64, Ordering::AcqRel);
    }

    /// Whole ticks since boot.
    pub fn ticks(&self) -> u64 {
        self.now() / TICK
    }
}

/// The time at which a count of ticks since boot is reached.
pub(crate) fn at_tick(ticks: i64) -> u64 {
    u64::try_from(ticks).unwrap_or(0).saturating_mul(TICK)
}

/// The time `ticks` from now; at least one tick from now.
pub(crate) fn in_ticks(ticks: i64) -> u64 {
    let now = here().machine.clock.ticks();
    let ticks = u64::try_from(ticks).unwrap_or(0).max(1);
    now.saturating_add(ticks).saturating_mul(TICK)
}

/// Sets a callout, whose function runs in an interrupt thread.
fn set_callout(what: &str, function: u64, argument: u64, ticks: i64) -> u64 {
    let machine = here().machine;
    if machine.module_at(function).is_none() {
        fault!("{what}: {function:#x} is no function of a module");
    }
    machine
        .sched
        .add_timeout(in_ticks(ticks), function, argument, fault::caller_address())
}

imports! {
    fn ddi_get_lbolt() -> i64 {
        here().machine.clock.ticks() as i64
    }

    fn ddi_get_lbolt64() -> i64 {
        here().machine.clock.ticks() as i64
    }

    fn gethrtime() -> i64 {
        here().machine.clock.now() as i64
    }

    fn gethrestime_sec() -> i64 {
        (here().machine.clock.time_of_day() / SECOND) as i64
    }

    fn gethrestime(to: u64) {
        let now = here().machine.clock.time_of_day();
        memory::write(to, now / SECOND);
        memory::write(to + 8, now % SECOND);
    }

    fn drv_usectohz(microseconds: i64) -> i64 {
        let microseconds = u64::try_from(microseconds).unwrap_or(0);
        microseconds.div_ceil(TICK / 1000) as i64
    }

    fn drv_hztousec(ticks: i64) -> i64 {
        ticks.saturating_mul((TICK / 1000) as i64)
    }

    fn delay(ticks: i64) {
        must_be_able_to_sleep("delay");
        if ticks > 0 {
            let machine = here().machine;
            machine.sched.block(machine, None, Some(in_ticks(ticks)), None, || ());
        }
    }

    fn timeout(function: u64, argument: u64, ticks: i64) -> u64 {
        set_callout("timeout", function, argument, ticks)
    }

    fn realtime_timeout(function: u64, argument: u64, ticks: i64) -> u64 {
        set_callout("realtime_timeout", function, argument, ticks)
    }

    fn untimeout(handle: u64) -> i64 {
        let machine = here().machine;
        match machine.sched.callout(handle) {
            Some(function) => machine.locks.check_wait(Work::Callout(function)),
            None if handle == 0 => return -1,
            None => fault!("untimeout: {handle:#x} is no timeout"),
        }
        must_be_able_to_sleep("untimeout");
        match machine.sched.cancel_timeout(machine, handle) {
            Some(deadline) => (deadline.saturating_sub(machine.clock.now()) / TICK) as i64,
            None => -1,
        }
    }

    fn servicing_interrupt() -> i32 {
        i32::from(here().context.interrupt)
    }
}
