// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Threads of the module: what may take a while is done here, never in a hook.

use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use super::condvar::Condvar;
use super::errno::Errno;
use super::mutex::KMutex;
use super::{sys, time};

/// What a thread does: one piece of work, and how long it may rest afterwards.
pub type Work = fn() -> Duration;

/// A thread that works when it has rested, and at once when it is woken.
///
/// It is the one task of a task queue with one thread: the documented way to
/// have a thread that can be joined.
///
/// The mutex is innermost: nothing else is locked or called while it is held.
pub struct Task {
    state: KMutex<State>,
    awaited: Condvar,
    /// Work is wanted at once. Set without the mutex, so that waking a task that
    /// was woken already costs one atomic operation.
    wanted: AtomicBool,
}

struct State {
    queue: *mut sys::ddi_taskq_t,
    work: Work,
    stop: bool,
}

// SAFETY: the pointer is a handle that any thread may use.
unsafe impl Send for State {}

impl Task {
    /// A task without a thread, which would do `work` in thread context with
    /// no lock held.
    pub const fn new(work: Work) -> Self {
        Self {
            state: KMutex::new(State {
                queue: ptr::null_mut(),
                work,
                stop: false,
            }),
            awaited: Condvar::zeroed(),
            wanted: AtomicBool::new(false),
        }
    }

    /// Makes the thread, whose first work is done at once. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there can be no thread; then nothing is left behind.
    ///
    /// # Safety
    ///
    /// Called once, by `_init`, before anybody wakes or stops the task.
    pub unsafe fn start(&'static self, name: &CStr) -> Result<(), Errno> {
        // SAFETY: nobody has used the mutex yet.
        unsafe { self.state.init() };
        // SAFETY: nobody has used the condition variable yet.
        unsafe { self.awaited.init() };
        // SAFETY: no device is a possible one; the name is copied.
        let queue = unsafe {
            sys::ddi_taskq_create(
                ptr::null_mut(),
                name.as_ptr(),
                1,
                sys::TASKQ_DEFAULTPRI as sys::pri_t,
                0,
            )
        };
        if queue.is_null() {
            // SAFETY: nobody has been told of the task.
            unsafe { self.destroy() };
            return Err(Errno::NOMEM);
        }
        self.state.lock().queue = queue;
        self.wanted.store(true, Ordering::Release);
        let argument = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: a queue that exists; `run` takes what `argument` points at,
        // which is static.
        let result = unsafe { sys::ddi_taskq_dispatch(queue, Some(run), argument, sys::DDI_SLEEP) };
        if result != sys::DDI_SUCCESS as i32 {
            // SAFETY: nobody has been told of the task, which does not run.
            unsafe { self.stop() };
            return Err(Errno::NOMEM);
        }
        Ok(())
    }

    /// Has the work done soon. Any context, with any lock but those that the
    /// work takes around this call; takes at most one innermost mutex for the
    /// time of a signal, and that once for each piece of work.
    pub fn wake(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            let state = self.state.lock();
            self.awaited.signal();
            drop(state);
        }
    }

    /// Ends the thread and waits until it is gone. Sleeps.
    ///
    /// # Safety
    ///
    /// Called once, after `start` succeeded, and nobody wakes the task any
    /// more.
    pub unsafe fn stop(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        let queue = state.queue;
        self.awaited.signal();
        drop(state);
        // SAFETY: `start` made the queue; this waits for its thread, which
        // ends because of `stop`.
        unsafe { sys::ddi_taskq_destroy(queue) };
        // SAFETY: the thread is gone, and nobody else uses the task, as the
        // caller promises.
        unsafe { self.destroy() };
    }

    /// # Safety
    ///
    /// Nobody uses the task now or later.
    unsafe fn destroy(&self) {
        // SAFETY: nobody uses it now or later, as the caller promises.
        unsafe { self.awaited.destroy() };
        // SAFETY: nobody uses it now or later, as the caller promises.
        unsafe { self.state.destroy() };
    }

    /// Waits for the next piece of work, after one. `None`: there is none any more.
    fn next(&self, rest: Duration) -> Option<Work> {
        let mut state = self.state.lock();
        // Whoever wants work from here on has to wait for the mutex before the
        // signal, and by then this thread waits for it.
        if !state.stop && !self.wanted.load(Ordering::Acquire) {
            self.awaited.wait_for(&mut state, time::ticks(rest));
        }
        // Whoever wants work after this wants it done once more.
        self.wanted.swap(false, Ordering::AcqRel);
        (!state.stop).then_some(state.work)
    }
}

/// The thread.
///
/// # Safety
///
/// `task` is a [`Task`] that `start` was called for.
unsafe extern "C" fn run(task: *mut c_void) {
    // SAFETY: `start` passes a reference that is static.
    let task = unsafe { &*task.cast::<Task>().cast_const() };
    // The first piece of work is wanted already.
    let mut rest = Duration::ZERO;
    while let Some(work) = task.next(rest) {
        rest = work();
    }
}
