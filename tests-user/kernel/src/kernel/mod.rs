// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! One simulated machine.

mod provided;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::context::{self, Context};
use crate::fault::Fault;
use crate::imports::kstat::{KstatError, KstatValue};
use crate::imports::log::Message;
use crate::imports::netstack::NetstackLayout;
use crate::locks::{self, lock};
use crate::machine::Machine;
#[cfg(doc)]
use crate::module::Module;

/// The functions that [`Kernel::fail_next`] knows.
const CAN_FAIL: [&str; 9] = [
    "ddi_create_minor_node",
    "ddi_taskq_create",
    "ksocket_ioctl",
    "ksocket_socket",
    "ldi_ident_from_mod",
    "ldi_ioctl",
    "ldi_open_by_dev",
    "mod_install",
    "mod_remove",
];

/// One simulated machine. When it is dropped it is switched off: its threads
/// end where they wait, and its modules can no longer be called.
pub struct Kernel {
    pub(crate) machine: Arc<Machine>,
}

impl Kernel {
    /// Boots a machine without modules.
    pub fn new() -> Self {
        Self {
            machine: Machine::boot(),
        }
    }

    /// From now on each ioctl of a kernel socket or a layered open takes so long.
    pub fn delay_ioctls(&self, by: Duration) {
        *lock(&self.machine.network.delay) = by;
    }

    /// Adds an IP stack; stack 0 is always there.
    ///
    /// # Panics
    ///
    /// If there is a stack of that id.
    pub fn add_netstack(&self, id: i32) {
        assert!(self.machine.netstacks.add(id), "stack {id} is there");
    }

    /// Ends an IP stack. Nobody finds it from now on; it is freed when the
    /// last hold is given back.
    ///
    /// # Panics
    ///
    /// If there is none of that id.
    pub fn remove_netstack(&self, id: i32) {
        assert!(self.machine.netstacks.remove(id), "there is no stack {id}");
    }

    /// The ids of the IP stacks in the order of a walk.
    pub fn netstacks(&self) -> Vec<i32> {
        self.machine.netstacks.ids()
    }

    /// Chooses the build whose `netstack_t` modules see.
    ///
    /// # Panics
    ///
    /// If a module holds a stack.
    pub fn set_netstack_layout(&self, layout: NetstackLayout) {
        self.machine.netstacks.set_layout(layout);
    }

    /// Calls the C function at `address` of any loaded module on a kernel
    /// stack.
    ///
    /// # Errors
    ///
    /// The fault if the machine panicked, during this call or before.
    ///
    /// # Safety
    ///
    /// `address` must be a C function that takes at most these arguments, all
    /// of them integers or pointers that it may use.
    pub unsafe fn try_call(
        &self,
        context: &Context,
        address: u64,
        args: &[u64],
    ) -> Result<u64, Fault> {
        // SAFETY: the same guarantee.
        unsafe { self.machine.call(context, address, args) }
    }

