// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module's task does for the registry, in thread context.

use core::sync::atomic::{AtomicU32, Ordering};

use super::env::Kernel;
use super::{BUILTIN, Builtin, TICK, node, tick};
use crate::kernel::once::Once;
use crate::kernel::{kmem, probe, time};
use crate::registry::{Busy, Cursor, Pass, PerPool, Registry, Swept, TableEntry, Why};
use crate::stats::{self, counters};

/// What wakes the module's task.
static WAKER: Once<fn()> = Once::empty();

/// Seconds between two sweeps for the dead at least, in a table with more
/// memory than [`SWEEP_BYTES`]: a sweep looks at every entry.
const SWEEP_SECONDS: u32 = 10;

/// Below this a sweep is short.
const SWEEP_BYTES: usize = 4 << 20;

/// When the last sweep for the dead was, in seconds.
static SWEPT: AtomicU32 = AtomicU32::new(0);

/// Names what a hook calls when there is work; any context.
pub fn set_waker(wake: fn()) {
    let _first = WAKER.set(wake);
}

/// There is work.
pub(super) fn wake() {
    if let Some(wake) = WAKER.get() {
        wake();
    }
}

/// What there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Entries, those included that a sweep will drop.
    pub tuples: u64,
    /// Entries at most.
    pub capacity: u64,
    /// Entries of UDP of this node.
    pub udp_tuples: u64,
    /// UDP endpoints.
    pub endpoints: u64,
    /// Local addresses, by stack.
    pub addresses: u64,
    /// Other nodes that own something.
    pub nodes: u64,
    /// Kernel memory of the module, in bytes, with a provider or without.
    pub bytes: u64,
}

/// Adds what the registry counted to the counters, so that they are complete, and says
/// what there is. Takes each shard's lock in turn, once.
pub fn collect_counts() -> Gauges {
    gauges_by(|registry| {
        registry.take_counts(|counts| {
            counters().cs_removed.add(counts.removed);
            for (flow, counted) in stats::flows().iter().zip(&counts.flows) {
                flow.cf_registered.add(counted.registered);
                flow.cf_repeated.add(counted.repeated);
                flow.cf_owned.add(counted.owned);
            }
        })
    })
}

/// What there is now. Takes each shard's lock in turn, once.
pub fn gauges() -> Gauges {
    gauges_by(Registry::used)
}

fn gauges_by(used: impl FnOnce(&Registry<Kernel>) -> PerPool<usize>) -> Gauges {
    let bytes = kmem::bytes() as u64;
    let Some(registry) = BUILTIN.get().map(|builtin| &builtin.registry) else {
        return Gauges {
            bytes,
            ..Gauges::default()
        };
    };
    let used = used(registry);
    Gauges {
        tuples: used.tuples as u64,
        capacity: registry.capacity() as u64,
        udp_tuples: used.udp as u64,
        endpoints: used.endpoints as u64,
        addresses: registry.addresses() as u64,
        nodes: registry.nodes() as u64,
        bytes,
    }
}

/// Calls `work` when it is this thread's turn. Sleeps.
fn in_turn<R>(mut work: impl FnMut() -> Result<R, Busy>) -> R {
    loop {
        match work() {
            Ok(result) => return result,
            Err(Busy) => time::sleep_a_tick(),
        }
    }
}

/// Has the registry's memory seen to. To be called when the waker was.
pub fn bring_memory() {
    if let Some(builtin) = BUILTIN.get() {
        builtin.registry.bring_memory();
    }
}

/// Does what there is to do. To be called every second.
pub fn maintain(now: u32) {
    let Some(builtin) = BUILTIN.get() else {
        return;
    };
    builtin.registry.maintain();
    let next = builtin.tick_at(now);
    let ages = TICK.swap(next, Ordering::Relaxed) != next;
    let due = now.wrapping_sub(SWEPT.load(Ordering::Relaxed)) >= SWEEP_SECONDS;
    match builtin.registry.pending() {
        Some(pass) if due || kmem::bytes() < SWEEP_BYTES => {
            SWEPT.store(now, Ordering::Relaxed);
            sweep_for(builtin, pass);
        }
        _ if ages => {
            sweep_for(builtin, Pass::Age);
        }
        _ => {}
    }
}

/// Fires the probe for an entry that a sweep drops. A shard is locked.
#[inline(never)]
fn fire_probe(entry: &TableEntry, why: Why) {
    let Some(tuple) = entry.tuple() else {
        return;
    };
    let (seen, stack) = (tuple.as_probe(), entry.stack);
    match why {
        Why::Aged => probe::age(seen, stack, seconds(entry.age)),
        Why::Unseen => probe::audit_fix(seen, stack, c"removed", 0),
        Why::Cleared => probe::remove(seen, stack, c"cleared"),
        Why::Dead if entry.owner == node() => probe::remove(seen, stack, c"unbound or not shared"),
        // What was another node's was not ours to remove; no 5-tuple is an
        // endpoint.
        Why::Dead | Why::Endpoint => {}
    }
}

/// One sweep, counted, and the memory that it freed goes back.
pub(super) fn sweep_for(builtin: &Builtin, pass: Pass) -> Swept {
    let swept = in_turn(|| builtin.registry.sweep(pass, tick(), fire_probe));
    let counters = counters();
    counters.cs_aged.add(swept.aged);
    counters.cs_dropped.add(swept.dead);
    counters.cs_audit_removed.add(swept.unseen);
    counters.cs_cleared.add(swept.cleared);
    builtin.registry.maintain();
    swept
}

/// Drops what is too old or dead, and gives memory back, now.
pub fn sweep() {
    if let Some(builtin) = BUILTIN.get() {
        let pass = builtin.registry.pending();
        sweep_for(builtin, pass.unwrap_or(Pass::Age));
    }
}

/// Drops all entries of this node that came through ip's hooks.
pub fn clear_local() {
    if let Some(builtin) = BUILTIN.get() {
        sweep_for(builtin, Pass::Clear);
    }
}

/// Drops all entries of this node.
pub fn clear_all() {
    if let Some(builtin) = BUILTIN.get() {
        sweep_for(builtin, Pass::ClearAll);
    }
}

/// Lists entries; see [`crate::registry::Registry::list`].
pub fn list(cursor: Cursor, room: usize, mut each: impl FnMut(TableEntry)) -> Option<Cursor> {
    let builtin = BUILTIN.get()?;
    in_turn(|| builtin.registry.list(cursor, tick(), room, &mut each))
}

/// Seconds that an age of so many ticks has.
pub fn seconds(ticks: u8) -> u32 {
    BUILTIN.get().map_or(0, |builtin| {
        builtin.tick_seconds.saturating_mul(ticks.into())
    })
}
