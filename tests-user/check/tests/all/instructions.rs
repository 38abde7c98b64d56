// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Instructions that the kernel cannot bear.

use crate::common::{assert_breaks, assert_notes, assert_passes, function, good_and, report_on};
use clinet_check::Rule;

fn breaks(rule: Rule, instructions: &[&str]) {
    for instruction in instructions {
        assert_breaks(
            &function(&format!("{instruction}\nret")),
            rule,
            &[".text+0x", "(subject)"],
        );
    }
}

#[test]
fn instructions_on_general_registers_pass() {
    let instructions = [
        "prefetcht0 (%rdi)",
        "prefetchnta 64(%rdi)",
        "prefetchw (%rdi)",
        "mfence",
        "lfence",
        "sfence",
        "pause",
        "movnti %rax, (%rdi)",
        "rep stosb",
        "rep movsq",
        "popcnt %rax, %rcx",
        "crc32q %rax, %rcx",
        "clflush (%rdi)",
        "lock cmpxchg16b (%rdi)",
        "lock cmpxchg %rax, (%rdi)",
        "lock xadd %rax, (%rdi)",
        "bsr %rax, %rcx",
        "rdtsc",
        "cpuid",
        "endbr64",
        "mul %rcx",
        "bswap %rax",
    ];
    assert_passes(&function(&format!("{}\nret", instructions.join("\n"))));
}

#[test]
fn vector_and_floating_point_registers() {
    breaks(
        Rule::FloatingPoint,
        &[
            "movaps %xmm0, (%rdi)",
            "pxor %xmm1, %xmm1",
            "cvtsi2sd %eax, %xmm0",
            "vmovdqu (%rdi), %ymm3",
            "vmovdqu64 (%rdi), %zmm17",
            "movq %mm2, %rax",
            "kmovq %k1, %rax",
            "fld1",
            "fldl (%rdi)",
            "fistpq (%rdi)",
            "bndmk (%rdi), %bnd0",
            "tilezero %tmm1",
            "sha256rnds2 %xmm0, %xmm1, %xmm2",
            "maskmovdqu %xmm0, %xmm1",
        ],
    );
}

#[test]
fn floating_point_control_state() {
    breaks(
        Rule::FloatingPoint,
        &[
            "ldmxcsr (%rdi)",
            "stmxcsr (%rdi)",
            "vldmxcsr (%rdi)",
            "fxsave (%rdi)",
            "fxrstor64 (%rdi)",
            "xsave (%rdi)",
            "xsavec (%rdi)",
            "xsaveopt64 (%rdi)",
            "xsaves (%rdi)",
            "xrstor (%rdi)",
            "xrstors64 (%rdi)",
            "xgetbv",
            "xsetbv",
            "emms",
            "femms",
            "fninit",
            "fnclex",
            "fldcw (%rdi)",
            "fnstcw (%rdi)",
            "fnstsw %ax",
            "fldenv (%rdi)",
            "fnstenv (%rdi)",
            "fnsave (%rdi)",
            "frstor (%rdi)",
            "fnop",
            "fwait",
            "fincstp",
            "fdecstp",
            "ffree %st(1)",
            "vzeroupper",
            "vzeroall",
            "ldtilecfg (%rdi)",
            "sttilecfg (%rdi)",
            "tilerelease",
        ],
    );
}

#[test]
fn user_segments() {
    breaks(
        Rule::SegmentAccess,
        &[
            "mov %fs:40, %rax",
            "mov %gs:40, %rax",
            "mov %rax, %gs:0x18",
            "cmp %gs:0x18, %rax",
            "mov %gs:0x18(%rdi), %rax",
            "mov %rax, %gs:(%rdi)",
            "mov %fs, %eax",
            "mov %eax, %gs",
            "rdfsbase %rax",
            "wrgsbase %rax",
            "swapgs",
        ],
    );
    assert_passes(&function("mov %ds:(%rdi), %rax\nmov %ss:(%rdi), %rcx\nret"));
}

#[test]
fn traps() {
    breaks(
        Rule::ReachablePanic,
        &[
            "ud2",
            "ud1 %eax, %ecx",
            ".byte 0x0f, 0xff, 0xc0",
            "int3",
            "int $0x80",
            ".byte 0xf1",
            "hlt",
        ],
    );
}

#[test]
fn padding_between_functions_is_not_code() {
    for padding in [".byte 0xcc, 0xcc, 0xcc", "nop", ".nops 23", "xchg %ax, %ax"] {
        assert_passes(&function(&format!("ret\n.size subject, . - subject\n{padding}\n.type next, @function\nnext:\nret\n.size next, . - next\n.set subject_end, ."))
            .replace(".size subject, . - subject\n.section", ".section"));
    }
}

#[test]
fn code_outside_functions() {
    let outside = good_and(".text\nnop\nmov %rax, %rcx\nret");
    assert_breaks(&outside, Rule::StrayCode, &[".text+0x", "4 bytes of code"]);
    // The function before it does not reach so far.
    assert_eq!(report_on(&outside).findings[0].symbol, None);
    let no_size = good_and(".text\n.type subject, @function\nsubject:\nret");
    assert_breaks(&no_size, Rule::StrayCode, &["(subject)"]);
    let zeros = good_and(".text\n.zero 4");
    assert_breaks(&zeros, Rule::StrayCode, &[".text+0x"]);
}

#[test]
fn functions_that_overlap() {
    let body = "nop\n.type inner, @function\ninner:\nret\n.size inner, . - inner";
    assert_breaks(&function(body), Rule::StrayCode, &["(subject)", "another"]);
    // Two names of one function do not.
    assert_passes(&function(
        "ret\n.type again, @function\n.set again, subject\n.size again, 1",
    ));
}

#[test]
fn bytes_that_are_no_instruction() {
    let rule = Rule::InvalidInstruction;
    assert_breaks(
        &function("jmp 1f\n.byte 0x06\n1: ret"),
        rule,
        &["(subject)"],
    );
    assert_breaks(&function(".byte 0x48, 0xb8"), rule, &["(subject)"]);
    let into_the_middle = function("jmp 1f + 1\n1: mov $0xc3c3c3c3, %eax\nret");
    assert_breaks(&into_the_middle, rule, &["middle"]);
}

/// `curthread` and `CPU` of the kernel's headers are such reads.
#[test]
fn the_cpu_and_its_thread_are_read_through_gs() {
    assert_passes(&function("mov %gs:0x18, %rax\nmov %gs:0x10, %rdx\nret"));
}

#[test]
fn floating_point_where_the_kernel_saves_it() {
    let body = "call kernel_fpu_begin\nmovaps %xmm1, %xmm0\ncall kernel_fpu_end\nret";
    assert_notes(&function(body), Rule::FloatingPoint, &["movaps"]);
}
