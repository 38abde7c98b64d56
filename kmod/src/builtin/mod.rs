// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The provider that comes with the module: the registry behind the slots.
//!
//! `provider` has the functions that the slots call, `decide` what a question
//! comes to (what is granted, counters, probes, mode, what is full), `cluster`
//! what other nodes own, `control` what its operators do, `maintain` what the
//! module's task does, `audit` the comparison with ip.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::grants::{self, Grants};
use crate::kernel::errno::Errno;
use crate::kernel::kmem::KmemSlice;
use crate::kernel::once::Once;
use crate::kernel::text::Text;
use crate::kernel::{blocks, kmem, log, time};
use crate::registry::env::SEGMENT;
use crate::registry::hash::Secret;
use crate::registry::{MOST_TICKS, Registry, Settings, StackId};
use crate::settings::Settings as Wanted;

mod audit;
mod cluster;
mod control;
mod decide;
mod env;
mod maintain;
mod outcome;
mod provider;

pub use audit::{audit_add, audit_begin, audit_finish, audit_seen};
pub use cluster::{install, node, purge, resync_begin, resync_end, set_addresses, withdraw};
pub use control::{Deleted, NodeGrants, delete, each_address, full_refuses, grants, is_shared};
pub use decide::{bind, connect, disconnect, ignores, query, unbind};
pub use maintain::{
    Gauges, bring_memory, clear_all, clear_local, collect_counts, gauges, list, maintain, seconds,
    set_waker, sweep,
};
pub use provider::{answers, associate, is_associated, is_built_in};

use env::Kernel;

/// The provider of this load of the module.
struct Builtin {
    registry: Registry<Kernel>,
    /// In [`GRANTS`].
    grants: &'static NodeGrants,
    /// Seconds that a tick of the registry has.
    tick_seconds: u32,
}

static BUILTIN: Once<Builtin> = Once::empty();

static GRANTS: Once<NodeGrants> = Once::empty();

/// The only stack that the contract and the cluster know.
pub const GLOBAL: StackId = 0;

/// The registry's time.
static TICK: AtomicU8 = AtomicU8::new(0);

/// The ticks that the age of UDP entries has at most: they are dropped a
/// sixteenth of it late at most.
const TICKS_PER_AGE: u32 = 16;

/// Seconds of a tick if UDP entries are never too old: their age is listed in hours, and
/// up to a day.
const TICK_WITHOUT_AGE: u32 = 86_400 / MOST_TICKS as u32;

/// Shards at most, so that hardly two CPUs meet in one. Fewer if there are
/// fewer than 64 5-tuples for each.
const MOST_SHARDS: u32 = 128;

const _: () = assert!(size_of::<[crate::registry::bucket::Bucket; SEGMENT]>() == blocks::BLOCK);

/// Sets the provider up, if it is wanted. May sleep.
///
/// # Errors
///
/// `ENOMEM` if there is not that much memory, which the log says; `EBUSY` if it is
/// set up already, which takes a second call.
#[inline(never)]
pub fn init(wanted: &Wanted, secret: Secret) -> Result<(), Errno> {
    if !wanted.provider {
        return Ok(());
    }
    if BUILTIN.get().is_some() {
        return Err(Errno::BUSY);
    }
    let tick_seconds = match wanted.udp_age {
        0 => TICK_WITHOUT_AGE,
        age => age.div_ceil(TICKS_PER_AGE),
    };
    let most = wanted.max_tuples as usize;
    let settings = Settings {
        node: wanted.node,
        most,
        most_udp: most * wanted.udp_share as usize / 100,
        age: wanted.udp_age.div_ceil(tick_seconds).min(u8::MAX.into()) as u8,
        fixed: wanted.prealloc,
    };
    let result = set_up(wanted, secret, settings, tick_seconds);
    if result == Err(Errno::NOMEM) {
        out_of_memory(wanted.max_tuples, kmem::bytes());
    }
    if result.is_err() {
        // SAFETY: this runs in _init; nobody else is in the module.
        unsafe { fini() };
    }
    result
}

fn set_up(
    wanted: &Wanted,
    secret: Secret,
    settings: Settings,
    tick_seconds: u32,
) -> Result<(), Errno> {
    // SAFETY: this runs in _init, once.
    unsafe { blocks::init_blocks(c"clinet_segments")? };
    let grants = no_grants()?;
    let shards = (wanted.max_tuples / 64).clamp(1, MOST_SHARDS);
    let memory = env::memory(&settings, 1 << shards.ilog2()).ok_or(Errno::NOMEM)?;
    let builtin = BUILTIN
        .set_with(|| Builtin {
            registry: Registry::new(settings, secret, memory),
            grants,
            tick_seconds,
        })
        .ok_or(Errno::BUSY)?;
    // Questions come before the module's thread runs for the first time.
    TICK.store(builtin.tick_at(time::seconds()), Ordering::Relaxed);
    match !settings.fixed || builtin.registry.preallocate() {
        true => Ok(()),
        false => Err(Errno::NOMEM),
    }
}

/// Nothing granted yet. Not inline: it is made where it stays.
#[inline(never)]
fn no_grants() -> Result<&'static NodeGrants, Errno> {
    let bits = KmemSlice::from_fn(2 * grants::WORDS, |_| AtomicU64::new(0));
    let bits = bits.ok_or(Errno::NOMEM)?;
    GRANTS.set_with(|| Grants::new(bits)).ok_or(Errno::BUSY)
}

/// Says that there was not enough memory.
#[inline(never)]
fn out_of_memory(tuples: u32, bytes: usize) {
    let mut text = Text::empty();
    text.string("clinet: not loaded: no memory for ")
        .number(tuples as usize)
        .string(" 5-tuples after ")
        .number(bytes)
        .string(" bytes; set clinet_max_tuples lower or clinet_prealloc to 0");
    log::warn(text.as_c_str());
}

/// Is there a provider?
pub fn is_set_up() -> bool {
    BUILTIN.get().is_some()
}

/// Its registry.
///
/// # Errors
///
/// `ENXIO` without a provider.
fn registry() -> Result<&'static Registry<Kernel>, Errno> {
    let builtin = BUILTIN.get().ok_or(Errno::NXIO)?;
    Ok(&builtin.registry)
}

fn tick() -> u8 {
    TICK.load(Ordering::Relaxed)
}

impl Builtin {
    /// The registry's time at a time in seconds.
    fn tick_at(&self, now: u32) -> u8 {
        let ticks = now.checked_div(self.tick_seconds).unwrap_or(0);
        (ticks % u32::from(crate::registry::entry::TICKS)) as u8
    }
}

/// Frees the memory.
///
/// # Safety
///
/// The provider was never associated, and nobody else is in the module.
#[inline(never)]
pub unsafe fn fini() {
    // SAFETY: passed on by the caller.
    drop(unsafe { BUILTIN.take() });
    // SAFETY: passed on by the caller; who referred to it is gone.
    drop(unsafe { GRANTS.take() });
    // SAFETY: the registry is gone, and with it all blocks.
    unsafe { blocks::fini_blocks() };
}
