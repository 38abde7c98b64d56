// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `kmem_*`: accounts, guards on both sides, poison and quarantine.

use std::alloc::{self, Layout};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Mutex;

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::{self, fault};
use crate::kernel::Machine;
use crate::locks::lock;

const KM_NOSLEEP: u64 = 1;
const KM_PUSHPAGE: u64 = 4;
const KM_NORMALPRI: u64 = 8;

const UNINITIALISED: [u8; 4] = 0xbadd_cafe_u32.to_le_bytes();
const FREED: [u8; 4] = 0xdead_beef_u32.to_le_bytes();
const GUARD: u8 = 0xbb;

/// The alignment that sizes of whole cache lines get.
const LINE: usize = 64;
/// Bytes before a block: its address is then an odd multiple of 8 unless its
/// size asks for more, so that nobody comes to rely on more.
const BEFORE: usize = LINE + 8;
const BEFORE_ALIGNED: usize = LINE;
const AFTER: usize = 64;

/// No machine has more than this to give.
const MEMORY: usize = 1 << 30;
const QUARANTINE_BLOCKS: usize = 4096;
const QUARANTINE_BYTES: usize = 16 << 20;

/// One block with its guards.
struct Block {
    base: *mut u8,
    layout: Layout,
    before: usize,
    size: usize,
    /// The places in a module that allocated it and freed it.
    allocated_by: u64,
    freed_by: u64,
}

// SAFETY: a block owns its memory; only the accounts' lock gives access.
unsafe impl Send for Block {}

impl Block {
    fn new(size: usize, allocated_by: u64) -> Self {
        let before = if size.is_multiple_of(LINE) {
            BEFORE_ALIGNED
        } else {
            BEFORE
        };
        let layout = Layout::from_size_align(before + size + AFTER, LINE)
            .expect("sizes are limited by MEMORY");
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc::alloc(layout) };
        if base.is_null() {
            alloc::handle_alloc_error(layout);
        }
        let mut block = Self {
            base,
            layout,
            before,
            size,
            allocated_by,
            freed_by: 0,
        };
        let payload = before..before + size;
        let all = block.all();
        all.fill(GUARD);
        fill_pattern(&mut all[payload], UNINITIALISED);
        block
    }

    fn address(&self) -> u64 {
        self.base as u64 + self.before as u64
    }

    fn range(&self) -> Range<u64> {
        self.address()..self.address() + self.size as u64
    }

    /// The whole memory. The module may be writing to its part only if it is
    /// at fault already.
    fn all(&mut self) -> &mut [u8] {
        // SAFETY: base and layout are those of the allocation, all of which
        // was initialised by new (which calls this first to fill it: alloc
        // gave at least uninitialised bytes that fill overwrites unread).
        unsafe { std::slice::from_raw_parts_mut(self.base, self.layout.size()) }
    }

    /// The offset from the block's first byte of a guard that was written to.
    fn damage(&mut self) -> Option<isize> {
        let (before, size) = (self.before, self.size);
        self.all()
            .iter()
            .enumerate()
            .find(|&(at, &byte)| !(before..before + size).contains(&at) && byte != GUARD)
            .map(|(at, _)| at as isize - before as isize)
    }

    /// The offset of a byte that was written to after the block was freed.
    fn written_after_free(&mut self) -> Option<usize> {
        let payload = self.before..self.before + self.size;
        self.all()[payload]
            .iter()
            .zip(FREED.iter().cycle())
            .position(|(byte, freed)| byte != freed)
    }

    fn poison(&mut self) {
        let payload = self.before..self.before + self.size;
        fill_pattern(&mut self.all()[payload], FREED);
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: base came from alloc with this layout.
        unsafe { alloc::dealloc(self.base, self.layout) };
    }
}

fn fill_pattern(bytes: &mut [u8], pattern: [u8; 4]) {
    for chunk in bytes.chunks_mut(4) {
        chunk.copy_from_slice(&pattern[..chunk.len()]);
    }
}

#[derive(Default)]
struct State {
    live: BTreeMap<u64, Block>,
    in_use: usize,
    quarantine: VecDeque<Block>,
    quarantined: usize,
    allocations: u64,
    /// Allocations that may still fail before one does.
    until_failure: Option<u64>,
    all_fail: bool,
}

/// The memory of one machine.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<State>);

/// What is wrong with memory, in words.
type Complaint = String;

