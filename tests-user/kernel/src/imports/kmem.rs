// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `kmem_*`: accounts, failures and quarantine of a machine's memory.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Mutex;

use super::imports;
use super::kmem_cache::Caches;
use crate::block::{Block, Source};
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::{self, fault};
use crate::locks::{self, lock};
use crate::machine::Machine;
use crate::slab::{General, Numbers};

const KM_NOSLEEP: u64 = 1;
const KM_PUSHPAGE: u64 = 4;
const KM_NORMALPRI: u64 = 8;

/// The alignment of every buffer.
pub(super) const ALIGN: usize = 8;
/// The alignment that sizes of whole cache lines get from `kmem_alloc`.
const LINE: usize = 64;

/// No machine has more than this to give.
const MEMORY: usize = 1 << 30;
const QUARANTINE_BLOCKS: usize = 4096;
const QUARANTINE_BYTES: usize = 16 << 20;

#[derive(Default)]
pub(super) struct State {
    live: BTreeMap<u64, Block>,
    in_use: usize,
    quarantine: VecDeque<Block>,
    quarantined: usize,
    allocations: u64,
    /// Allocations that may still fail before one does.
    until_failure: Option<u64>,
    all_fail: bool,
    general: General,
    pub caches: Caches,
    pages: Numbers,
}

/// The memory of one machine.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<State>);

/// What is wrong with memory, in words.
pub(super) type Complaint = String;

impl Accounts {
    /// Bytes allocated and not freed.
    pub fn in_use(&self) -> usize {
        lock(&self.0).in_use
    }

    /// Bytes of the pages that the machine does not have any more.
    pub fn lost(&self) -> usize {
        let state = lock(&self.0);
        state.general.bytes() + state.caches.bytes()
    }

    /// Allocations asked for so far, failed ones included.
    pub fn allocations(&self) -> u64 {
        lock(&self.0).allocations
    }

    /// Makes the `n`th KM_NOSLEEP allocation from now fail, 1 being the next;
    /// 0 makes none fail.
    pub fn fail_nth(&self, n: u64) {
        lock(&self.0).until_failure = n.checked_sub(1);
    }

    /// Makes every KM_NOSLEEP allocation fail, or none.
    pub fn fail_all(&self, fail: bool) {
        lock(&self.0).all_fail = fail;
    }

    /// Counts one allocation that may fail and says whether it does.
    pub fn is_failure_due(&self) -> bool {
        let mut state = lock(&self.0);
        state.allocations += 1;
        state.is_failure_due()
    }

    /// Runs `body` with the state.
    pub(super) fn with<R>(&self, body: impl FnOnce(&mut State) -> R) -> R {
        body(&mut lock(&self.0))
    }

    /// Looks for damage done to any block, live or freed.
    pub fn check(&self, machine: &Machine) -> Result<(), Complaint> {
        let mut state = lock(&self.0);
        for block in state.live.values_mut() {
            if let Some(offset) = block.damage() {
                return Err(format!(
                    "redzone of the {} bytes at {:#x} that {} allocated was written to, at offset {offset}",
                    block.size,
                    block.address(),
                    machine.place(block.allocated_by)
                ));
            }
        }
        for block in &mut state.quarantine {
            if let Some(complaint) = complain_if_written(machine, block) {
                return Err(complaint);
            }
        }
        Ok(())
    }

    /// Frees what code in `text` left, and returns it as addresses, sizes and
    /// places.
    pub fn take_of(&self, text: &Range<u64>) -> Vec<(u64, usize, u64)> {
        let mut state = lock(&self.0);
        let left: Vec<Block> = state
            .live
            .extract_if(.., |_, block| text.contains(&block.allocated_by))
            .map(|(_, block)| block)
            .collect();
        for block in &left {
            state.give_back(block);
        }
        left.iter()
            .map(|block| (block.address(), block.size, block.allocated_by))
            .collect()
    }

    /// Destroys the caches that code in `text` left, and returns their names.
    pub fn take_caches_of(&self, text: &Range<u64>) -> Vec<String> {
        lock(&self.0).caches.take_of(text)
    }
}

impl State {
    fn is_failure_due(&mut self) -> bool {
        let due = self.until_failure == Some(0);
        self.until_failure = self.until_failure.and_then(|left| left.checked_sub(1));
        due || self.all_fail
    }

    /// A buffer, or `None` if its allocation fails.
    fn allocate(&mut self, source: Source, size: usize, align: usize, by: u64) -> Option<u64> {
        if size > MEMORY - self.in_use {
            return None;
        }
        let place = match source {
            Source::General => self.general.alloc(size, &mut self.pages),
            Source::Cache(cache) => self.caches.slabs(cache)?.alloc(&mut self.pages),
        }?;
        let block = Block::new(size, align, source, place, by);
        let address = block.address();
        self.in_use += size;
        self.live.insert(address, block);
        Some(address)
    }

    fn free(
        &mut self,
        machine: &Machine,
        source: Source,
        address: u64,
        size: usize,
        by: u64,
    ) -> Result<(), Complaint> {
        let what = name_of_free(source);
        let Some(mut block) = self.live.remove(&address) else {
            return Err(self.explain_unknown(machine, what, address));
        };
        self.give_back(&block);
        let allocated_by = block.allocated_by;
        if block.source != source {
            return Err(format!(
                "{what}: the buffer at {address:#x} is {}; {} allocated it",
                self.describe(block.source),
                machine.place(allocated_by)
            ));
        }
        if block.size != size {
            return Err(format!(
                "{what}: {size} bytes at {address:#x}, but {} allocated {}",
                machine.place(allocated_by),
                block.size
            ));
        }
        if let Some(offset) = block.damage() {
            return Err(format!(
                "{what}: redzone of the {size} bytes at {address:#x} that {} allocated was written to, at offset {offset}",
                machine.place(allocated_by)
            ));
        }
        block.poison();
        block.freed_by = by;
        self.quarantined += size;
        self.quarantine.push_back(block);
        while self.quarantine.len() > QUARANTINE_BLOCKS || self.quarantined > QUARANTINE_BYTES {
            let Some(mut oldest) = self.quarantine.pop_front() else {
                break;
            };
            self.quarantined -= oldest.size;
            if let Some(complaint) = complain_if_written(machine, &mut oldest) {
                return Err(complaint);
            }
        }
        Ok(())
    }

