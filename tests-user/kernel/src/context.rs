// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The context of a call: what the thread that calls a module is, and what it
//! holds.

use std::fmt;

use crate::fault::{self, Fault, fault};
use crate::imports::mutex;
use crate::locks;
use crate::machine::Machine;
use crate::stack::{self, Ending};
use crate::trap;

/// What the thread that calls a module is, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// An interrupt thread: `servicing_interrupt()` is true and nothing may
    /// sleep.
    pub interrupt: bool,
    /// The names of the locks that the caller holds, outermost first.
    pub locks: Vec<&'static str>,
    /// May the thread wait for memory, for a condition or for time?
    pub may_sleep: bool,
    /// May the call return with locks of the module held that it took?
    pub may_return_locked: bool,
}

impl Context {
    /// An ordinary kernel thread that may sleep and holds nothing.
    pub const fn thread() -> Self {
        Self {
            interrupt: false,
            locks: Vec::new(),
            may_sleep: true,
            may_return_locked: false,
        }
    }

    /// An interrupt thread that holds nothing.
    pub fn interrupt() -> Self {
        Self {
            interrupt: true,
            may_sleep: false,
            ..Self::thread()
        }
    }

    /// A thread that may not sleep, such as one inside a squeue.
    pub fn no_sleep() -> Self {
        Self {
            may_sleep: false,
            ..Self::thread()
        }
    }

    /// The same with the lock `name` held by the caller; so it may not sleep.
    #[must_use]
    pub fn holding(mut self, name: &'static str) -> Self {
        self.locks.push(name);
        self.may_sleep = false;
        self
    }

    /// The same for a function that returns with a lock of its module held.
    #[must_use]
    pub fn returning_locked(mut self) -> Self {
        self.may_return_locked = true;
        self
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.interrupt, self.may_sleep) {
            (true, _) => "interrupt thread",
            (false, true) => "thread",
            (false, false) => "thread that may not sleep",
        })?;
        if !self.locks.is_empty() {
            write!(f, ", holding {}", self.locks.join(", "))?;
        }
        Ok(())
    }
}

/// One call from the host into a module; frames of nested calls form a stack.
pub(crate) struct Frame<'a> {
    pub machine: &'a Machine,
    pub context: &'a Context,
    /// On the host's stack, not on a kernel stack.
    pub direct: bool,
}

/// The innermost call of this thread.
#[inline]
pub(crate) fn current<'a>() -> Option<&'a Frame<'a>> {
    // SAFETY: the block is this thread's own; the frame pointed to is on this
    // thread's stack until `Entered` takes the pointer back, and the caller
    // is below it.
    unsafe { (*stack::cpu()).frame.cast::<Frame<'a>>().as_ref() }
}

/// The innermost call; imports have one.
#[inline]
pub(crate) fn here<'a>() -> &'a Frame<'a> {
    current().expect("imports are called through Kernel::call or Kernel::enter")
}

/// Makes a frame the current one until dropped.
struct Entered {
    outer: *const Frame<'static>,
}

impl Entered {
    fn new(frame: &Frame<'_>) -> Self {
        trap::prepare();
        let cpu = stack::cpu();
        // SAFETY: the block is this thread's own, and the pointer is taken
        // back before the frame ends.
        unsafe {
            let outer = (*cpu).frame;
            (*cpu).frame = (&raw const *frame).cast();
            Self { outer }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: the block is this thread's own.
        unsafe { (*stack::cpu()).frame = self.outer };
    }
}

/// How a call on a kernel stack ended, if not by a fault.
pub(crate) enum Returned {
    /// With this value.
    Value(u64),
    /// By `thread_exit`.
    Exit,
}

/// Calls `address` on this thread's kernel stack.
///
/// # Safety
///
/// `address` must be a C function that takes at most these arguments.
pub(crate) unsafe fn run(
    machine: &Machine,
    context: &Context,
    address: u64,
    args: &[u64],
) -> Result<Returned, Fault> {
    machine.check_running()?;
    let inside = machine.enter_module(address)?;
    let mut all = [0; 9];
    assert!(
        args.len() <= all.len(),
        "a call takes at most nine arguments"
    );
    all[..args.len()].copy_from_slice(args);
    let frame = Frame {
        machine,
        context,
        direct: false,
    };
    let held_before = locks::held_count();
    let entered = Entered::new(&frame);
    // SAFETY: the address is the caller's guarantee; the current frame is
    // this one, on a kernel stack.
    let call = unsafe { stack::call(address, &all) };
    if let Some(depth) = call.depth {
        machine.note_depth(depth);
    }
    let result = match call.ending {
        Ending::Faulted => {
            locks::forget_held(held_before);
            Err(fault::take_pending())
        }
        Ending::Exited => Ok(Returned::Exit),
        Ending::Returned => Ok(Returned::Value(call.value)),
    };
    if result.is_ok() && !context.may_return_locked && locks::held_count() > held_before {
        let name = inside.symbolize(address).unwrap_or_default();
        let held = locks::describe_held(machine, held_before);
        locks::forget_held(held_before);
        let fault = Fault {
            message: format!("{name} returned with {held} held"),
            context: context.to_string(),
            trace: vec![name],
        };
        machine.halt(&fault);
        return Err(fault);
    }
    drop(entered);
    result
}

/// Runs `body` on the host's stack with `context`: direct mode.
pub(crate) fn enter<R>(machine: &Machine, context: &Context, body: impl FnOnce() -> R) -> R {
    let frame = Frame {
        machine,
        context,
        direct: true,
    };
    let _entered = Entered::new(&frame);
    body()
}

/// Faults unless the current context may sleep; `what` names the function.
pub(crate) fn must_be_able_to_sleep(what: &str) {
    must_be_able_to_wait(what, 0);
}

/// The same of a wait that gives the mutex at `lock` back meanwhile.
pub(crate) fn must_be_able_to_wait(what: &str, lock: u64) {
    let frame = here();
    let context = frame.context;
    if context.interrupt || !context.may_sleep {
        fault!("{what} may sleep, in a context that must not ({context})");
    }
    if let Some(held) = mutex::held_of_hooks(lock) {
        let name = frame.machine.locks.name(frame.machine, held);
        fault!("{what} may sleep, and {name} is held, which is taken where nothing may sleep");
    }
}
