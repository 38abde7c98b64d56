// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Kernel stacks, and the three pieces of assembly that move between them and
//! the host's: into a module, from a module into an import, and out of a
//! module that will not return.
//!
//! A module runs on a stack of the size that a kernel thread has, with an
//! inaccessible page below. An import runs on the host's stack again, so that
//! host code, however deep, never counts as the module's, and a touch of the
//! guard page is always the module's fault.

use std::arch::{asm, global_asm};
use std::cell::Cell;
use std::mem::offset_of;
use std::ptr;

use crate::context::Frame;

/// The usable size of a kernel stack in bytes: five pages, as on amd64.
pub const STACK_SIZE: usize = 20480;

const PAGE: usize = 4096;
/// Bytes above the first frame: an import with stack arguments copies a fixed
/// number of words, which may be more than its caller pushed.
const HEADROOM: usize = 512;
/// Words that are looked at together.
const LINE: usize = 16;
const PAINT: u64 = 0x5aa5_c33c_5aa5_c33c;

/// What the assembly and the trap handler know of a host thread.
///
/// It lives in thread-local storage that the assembly reaches in two
/// instructions; Rust gets at it with [`cpu`].
#[repr(C)]
pub(crate) struct Cpu {
    /// The host stack pointer to switch to; 0 while on the host's stack.
    pub host_sp: u64,
    /// Where the module's stack was left by the innermost import; 0 if no
    /// module is below.
    pub module_sp: u64,
    /// The frame of the innermost call into a module, for leaving it early.
    pub call_sp: u64,
    /// The caller's frame pointer at the last import call.
    pub import_frame: u64,
    /// The return address of the last import call.
    pub import_return: u64,
    /// The innermost call, null outside of any kernel.
    pub frame: *const Frame<'static>,
    /// Non-zero while host code touches memory at a module's request.
    pub touching: u64,
    /// This thread as a mutex owner word; 0 until first used.
    pub thread: u64,
    /// The signal that a module's instruction raised, its address operand,
    /// instruction pointer and frame pointer.
    pub trap: [u64; 4],
}

const CPU_SIZE: usize = 128;
const _: () = assert!(size_of::<Cpu>() <= CPU_SIZE);

/// How a call into a module ended.
#[repr(u64)]
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(dead_code, reason = "the assembly makes the first")]
pub(crate) enum Ending {
    /// It returned.
    Returned = 0,
    /// It was left because of a fault, which is in `fault::PENDING`.
    Faulted = 1,
    /// It called `thread_exit`.
    Exited = 2,
}

#[repr(C)]
struct Outcome {
    value: u64,
    ending: Ending,
}

