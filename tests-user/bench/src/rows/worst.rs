// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The worst single insert from empty to full, in time of the thread's
//! processor: three equal growths, of each insert the fastest, of those the
//! slowest.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::api::Stat;
use crate::bench::Bench;
use crate::cpu;
use crate::error::{Error, Result};
use crate::kernel::{condvar, kmem};
use crate::keys::{Keys, TCP, Tuple};
use crate::marks::Measured;
use crate::module::Load;
use crate::peers::{Dash, Named, Papaya, Scc, Sharded, Sip, Table};
use crate::{NODE, OURS};

pub const GROWING: &str = "insert-growing";
pub const LOADED: &str = "insert-loaded";
pub const ONE_CPU: &str = "insert-one-cpu";
pub const PREALLOCATED: &str = "insert-preallocated";

const GROWTHS: usize = 3;
/// An insert that takes longer may have been interrupted by another thread.
const SLOW_NS: f64 = 2000.0;
/// Inserts between two looks at the thread's time: the two clocks must not
/// drift apart.
const LOOK_EVERY: u32 = 64;
/// So many tuples come and go before.
const WARM: u32 = 100;
/// The kernel's memory for each tuple: a machine that has it free. An old array
/// goes when its entries are in the new one.
const RESERVED: usize = 96;

/// What is so around the growths.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// The processor of the module's tasks is idle.
    Quiet,
    /// Another thread never rests on that processor.
    Busy,
    /// The tasks have the processor of the thread that inserts.
    OneCpu,
    /// It is idle, and all memory is there from the start.
    Preallocated,
}

pub fn growing(bench: &mut Bench) -> Result<()> {
    let measured = measure(bench, Situation::Quiet)?;
    let dashmap = worst_of::<Dash>(bench)?;
    worst_of::<Sharded>(bench)?;
    worst_of::<Papaya>(bench)?;
    worst_of::<Scc>(bench)?;
    let measured = Measured {
        dashmap: Some(dashmap),
        note: format!("{}; dashmap's worst {:.1} ms", measured.note, dashmap / 1e6),
        ..measured
    };
    bench.measured(GROWING, measured);
    Ok(())
}

pub fn loaded(bench: &mut Bench) -> Result<()> {
    let measured = measure(bench, Situation::Busy)?;
    bench.measured(LOADED, measured);
    Ok(())
}

pub fn one_cpu(bench: &mut Bench) -> Result<()> {
    let measured = measure(bench, Situation::OneCpu)?;
    bench.measured(ONE_CPU, measured);
    Ok(())
}

pub fn preallocated(bench: &mut Bench) -> Result<()> {
    let measured = measure(bench, Situation::Preallocated)?;
    bench.measured(PREALLOCATED, measured);
    Ok(())
}

/// A thread that never rests on a processor, until dropped.
struct BusyLoop {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BusyLoop {
    fn on(processor: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            cpu::pin(processor);
            while !stopped.load(Ordering::Relaxed) {
                spin_loop();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for BusyLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        drop(ended);
    }
}

/// Cycles of each insert, the fewest so far.
struct Fewest(Vec<u32>);

impl Fewest {
    /// Touches all of its memory.
    fn new(inserts: u32) -> Self {
        Self(vec![u32::MAX; inserts as usize])
    }

    /// Calls `insert` with each index and its tuple.
    fn grow(&mut self, keys: &Keys, mut insert: impl FnMut(&Tuple)) {
        let mut away = Away::new();
        let slow = (SLOW_NS / cpu::cycle_ns()) as u64;
        for (index, fewest) in (0..).zip(&mut self.0) {
            let tuple = keys.get(index);
            if index % LOOK_EVERY == 0 {
                away.look();
            }
            let start = cpu::cycles();
            insert(&tuple);
            let mut cycles = cpu::cycles().wrapping_sub(start);
            if cycles > slow {
                cycles = cycles.saturating_sub(away.look());
            }
            *fewest = (*fewest).min(u32::try_from(cycles).unwrap_or(u32::MAX));
        }
    }

    /// The worst of the first inserts, nanoseconds, by how many those are.
    fn curve(&self) -> Vec<(u32, f64)> {
        let mut curve = Vec::new();
        let (mut worst, mut next) = (0, 1000);
        for (inserts, &cycles) in (1_u32..).zip(&self.0) {
            worst = worst.max(cycles);
            if inserts == next || inserts as usize == self.0.len() {
                curve.push((inserts, f64::from(worst) * cpu::cycle_ns()));
                next = next.saturating_mul(10);
            }
        }
        curve
    }

    /// Nanoseconds of the worst, and of the worst but one in ten thousand.
    fn worst(mut self) -> (f64, f64) {
        let ns = |cycles: u32| f64::from(cycles) * cpu::cycle_ns();
        self.0.sort_unstable();
        let rank = self.0.len() - 1 - self.0.len() / 10_000;
        let worst = self.0.last().copied().unwrap_or(0);
        (ns(worst), ns(self.0.get(rank).copied().unwrap_or(0)))
    }
}

/// How long this thread was off its processor.
struct Away {
    cycles: u64,
    on: u64,
}

impl Away {
    fn new() -> Self {
        Self {
            cycles: cpu::cycles(),
            on: cpu::thread_ns(),
        }
    }

