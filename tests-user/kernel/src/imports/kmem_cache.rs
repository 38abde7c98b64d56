// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `kmem_cache_*`: caches of buffers of one size.
//!
//! A buffer is as strict as one of `kmem_alloc`. Constructors, destructors,
//! reclaim functions and other sources of memory are refused: nobody here has
//! them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::imports;
use super::kmem::{ALIGN, Complaint, State, allocate, free};
use crate::block::Source;
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::{self, fault};
use crate::machine::Machine;
use crate::memory;
use crate::slab::{PAGE, Slabs};

const KMC_NOMAGAZINE: u64 = 0x0004_0000;
/// Longer names are cut short.
const NAME_LIMIT: usize = 32;

/// Addresses of caches: of the kernel's half, so that a module that looks
/// into a cache traps.
const FIRST: u64 = 0xffff_ff00_0000_0000;
const STEP: u64 = 1 << 12;

struct Cache {
    name: String,
    size: usize,
    align: usize,
    slabs: Slabs,
    /// The place in a module that created it.
    created_by: u64,
}

/// The caches of one machine, by address.
#[derive(Default)]
pub(super) struct Caches {
    live: BTreeMap<u64, Cache>,
    created: u64,
}

impl Caches {
    /// Bytes of the pages behind all caches.
    pub fn bytes(&self) -> usize {
        self.live.values().map(|cache| cache.slabs.bytes()).sum()
    }

    /// The slabs of a cache that is there.
    pub fn slabs(&mut self, cache: u64) -> Option<&mut Slabs> {
        self.live.get_mut(&cache).map(|cache| &mut cache.slabs)
    }

    /// The name of a cache, or its address.
    pub fn name(&self, cache: u64) -> String {
        match self.live.get(&cache) {
            Some(cache) => cache.name.clone(),
            None => format!("{cache:#x}"),
        }
    }

    /// Destroys those that code in `text` created, and returns their names.
    pub fn take_of(&mut self, text: &Range<u64>) -> Vec<String> {
        self.live
            .extract_if(.., |_, cache| text.contains(&cache.created_by))
            .map(|(_, cache)| cache.name)
            .collect()
    }

    fn add(&mut self, cache: Cache) -> u64 {
        let address = FIRST + self.created * STEP;
        self.created += 1;
        self.live.insert(address, cache);
        address
    }
}

/// The size and alignment of a cache's buffers.
fn shape(what: &str, cache: u64) -> (usize, usize) {
    let shape = here().machine.memory.with(|state| {
        let cache = state.caches.live.get(&cache)?;
        Some((cache.size, cache.align))
    });
    match shape {
        Some(shape) => shape,
        None => fault!("{what}: {cache:#x} is no cache, or was destroyed"),
    }
}

fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns the cache's name.
fn destroy(state: &mut State, machine: &Machine, cache: u64) -> Result<String, Complaint> {
    let left = state.live_of(cache).count();
    if let Some(block) = state.live_of(cache).next() {
        return Err(format!(
            "kmem_cache_destroy: {} has {left} buffers that nobody freed; {} allocated one",
            state.caches.name(cache),
            machine.place(block.allocated_by)
        ));
    }
    let name = state.caches.name(cache);
    state.caches.live.remove(&cache);
    Ok(name)
}

imports! {
    fn kmem_cache_create(
        name: u64,
        size: usize,
        align: usize,
        constructor: u64,
        destructor: u64,
        reclaim: u64,
        private: u64,
        vmem: u64,
        flags: u64,
    ) -> u64 {
        must_be_able_to_sleep("kmem_cache_create");
        let name = memory::name(name, NAME_LIMIT, "the name of a kmem cache");
        if !is_identifier(&name) {
            fault!("kmem_cache_create: {name:?} is no C identifier");
        }
        let align = if align == 0 { ALIGN } else { align };
        if !align.is_power_of_two() || !(ALIGN..=PAGE).contains(&align) {
            fault!("kmem_cache_create: bad alignment {align}");
        }
        if size == 0 {
            fault!("kmem_cache_create: buffers of 0 bytes");
        }
        if [constructor, destructor, reclaim, private, vmem] != [0; 5] {
            fault!("kmem_cache_create: only caches without functions and arenas of their own are emulated");
        }
        let flags = flags & 0xffff_ffff;
        if flags & !KMC_NOMAGAZINE != 0 {
            fault!("kmem_cache_create: unknown flags {flags:#x}");
        }
        let cache = Cache {
            name,
            size,
            align,
            slabs: Slabs::new(size, align, flags & KMC_NOMAGAZINE == 0),
            created_by: fault::caller_address(),
        };
        let machine = here().machine;
        machine.kstats.add_of_kernel(machine, &cache.name);
        machine.memory.with(|state| state.caches.add(cache))
    }

    fn kmem_cache_destroy(cache: u64) {
        must_be_able_to_sleep("kmem_cache_destroy");
        shape("kmem_cache_destroy", cache);
        let machine = here().machine;
        let destroyed = machine.memory.with(|state| destroy(state, machine, cache));
        match destroyed {
            Ok(name) => machine.kstats.remove_of_kernel(&name),
            Err(complaint) => fault!("{complaint}"),
        }
    }

    fn kmem_cache_alloc(cache: u64, flags: u64) -> u64 {
        let (size, align) = shape("kmem_cache_alloc", cache);
        allocate("kmem_cache_alloc", Source::Cache(cache), size, align, flags)
    }

    fn kmem_cache_free(cache: u64, address: u64) {
        let (size, _) = shape("kmem_cache_free", cache);
        free(Source::Cache(cache), address, size);
    }
}
