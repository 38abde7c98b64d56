// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `netstack_*`: the IP stacks of a machine. A stack is held while a module
//! has a pointer to it, and a walk over all of them ends with
//! `netstack_next_fini`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use super::imports;
use crate::context::{here, must_be_able_to_sleep};
use crate::fault::{self, fault};
use crate::locks::lock;
use crate::memory;

/// The stack of the global zone, which never goes.
const GLOBAL_NETSTACKID: i32 = 0;

/// The eight-byte words of the largest `netstack_t`.
const WORDS: usize = 35;
/// What the private members hold: no pointer and no plausible number.
const PRIVATE: u64 = 0xdead_5ace_dead_5ace;

/// Where a build of illumos keeps `netstack_stackid` in a `netstack_t`. All
/// other members are private, and this one has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetstackLayout {
    /// At byte 248, as in January 2015.
    #[default]
    Of2015,
    /// At byte 256, as in July 2021.
    Of2021,
}

impl NetstackLayout {
    fn stackid(self) -> usize {
        match self {
            Self::Of2015 => 248,
            Self::Of2021 => 256,
        }
    }
}

/// One stack. The memory stays where it is for as long as the machine.
struct Stack {
    id: i32,
    memory: Box<[u64; WORDS]>,
    /// The places in modules that took the holds there are.
    holders: Vec<u64>,
    /// The zone is gone: found no more, and gone too once nobody holds it.
    closing: bool,
}

impl Stack {
    fn new(id: i32, layout: NetstackLayout) -> Self {
        let mut memory = Box::new([PRIVATE; WORDS]);
        let word = &mut memory[layout.stackid() / 8];
        *word = *word & !0xffff_ffff | u64::from(id as u32);
        Self {
            id,
            memory,
            holders: Vec::new(),
            closing: false,
        }
    }

    fn address(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    fn hold(&mut self) -> u64 {
        self.holders.push(fault::caller_address());
        self.address()
    }

    /// A freed one: a module that reads it finds no stack id.
    fn freed(mut self) -> Self {
        self.memory.fill(u64::from_le_bytes([0xef; 8]));
        self
    }
}

struct State {
    layout: NetstackLayout,
    /// The last one made comes first, as in the kernel's list.
    stacks: Vec<Stack>,
    freed: Vec<Stack>,
    /// The walks that `netstack_next_init` began: by the address of the
    /// handle, the place that began it.
    walks: BTreeMap<u64, u64>,
}

/// The stacks of one machine.
pub(crate) struct Netstacks(Mutex<State>);

impl Default for Netstacks {
    fn default() -> Self {
        let layout = NetstackLayout::default();
        Self(Mutex::new(State {
            layout,
            stacks: vec![Stack::new(GLOBAL_NETSTACKID, layout)],
            freed: Vec::new(),
            walks: BTreeMap::new(),
        }))
    }
}

impl Netstacks {
    /// Lays all stacks out anew; their holds end.
    pub fn set_layout(&self, layout: NetstackLayout) {
        let mut state = lock(&self.0);
        state.layout = layout;
        for stack in &mut state.stacks {
            assert!(
                stack.holders.is_empty(),
                "set the layout before a module holds a stack"
            );
            *stack = Stack::new(stack.id, layout);
        }
    }

    /// Adds a stack; says whether there was none of that id.
    pub fn add(&self, id: i32) -> bool {
        let mut state = lock(&self.0);
        let is_new = !state.stacks.iter().any(|stack| stack.id == id);
        if is_new {
            let stack = Stack::new(id, state.layout);
            state.stacks.insert(0, stack);
        }
        is_new
    }

    /// Ends a stack; says whether there was one of that id. It stays while it
    /// is held, but nobody finds it.
    pub fn remove(&self, id: i32) -> bool {
        let mut state = lock(&self.0);
        let Some(stack) = state
            .stacks
            .iter_mut()
            .find(|stack| stack.id == id && !stack.closing)
        else {
            return false;
        };
        stack.closing = true;
        state.free_unheld();
        true
    }

    /// The ids that a walk finds, in its order.
    pub fn ids(&self) -> Vec<i32> {
        let state = lock(&self.0);
        let open = state.stacks.iter().filter(|stack| !stack.closing);
        open.map(|stack| stack.id).collect()
    }

    fn find(&self, id: i32) -> u64 {
        let mut state = lock(&self.0);
        state
            .stacks
            .iter_mut()
            .find(|stack| stack.id == id && !stack.closing)
            .map_or(0, Stack::hold)
    }

