// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A value that is set once, while the module is loaded.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::mutex::SpinMutex;

/// A cell that is empty until it is set and never changes afterwards.
///
/// `spin::Once` would do, had it no panic path for a poisoned cell. Its mutex
/// has none, and here nobody ever waits for it: a setter that finds it taken
/// has lost.
///
/// # Invariants
///
/// `value` is written only with the gate held and `ready` false; while `ready`
/// is true it is `Some`, and only read.
pub struct Once<T> {
    gate: SpinMutex<()>,
    ready: AtomicBool,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: the value moves to the cell from the thread that sets it (Send) and
// is shared from then on (Sync); the invariant rules a write beside reads out.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// An empty cell.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            gate: SpinMutex::new(()),
            ready: AtomicBool::new(false),
            value: UnsafeCell::new(None),
        }
    }

    /// Sets the value and returns it. `None`: somebody else was first, and
    /// `value` is dropped.
    pub fn set(&self, value: T) -> Option<&T> {
        self.set_with(|| value)
    }

    /// Sets the value to what `make` makes, in place, and returns it. `None`:
    /// somebody else was first.
    #[inline]
    pub fn set_with(&self, make: impl FnOnce() -> T) -> Option<&T> {
        let gate = self.gate.try_lock()?;
        if self.ready.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: the gate is held and `ready` is false, so nobody reads or
        // writes the value, which is None and needs no drop.
        unsafe { self.value.get().write(Some(make())) };
        self.ready.store(true, Ordering::Release);
        drop(gate);
        self.get()
    }

    /// Takes the value out.
    ///
    /// # Safety
    ///
    /// Nobody uses the value or the cell, now or later.
    pub unsafe fn take(&self) -> Option<T> {
        self.ready.store(false, Ordering::Release);
        // SAFETY: as the caller promises, nobody reads or writes beside.
        unsafe { (*self.value.get()).take() }
    }

    /// The value, once it is set. One atomic load.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.ready.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `ready` is true, so nobody writes the value any more, and it
        // is there: it is set before `ready` is, and taken after.
        Some(unsafe { (*self.value.get()).as_ref().unwrap_unchecked() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays() {
        let cell = Once::empty();
        assert_eq!(cell.get(), None);
        assert_eq!(cell.set(1), Some(&1));
        assert_eq!(cell.set(2), None);
        assert_eq!(cell.get(), Some(&1));
    }
}
