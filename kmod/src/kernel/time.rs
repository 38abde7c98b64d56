// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel's clocks.

use core::time::Duration;

use super::sys;

/// Nanoseconds since some time in the past; never goes back. Any context.
#[must_use]
pub fn nanoseconds() -> u64 {
    // SAFETY: takes nothing and may be called from anywhere.
    let now = unsafe { sys::gethrtime() };
    now.unsigned_abs()
}

/// Nanoseconds since 1970 by the clock that people set; may jump. Any context.
#[must_use]
pub fn wall_nanoseconds() -> u64 {
    let mut now = sys::timestruc_t {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the structure, and may be called from anywhere.
    unsafe { sys::gethrestime(&raw mut now) };
    let seconds = now.tv_sec.unsigned_abs().saturating_mul(1_000_000_000);
    seconds.saturating_add(now.tv_nsec.unsigned_abs())
}

/// Seconds on the clock of [`nanoseconds`]; they last for 136 years. Any context.
#[must_use]
pub fn seconds() -> u32 {
    (nanoseconds() / 1_000_000_000) as u32
}

/// A span of time in ticks of the kernel's clock, rounded up. Any context.
#[must_use]
pub(super) fn ticks(span: Duration) -> sys::clock_t {
    let whole = span.as_secs().saturating_mul(1_000_000);
    let microseconds = whole.saturating_add(span.subsec_nanos().div_ceil(1000).into());
    let microseconds = sys::clock_t::try_from(microseconds).unwrap_or(sys::clock_t::MAX);
    // SAFETY: takes any number and may be called from anywhere.
    unsafe { sys::drv_usectohz(microseconds) }
}

/// Sleeps until the next tick of the clock. Thread context, no lock held.
pub fn sleep_a_tick() {
    // SAFETY: the context is the caller's promise; one tick is a valid time.
    unsafe { sys::delay(1) };
}