    /// Takes a block that is not live any more out of the accounts.
    fn give_back(&mut self, block: &Block) {
        self.in_use -= block.size;
        let known = match block.source {
            Source::General => self.general.free(block.place, block.size, &mut self.pages),
            Source::Cache(cache) => self
                .caches
                .slabs(cache)
                .is_some_and(|slabs| slabs.free(block.place, &mut self.pages)),
        };
        debug_assert!(known, "a live block is in the layout");
    }

    /// A buffer of the cache that nobody freed.
    pub fn live_of(&self, cache: u64) -> impl Iterator<Item = &Block> {
        let source = Source::Cache(cache);
        self.live
            .values()
            .filter(move |block| block.source == source)
    }

    fn describe(&self, source: Source) -> String {
        match source {
            Source::General => "of kmem_alloc".to_owned(),
            Source::Cache(cache) => format!("of the cache {}", self.caches.name(cache)),
        }
    }

    fn explain_unknown(&self, machine: &Machine, what: &str, address: u64) -> Complaint {
        let freed = self
            .quarantine
            .iter()
            .rev()
            .find(|block| block.address() == address);
        if let Some(block) = freed {
            return format!(
                "{what}: {address:#x} was freed already, by {}",
                machine.place(block.freed_by)
            );
        }
        let around = self
            .live
            .range(..address)
            .next_back()
            .filter(|(_, block)| block.range().contains(&address));
        match around {
            Some((start, block)) => format!(
                "{what}: {address:#x} is inside the {} bytes at {start:#x}",
                block.size
            ),
            None => format!("{what}: {address:#x} was never allocated"),
        }
    }
}

fn name_of_free(source: Source) -> &'static str {
    match source {
        Source::General => "kmem_free",
        Source::Cache(_) => "kmem_cache_free",
    }
}

fn complain_if_written(machine: &Machine, block: &mut Block) -> Option<Complaint> {
    let offset = block.written_after_free()?;
    Some(format!(
        "freed memory was written to: {} bytes at {:#x} that {} freed, at offset {offset}",
        block.size,
        block.address(),
        machine.place(block.freed_by)
    ))
}

/// Allocates for the current import, which is called `what`; 0 if it fails.
pub(super) fn allocate(what: &str, source: Source, size: usize, align: usize, flags: u64) -> u64 {
    let flags = flags & 0xffff_ffff;
    if flags & !(KM_NOSLEEP | KM_PUSHPAGE | KM_NORMALPRI) != 0 {
        fault!("{what}: unknown flags {flags:#x}");
    }
    let may_fail = flags & KM_NOSLEEP != 0;
    if !may_fail {
        must_be_able_to_sleep(&format!("{what} with KM_SLEEP"));
    }
    let by = fault::caller_address();
    let address = here().machine.memory.with(|state| {
        state.allocations += 1;
        if may_fail && state.is_failure_due() {
            return None;
        }
        state.allocate(source, size, align, by)
    });
    match address {
        Some(address) => address,
        None if may_fail => 0,
        None => fault!("{what}: {size} bytes with KM_SLEEP would wait for ever"),
    }
}

/// Frees for the current import.
pub(super) fn free(source: Source, address: u64, size: usize) {
    let machine = here().machine;
    if let Some(what) = in_use_within(machine, &(address..address.saturating_add(size as u64))) {
        let free = name_of_free(source);
        fault!("{free}: {size} bytes at {address:#x} hold {what}");
    }
    let by = fault::caller_address();
    let freed = machine
        .memory
        .with(|state| state.free(machine, source, address, size, by));
    if let Err(complaint) = freed {
        fault!("{complaint}");
    }
}

/// What somebody still uses in memory that is to be freed.
fn in_use_within(machine: &Machine, range: &Range<u64>) -> Option<String> {
    if let Some(live) = machine.locks.within(machine, range.clone()) {
        return Some(format!("a {live} and nobody destroyed"));
    }
    if let Some(held) = locks::held_within(range) {
        return Some(format!("a lock at {held:#x} that this thread holds"));
    }
    if machine.sched.is_awaited(range) {
        return Some("a condition variable that threads wait for".to_owned());
    }
    let pollhead = machine.polls.first_within(range)?;
    Some(format!(
        "a pollhead at {pollhead:#x} that somebody waits on"
    ))
}

fn alloc(size: usize, flags: u64) -> u64 {
    if size == 0 {
        return 0;
    }
    let align = if size.is_multiple_of(LINE) {
        LINE
    } else {
        ALIGN
    };
    allocate("kmem_alloc", Source::General, size, align, flags)
}

imports! {
    fn kmem_alloc(size: usize, flags: u64) -> u64 {
        alloc(size, flags)
    }

    fn kmem_zalloc(size: usize, flags: u64) -> u64 {
        let address = alloc(size, flags);
        if address != 0 {
            crate::memory::fill(address, 0, size);
        }
        address
    }

    fn kmem_free(address: u64, size: usize) {
        if (address, size) != (0, 0) {
            free(Source::General, address, size);
        }
    }
}
