// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What mutexes and reader/writer locks share: where threads wait for them,
//! who holds what, in which order they are taken, and which exist.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::context::{Frame, here};
use crate::fault::{self, fault};
use crate::machine::Machine;
use crate::stack;

/// Locks a mutex of the host; a thread that faulted leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread as a mutex owner: a multiple of 64 that looks like a kernel
/// address, as a `kthread_t *` does.
#[inline]
pub(crate) fn current_thread() -> u64 {
    const FIRST: u64 = 0xffff_ff01_0000_0000;
    static NEXT: AtomicU64 = AtomicU64::new(FIRST);
    let cpu = stack::cpu();
    // SAFETY: the block is this thread's own.
    unsafe {
        if (*cpu).thread == 0 {
            (*cpu).thread = NEXT.fetch_add(64, Ordering::Relaxed);
        }
        (*cpu).thread
    }
}

/// Is `word` a value that [`current_thread`] gives to some thread?
pub(crate) fn is_thread(word: u64) -> bool {
    word >> 32 == 0xffff_ff01 && word.is_multiple_of(64)
}

/// How a thread holds a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hold {
    Mutex,
    Reader,
    Writer,
}

thread_local! {
    /// The module locks that this thread holds, oldest first, with the
    /// machine that each is of.
    static HELD: RefCell<Vec<(u64, Hold, *const Machine)>> = const { RefCell::new(Vec::new()) };
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
    let outer = WORK.replace(Some(work));
    let result = body();
    WORK.set(outer);
    result
}

/// Does this thread do that work?
pub(crate) fn does(work: Work) -> bool {
    WORK.get() == Some(work)
}

pub(crate) fn held_count() -> usize {
    HELD.with_borrow(Vec::len)
}

/// Drops what an abandoned call took.
pub(crate) fn forget_held(count: usize) {
    HELD.with_borrow_mut(|held| held.truncate(count));
}

/// Names the locks taken since there were `count`.
pub(crate) fn describe_held(machine: &Machine, count: usize) -> String {
    let addresses: Vec<u64> =
        HELD.with_borrow(|held| held.iter().skip(count).map(|entry| entry.0).collect());
    addresses
        .iter()
        .map(|&address| machine.locks.name(machine, address))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The mutexes of a machine that this thread holds.
pub(crate) fn held_mutexes(machine: &Machine) -> Vec<u64> {
    HELD.with_borrow(|held| {
        let is_mutex = |entry: &&(u64, Hold, *const Machine)| {
            entry.1 == Hold::Mutex && std::ptr::eq(entry.2, machine)
        };
        held.iter().filter(is_mutex).map(|entry| entry.0).collect()
    })
}

/// Forgets what this thread holds in a machine that is switched off.
pub(crate) fn forget_machine(machine: &Machine) {
    HELD.with_borrow_mut(|held| held.retain(|entry| !std::ptr::eq(entry.2, machine)));
}

/// A lock in `range` that this thread holds.
pub(crate) fn held_within(range: &Range<u64>) -> Option<u64> {
    HELD.with_borrow(|held| {
        let mut addresses = held.iter().map(|entry| entry.0);
        addresses.find(|address| range.contains(address))
    })
}

/// How this thread holds the lock at `address`, if it does.
pub(crate) fn holds(address: u64) -> Option<Hold> {
    HELD.with_borrow(|held| {
        held.iter()
            .rev()
            .find(|entry| entry.0 == address)
            .map(|entry| entry.1)
    })
}

/// Notes that this thread took the lock, after checking the order.
#[inline]
pub(crate) fn took(frame: &Frame<'_>, address: u64, hold: Hold) {
    HELD.with_borrow_mut(|held| held.push((address, hold, frame.machine)));
}

/// Notes that this thread gave the lock back.
#[inline]
pub(crate) fn gave_back(address: u64) {
    HELD.with_borrow_mut(|held| {
        if let Some(index) = held.iter().rposition(|entry| entry.0 == address) {
            held.remove(index);
        }
    });
}

/// Changes how this thread holds the lock.
pub(crate) fn now_holds(address: u64, hold: Hold) {
    HELD.with_borrow_mut(|held| {
        if let Some(entry) = held.iter_mut().rev().find(|entry| entry.0 == address) {
            entry.1 = hold;
        }
    });
}

/// A lock in the order graph.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
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
fn new_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A lock that was initialised and not destroyed.
pub(crate) struct Live {
    /// `mutex` or `rwlock`.
    pub kind: &'static str,
    /// The place in a module that initialised it.
    pub by: u64,
}

const TURNSTILES: usize = 16;

/// Those who wait for some locks.
#[derive(Default)]
struct Queue {
    /// Background threads that have waited so long that time may pass.
    resting: usize,
    /// Counts how often a lock was given back.
    turn: u64,
}

/// The locks of one machine.
pub(crate) struct Locks {
    live: Mutex<BTreeMap<u64, Live>>,
    /// Pairs "the second was taken while the first was held".
    order: Mutex<HashSet<(Node, Node)>>,
    /// Changes when pairs are forgotten.
    epoch: AtomicU64,
    turnstiles: [(Mutex<Queue>, Condvar); TURNSTILES],
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            live: Mutex::default(),
            order: Mutex::default(),
            epoch: AtomicU64::new(new_epoch()),
            turnstiles: Default::default(),
        }
    }
}

