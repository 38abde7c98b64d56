// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults: what would panic a real kernel.
//!
//! A fault halts its machine. It is recorded there, unwinds the host frames
//! of the import that found it, leaves the module's frames behind and comes
//! out of the call as an error. In direct mode the module's frames are on the
//! host's stack and cannot be left, so the process ends there.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use crate::context::{self, Frame};
use crate::stack::{self, Ending};

/// A kernel panic: what happened, in which context and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What happened, in one sentence.
    pub message: String,
    /// The context that the module was called in.
    pub context: String,
    /// The module's functions, innermost first.
    pub trace: Vec<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel panic: {}", self.message)?;
        if !self.context.is_empty() {
            write!(f, "\n  context: {}", self.context)?;
        }
        for (depth, function) in self.trace.iter().enumerate() {
            write!(f, "\n  {} {function}", if depth == 0 { "in" } else { "by" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// The payload that carries a fault through host frames.
pub(crate) struct Raised(pub Fault);

thread_local! {
    /// What ended the innermost call.
    static PENDING: RefCell<Option<Box<dyn Any + Send>>> = const { RefCell::new(None) };
}

/// Raises a fault in the current machine; the arguments are those of `format!`.
macro_rules! fault {
    ($($argument:tt)*) => {
        $crate::fault::raise(format!($($argument)*))
    };
}
pub(crate) use fault;

/// Halts the current machine with `message`.
pub(crate) fn raise(message: String) -> ! {
    let fault = describe(message, import_site());
    match context::current() {
        Some(frame) => {
            frame.machine.halt(&fault);
            throw(fault)
        }
        None => panic!("{fault}"),
    }
}

/// Unwinds with a fault that is recorded already.
pub(crate) fn throw(fault: Fault) -> ! {
    if cfg!(panic = "abort") {
        eprintln!("{fault}");
        std::process::abort();
    }
    panic::resume_unwind(Box::new(Raised(fault)))
}

/// Runs the body of an import or of a function given to
/// [`Kernel::provide_with_functions`](crate::Kernel::provide_with_functions);
/// whatever unwinds out of it ends the call into the module instead. The
/// caller must hold nothing that needs to be dropped.
#[inline(always)]
pub fn guard<R>(body: impl FnOnce() -> R) -> R {
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => leave(payload),
    }
}

#[cold]
fn leave(payload: Box<dyn Any + Send>) -> ! {
    let direct = context::current().is_none_or(|frame| frame.direct);
    if direct {
        match payload.downcast::<Raised>() {
            Ok(raised) => eprintln!("{}", raised.0),
            Err(_) => eprintln!("a panic of the host inside an import, in direct mode"),
        }
        std::process::abort();
    }
    PENDING.set(Some(payload));
    // SAFETY: the current frame is a call on a kernel stack; the payload has
    // been moved away, and callers of guard hold nothing.
    unsafe { stack::abandon(Ending::Faulted) }
}

/// Takes what ended a call with [`Ending::Faulted`]; a panic of the host that
/// is no fault goes on.
pub(crate) fn take_pending() -> Fault {
    let payload = PENDING.take().expect("a faulted call leaves its fault");
    match payload.downcast::<Raised>() {
        Ok(raised) => raised.0,
        Err(other) => panic::resume_unwind(other),
    }
}

/// Records the fault that a trap makes.
pub(crate) fn record_trap(message: String) {
    let fault = describe(message, trap_site());
    if let Some(frame) = context::current() {
        frame.machine.halt(&fault);
    }
    PENDING.set(Some(Box::new(Raised(fault))));
}

/// Prints a trap in direct mode and ends the process.
pub(crate) fn abort_direct(message: &str) -> ! {
    eprintln!("{}", describe(message.to_owned(), trap_site()));
    std::process::abort();
}

/// Where to begin a walk: an address in text and a frame pointer.
struct Site {
    address: u64,
    frame: u64,
}

fn import_site() -> Site {
    // SAFETY: the block is this thread's own.
    let cpu = unsafe { &*stack::cpu() };
    Site {
        address: cpu.import_return,
        frame: cpu.import_frame,
    }
}

fn trap_site() -> Site {
    // SAFETY: the block is this thread's own.
    let cpu = unsafe { &*stack::cpu() };
    if cpu.touching != 0 {
        return import_site();
    }
    Site {
        address: cpu.trap[2],
        frame: cpu.trap[3],
    }
}

fn describe(message: String, site: Site) -> Fault {
    let (context, trace) = match context::current() {
        Some(frame) => (frame.context.to_string(), walk(frame, site)),
        None => (String::new(), Vec::new()),
    };
    Fault {
        message,
        context,
        trace,
    }
}

/// Follows the frame pointers from `site` while return addresses are in a
/// module.
fn walk(frame: &Frame<'_>, site: Site) -> Vec<String> {
    const DEEPEST: usize = 64;
    let here = &raw const site as u64;
    let Site {
        address: mut place,
        frame: mut pointer,
    } = site;
    let mut trace = Vec::new();
    while trace.len() < DEEPEST
        && let Some(name) = frame.machine.symbolize(place)
    {
        trace.push(name);
        let on_stack = if frame.direct {
            pointer > here && pointer - here < 256 << 10
        } else {
            stack::contains(pointer) && stack::contains(pointer + 8)
        };
        if !on_stack || !pointer.is_multiple_of(8) {
            break;
        }
        // SAFETY: two aligned words on this thread's own stack, above the
        // current frame.
        let [next, address] = unsafe { *(pointer as *const [u64; 2]) };
        if next <= pointer {
            if let Some(name) = frame.machine.symbolize(address) {
                trace.push(name);
            }
            break;
        }
        (place, pointer) = (address, next);
    }
    trace
}

/// Names a place in a module of the current machine, or gives its address.
pub(crate) fn symbolize(address: u64) -> String {
    context::current()
        .and_then(|frame| frame.machine.symbolize(address))
        .unwrap_or_else(|| format!("{address:#x}"))
}

/// Is `address` in the text of a module of the current machine?
pub(crate) fn in_module_text(address: u64) -> bool {
    context::current().is_some_and(|frame| frame.machine.module_at(address).is_some())
}

/// The return address of the current import.
pub(crate) fn caller_address() -> u64 {
    import_site().address
}
