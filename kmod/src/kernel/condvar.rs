// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel's condition variable.

use core::cell::UnsafeCell;
use core::ptr;

use super::errno::Errno;
use super::mutex::Guard;
use super::sys;

/// A `kcondvar_t`. A fresh one is all zeros, which is one without waiters;
/// [`Condvar::init`] is what cv_init(9F) asks for all the same.
pub struct Condvar(UnsafeCell<sys::kcondvar_t>);

// SAFETY: the kernel's functions serialise themselves on a condition variable.
unsafe impl Sync for Condvar {}

impl Condvar {
    /// One that nobody waits for.
    pub const fn zeroed() -> Self {
        Self(UnsafeCell::new(sys::kcondvar_t { _opaque: 0 }))
    }

    /// Initialises it; it must not move any more. Does not sleep.
    ///
    /// # Safety
    ///
    /// Nobody waits for it yet.
    pub unsafe fn init(&self) {
        // SAFETY: by the caller's promise nobody uses it; name and argument
        // may be NULL.
        unsafe {
            sys::cv_init(
                self.0.get(),
                ptr::null_mut(),
                sys::CV_DEFAULT,
                ptr::null_mut(),
            )
        };
    }

    /// Waits to be woken, for so many ticks of the kernel's clock at most. The mutex
    /// of `guard` is not held meanwhile. Sleeps: for a thread of our own only.
    pub fn wait_for<T>(&self, guard: &mut Guard<'_, T>, ticks: sys::clock_t) {
        // SAFETY: this thread owns the mutex, and does again on return; the
        // guard is borrowed exclusively, so nobody looks at the value
        // meanwhile through it.
        unsafe {
            sys::cv_reltimedwait(self.0.get(), guard.raw(), ticks, sys::TR_CLOCK_TICK);
        }
    }

    /// Waits to be woken. The mutex of `guard` is not held meanwhile. Sleeps: for
    /// a thread of a program in a system call.
    ///
    /// # Errors
    ///
    /// [`Errno::INTR`] if a signal came.
    pub fn wait_sig<T>(&self, guard: &mut Guard<'_, T>) -> Result<(), Errno> {
        // SAFETY: as in `wait_for`.
        match unsafe { sys::cv_wait_sig(self.0.get(), guard.raw()) } {
            0 => Err(Errno::INTR),
            _ => Ok(()),
        }
    }

    /// Wakes one thread that waits. Any context.
    pub fn signal(&self) {
        // SAFETY: zeroed or initialised, and alive as long as self.
        unsafe { sys::cv_signal(self.0.get()) };
    }

    /// Wakes all threads that wait. Any context.
    pub fn broadcast(&self) {
        // SAFETY: as in `signal`.
        unsafe { sys::cv_broadcast(self.0.get()) };
    }

    /// The end of its life.
    ///
    /// # Safety
    ///
    /// Nobody waits for it or will do so again.
    pub unsafe fn destroy(&self) {
        // SAFETY: nobody uses it now or later, as the caller promises.
        unsafe { sys::cv_destroy(self.0.get()) };
    }
}