impl Accounts {
    /// Bytes allocated and not freed.
    pub fn in_use(&self) -> usize {
        lock(&self.0).in_use
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

    fn allocate(&self, size: usize, may_fail: bool, by: u64) -> Option<u64> {
        let mut state = lock(&self.0);
        state.allocations += 1;
        if may_fail && state.is_failure_due() {
            return None;
        }
        if size > MEMORY - state.in_use {
            if may_fail {
                return None;
            }
            drop(state);
            fault!("kmem_alloc: {size} bytes with KM_SLEEP would wait for ever");
        }
        let block = Block::new(size, by);
        let address = block.address();
        state.in_use += size;
        state.live.insert(address, block);
        Some(address)
    }

    fn free(&self, machine: &Machine, address: u64, size: usize, by: u64) -> Result<(), Complaint> {
        let mut state = lock(&self.0);
        let Some(mut block) = state.live.remove(&address) else {
            return Err(state.explain_unknown(machine, address));
        };
        state.in_use -= block.size;
        let allocated_by = block.allocated_by;
        if block.size != size {
            return Err(format!(
                "kmem_free: {size} bytes at {address:#x}, but {} allocated {}",
                machine.place(allocated_by),
                block.size
            ));
        }
        if let Some(offset) = block.damage() {
            return Err(format!(
                "kmem_free: redzone of the {size} bytes at {address:#x} that {} allocated was written to, at offset {offset}",
                machine.place(allocated_by)
            ));
        }
        block.poison();
        block.freed_by = by;
        state.quarantined += size;
        state.quarantine.push_back(block);
        while state.quarantine.len() > QUARANTINE_BLOCKS || state.quarantined > QUARANTINE_BYTES {
            let Some(mut oldest) = state.quarantine.pop_front() else {
                break;
            };
            state.quarantined -= oldest.size;
            if let Some(complaint) = complain_if_written(machine, &mut oldest) {
                return Err(complaint);
            }
        }
        Ok(())
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
        state.in_use -= left.iter().map(|block| block.size).sum::<usize>();
        left.iter()
            .map(|block| (block.address(), block.size, block.allocated_by))
            .collect()
    }
}

impl State {
    fn is_failure_due(&mut self) -> bool {
        let due = self.until_failure == Some(0);
        self.until_failure = self.until_failure.and_then(|left| left.checked_sub(1));
        due || self.all_fail
    }

    fn explain_unknown(&self, machine: &Machine, address: u64) -> Complaint {
        let freed = self
            .quarantine
            .iter()
            .rev()
            .find(|block| block.address() == address);
        if let Some(block) = freed {
            return format!(
                "kmem_free: {address:#x} was freed already, by {}",
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
                "kmem_free: {address:#x} is inside the {} bytes at {start:#x}",
                block.size
            ),
            None => format!("kmem_free: {address:#x} was never allocated"),
        }
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

/// Allocates for the current import, as `kmem_alloc` does.
pub(crate) fn allocate(size: usize, flags: u64) -> u64 {
    let flags = flags & 0xffff_ffff;
    if flags & !(KM_NOSLEEP | KM_PUSHPAGE | KM_NORMALPRI) != 0 {
        fault!("kmem_alloc: unknown flags {flags:#x}");
    }
    let may_fail = flags & KM_NOSLEEP != 0;
    if !may_fail {
        must_be_able_to_sleep("kmem_alloc with KM_SLEEP");
    }
    if size == 0 {
        return 0;
    }
    here()
        .machine
        .memory
        .allocate(size, may_fail, fault::caller_address())
        .unwrap_or(0)
}

/// Frees for the current import, as `kmem_free` does.
pub(crate) fn free(address: u64, size: usize) {
    if address == 0 && size == 0 {
        return;
    }
    let machine = here().machine;
    if let Some(held) = machine
        .locks
        .within(machine, address..address.saturating_add(size as u64))
    {
        fault!("kmem_free: {size} bytes at {address:#x} hold a {held} and nobody destroyed");
    }
    let by = fault::caller_address();
    if let Err(complaint) = machine.memory.free(machine, address, size, by) {
        fault!("{complaint}");
    }
}

imports! {
    fn kmem_alloc(size: usize, flags: u64) -> u64 {
        allocate(size, flags)
    }

    fn kmem_zalloc(size: usize, flags: u64) -> u64 {
        let address = allocate(size, flags);
        if address != 0 {
            crate::memory::fill(address, 0, size);
        }
        address
    }

    fn kmem_free(address: u64, size: usize) {
        free(address, size);
    }
}
