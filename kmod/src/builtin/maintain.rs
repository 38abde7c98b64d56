// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module's task does for the registry, in thread context.

use core::sync::atomic::{AtomicU32, Ordering};

use super::{BUILTIN, Buckets, Builtin, TICK, bytes, node, tick};
use crate::flow::FiveTuple;
use crate::kernel::once::Once;
use crate::kernel::{probe, time};
use crate::registry::entry::TICKS;
use crate::registry::{Audit, Busy, Cursor, Listed, Pass, StackId, Swept, Verdict, Why};
use crate::stats::counters;

/// What a hook calls when there is work: at once, and before long.
static WAKER: Once<[fn(); 2]> = Once::new();

/// Seconds between two sweeps for the dead at least, in a table with more
/// memory than [`SWEEP_BYTES`]: a sweep looks at every entry.
const SWEEP_SECONDS: u32 = 10;

/// Below this a sweep is short.
const SWEEP_BYTES: usize = 4 << 20;

/// When the last sweep for the dead was, in seconds.
static SWEPT: AtomicU32 = AtomicU32::new(0);

/// Names what a hook calls when there is work that should be done at once, and
/// when it should be before long; any context.
pub fn set_waker(wake: fn(), nudge: fn()) {
    let _first = WAKER.set([wake, nudge]);
}

/// There is work.
pub(super) fn wake_now() {
    if let Some([wake, _]) = WAKER.get() {
        wake();
    }
}

/// A region wants memory.
pub(super) fn wake() {
    let hurries = |builtin: &Builtin| builtin.registry.hurries();
    match WAKER.get() {
        Some([wake, _]) if BUILTIN.get().is_some_and(hurries) => wake(),
        Some([_, nudge]) => nudge(),
        None => {}
    }
}

/// What there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Entries, those included that a sweep will drop.
    pub tuples: u64,
    /// Entries at most.
    pub capacity: u64,
    /// UDP endpoints.
    pub endpoints: u64,
    /// Memory for entries, in bytes.
    pub bytes: u64,
}

