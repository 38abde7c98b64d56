// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `ddi_taskq_*`: real threads, on the processor of the tasks; and when the
//! tasks are idle, which is when a measurement may begin and a module end.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{imports, thread};
use crate::cpu;

const DDI_SUCCESS: i32 = 0;
const DDI_FAILURE: i32 = -1;

/// How long a module is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long tasks have to wait to be idle, not only between two steps.
const CALM: Duration = Duration::from_millis(30);

/// The threads of all queues.
#[derive(Default)]
struct Threads {
    /// Those that run the module's code or may go on to.
    alive: usize,
    /// Those of them that wait in a kernel function.
    waiting: usize,
    /// Times that one began to wait.
    waits: u64,
    /// The module ends: who waits does not return to it.
    ending: bool,
}

static THREADS: Mutex<Option<Threads>> = Mutex::new(None);

thread_local! {
    static IS_TASK: Cell<bool> = const { Cell::new(false) };
}

/// Is the current thread one of a queue?
pub(super) fn is_task() -> bool {
    IS_TASK.get()
}

fn with_threads<R>(f: impl FnOnce(&mut Threads) -> R) -> R {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    f(threads.get_or_insert_default())
}

/// Notes that a task waits. `step` is called, with at most a short sleep
/// each, until it says that the waiting is over.
pub(super) fn wait(goes_on: bool, mut step: impl FnMut() -> bool) {
    let is_task = IS_TASK.get();
    if is_task {
        with_threads(|threads| {
            threads.waiting += 1;
            threads.waits += u64::from(!goes_on);
        });
    }
    loop {
        if is_task && with_threads(|threads| threads.ending) {
            leave();
        }
        if step() {
            break;
        }
    }
    if is_task {
        // Between step and here the module may have begun to end.
        let ending = with_threads(|threads| {
            if !threads.ending {
                threads.waiting -= 1;
            }
            threads.ending
        });
        if ending {
            leave();
        }
    }
}

/// Never returns to the module, whose code may go away.
fn leave() -> ! {
    IS_TASK.set(false);
    with_threads(|threads| {
        threads.waiting -= 1;
        threads.alive -= 1;
    });
    loop {
        std::thread::park();
    }
}

/// Sleeps as a kernel thread.
pub(super) fn sleep(time: Duration) {
    let end = Instant::now() + time;
    wait(false, || {
        let left = end.saturating_duration_since(Instant::now());
        std::thread::sleep(left.min(Duration::from_millis(20)));
        left.is_zero()
    });
}

/// Waits until all tasks wait, and have for a while. False: they do not.
#[must_use]
pub fn settle() -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let look = || with_threads(|threads| (threads.alive == threads.waiting, threads.waits));
        let before = look();
        std::thread::sleep(CALM);
        if before.0 && look() == before {
            return true;
        }
    }
    false
}