global_asm!(
    ".pushsection .tbss.clinet_kernel_cpu,\"awT\",@nobits",
    ".globl clinet_kernel_cpu",
    ".hidden clinet_kernel_cpu",
    ".type clinet_kernel_cpu, @object",
    ".size clinet_kernel_cpu, {cpu_size}",
    ".p2align 6",
    "clinet_kernel_cpu:",
    ".zero {cpu_size}",
    ".popsection",
    "",
    // Outcome clinet_kernel_call(target, args[9], stack_top)
    ".globl clinet_kernel_call",
    ".hidden clinet_kernel_call",
    ".type clinet_kernel_call, @function",
    "clinet_kernel_call:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov rax, qword ptr [rip + clinet_kernel_cpu@GOTTPOFF]",
    "push qword ptr fs:[rax + {host_sp}]",
    "push qword ptr fs:[rax + {module_sp}]",
    "push qword ptr fs:[rax + {call_sp}]",
    "mov qword ptr fs:[rax + {call_sp}], rsp",
    "mov qword ptr fs:[rax + {host_sp}], rsp",
    "mov r11, rdi",
    "mov r10, rsi",
    "mov rsp, rdx",
    "sub rsp, 8",
    "push qword ptr [r10 + 64]",
    "push qword ptr [r10 + 56]",
    "push qword ptr [r10 + 48]",
    "mov r9, qword ptr [r10 + 40]",
    "mov r8, qword ptr [r10 + 32]",
    "mov rcx, qword ptr [r10 + 24]",
    "mov rdx, qword ptr [r10 + 16]",
    "mov rsi, qword ptr [r10 + 8]",
    "mov rdi, qword ptr [r10]",
    "xor ebp, ebp",
    "xor eax, eax",
    "call r11",
    "xor edx, edx",
    "2:",
    "mov rcx, qword ptr [rip + clinet_kernel_cpu@GOTTPOFF]",
    "mov rsp, qword ptr fs:[rcx + {call_sp}]",
    "pop qword ptr fs:[rcx + {call_sp}]",
    "pop qword ptr fs:[rcx + {module_sp}]",
    "pop qword ptr fs:[rcx + {host_sp}]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "cld",
    "ret",
    ".size clinet_kernel_call, . - clinet_kernel_call",
    "",
    // void clinet_kernel_abandon(ending): leaves the innermost call.
    ".globl clinet_kernel_abandon",
    ".hidden clinet_kernel_abandon",
    ".type clinet_kernel_abandon, @function",
    "clinet_kernel_abandon:",
    "mov rdx, rdi",
    "xor eax, eax",
    "jmp 2b",
    ".size clinet_kernel_abandon, . - clinet_kernel_abandon",
    "",
    // Every thunk comes here with the address of its Import in r11.
    ".globl clinet_kernel_import",
    ".hidden clinet_kernel_import",
    ".type clinet_kernel_import, @function",
    "clinet_kernel_import:",
    "mov r10, qword ptr [rip + clinet_kernel_cpu@GOTTPOFF]",
    "mov rax, qword ptr [rsp]",
    "mov qword ptr fs:[r10 + {import_return}], rax",
    "mov qword ptr fs:[r10 + {import_frame}], rbp",
    "mov rax, qword ptr fs:[r10 + {host_sp}]",
    "test rax, rax",
    "jz 5f",
    "push rbp",
    "mov rbp, rsp",
    "push rax",
    "mov qword ptr fs:[r10 + {module_sp}], rsp",
    "mov qword ptr fs:[r10 + {host_sp}], 0",
    // A multiple of 16, and the number of words is even.
    "mov rsp, rax",
    "mov rax, qword ptr [r11 + 8]",
    "test rax, rax",
    "jz 4f",
    "3:",
    "push qword ptr [rbp + 8 * rax + 8]",
    "dec rax",
    "jnz 3b",
    "4:",
    "call qword ptr [r11]",
    "mov r10, qword ptr [rip + clinet_kernel_cpu@GOTTPOFF]",
    "mov r11, qword ptr [rbp - 8]",
    "mov qword ptr fs:[r10 + {host_sp}], r11",
    "mov rsp, rbp",
    "pop rbp",
    "ret",
    "5:",
    "jmp qword ptr [r11]",
    ".size clinet_kernel_import, . - clinet_kernel_import",
    "",
    // The trap handler returns here, on the host's stack.
    ".globl clinet_kernel_trapped",
    ".hidden clinet_kernel_trapped",
    ".type clinet_kernel_trapped, @function",
    "clinet_kernel_trapped:",
    "call {trapped}",
    "ud2",
    ".size clinet_kernel_trapped, . - clinet_kernel_trapped",
    cpu_size = const CPU_SIZE,
    host_sp = const offset_of!(Cpu, host_sp),
    module_sp = const offset_of!(Cpu, module_sp),
    call_sp = const offset_of!(Cpu, call_sp),
    import_frame = const offset_of!(Cpu, import_frame),
    import_return = const offset_of!(Cpu, import_return),
    trapped = sym crate::trap::trapped,
);

unsafe extern "C" {
    fn clinet_kernel_call(target: u64, args: *const u64, stack_top: u64) -> Outcome;
    fn clinet_kernel_abandon(ending: Ending) -> !;
    fn clinet_kernel_import();
    fn clinet_kernel_trapped();
}

/// The address that every thunk jumps to.
pub(crate) fn import_entry() -> u64 {
    clinet_kernel_import as *const () as u64
}

/// The address at which the trap handler resumes a thread.
pub(crate) fn trap_entry() -> u64 {
    clinet_kernel_trapped as *const () as u64
}

/// This thread's block.
#[inline(always)]
pub(crate) fn cpu() -> *mut Cpu {
    let block: *mut Cpu;
    // SAFETY: on x86-64 Linux the word at fs:0 is the address that offsets of
    // thread-local storage are relative to; reading it and the linker's
    // offset has no effect on anything.
    unsafe {
        asm!(
            "mov {block}, qword ptr fs:[0]",
            "add {block}, qword ptr [rip + clinet_kernel_cpu@GOTTPOFF]",
            block = out(reg) block,
            options(nostack, pure, readonly),
        );
    }
    block
}

