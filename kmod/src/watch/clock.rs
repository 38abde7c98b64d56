// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The module's clock: the kernel's, and besides by how much the wall clock jumped.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::time;

/// A difference between two clocks that no clock makes by itself, in nanoseconds.
const JUMP: u64 = 2_000_000_000;

/// What the wall clock jumped, by which the module's clock is ahead of the
/// kernel's: a deadline that was chosen before a jump is none after it.
static AHEAD: AtomicU64 = AtomicU64::new(0);

/// By how much the wall clock was ahead of the kernel's when they were compared.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// The module's clock, in nanoseconds. Any context.
pub fn now() -> u64 {
    time::nanoseconds().wrapping_add(AHEAD.load(Ordering::Relaxed))
}

/// Compares the clocks for the first time.
pub fn init() {
    OFFSET.store(offset(), Ordering::Relaxed);
}

/// By how much the wall clock is ahead. The two are read at one moment, or nearly:
/// a thread may be stopped in between, but not again and again.
fn offset() -> u64 {
    const MOMENT: u64 = 10_000_000;
    let mut offset = 0;
    for _ in 0..4 {
        let before = time::nanoseconds();
        offset = time::wall_nanoseconds().wrapping_sub(before);
        if time::nanoseconds().wrapping_sub(before) < MOMENT {
            break;
        }
    }
    offset
}

/// Compares the clocks. If they moved apart by more than clocks do since that was
/// last done, the module's clock goes on by as much. True: it did.
pub fn has_jumped() -> bool {
    let offset = offset();
    let moved = offset.wrapping_sub(OFFSET.swap(offset, Ordering::Relaxed));
    let moved = moved.cast_signed().unsigned_abs();
    let has_jumped = moved > JUMP;
    if has_jumped {
        AHEAD.fetch_add(moved, Ordering::Relaxed);
    }
    has_jumped
}
