// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What this thread holds.

use std::cell::RefCell;
use std::ops::Range;

use crate::context::Frame;
use crate::machine::Machine;

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
    pub(super) static HELD: RefCell<Vec<(u64, Hold, *const Machine)>> = const { RefCell::new(Vec::new()) };
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
