// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The kernel's adaptive mutex around a value.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr;

use super::sys;

/// A value behind a `kmutex_t` of type `MUTEX_DEFAULT` with a NULL cookie:
/// adaptive, and for interrupt threads up to level 10 too.
///
/// A fresh one is all zeros, which on amd64 is an unlocked adaptive mutex;
/// [`KMutex::init`] is what mutex_init(9F) asks for all the same.
#[repr(C)]
pub struct KMutex<T> {
    raw: UnsafeCell<sys::kmutex_t>,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex hands out the value to one thread at a time, which moves
// it between threads: that asks for T: Send and for nothing else.
unsafe impl<T: Send> Sync for KMutex<T> {}

// SAFETY: the word of the mutex is no pointer to anything of the thread that
// made it, and the value may move by T: Send.
unsafe impl<T: Send> Send for KMutex<T> {}

impl<T> KMutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self {
            raw: UnsafeCell::new(sys::kmutex_t {
                _opaque: [ptr::null_mut()],
            }),
            value: UnsafeCell::new(value),
        }
    }

    /// Initialises the mutex, which must not move any more. Does not sleep.
    ///
    /// # Safety
    ///
    /// Nobody has locked it yet.
    pub unsafe fn init(&self) {
        // SAFETY: by the caller's promise nobody holds or waits for the mutex;
        // name and cookie may be NULL.
        unsafe {
            sys::mutex_init(
                self.raw.get(),
                ptr::null_mut(),
                sys::MUTEX_DEFAULT,
                ptr::null_mut(),
            );
        }
    }

    /// Waits for the mutex. May block behind its holder, never for memory or
    /// I/O, since no holder of ours waits for either.
    pub fn lock(&self) -> Guard<'_, T> {
        // SAFETY: zeroed or initialised, eight-byte aligned by its type, and
        // alive as long as self.
        unsafe { sys::mutex_enter(self.raw.get()) };
        Guard {
            mutex: self,
            not_send: PhantomData,
        }
    }

    /// The end of the mutex's life; the value stays.
    ///
    /// # Safety
    ///
    /// Nobody holds it, waits for it, or will lock it again.
    pub unsafe fn destroy(&self) {
        // SAFETY: nobody uses it now or later, as the caller promises.
        unsafe { sys::mutex_destroy(self.raw.get()) };
    }
}

/// Access to the value; unlocks when dropped. Not `Send`: the kernel panics
/// when another thread than the owner leaves a mutex.
#[must_use = "the mutex is unlocked when the guard is dropped"]
pub struct Guard<'a, T> {
    mutex: &'a KMutex<T>,
    not_send: PhantomData<*mut ()>,
}

impl<T> Guard<'_, T> {
    /// The mutex, which this thread owns while the guard lives.
    pub(super) fn raw(&mut self) -> *mut sys::kmutex_t {
        self.mutex.raw.get()
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this thread owns the mutex while the guard lives.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this thread owns the mutex while the guard lives, and the
        // guard is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: entered in `lock` by this thread, as the guard is not Send.
        unsafe { sys::mutex_exit(self.mutex.raw.get()) };
    }
}
