// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The provider that comes with the module: the registry behind the slots.
//!
//! `provider` has the functions that the slots call, `decide` what a question
//! comes to (counters, probes, mode, the full table), `cluster` what other nodes
//! own, `maintain` what the module's task does.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::kernel::errno::Errno;
use crate::kernel::once::Once;
use crate::kernel::time;
use crate::registry::hash::Secret;
use crate::registry::{Registry, Settings};
use crate::settings::Settings as Wanted;

mod cluster;
mod decide;
mod env;
mod maintain;
mod provider;

pub use cluster::{full_refuses, install, node, purge, query, set_addresses, withdraw};
pub use decide::{bind, connect, disconnect, ignores, prefetch, unbind};
pub use env::bytes;
pub use maintain::{
    audit_add, audit_finish, audit_seen, clear_local, gauges, list, maintain, seconds, set_waker,
    sweep,
};
pub use provider::{associate, is_associated, is_built_in};

use env::{Buckets, Kernel};

/// The provider of this load of the module.
struct Builtin {
    registry: Registry<Kernel>,
    full_refuses: bool,
    /// Seconds that a tick of the registry has.
    tick_seconds: u32,
}

static BUILTIN: Once<Builtin> = Once::new();

/// The registry's time.
static TICK: AtomicU8 = AtomicU8::new(0);

/// The ticks that the age of UDP entries has at most: they are dropped a
/// sixteenth of it late at most.
const TICKS_PER_AGE: u32 = 16;

/// Regions at most, so that hardly two CPUs meet in one. Fewer if there are
/// fewer than 64 5-tuples for each.
const MOST_REGIONS: u32 = 1024;

/// 5-tuples whose memory is there from the start: half a megabyte.
const AT_ONCE: usize = 12_000;

/// Sets the provider up, if it is wanted. May sleep.
///
/// # Errors
///
/// `ENOMEM` if there is not that much memory; `EBUSY` if it is set up already,
/// which takes a second call.
#[inline(never)]
pub fn init(wanted: &Wanted, secret: Secret) -> Result<(), Errno> {
    if !wanted.provider {
        return Ok(());
    }
    let tick_seconds = wanted.udp_age.div_ceil(TICKS_PER_AGE).max(1);
    let settings = Settings {
        node: wanted.node,
        most: wanted.max_tuples as usize,
        age: wanted.udp_age.div_ceil(tick_seconds).min(u8::MAX.into()) as u8,
        fixed: wanted.prealloc,
    };
    let regions = (wanted.max_tuples / 64).clamp(1, MOST_REGIONS);
    let memory = env::memory(1 << regions.ilog2()).ok_or(Errno::NOMEM)?;
    let builtin = BUILTIN
        .set_with(|| Builtin {
            registry: Registry::new(settings, secret, memory),
            full_refuses: wanted.full_refuses,
            tick_seconds,
        })
        .ok_or(Errno::BUSY)?;
    // Questions come before the module's thread runs for the first time.
    TICK.store(builtin.tick_at(time::seconds()), Ordering::Relaxed);
    let at_once = match settings.most {
        most if settings.fixed => most,
        // So few get theirs at once, with an endpoint for each of them.
        most if most <= 256 => 2 * most,
        most => AT_ONCE.min(most),
    };
    if builtin.registry.prepare(at_once, Buckets::new) {
        return Ok(());
    }
    // SAFETY: this runs in _init; nobody else is in the module.
    unsafe { fini() };
    Err(Errno::NOMEM)
}

/// Is there a provider?
pub fn is_set_up() -> bool {
    BUILTIN.get().is_some()
}

fn tick() -> u8 {
    TICK.load(Ordering::Relaxed)
}

/// Frees the memory.
///
/// # Safety
///
/// The provider was never associated, and nobody else is in the module.
pub unsafe fn fini() {
    // SAFETY: passed on by the caller.
    drop(unsafe { BUILTIN.take() });
}