impl Locks {
    /// The queue of the lock at `address`.
    fn turnstile(&self, address: u64) -> &(Mutex<Queue>, Condvar) {
        &self.turnstiles[(address as usize >> 3) % TURNSTILES]
    }

    /// Runs `attempt` until it gives a value, sleeping in between until some
    /// lock of the queue is given back. Each attempt excludes [`Locks::wake`].
    pub fn wait<R>(
        &self,
        machine: &Machine,
        address: u64,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> R {
        // A halted machine gives nothing back any more; and the owner may be
        // waiting for a time that only passes if everybody waits.
        const RECHECK: Duration = Duration::from_millis(20);
        let (mutex, given_back) = self.turnstile(address);
        let mut queue = lock(mutex);
        let mut resting = None;
        loop {
            if let Some(value) = attempt() {
                if resting == Some(queue.turn) {
                    queue.resting -= 1;
                    machine.sched.resume(1);
                }
                return value;
            }
            if let Err(fault) = machine.check_running() {
                drop(queue);
                fault::throw(fault);
            }
            let (held, waited) = given_back
                .wait_timeout(queue, RECHECK)
                .unwrap_or_else(PoisonError::into_inner);
            queue = held;
            if waited.timed_out() {
                if resting != Some(queue.turn) && machine.sched.rest() {
                    queue.resting += 1;
                    resting = Some(queue.turn);
                }
                drop(queue);
                machine.sched.pass_if_idle(machine);
                queue = lock(mutex);
            }
        }
    }

    /// Runs `change` and wakes whoever waits for the lock at `address`.
    pub fn wake<R>(&self, machine: &Machine, address: u64, change: impl FnOnce() -> R) -> R {
        let (mutex, given_back) = self.turnstile(address);
        let mut queue = lock(mutex);
        let value = change();
        queue.turn += 1;
        machine.sched.resume(std::mem::take(&mut queue.resting));
        drop(queue);
        given_back.notify_all();
        value
    }

    /// Notes a new lock.
    pub fn add(&self, machine: &Machine, address: u64, kind: &'static str) {
        let live = Live {
            kind,
            by: fault::caller_address(),
        };
        let known = lock(&self.live).insert(address, live);
        if let Some(known) = known {
            fault!(
                "{kind} at {address:#x} is initialised again; {} did it before and nobody destroyed it",
                machine.place(known.by)
            );
        }
    }

    /// Forgets a lock. False: nobody has initialised it.
    pub fn remove(&self, address: u64) -> bool {
        let known = lock(&self.live).remove(&address).is_some();
        let node = Node::Module(address);
        lock(&self.order).retain(|pair| pair.0 != node && pair.1 != node);
        self.epoch.store(new_epoch(), Ordering::Relaxed);
        known
    }

    /// Describes a live lock inside `range`.
    pub fn within(&self, machine: &Machine, range: Range<u64>) -> Option<String> {
        let live = lock(&self.live);
        let (address, lock) = live.range(range).next()?;
        Some(format!(
            "{} at {address:#x} that {} initialised",
            lock.kind,
            machine.place(lock.by)
        ))
    }

    /// Forgets in which order the locks in `range` were taken: their memory goes.
    pub fn forget_order(&self, range: &Range<u64>) {
        let is_there = |node: &Node| match node {
            Node::Module(address) | Node::Work(Work::Callout(address)) => range.contains(address),
            _ => false,
        };
        lock(&self.order).retain(|pair| !is_there(&pair.0) && !is_there(&pair.1));
        self.epoch.store(new_epoch(), Ordering::Relaxed);
    }

    /// Forgets the live locks that code in `text` initialised, and returns
    /// them with their addresses.
    pub fn take_of(&self, text: &Range<u64>) -> Vec<(u64, Live)> {
        lock(&self.live)
            .extract_if(.., |_, lock| text.contains(&lock.by))
            .collect()
    }

    /// A name for people: the variable if it is one, and the address.
    pub fn name(&self, machine: &Machine, address: u64) -> String {
        match machine.variable_at(address) {
            Some(variable) => format!("{variable} ({address:#x})"),
            None => format!("lock at {address:#x}"),
        }
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
