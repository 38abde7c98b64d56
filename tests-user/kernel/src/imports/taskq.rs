// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `taskq_*` and `ddi_taskq_*`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Mutex;

use super::imports;
use crate::context::{Context, here, must_be_able_to_sleep};
use crate::fault::{self, fault};
use crate::locks::{self, Work, lock};
use crate::machine::Machine;
use crate::memory;

const TQ_NOSLEEP: u32 = 1;
const TASKQ_PREPOPULATE: u32 = 1;
const TASKQ_DEFAULTPRI: i16 = -1;
/// The priorities of threads, from the lowest to those of interrupts.
pub(super) const PRIORITIES: Range<i16> = 0..160;
const DDI_SUCCESS: i32 = 0;
const DDI_FAILURE: i32 = -1;
/// The longest name with its NUL.
const NAME_SIZE: usize = 32;

struct Queue {
    name: String,
    /// Its kstat is `unix:0:NAME`; others have a number of their own.
    is_instance_0: bool,
    by: u64,
    threads: usize,
    active: usize,
    tasks: VecDeque<(u64, u64)>,
}

impl Queue {
    fn remove_kstat(&self, machine: &Machine) {
        if self.is_instance_0 {
            machine.kstats.remove_of_kernel(&self.name);
        }
    }
}

#[derive(Default)]
struct Queues {
    last: u64,
    by_handle: BTreeMap<u64, Queue>,
}

/// The task queues of one machine.
#[derive(Default)]
pub(crate) struct TaskQueues(Mutex<Queues>);

impl TaskQueues {
    fn create(&self, machine: &Machine, name: String, threads: i32, is_instance_0: bool) -> u64 {
        let Some(threads) = usize::try_from(threads).ok().filter(|&threads| threads > 0) else {
            fault!("taskq_create: {name} with {threads} threads");
        };
        if is_instance_0 {
            machine.kstats.add_of_kernel(machine, &name);
        }
        let mut queues = lock(&self.0);
        queues.last += 1;
        // No address: a module that follows the handle traps.
        let handle = 0xffff_ff05_0000_0000 + queues.last * 64;
        let queue = Queue {
            name,
            is_instance_0,
            by: fault::caller_address(),
            threads,
            active: 0,
            tasks: VecDeque::new(),
        };
        queues.by_handle.insert(handle, queue);
        handle
    }

    fn must_exist(&self, what: &str, handle: u64) {
        if !lock(&self.0).by_handle.contains_key(&handle) {
            fault!("{what}: {handle:#x} is no task queue");
        }
    }

    /// Adds a task; a new worker is made if fewer than allowed are at work.
    fn dispatch(&self, machine: &Machine, handle: u64, function: u64, argument: u64) {
        let needs_worker = {
            let mut queues = lock(&self.0);
            let Some(queue) = queues.by_handle.get_mut(&handle) else {
                return;
            };
            queue.tasks.push_back((function, argument));
            let needs = queue.active < queue.threads;
            queue.active += usize::from(needs);
            needs
        };
        if needs_worker {
            machine.sched.spawn(machine, function, move |machine| {
                while let Some((function, argument)) = machine.task_queues.next(handle) {
                    // SAFETY: a task's function takes one argument.
                    let result = locks::doing(Work::Tasks(handle), || unsafe {
                        machine.call(&Context::thread(), function, &[argument])
                    });
                    if result.is_err() {
                        break;
                    }
                }
                machine.sched.notify();
            });
        }
    }

    /// The next task, or `None` and one worker less.
    fn next(&self, handle: u64) -> Option<(u64, u64)> {
        let mut queues = lock(&self.0);
        let queue = queues.by_handle.get_mut(&handle)?;
        let task = queue.tasks.pop_front();
        if task.is_none() {
            queue.active -= 1;
        }
        task
    }

    fn is_idle(&self, handle: u64) -> bool {
        lock(&self.0)
            .by_handle
            .get(&handle)
            .is_none_or(|queue| queue.active == 0 && queue.tasks.is_empty())
    }

    fn wait(&self, machine: &Machine, handle: u64) {
        machine.sched.wait_until(machine, |_| self.is_idle(handle));
    }

    fn destroy(&self, machine: &Machine, handle: u64) {
        self.wait(machine, handle);
        let gone = lock(&self.0).by_handle.remove(&handle);
        gone.iter().for_each(|queue| queue.remove_kstat(machine));
    }

