// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! In which order locks are taken, and waits for work that takes some are begun.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::held::HELD;
use super::{Locks, lock};
use crate::context::{Frame, here};
use crate::fault::fault;
use crate::machine::Machine;

thread_local! {
    /// The work that this thread does and others wait for.
    static WORK: Cell<Option<Work>> = const { Cell::new(None) };
}

/// Work of a module whose end another thread waits for: so it must not take a
/// lock that is held by whoever waits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// A callout, by its function; untimeout waits.
    Callout(u64),
    /// A task of the queue with this handle.
    Tasks(u64),
    /// The update of a kstat by its address; kstat_delete waits.
    Update(u64),
}

/// Runs `body` as this work.
pub(crate) fn doing<R>(work: Work, body: impl FnOnce() -> R) -> R {
    let _ends = Doing(WORK.replace(Some(work)));
    body()
}

/// The work of this thread before, and again when this is dropped.
struct Doing(Option<Work>);

impl Drop for Doing {
    fn drop(&mut self) {
        WORK.set(self.0);
    }
}

/// Does this thread do that work?
pub(crate) fn does(work: Work) -> bool {
    WORK.get() == Some(work)
}

/// A lock in the order graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Named(&'static str),
    Module(u64),
    Work(Work),
}

/// A pair that was found in order, in an epoch of a machine.
type Checked = (u64, Node, Node);

/// Where a pair is remembered.
fn slot_of(held: Node, taken: Node) -> usize {
    let place = |node: Node| match node {
        Node::Named(name) => name.as_ptr() as u64,
        Node::Module(address) => address,
        Node::Work(Work::Callout(key) | Work::Tasks(key) | Work::Update(key)) => key,
    };
    let mixed = ((place(held) >> 1) ^ place(taken)) >> 3;
    (mixed ^ (mixed >> 6)) as usize % CHECKED_PAIRS
}

const CHECKED_PAIRS: usize = 64;

thread_local! {
    /// Pairs that this thread found in order lately.
    static CHECKED: RefCell<[Option<Checked>; CHECKED_PAIRS]> =
        const { RefCell::new([None; CHECKED_PAIRS]) };
}

/// A number that no machine has used before.
pub(super) fn new_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl Locks {
    /// Forgets in which order the locks in `range` were taken: their memory goes.
    pub fn forget_order(&self, range: &Range<u64>) {
        let is_there = |node: &Node| match node {
            Node::Module(address) | Node::Work(Work::Callout(address)) => range.contains(address),
            _ => false,
        };
        lock(&self.order).retain(|pair| !is_there(&pair.0) && !is_there(&pair.1));
        self.epoch.store(new_epoch(), Ordering::Relaxed);
    }

    /// Checks that the lock at `address` may be taken while this thread and
    /// its caller hold what they hold.
    #[inline]
    pub fn check_order(&self, frame: &Frame<'_>, address: u64) {
        let holds_some = HELD.with_borrow(|held| !held.is_empty());
        if holds_some || !frame.context.locks.is_empty() || WORK.get().is_some() {
            self.check_after(frame, Node::Module(address));
        }
    }

    /// Checks that this thread may wait for the end of some work: that holds no
    /// lock which the work takes.
    pub fn check_wait(&self, work: Work) {
        self.check_after(here(), Node::Work(work));
    }

    /// The same for a lock of the caller's: no lock of a module may be held
    /// that is elsewhere taken inside this one.
    pub fn check_named(&self, name: &'static str) {
        self.check_after(here(), Node::Named(name));
    }

    fn check_after(&self, frame: &Frame<'_>, taken: Node) {
        for &name in &frame.context.locks {
            self.check_pair(frame.machine, Node::Named(name), taken);
        }
        if let Some(work) = WORK.get() {
            self.check_pair(frame.machine, Node::Work(work), taken);
        }
        let mut index = 0;
        loop {
            let next = HELD.with_borrow(|held| held.get(index).copied());
            let Some((address, _, machine)) = next else {
                break;
            };
            if std::ptr::eq(machine, frame.machine) {
                self.check_pair(frame.machine, Node::Module(address), taken);
            }
            index += 1;
        }
    }

    /// Checks and remembers that `taken` was taken while `held` was held.
    fn check_pair(&self, machine: &Machine, held: Node, taken: Node) {
        let entry = (self.epoch.load(Ordering::Relaxed), held, taken);
        let slot = slot_of(held, taken);
        if held == taken || CHECKED.with_borrow(|checked| checked[slot] == Some(entry)) {
            return;
        }
        let mut order = lock(&self.order);
        if !order.contains(&(held, taken)) {
            if reaches(&order, taken, held) {
                drop(order);
                fault!(
                    "lock order: {} is taken while {} is held, and elsewhere it is the other way round",
                    self.node_name(machine, taken),
                    self.node_name(machine, held)
                );
            }
            order.insert((held, taken));
        }
        drop(order);
        CHECKED.with_borrow_mut(|checked| checked[slot] = Some(entry));
    }

    fn node_name(&self, machine: &Machine, node: Node) -> String {
        match node {
            Node::Named(name) => name.to_owned(),
            Node::Module(address) => self.name(machine, address),
            Node::Work(Work::Callout(function)) => {
                format!("the end of the callout {}", machine.place(function))
            }
            Node::Work(Work::Tasks(queue)) => {
                format!(
                    "the end of the tasks of {}",
                    machine.task_queues.name(queue)
                )
            }
            Node::Work(Work::Update(kstat)) => {
                format!("the end of the update of {}", machine.kstats.name(kstat))
            }
        }
    }
}

/// Does a chain of "taken while held" lead from `from` to `to`?
fn reaches(order: &HashSet<(Node, Node)>, from: Node, to: Node) -> bool {
    let mut after: HashMap<Node, Vec<Node>> = HashMap::new();
    for &(held, taken) in order {
        after.entry(held).or_default().push(taken);
    }
    let mut seen = HashSet::from([from]);
    let mut pending = vec![from];
    while let Some(node) = pending.pop() {
        if node == to {
            return true;
        }
        for &next in after.get(&node).into_iter().flatten() {
            if seen.insert(next) {
                pending.push(next);
            }
        }
    }
    false
}
