// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Processors: pinning, cycles, and counted misses.

use std::arch::x86_64::{_mm_lfence, _rdtsc};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Hardware};
use perf_event::{Builder, Counter};

/// The processors that this process may use, when it first asks.
#[must_use]
pub fn allowed() -> &'static [usize] {
    static ALLOWED: OnceLock<Vec<usize>> = OnceLock::new();
    ALLOWED.get_or_init(|| {
        // SAFETY: a cpu_set_t is an array of integers, for which zeros are
        // a value; the call writes at most its size.
        let set = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of_val(&set), &raw mut set);
            set
        };
        (0..libc::CPU_SETSIZE as usize)
            // SAFETY: the number is below CPU_SETSIZE.
            .filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) })
            .collect()
    })
}

/// The processor of the `n`-th measuring thread.
#[must_use]
pub fn measuring(n: usize) -> usize {
    let all = allowed();
    all.get(n % all.len().max(1)).copied().unwrap_or(0)
}

/// Which measuring thread has the processor of the module's tasks.
static TASKS: AtomicUsize = AtomicUsize::new(1);

/// Tasks that begin from now on have the processor of the `n`-th measuring
/// thread; at first that is the second one.
pub fn put_tasks(n: usize) {
    TASKS.store(n, Ordering::Relaxed);
}

/// The processor of the module's tasks: not the first measuring thread's, if
/// there are two and nobody asked for it.
#[must_use]
pub fn of_tasks() -> usize {
    measuring(TASKS.load(Ordering::Relaxed))
}

/// Nanoseconds that this thread has had a processor.
#[must_use]
pub fn thread_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes the time to a local variable.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Keeps the current thread on one processor. A system that does not allow
/// that leaves it where it is.
pub fn pin(cpu: usize) {
    // SAFETY: as in `allowed`; the number is one that the system gave.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

/// The time stamp counter, read after everything before it is done.
#[must_use]
#[inline]
pub fn cycles() -> u64 {
    // SAFETY: every amd64 processor has both instructions.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}

/// Nanoseconds of one step of the time stamp counter.
#[must_use]
pub fn cycle_ns() -> f64 {
    static NS: OnceLock<f64> = OnceLock::new();
    *NS.get_or_init(|| {
        let (start, first) = (Instant::now(), cycles());
        while start.elapsed() < Duration::from_millis(100) {}
        let (elapsed, last) = (start.elapsed(), cycles());
        elapsed.as_nanos() as f64 / last.saturating_sub(first).max(1) as f64
    })
}

/// Counters of this thread's misses, where the kernel has them.
#[derive(Debug)]
pub struct Misses {
    cache: Counter,
    tlb: Counter,
}

impl Misses {
    /// None: the kernel or the machine does not count them.
    #[must_use]
    pub fn new() -> Option<Self> {
        let tlb = Cache {
            which: CacheId::DTLB,
            operation: CacheOp::READ,
            result: CacheResult::MISS,
        };
        Some(Self {
            cache: Builder::new(Hardware::CACHE_MISSES).build().ok()?,
            tlb: Builder::new(tlb).build().ok()?,
        })
    }

    /// Runs `work`: its misses of the last cache and of the TLB.
    pub fn count(&mut self, work: impl FnOnce()) -> Option<(u64, u64)> {
        for counter in [&mut self.cache, &mut self.tlb] {
            counter.reset().ok()?;
            counter.enable().ok()?;
        }
        work();
        for counter in [&mut self.cache, &mut self.tlb] {
            counter.disable().ok()?;
        }
        Some((self.cache.read().ok()?, self.tlb.read().ok()?))
    }
}