    /// The first stack that is open at or after `index`, held, and the index
    /// after it.
    fn next(&self, index: usize) -> Option<(u64, usize)> {
        let mut state = lock(&self.0);
        let (index, stack) = state
            .stacks
            .iter_mut()
            .enumerate()
            .skip(index)
            .find(|(_, stack)| !stack.closing)?;
        Some((stack.hold(), index + 1))
    }

    /// Takes one more hold for whoever has one.
    fn hold(&self, address: u64) -> bool {
        let mut state = lock(&self.0);
        let stack = state.stacks.iter_mut().find(|stack| stack.is_held(address));
        stack.map(Stack::hold).is_some()
    }

    /// Gives one hold back; `false` if there was none.
    fn release(&self, address: u64) -> bool {
        let mut state = lock(&self.0);
        let Some(stack) = state.stacks.iter_mut().find(|stack| stack.is_held(address)) else {
            return false;
        };
        stack.holders.pop();
        state.free_unheld();
        true
    }

    fn begin(&self, handle: u64) -> bool {
        lock(&self.0)
            .walks
            .insert(handle, fault::caller_address())
            .is_none()
    }

    fn is_walking(&self, handle: u64) -> bool {
        lock(&self.0).walks.contains_key(&handle)
    }

    fn end(&self, handle: u64) -> bool {
        lock(&self.0).walks.remove(&handle).is_some()
    }

    /// Gives back what code in `text` holds, and returns the stack ids, once
    /// for each hold, and the places that began walks and did not end them.
    pub fn take_of(&self, text: &Range<u64>) -> (Vec<i32>, Vec<u64>) {
        let mut state = lock(&self.0);
        let mut held = Vec::new();
        for stack in &mut state.stacks {
            let left = stack.holders.extract_if(.., |by| text.contains(by)).count();
            held.extend(std::iter::repeat_n(stack.id, left));
        }
        state.free_unheld();
        let walks = state
            .walks
            .extract_if(.., |_, by| text.contains(by))
            .map(|(_, by)| by)
            .collect();
        (held, walks)
    }
}

impl Stack {
    fn is_held(&self, address: u64) -> bool {
        self.address() == address && !self.holders.is_empty()
    }
}

impl State {
    fn free_unheld(&mut self) {
        let gone = self
            .stacks
            .extract_if(.., |stack| stack.closing && stack.holders.is_empty());
        self.freed.extend(gone.map(Stack::freed));
    }
}

/// Faults unless a walk with this handle is under way.
fn must_walk(what: &str, handle: u64) {
    if !here().machine.netstacks.is_walking(handle) {
        fault!("{what}: no netstack_next_init began a walk with the handle at {handle:#x}");
    }
}

imports! {
    fn netstack_next_init(handle: u64) {
        must_be_able_to_sleep("netstack_next_init");
        memory::write(handle, 0i32);
        if !here().machine.netstacks.begin(handle) {
            fault!("netstack_next_init: the walk with the handle at {handle:#x} has not ended");
        }
    }

    fn netstack_next(handle: u64) -> u64 {
        must_be_able_to_sleep("netstack_next");
        must_walk("netstack_next", handle);
        let index: i32 = memory::read(handle);
        let Ok(index) = usize::try_from(index) else {
            fault!("netstack_next: {index} in the handle at {handle:#x} is from nobody here");
        };
        let Some((stack, next)) = here().machine.netstacks.next(index) else {
            return 0;
        };
        memory::write(handle, next as i32);
        stack
    }

    fn netstack_next_fini(handle: u64) {
        must_be_able_to_sleep("netstack_next_fini");
        must_walk("netstack_next_fini", handle);
        here().machine.netstacks.end(handle);
    }

    fn netstack_find_by_stackid(id: i32) -> u64 {
        must_be_able_to_sleep("netstack_find_by_stackid");
        here().machine.netstacks.find(id)
    }

    fn netstack_hold(stack: u64) {
        if !here().machine.netstacks.hold(stack) {
            fault!("netstack_hold: {stack:#x} is no netstack that is held");
        }
    }

    fn netstack_rele(stack: u64) {
        must_be_able_to_sleep("netstack_rele");
        if !here().machine.netstacks.release(stack) {
            fault!("netstack_rele: {stack:#x} is no netstack that is held");
        }
    }
}