    /// Cycles since the last look in which another thread ran.
    fn look(&mut self) -> u64 {
        let now = Self::new();
        let on = now.on.saturating_sub(self.on) as f64 / cpu::cycle_ns();
        let all = now.cycles.wrapping_sub(self.cycles);
        *self = now;
        all.saturating_sub(on as u64)
    }
}

fn measure(bench: &mut Bench, situation: Situation) -> Result<Measured> {
    cpu::put_tasks(usize::from(situation != Situation::OneCpu));
    let busy = (situation == Situation::Busy).then(|| BusyLoop::on(cpu::of_tasks()));
    let measured = grow(bench, situation);
    drop(busy);
    cpu::put_tasks(1);
    measured
}

fn grow(bench: &mut Bench, situation: Situation) -> Result<Measured> {
    let tuples = bench.settings.tuples;
    let keys = Keys::shared(TCP, 2);
    let mut fewest = Fewest::new(tuples);
    let mut late = 0;
    kmem::reserve(tuples as usize * RESERVED)?;
    for growth in 0..GROWTHS {
        bench.progress(&format!("  growth {} of {GROWTHS}", growth + 1));
        let module = bench.load(Load {
            prealloc: situation == Situation::Preallocated,
            ..Load::default()
        })?;
        let caller = module.caller();
        let connect = caller.connect2()?;
        kmem::touch();
        // Watching takes a processor that nobody else wants.
        condvar::watch(matches!(
            situation,
            Situation::Quiet | Situation::Preallocated
        ));
        // The text and the data of a kernel's module are in memory.
        let disconnect = caller.disconnect()?;
        for tuple in (0..WARM).map(|index| keys.get(tuples + index)) {
            connect(&tuple);
            disconnect(&tuple);
        }
        let before = caller.stat(Stat::Registered)?;
        let mut refused = 0_u64;
        fewest.grow(&keys, |tuple| refused += u64::from(connect(tuple) != 0));
        condvar::watch(false);
        let registered = caller.stat(Stat::Registered)?.wrapping_sub(before);
        let full = caller.stat(Stat::FullRefused)?;
        if registered > u64::from(tuples) || refused > full {
            return Err(Error::Wrong(format!(
                "of {tuples} inserts {registered} were registered and {refused} refused"
            )));
        }
        late += u64::from(tuples) - registered;
    }
    if situation == Situation::Quiet {
        bench.worst.push((OURS, fewest.curve()));
    }
    let (worst, nearly) = fewest.worst();
    Ok(Measured {
        note: format!("p99.99 {nearly:.0} ns, {late} late answers"),
        spoiled: late > 0,
        ..Measured::new(worst)
    })
}

/// The worst insert of a peer.
fn worst_of<T: Table + Named>(bench: &mut Bench) -> Result<f64> {
    let tuples = bench.settings.tuples;
    let keys = Keys::shared(TCP, 2);
    // The same secret each time, or the growths were not equal.
    let hash = Sip::default();
    let mut fewest = Fewest::new(tuples);
    for growth in 0..GROWTHS {
        bench.progress(&format!(
            "  {}: growth {} of {GROWTHS}",
            T::NAME,
            growth + 1
        ));
        let table = T::with_hasher(hash.clone());
        let mut wrong = 0_u64;
        fewest.grow(&keys, |tuple| {
            wrong += u64::from(!table.register(tuple, NODE));
        });
        if wrong > 0 {
            return Err(Error::Wrong(format!("{}: {wrong} inserts failed", T::NAME)));
        }
    }
    bench.worst.push((T::NAME, fewest.curve()));
    Ok(fewest.worst().0)
}

#[cfg(test)]
mod tests {
    use super::{Away, Fewest};
    use crate::cpu;

    #[test]
    fn the_worst_is_the_slowest_of_the_fastest() {
        let ns = cpu::cycle_ns();
        let (worst, nearly) = Fewest(vec![3, 1, 70, 2]).worst();
        assert_eq!((worst, nearly), (70.0 * ns, 70.0 * ns));
        let (worst, nearly) = Fewest((0..20_000).collect()).worst();
        assert_eq!((worst, nearly), (19_999.0 * ns, 19_997.0 * ns));
    }

    #[test]
    fn the_curve_is_of_the_first_inserts() {
        let ns = cpu::cycle_ns();
        let mut cycles = vec![1; 12_000];
        (cycles[500], cycles[1000]) = (7, 9);
        let curve = Fewest(cycles).curve();
        let expected = [(1000, 7.0 * ns), (10_000, 9.0 * ns), (12_000, 9.0 * ns)];
        assert_eq!(curve, expected);
    }

    #[test]
    fn time_off_the_processor_is_seen_and_time_on_it_is_not() {
        let (mut away, pause) = (Away::new(), std::time::Duration::from_millis(50));
        std::thread::sleep(pause);
        let slept = away.look() as f64 * cpu::cycle_ns();
        assert!(slept > pause.as_nanos() as f64 * 0.9, "{slept}");
        let (start, on) = (cpu::cycles(), cpu::thread_ns());
        while u128::from(cpu::thread_ns() - on) < pause.as_nanos() {}
        let off = away.look();
        let worked = (cpu::cycles() - start).saturating_sub(off) as f64 * cpu::cycle_ns();
        assert!(worked > pause.as_nanos() as f64 * 0.9, "{worked}");
    }
}