/// Ends all tasks, each where it waits next. False: one does not wait, and
/// the module's memory has to stay.
#[must_use]
pub fn end() -> bool {
    let end = Instant::now() + PATIENCE;
    with_threads(|threads| threads.ending = true);
    while with_threads(|threads| threads.alive) > 0 {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    with_threads(|threads| *threads = Threads::default());
    true
}

type Function = unsafe extern "C" fn(*mut c_void);

#[derive(Clone, Copy)]
struct Job {
    function: Function,
    argument: *mut c_void,
}

// SAFETY: a function and what it is called with; the module that dispatches
// them says that another thread may.
unsafe impl Send for Job {}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    running: usize,
    destroyed: bool,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; None: the queue is destroyed.
    fn next(&self) -> Option<Job> {
        let mut next = None;
        wait(false, || {
            let mut state = self.state();
            if state.jobs.is_empty() && !state.destroyed {
                let short = Duration::from_millis(20);
                let waited = self.changed.wait_timeout(state, short);
                (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            }
            next = state.jobs.pop_front();
            state.running += usize::from(next.is_some());
            next.is_some() || state.destroyed
        });
        next
    }

    fn work(&self) {
        cpu::pin(cpu::of_tasks());
        thread::attach();
        IS_TASK.set(true);
        while let Some(job) = self.next() {
            // SAFETY: what the module dispatched, in a thread that is
            // attached; the module stays while a thread is alive.
            unsafe { (job.function)(job.argument) };
            self.state().running -= 1;
            self.changed.notify_all();
        }
        IS_TASK.set(false);
        with_threads(|threads| threads.alive -= 1);
    }

    fn wait_for_all(&self) {
        wait(false, || {
            let state = self.state();
            if state.jobs.is_empty() && state.running == 0 {
                return true;
            }
            let short = Duration::from_millis(20);
            drop(self.changed.wait_timeout(state, short));
            false
        });
    }
}

extern "C" fn ddi_taskq_create(
    _device: *mut c_void,
    _name: *const u8,
    threads: i32,
    _priority: i32,
    _flags: u32,
) -> *const Queue {
    let queue = Arc::new(Queue::default());
    for _ in 0..threads.clamp(1, 64) {
        let queue = queue.clone();
        with_threads(|threads| threads.alive += 1);
        std::thread::spawn(move || queue.work());
    }
    Arc::into_raw(queue)
}

/// # Safety
/// `queue` is of `ddi_taskq_create` and not destroyed.
unsafe extern "C" fn ddi_taskq_dispatch(
    queue: *const Queue,
    function: Function,
    argument: *mut c_void,
    _flags: u32,
) -> i32 {
    // SAFETY: passed on by the caller.
    let Some(queue) = (unsafe { queue.as_ref() }) else {
        return DDI_FAILURE;
    };
    queue.state().jobs.push_back(Job { function, argument });
    queue.changed.notify_all();
    DDI_SUCCESS
}

/// # Safety
/// As for [`ddi_taskq_dispatch`].
unsafe extern "C" fn ddi_taskq_wait(queue: *const Queue) {
    // SAFETY: passed on by the caller.
    if let Some(queue) = unsafe { queue.as_ref() } {
        queue.wait_for_all();
    }
}

/// # Safety
/// As for [`ddi_taskq_dispatch`], and this is the last call for it.
unsafe extern "C" fn ddi_taskq_destroy(queue: *const Queue) {
    if queue.is_null() {
        return;
    }
    // SAFETY: into_raw of create, used up here once, as the caller promises.
    let queue = unsafe { Arc::from_raw(queue) };
    queue.wait_for_all();
    queue.state().destroyed = true;
    queue.changed.notify_all();
}

imports! {
    ddi_taskq_create => "ddi_taskq_create",
    ddi_taskq_dispatch => "ddi_taskq_dispatch",
    ddi_taskq_wait => "ddi_taskq_wait",
    ddi_taskq_destroy => "ddi_taskq_destroy",
}

#[cfg(test)]
mod tests {
    use super::super::{Kernel, condvar, fast, mutex};
    use super::*;
    use clinet_krtld::Resolve;
    use std::ptr::with_exposed_provenance;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A module's task: it waits for work and counts it.
    #[repr(C)]
    struct Task {
        lock: u64,
        cv: u16,
        work: u64,
        done: AtomicU64,
        ended: AtomicU64,
    }

    unsafe extern "C" fn task(task: *mut c_void) {
        let task = task.cast::<Task>();
        // SAFETY: the test's task, which outlives its threads, and whose
        // `work` is accessed with the lock held only.
        unsafe {
            mutex::enter(&raw mut (*task).lock);
            loop {
                while (*task).work == 0 {
                    condvar::wait(&raw mut (*task).cv, &raw mut (*task).lock, None);
                }
                (*task).work -= 1;
                if (*task).done.fetch_add(1, Ordering::Relaxed) == 2 {
                    break;
                }
            }
            mutex::exit(&raw mut (*task).lock);
            (*task).ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_works_when_signalled_settles_and_ends_where_it_waits() {
        thread::attach();
        let new = || {
            Box::leak(Box::new(Task {
                lock: 0,
                cv: 0,
                work: 0,
                done: AtomicU64::new(0),
                ended: AtomicU64::new(0),
            }))
        };
        let (first, second) = (new(), new());
        let queue = ddi_taskq_create(std::ptr::null_mut(), c"test".as_ptr().cast(), 2, 0, 0);
        let give = |to: *mut Task| {
            // SAFETY: as in `task`.
            unsafe {
                mutex::enter(&raw mut (*to).lock);
                (*to).work += 1;
                condvar::cv_broadcast(&raw mut (*to).cv);
                mutex::exit(&raw mut (*to).lock);
            }
        };
        let (first, second) = (&raw mut *first, &raw mut *second);
        for to in [first, second] {
            // SAFETY: the queue is not destroyed.
            let result = unsafe { ddi_taskq_dispatch(queue, task, to.cast(), 0) };
            assert_eq!(result, DDI_SUCCESS);
        }
        for _ in 0..3 {
            give(first);
        }
        give(second);
        assert!(settle());
        // SAFETY: the atomic members may be read at any time.
        let seen = |of: *mut Task| unsafe {
            let done = (*of).done.load(Ordering::Relaxed);
            (done, (*of).ended.load(Ordering::Relaxed))
        };
        assert_eq!((seen(first), seen(second)), ((3, 1), (1, 0)));
        assert!(end());
        // It never returns to its code.
        give(second);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(seen(second), (1, 0));
    }

    #[test]
    fn the_fast_mutex_lets_one_in() {
        const TURNS: u64 = 200_000;
        let mut kernel = Kernel::new(false).expect("memory");
        let mut address = |name| kernel.resolve(name).expect("it is there") as usize;
        let addresses = ["mutex_enter", "mutex_exit", "mutex_tryenter"].map(&mut address);
        assert_eq!(fast::entry("mutex_enter"), Some(0));
        let low = kernel.finish().expect("executable");
        let mut lock = 0_u64;
        let mut count = 0_u64;
        let (lock_at, count_at) = ((&raw mut lock).addr(), (&raw mut count).addr());
        let _ = (
            (&raw mut lock).expose_provenance(),
            (&raw mut count).expose_provenance(),
        );
        std::thread::scope(|scope| {
            for number in 0..2 {
                scope.spawn(move || {
                    thread::attach();
                    cpu::pin(cpu::measuring(number));
                    let lock = std::ptr::with_exposed_provenance_mut::<u64>(lock_at);
                    let count = std::ptr::with_exposed_provenance_mut::<u64>(count_at);
                    // SAFETY: the code of these functions is there.
                    let [enter, exit, tryenter] = addresses.map(|address| unsafe {
                        let function = with_exposed_provenance::<()>(address);
                        std::mem::transmute::<*const (), extern "C" fn(*mut u64) -> i32>(function)
                    });
                    for _ in 0..TURNS {
                        enter(lock);
                        assert_eq!(tryenter(lock) & 1, 0);
                        // SAFETY: the lock is held; `count` outlives the scope.
                        unsafe { *count += 1 };
                        exit(lock);
                    }
                });
            }
        });
        drop(low);
        assert_eq!((lock, count), (0, 2 * TURNS));
    }
}