/// What there is now. Takes each region's lock in turn.
pub fn gauges() -> Gauges {
    BUILTIN.get().map_or(Gauges::default(), |builtin| Gauges {
        tuples: builtin.registry.len() as u64,
        capacity: builtin.registry.capacity() as u64,
        endpoints: builtin.registry.endpoints() as u64,
        bytes: bytes() as u64,
    })
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

/// Does what there is to do. To be called every second, and when the waker was.
pub fn maintain(now: u32) {
    let Some(builtin) = BUILTIN.get() else {
        return;
    };
    let _complete = in_turn(|| builtin.registry.maintain(Buckets::new));
    let next = builtin.tick_at(now);
    if TICK.swap(next, Ordering::Relaxed) != next {
        builtin.sweep(Pass::Age);
    }
    let due = now.wrapping_sub(SWEPT.load(Ordering::Relaxed)) >= SWEEP_SECONDS;
    if builtin.registry.is_dirty() && (due || bytes() < SWEEP_BYTES) {
        SWEPT.store(now, Ordering::Relaxed);
        builtin.sweep(Pass::Dead);
    }
}

/// Fires the probe for an entry that a sweep drops. A region is locked.
#[inline(never)]
fn tell(listed: &Listed, why: Why) {
    let Some(tuple) = listed.tuple() else {
        return;
    };
    let (seen, stack) = (tuple.as_probe(), listed.stack);
    match why {
        Why::Aged => probe::age(seen, stack, seconds(listed.age)),
        Why::Unseen => probe::audit_fix(seen, stack, c"removed", 0),
        Why::Ours => probe::remove(seen, stack, c"detached"),
        Why::Dead if listed.owner == node() => probe::remove(seen, stack, c"unbound or not shared"),
        // What was another node's was not ours to remove; no 5-tuple is an
        // endpoint.
        Why::Dead | Why::Endpoint => {}
    }
}

impl Builtin {
    /// Registers a 5-tuple, and gets the memory that is wanted then: this is the
    /// thread that others wake for it, and it has many to register.
    fn register(&self, stack: StackId, tuple: &FiveTuple) -> Verdict {
        let answer = self.registry.connect(stack, tuple, true, tick());
        if answer.wake {
            let _complete = in_turn(|| self.registry.maintain(Buckets::new));
        }
        answer.verdict
    }

    /// The registry's time at a time in seconds.
    pub(super) fn tick_at(&self, now: u32) -> u8 {
        let ticks = now.checked_div(self.tick_seconds).unwrap_or(0);
        (ticks % u32::from(TICKS)) as u8
    }

    fn sweep(&self, pass: Pass) -> Swept {
        let swept = in_turn(|| self.registry.sweep(pass, tick(), tell));
        let counters = counters();
        counters.cs_aged.add(swept.aged);
        counters.cs_dropped.add(swept.dead);
        counters.cs_audit_removed.add(swept.unseen);
        counters.cs_cleared.add(swept.ours);
        let _complete = in_turn(|| self.registry.maintain(Buckets::new));
        swept
    }
}

/// Drops what is too old or dead, and gives memory back, now.
pub fn sweep() {
    if let Some(builtin) = BUILTIN.get() {
        let dirty = builtin.registry.is_dirty();
        builtin.sweep(if dirty { Pass::Dead } else { Pass::Age });
    }
}

/// Drops all entries of this node.
pub fn clear_local() {
    if let Some(builtin) = BUILTIN.get() {
        builtin.sweep(Pass::Ours);
    }
}

/// An audit found the 5-tuple in a stack: what the registry knows of it.
pub fn audit_seen(stack: StackId, tuple: &FiveTuple) -> Audit {
    BUILTIN.get().map_or(Audit::NotShared, |builtin| {
        builtin.registry.audit_seen(stack, tuple)
    })
}

/// Registers what an audit found, with one reference. False: another node owns
/// it, or there is no room. Sleeps.
pub fn audit_add(stack: StackId, tuple: &FiveTuple) -> bool {
    let Some(builtin) = BUILTIN.get() else {
        return false;
    };
    let answer = match builtin.registry.audit_seen(stack, tuple) {
        Audit::Absent => builtin.register(stack, tuple),
        Audit::Present => return true,
        Audit::OwnedBy(owner) => Verdict::OwnedBy(owner),
        Audit::NotShared => return false,
    };
    match answer {
        Verdict::Registered => {
            counters().cs_audit_added.bump();
            true
        }
        // Somebody registered it meanwhile, who will end it, too: the
        // reference that this took is one too many. It is the last one if that
        // end was quicker.
        Verdict::Repeated => {
            if builtin.registry.disconnect(stack, tuple) == Some(true) {
                counters().cs_removed.bump();
                probe::remove(tuple.as_probe(), stack, c"disconnect");
            }
            true
        }
        Verdict::OwnedBy(_) => {
            counters().cs_audit_conflicts.bump();
            false
        }
        _ => false,
    }
}

/// Ends an audit: entries of TCP that two of them in a row did not see go. How
/// many that were.
pub fn audit_finish() -> u64 {
    BUILTIN
        .get()
        .map_or(0, |builtin| builtin.sweep(Pass::Audit).unseen)
}

/// Lists entries; see [`crate::registry::Registry::list`].
pub fn list(cursor: Cursor, room: usize, mut each: impl FnMut(Listed)) -> Option<Cursor> {
    let builtin = BUILTIN.get()?;
    in_turn(|| builtin.registry.list(cursor, tick(), room, &mut each))
}

/// Seconds that an age of so many ticks has.
pub fn seconds(ticks: u8) -> u32 {
    BUILTIN.get().map_or(0, |builtin| {
        builtin.tick_seconds.saturating_mul(ticks.into())
    })
}