    /// Like [`Kernel::try_call`].
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    ///
    /// # Safety
    ///
    /// As for [`Kernel::try_call`].
    pub unsafe fn call(&self, context: &Context, address: u64, args: &[u64]) -> u64 {
        // SAFETY: the same guarantee.
        unsafe { self.try_call(context, address, args) }.unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Runs `body` in direct mode: within it, functions of this machine's
    /// modules may be called through `extern "C"` pointers, on the host's
    /// stack. A fault ends the process.
    ///
    /// # Panics
    ///
    /// If the machine panicked before.
    pub fn enter<R>(&self, context: &Context, body: impl FnOnce() -> R) -> R {
        enter(&self.machine, context, body)
    }

    /// Checks that a model may take its own lock `name` now. Models of ip call
    /// this before they take a lock that they name in a [`Context`] elsewhere.
    ///
    /// # Panics
    ///
    /// If this thread or its caller holds a lock that was taken before while
    /// this one was held: a fault.
    pub fn taking(&self, name: &'static str) {
        let check = || self.machine.locks.check_named(name);
        if context::current().is_some() {
            check();
        } else if let Err(fault) = self.machine.as_kernel(&Context::thread(), check) {
            panic!("{fault}");
        }
    }

    /// The fault that halted this machine, if one did.
    pub fn fault(&self) -> Option<Fault> {
        self.machine.check_running().err()
    }

    /// Forgets how deep the stack was; see [`Kernel::max_stack_depth`].
    pub fn reset_stack_depth(&self) {
        self.machine.deepest.store(0, Ordering::Relaxed);
    }

    /// The most bytes of stack that any call used.
    pub fn max_stack_depth(&self) -> usize {
        self.machine.deepest.load(Ordering::Relaxed)
    }

    /// The messages of `cmn_err` so far.
    pub fn log(&self) -> Vec<Message> {
        self.machine.log.messages()
    }

    /// Forgets the messages.
    pub fn clear_log(&self) {
        self.machine.log.clear();
    }

    /// Bytes allocated by modules and not freed.
    pub fn kmem_in_use(&self) -> usize {
        self.machine.memory.in_use()
    }

    /// Bytes of the pages that the machine lost to modules: whole slabs, with
    /// what was freed and stays in kmem's magazines.
    pub fn kmem_lost(&self) -> usize {
        self.machine.memory.lost()
    }

    /// Allocations that modules asked for so far, failed ones included.
    pub fn kmem_allocations(&self) -> u64 {
        self.machine.memory.allocations()
    }

    /// Makes the `n`th KM_NOSLEEP allocation from now fail, 1 being the next;
    /// 0 makes none fail. KM_SLEEP allocations never fail and are not counted.
    pub fn fail_nth_allocation(&self, n: u64) {
        self.machine.memory.fail_nth(n);
    }

    /// Makes every KM_NOSLEEP allocation fail from now on, or none.
    pub fn fail_allocations(&self, fail: bool) {
        self.machine.memory.fail_all(fail);
    }

    /// Makes the next call of `ddi_create_minor_node`, `ddi_taskq_create`,
    /// `mod_install`, `mod_remove`, or a function of kernel sockets or the layered
    /// driver interface that may fail, fail: `mod_remove` of a driver because
    /// somebody has just attached it.
    ///
    /// # Panics
    ///
    /// If `function` is none of these.
    pub fn fail_next(&self, function: &'static str) {
        assert!(
            CAN_FAIL.contains(&function),
            "{function} cannot be made to fail"
        );
        *lock(&self.machine.failing) = Some(function);
    }

    /// Looks for writes around live blocks and to freed ones.
    ///
    /// # Errors
    ///
    /// What was written to, and who allocated or freed it.
    pub fn check_memory(&self) -> Result<(), String> {
        self.machine.memory.check(&self.machine)
    }

    /// Starts the stream of `random_get_bytes` again from `seed`.
    pub fn seed_random(&self, seed: u64) {
        self.machine.random.seed(seed);
    }

    /// Moves the clock forward. Timeouts and waits that end meanwhile do so in
    /// their order and at their time, and threads of modules have come to rest
    /// when this returns.
    ///
    /// # Panics
    ///
    /// With the fault if the machine panicked.
    pub fn advance(&self, by: Duration) {
        let machine = &self.machine;
        machine.sched.advance_to(machine, machine.clock.after(by));
        if let Err(fault) = machine.check_running() {
            panic!("{fault}");
        }
    }

    /// From now on time passes by [`Kernel::advance`] alone: a thread of the
    /// host that sleeps inside a module waits until somebody moves the clock.
    /// Without this it lets time pass itself.
    pub fn keep_time(&self) {
        self.machine.sched.keep_time();
    }

    /// Keeps threads of modules from going on once their wait is over, as on a
    /// machine that is too busy for them, or lets them. Callouts come all the same.
    pub fn hold_threads(&self, hold: bool) {
        self.machine.sched.hold_threads(hold);
    }

    /// Sets the time of day ahead by so many nanoseconds, or back: what `date`
    /// does, a suspended machine, or a debugger. The time since boot stays.
    pub fn jump(&self, nanoseconds: i64) {
        self.machine.clock.jump(nanoseconds);
    }

    /// Waits until every thread of a module has come to rest: it ended, or
    /// waits for a condition, a task or for time.
    pub fn settle(&self) {
        self.machine.sched.settle(&self.machine);
    }

    /// The time since boot.
    pub fn uptime(&self) -> Duration {
        self.machine.clock.uptime()
    }

    /// The values of an installed named kstat, after its `ks_update`; `None`
    /// if there is none of that name.
    ///
    /// # Panics
    ///
    /// If the module's `ks_update` faults.
    pub fn kstat(
        &self,
        module: &str,
        instance: i32,
        name: &str,
    ) -> Option<Vec<(String, KstatValue)>> {
        self.read_kstat(module, instance, name).ok()
    }

    /// Like [`Kernel::kstat`], with the reason if there is no answer.
    ///
    /// # Errors
    ///
    /// If there is no such kstat, it is not installed, or its `ks_update`
    /// refuses.
    ///
    /// # Panics
    ///
    /// If the module's `ks_update` faults.
    pub fn read_kstat(
        &self,
        module: &str,
        instance: i32,
        name: &str,
    ) -> Result<Vec<(String, KstatValue)>, KstatError> {
        self.machine
            .kstats
            .read(&self.machine, module, instance, name)
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.machine.halt(&Fault {
            message: "the machine is switched off".to_owned(),
            context: String::new(),
            trace: Vec::new(),
        });
        self.machine.sched.join_all();
        locks::forget_machine(&self.machine);
    }
}

/// Runs `body` in direct mode if the machine has not panicked.
pub(crate) fn enter<R>(machine: &Machine, context: &Context, body: impl FnOnce() -> R) -> R {
    if let Err(fault) = machine.check_running() {
        panic!("{fault}");
    }
    context::enter(machine, context, body)
}
