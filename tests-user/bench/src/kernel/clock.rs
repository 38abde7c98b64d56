// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Time. A tick is read from a variable, as on a machine whose clock is asked
//! often; a thread of its own moves it. It may jump, and run faster than the
//! host's.

use std::sync::Once;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{imports, taskq};
use crate::cpu;

/// Ticks of a second.
pub const HZ: u64 = 100;
const TICK: Duration = Duration::from_millis(1000 / HZ);
/// The machine has been up for a while.
const AT_START: i64 = 10_000;

static LBOLT: AtomicI64 = AtomicI64::new(AT_START);
/// Nanoseconds by which the machine's time is ahead of the host's.
static AHEAD: AtomicI64 = AtomicI64::new(0);
/// Seconds of the machine in one of the host.
static SPEED: AtomicU32 = AtomicU32::new(1);

/// Starts the clock, once for the process.
pub fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        std::thread::spawn(|| {
            cpu::pin(cpu::of_tasks());
            let (start, mut last) = (Instant::now(), Duration::ZERO);
            loop {
                std::thread::sleep(TICK);
                let now = start.elapsed();
                let gained = nanoseconds(now - last) * i64::from(SPEED.load(Ordering::Relaxed) - 1);
                last = now;
                let ahead = AHEAD.fetch_add(gained, Ordering::Relaxed) + gained;
                let ticks = (nanoseconds(now) + ahead) / nanoseconds(TICK);
                LBOLT.store(AT_START + ticks, Ordering::Relaxed);
            }
        });
    });
}

fn nanoseconds(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// So much time passes at once.
pub fn skip(time: Duration) {
    AHEAD.fetch_add(nanoseconds(time), Ordering::Relaxed);
}

/// So much time passes, `speed` seconds in one of the host. Threads that wait
/// already do so for as long as they meant to.
pub fn pass(time: Duration, speed: u32) {
    SPEED.store(speed, Ordering::Relaxed);
    std::thread::sleep(time / speed);
    SPEED.store(1, Ordering::Relaxed);
}

/// How long the host has to wait for so many ticks.
pub(super) fn span(ticks: i64) -> Duration {
    let ticks = u32::try_from(ticks.max(0)).unwrap_or(u32::MAX);
    TICK.saturating_mul(ticks) / SPEED.load(Ordering::Relaxed)
}

/// How long it is until the clock shows so many ticks.
pub(super) fn until(ticks: i64) -> Duration {
    span(ticks.saturating_sub(ddi_get_lbolt64()))
}

extern "C" fn ddi_get_lbolt64() -> i64 {
    LBOLT.load(Ordering::Relaxed)
}

extern "C" fn gethrtime() -> i64 {
    (cpu::cycles() as f64 * cpu::cycle_ns()) as i64 + AHEAD.load(Ordering::Relaxed)
}

extern "C" fn gethrestime_sec() -> i64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed())
}

extern "C" fn gethrestime(to: *mut [i64; 2]) {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let ahead = AHEAD.load(Ordering::Relaxed);
    let now = nanoseconds(since).saturating_add(ahead);
    // SAFETY: a timestruc_t that the module wants written.
    unsafe { to.write([now / 1_000_000_000, now % 1_000_000_000]) };
}

/// Nothing is granted here that ends, so nobody has to be called.
extern "C" fn realtime_timeout(_: *const (), _: *mut (), _: i64) -> u64 {
    eprintln!("clinet-bench: its kernel has no callouts");
    std::process::abort();
}

extern "C" fn untimeout(_: u64) -> i64 {
    -1
}

extern "C" fn delay(ticks: i64) {
    taskq::sleep(span(ticks));
}

extern "C" fn drv_usectohz(microseconds: i64) -> i64 {
    let tick = TICK.as_micros() as i64;
    microseconds.saturating_add(tick - 1) / tick
}

extern "C" fn drv_hztousec(ticks: i64) -> i64 {
    ticks.saturating_mul(TICK.as_micros() as i64)
}

imports! {
    ddi_get_lbolt64 => "ddi_get_lbolt",
    ddi_get_lbolt64 => "ddi_get_lbolt64",
    gethrtime => "gethrtime",
    gethrestime_sec => "gethrestime_sec",
    gethrestime => "gethrestime",
    realtime_timeout => "realtime_timeout",
    untimeout => "untimeout",
    delay => "delay",
    drv_usectohz => "drv_usectohz",
    drv_hztousec => "drv_hztousec",
}