/// Leaves the innermost call into a module with `ending`.
///
/// # Safety
///
/// The innermost frame must be a call on a kernel stack, and no Rust frame
/// between it and here may hold anything that needs to be dropped.
pub(crate) unsafe fn abandon(ending: Ending) -> ! {
    // SAFETY: call_sp is the frame of the innermost call, as the caller
    // guarantees that there is one.
    unsafe { clinet_kernel_abandon(ending) }
}

/// A kernel stack with its guard page.
pub(crate) struct Stack {
    base: *mut u8,
    size: usize,
}

impl Stack {
    fn new() -> Self {
        let size = PAGE + STACK_SIZE + PAGE;
        // SAFETY: a new anonymous mapping at an address of the host's choice
        // overlaps nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(
            base,
            libc::MAP_FAILED,
            "no memory for a kernel stack of {size} bytes"
        );
        // SAFETY: the page is the first of the mapping just made.
        let guarded = unsafe { libc::mprotect(base, PAGE, libc::PROT_NONE) };
        assert_eq!(guarded, 0, "the guard page of a kernel stack");
        let stack = Self {
            base: base.cast(),
            size,
        };
        stack.paint(stack.bottom());
        stack
    }

    /// The lowest usable address.
    fn bottom(&self) -> u64 {
        self.base as u64 + PAGE as u64
    }

    /// The stack pointer that a thread starts with.
    fn top(&self) -> u64 {
        self.bottom() + STACK_SIZE as u64
    }

    fn words(&self) -> &[Cell<u64>] {
        // SAFETY: the range is mapped, writable and aligned for as long as
        // self lives; Cell allows the module's writes between calls.
        unsafe {
            std::slice::from_raw_parts(
                self.bottom() as *const Cell<u64>,
                (STACK_SIZE + HEADROOM) / 8,
            )
        }
    }

    fn paint(&self, from: u64) {
        let first = (from.max(self.bottom()) - self.bottom()) as usize / 8;
        for word in &self.words()[first..] {
            word.set(PAINT);
        }
    }

    /// The bytes in use when the stack was deepest since it was painted.
    fn depth_and_repaint(&self) -> usize {
        let words = self.words();
        let painted = |word: &Cell<u64>| word.get() == PAINT;
        // Whole lines first: nearly all of the stack is untouched.
        let lines = words
            .chunks_exact(LINE)
            .take_while(|line| line.iter().fold(true, |all, word| all & painted(word)))
            .count();
        let rest = words[lines * LINE..]
            .iter()
            .take_while(|word| painted(word));
        let untouched = lines * LINE + rest.count();
        self.paint(self.bottom() + untouched as u64 * 8);
        STACK_SIZE.saturating_sub(untouched * 8)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: base and size are those of the mapping, which nothing
        // refers to once no call is running.
        unsafe { libc::munmap(self.base.cast(), self.size) };
    }
}

thread_local! {
    static STACK: Stack = Stack::new();
}

/// What a call into a module gave.
pub(crate) struct Call {
    pub value: u64,
    pub ending: Ending,
    /// Bytes of stack at the deepest, known for an outermost call.
    pub depth: Option<usize>,
}

/// Calls `target` with `args` on this thread's kernel stack, below whatever
/// is on it already.
///
/// # Safety
///
/// `target` must be the address of a C function that takes at most these
/// arguments, and this thread's `Cpu::frame` a call on a kernel stack.
pub(crate) unsafe fn call(target: u64, args: &[u64; 9]) -> Call {
    // SAFETY: the block belongs to this thread and lives as long as it.
    let suspended = unsafe { (*cpu()).module_sp };
    STACK.with(|stack| {
        let outermost = suspended == 0;
        let top = if outermost {
            stack.top()
        } else {
            // An import left its frame there.
            (suspended - 64) & !15
        };
        // SAFETY: top is 16-byte aligned on this thread's kernel stack with
        // nothing in use below it; the rest is the caller's guarantee.
        let outcome = unsafe { clinet_kernel_call(target, args.as_ptr(), top) };
        Call {
            value: outcome.value,
            ending: outcome.ending,
            depth: outermost.then(|| stack.depth_and_repaint()),
        }
    })
}

/// Is `address` in the guard page of this thread's kernel stack?
pub(crate) fn in_guard(address: u64) -> bool {
    STACK
        .try_with(|stack| (stack.base as u64..stack.bottom()).contains(&address))
        .unwrap_or(false)
}

/// Is `address` a place on this thread's kernel stack?
pub(crate) fn contains(address: u64) -> bool {
    STACK
        .try_with(|stack| (stack.bottom()..stack.top() + HEADROOM as u64).contains(&address))
        .unwrap_or(false)
}
