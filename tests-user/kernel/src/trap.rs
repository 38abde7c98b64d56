// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Traps: what a module's instruction does that the processor refuses.
//!
//! In a call on a kernel stack a trap leaves the module and becomes a
//! [`Fault`](crate::Fault). In direct mode there is nothing to leave to: the
//! message is printed and the process ends.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;

use libc::{c_int, c_void, siginfo_t, ucontext_t};

use crate::fault;
use crate::stack::{self, Ending};

const SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

static PREVIOUS: OnceLock<[libc::sigaction; 4]> = OnceLock::new();

/// Makes this thread able to trap; cheap after the first time.
pub(crate) fn prepare() {
    thread_local! {
        static PREPARED: () = { install(); ensure_alternate_stack(); };
    }
    PREPARED.with(|()| ());
}

fn install() {
    PREVIOUS.get_or_init(|| {
        SIGNALS.map(|signal| {
            // SAFETY: an all-zero sigaction is a valid one, and the handler
            // has the signature that SA_SIGINFO asks for.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
                libc::sigaction(signal, &action, previous.as_mut_ptr());
                previous.assume_init()
            }
        })
    });
}

/// The standard library gives its own threads an alternate signal stack;
/// others get one here.
fn ensure_alternate_stack() {
    const SIZE: usize = 64 << 10;
    // SAFETY: sigaltstack only reads and writes the two structures, and the
    // memory given to it is never freed.
    unsafe {
        let mut current: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(ptr::null(), &mut current);
        if current.ss_flags & libc::SS_DISABLE != 0 {
            let memory = Box::leak(vec![0u8; SIZE].into_boxed_slice());
            let new = libc::stack_t {
                ss_sp: memory.as_mut_ptr().cast(),
                ss_flags: 0,
                ss_size: SIZE,
            };
            libc::sigaltstack(&new, ptr::null_mut());
        }
    }
}

extern "C" fn handler(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the system passes a valid siginfo and ucontext to a handler
    // installed with SA_SIGINFO, and the block is this thread's own.
    unsafe {
        let cpu = stack::cpu();
        let registers = &mut (*context.cast::<ucontext_t>()).uc_mcontext.gregs;
        let (rip, rbp) = (
            registers[libc::REG_RIP as usize] as u64,
            registers[libc::REG_RBP as usize] as u64,
        );
        let in_module = (*cpu).host_sp != 0;
        let concerns_module = in_module || (*cpu).touching != 0 || fault::in_module_text(rip);
        if !(*cpu).frame.is_null() && concerns_module {
            let address = match signal {
                libc::SIGSEGV | libc::SIGBUS => (*info).si_addr() as u64,
                _ => rip,
            };
            (*cpu).trap = [signal as u64, address, rip, rbp];
            if (*(*cpu).frame).direct {
                fault::abort_direct(&trap_message());
            }
            registers[libc::REG_RSP as usize] = (*cpu).call_sp as i64;
            registers[libc::REG_RIP as usize] = stack::trap_entry() as i64;
            return;
        }
        pass_on(signal);
    }
}

/// Leaves a signal that is none of ours to whoever was there before: the
/// instruction traps again.
fn pass_on(signal: c_int) {
    let index = SIGNALS.iter().position(|&s| s == signal);
    if let Some((index, previous)) = index.zip(PREVIOUS.get()) {
        // SAFETY: sigaction gave this action for that signal, and may be
        // called in a handler.
        unsafe { libc::sigaction(signal, &previous[index], ptr::null_mut()) };
    }
}

/// Runs on the host's stack after a trap inside a call.
pub(crate) extern "C" fn trapped() -> ! {
    let cpu = stack::cpu();
    // SAFETY: the block is this thread's own.
    unsafe { (*cpu).host_sp = 0 };
    fault::record_trap(trap_message());
    // SAFETY: as above.
    unsafe { (*cpu).touching = 0 };
    // SAFETY: the handler only comes here from a call on a kernel stack, and
    // this frame holds nothing any more.
    unsafe { stack::abandon(Ending::Faulted) }
}

fn trap_message() -> String {
    // SAFETY: the block is this thread's own.
    let [signal, address, rip, _] = unsafe { (*stack::cpu()).trap };
    let place = fault::symbolize(rip);
    match signal as c_int {
        libc::SIGSEGV if stack::in_guard(address) => format!(
            "kernel stack overflow in {place}: more than {} bytes",
            stack::STACK_SIZE
        ),
        libc::SIGSEGV | libc::SIGBUS => {
            format!("page fault at {address:#x} in {place}")
        }
        libc::SIGILL => format!("invalid opcode in {place}"),
        _ => format!("arithmetic trap in {place}"),
    }
}
