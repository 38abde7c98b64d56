// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The mutex functions in machine code: what every operation calls.
//!
//! As on amd64: one locked compare-and-exchange of the thread's address to
//! enter, a plain compare and store to leave, the thread from the processor's
//! structure behind %gs. The code is copied to the low 2 GiB, so that a call
//! of the module arrives without a detour.

use std::arch::global_asm;

use super::mutex;

global_asm!(
    r#"
    .pushsection .text.clinet_bench_fast,"ax",@progbits
    .p2align 6
    .globl clinet_bench_fast_begin
    .hidden clinet_bench_fast_begin
clinet_bench_fast_begin:
    .globl clinet_bench_mutex_enter
    .hidden clinet_bench_mutex_enter
clinet_bench_mutex_enter:
    mov rdx, qword ptr gs:[0x18]
    xor eax, eax
    lock cmpxchg qword ptr [rdi], rdx
    jne 2f
    ret
2:  mov rsi, rdx
    jmp qword ptr [rip + clinet_bench_enter_slow]

    .p2align 5
    .globl clinet_bench_mutex_exit
    .hidden clinet_bench_mutex_exit
clinet_bench_mutex_exit:
    mov rdx, qword ptr gs:[0x18]
    cmp qword ptr [rdi], rdx
    jne 3f
    mov qword ptr [rdi], 0
    ret
3:  mov rsi, rdx
    jmp qword ptr [rip + clinet_bench_exit_slow]

    .p2align 5
    .globl clinet_bench_mutex_tryenter
    .hidden clinet_bench_mutex_tryenter
clinet_bench_mutex_tryenter:
    mov rdx, qword ptr gs:[0x18]
    xor eax, eax
    lock cmpxchg qword ptr [rdi], rdx
    sete al
    movzx eax, al
    ret

    .p2align 3
    .globl clinet_bench_enter_slow
    .hidden clinet_bench_enter_slow
clinet_bench_enter_slow:
    .quad 0
    .globl clinet_bench_exit_slow
    .hidden clinet_bench_exit_slow
clinet_bench_exit_slow:
    .quad 0
    .globl clinet_bench_fast_end
    .hidden clinet_bench_fast_end
clinet_bench_fast_end:
    .popsection
"#
);

unsafe extern "C" {
    static clinet_bench_fast_begin: u8;
    static clinet_bench_mutex_enter: u8;
    static clinet_bench_mutex_exit: u8;
    static clinet_bench_mutex_tryenter: u8;
    static clinet_bench_enter_slow: u8;
    static clinet_bench_exit_slow: u8;
    static clinet_bench_fast_end: u8;
}

fn offset(label: *const u8) -> usize {
    label.addr() - (&raw const clinet_bench_fast_begin).addr()
}

/// The code, with the addresses of the slow paths filled in.
#[must_use]
pub fn code() -> Vec<u8> {
    let begin = &raw const clinet_bench_fast_begin;
    let len = offset(&raw const clinet_bench_fast_end);
    // SAFETY: the labels enclose `len` readable bytes of one section.
    let mut code = unsafe { std::slice::from_raw_parts(begin, len) }.to_vec();
    for (label, target) in [
        (
            &raw const clinet_bench_enter_slow,
            mutex::enter_slow as *const (),
        ),
        (
            &raw const clinet_bench_exit_slow,
            mutex::exit_slow as *const (),
        ),
    ] {
        let at = offset(label);
        code[at..at + 8].copy_from_slice(&target.addr().to_le_bytes());
    }
    code
}

/// Where in the code a kernel function begins.
#[must_use]
pub fn entry(name: &str) -> Option<usize> {
    let label = match name {
        "mutex_enter" => &raw const clinet_bench_mutex_enter,
        "mutex_exit" => &raw const clinet_bench_mutex_exit,
        "mutex_tryenter" => &raw const clinet_bench_mutex_tryenter,
        _ => return None,
    };
    Some(offset(label))
}