    /// The name of a queue, or its handle.
    pub fn name(&self, handle: u64) -> String {
        let queues = lock(&self.0);
        let queue = queues.by_handle.get(&handle);
        queue.map_or_else(|| format!("{handle:#x}"), |queue| queue.name.clone())
    }

    /// Removes the queues that code in `text` made; returns their names.
    pub fn take_of(&self, machine: &Machine, text: &Range<u64>) -> Vec<String> {
        let left: Vec<Queue> = lock(&self.0)
            .by_handle
            .extract_if(.., |_, queue| text.contains(&queue.by))
            .map(|(_, queue)| queue)
            .collect();
        left.iter().for_each(|queue| queue.remove_kstat(machine));
        left.into_iter().map(|queue| queue.name).collect()
    }
}

/// Dispatches for an import; says whether there was memory for it.
fn dispatch(what: &str, handle: u64, function: u64, argument: u64, flags: u32) -> bool {
    let machine = here().machine;
    machine.task_queues.must_exist(what, handle);
    if flags & !TQ_NOSLEEP != 0 {
        fault!("{what}: only the flag TQ_NOSLEEP is emulated, not {flags:#x}");
    }
    if flags & TQ_NOSLEEP == 0 {
        must_be_able_to_sleep(what);
    } else if machine.memory.is_failure_due() {
        return false;
    }
    if machine.module_at(function).is_none() {
        fault!("{what}: {function:#x} is no function of a module");
    }
    machine
        .task_queues
        .dispatch(machine, handle, function, argument);
    true
}

fn create(what: &str, name: u64, threads: i32, priority: i32, is_instance_0: bool) -> u64 {
    must_be_able_to_sleep(what);
    if !PRIORITIES.contains(&(priority as i16)) {
        fault!("{what}: {} is no priority", priority as i16);
    }
    let name = memory::name(name, NAME_SIZE, "the name of a task queue");
    let machine = here().machine;
    if machine.fails(what) {
        return 0;
    }
    machine
        .task_queues
        .create(machine, name, threads, is_instance_0)
}

/// Faults unless this thread may wait for all tasks of a queue.
fn check_wait(what: &str, machine: &Machine, handle: u64) {
    must_be_able_to_sleep(what);
    machine.task_queues.must_exist(what, handle);
    let work = Work::Tasks(handle);
    if locks::does(work) {
        let name = machine.task_queues.name(handle);
        fault!("{what} of {name} by one of its tasks: it would wait for itself");
    }
    machine.locks.check_wait(work);
}

fn wait(what: &str, handle: u64) {
    let machine = here().machine;
    check_wait(what, machine, handle);
    machine.task_queues.wait(machine, handle);
}

fn destroy(what: &str, handle: u64) {
    let machine = here().machine;
    check_wait(what, machine, handle);
    machine.task_queues.destroy(machine, handle);
}

imports! {
    fn taskq_create(
        name: u64,
        threads: i32,
        priority: i32,
        _min: i32,
        _max: i32,
        flags: u32,
    ) -> u64 {
        if flags & !TASKQ_PREPOPULATE != 0 {
            fault!("taskq_create: only the flag TASKQ_PREPOPULATE is emulated, not {flags:#x}");
        }
        create("taskq_create", name, threads, priority, false)
    }

    fn taskq_dispatch(queue: u64, function: u64, argument: u64, flags: u32) -> u64 {
        u64::from(dispatch("taskq_dispatch", queue, function, argument, flags))
    }

    fn taskq_wait(queue: u64) {
        wait("taskq_wait", queue);
    }

    fn taskq_destroy(queue: u64) {
        destroy("taskq_destroy", queue);
    }

    fn ddi_taskq_create(
        device: u64,
        name: u64,
        threads: i32,
        priority: i32,
        _flags: u32,
    ) -> u64 {
        if device != 0 && here().machine.devices.instance(device).is_none() {
            fault!("ddi_taskq_create: {device:#x} is no dev_info_t");
        }
        let priority = match priority as i16 {
            TASKQ_DEFAULTPRI => 0,
            other => i32::from(other),
        };
        create("ddi_taskq_create", name, threads, priority, device == 0)
    }

    fn ddi_taskq_dispatch(queue: u64, function: u64, argument: u64, flags: u32) -> i32 {
        if dispatch("ddi_taskq_dispatch", queue, function, argument, flags) {
            DDI_SUCCESS
        } else {
            DDI_FAILURE
        }
    }

    fn ddi_taskq_wait(queue: u64) {
        wait("ddi_taskq_wait", queue);
    }

    fn ddi_taskq_destroy(queue: u64) {
        destroy("ddi_taskq_destroy", queue);
    }
}
