// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What functions do to the stack.

use crate::common::{assemble, assert_breaks, assert_passes, function, good_and, report_on};
use clinet_check::{Limits, Rule, check};

#[test]
fn use_below_the_stack_pointer() {
    for body in [
        "mov %rax, -8(%rsp)\nret",
        "mov -128(%rsp), %rax\nret",
        "push %rbp\nmov %rsp, %rbp\nmov %rdi, -8(%rbp)\npop %rbp\nret",
        "push %rbp\nmov %rsp, %rbp\nsub $16, %rsp\nmovl $0, -20(%rbp)\nleave\nret",
        "mov %rsp, %rax\nmov %rcx, -8(%rax)\nret",
        "lea -24(%rsp), %rdx\nmov %rcx, 16(%rdx)\nret",
        "sub $8, %rsp\nadd $8, %rsp\nmov -8(%rsp), %rax\nret",
        "mov %rax, -64(%rsp,%rcx,8)\nret",
        "test %edi, %edi\nje 1f\nsub $16, %rsp\nmov %rax, 8(%rsp)\nadd $16, %rsp\n1: mov -8(%rsp), %rax\nret",
    ] {
        assert_breaks(&function(body), Rule::RedZone, &[".text+0x", "(subject)"]);
    }
}

#[test]
fn use_of_the_own_frame() {
    for body in [
        "push %rbp\nmov %rsp, %rbp\nsub $32, %rsp\nmov %rdi, -8(%rbp)\nmov %rdi, -32(%rbp)\nleave\nret",
        "sub $24, %rsp\nmov %rdi, 16(%rsp)\nadd $24, %rsp\nret",
        "push %rbx\npush %rax\nmov %rdi, (%rsp)\npop %rax\npop %rbx\nret",
        "enter $16, $0\nmov %rdi, -16(%rbp)\nleave\nret",
        // A caller's argument on the stack.
        "push %rbp\nmov %rsp, %rbp\nmov 16(%rbp), %rax\npop %rbp\nret",
        // The element before an index, in local room.
        "sub $72, %rsp\nmov -8(%rsp,%rcx,8), %rax\nadd $72, %rsp\nret",
        // An address, not an access.
        "lea -8(%rsp), %rax\nret",
        "push %rbp\nmov %rsp, %rbp\nand $-64, %rsp\nsub $64, %rsp\nmov %rax, (%rsp)\nlea (%rbp), %rsp\npop %rbp\nret",
        // rbp as an ordinary register.
        "push %rbp\nmov %rdi, %rbp\nmov -8(%rbp), %rax\npop %rbp\nret",
        // Two ways with different depths that meet where rbp is known.
        "push %rbp\nmov %rsp, %rbp\ntest %edi, %edi\nje 1f\nsub $16, %rsp\nmov %rdi, -8(%rbp)\n1: mov %rbp, %rsp\npop %rbp\nret",
    ] {
        assert_passes(&function(body));
    }
}

#[test]
fn code_that_only_a_table_leads_to_has_the_frame_of_the_jump() {
    let table = "push %rbp\nmov %rsp, %rbp\nsub $32, %rsp\ntest %edi, %edi\nje 1f\n\
        jmp *table(,%rdi,8)\n1: leave\nret\ncase:\nmov %rax, -32(%rbp)\nleave\nret\n\
        .section .rodata\n.p2align 3\ntable:\n.quad case\n.text";
    assert_passes(&function(table));
    let below = table.replace("-32(%rbp)", "-40(%rbp)");
    assert_breaks(&function(&below), Rule::RedZone, &["case"]);
}

#[test]
fn frame_of_exactly_the_limit_passes() {
    let frame = |bytes| {
        format!(
            "push %rbp\nmov %rsp, %rbp\npush %rbx\nsub ${bytes}, %rsp\nadd ${bytes}, %rsp\npop %rbx\npop %rbp\nret"
        )
    };
    assert_passes(&function(&frame(496)));
    let largest = report_on(&function(&frame(496))).summary.largest_frame;
    let largest = largest.expect("there are functions");
    assert_eq!((largest.function.as_str(), largest.bytes), ("subject", 512));
    assert_breaks(
        &function(&frame(504)),
        Rule::FrameSize,
        &["(subject)", "520 bytes, 512 are allowed"],
    );
    assert_breaks(
        &function("enter $512, $0\nleave\nret"),
        Rule::FrameSize,
        &["520 bytes"],
    );
    assert_breaks(
        &function("lea -1000(%rsp), %rsp\nadd $1000, %rsp\nret"),
        Rule::FrameSize,
        &["1000 bytes"],
    );
}

#[test]
fn alignment_may_take_what_it_may_take() {
    let frame = |bytes| {
        format!("push %rbp\nmov %rsp, %rbp\nand $-64, %rsp\nsub ${bytes}, %rsp\nleave\nret")
    };
    assert_passes(&function(&frame(448)));
    assert_breaks(&function(&frame(456)), Rule::FrameSize, &["520 bytes"]);
}

#[test]
fn the_limit_can_be_set() {
    let file = assemble(&function("sub $64, %rsp\nadd $64, %rsp\nret"));
    let rules = |frame| -> Vec<Rule> {
        let report = check(&file, "clinet", None, &Limits { frame }).expect("usable");
        report.findings.iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(rules(64), []);
    assert_eq!(rules(63), [Rule::FrameSize]);
}

#[test]
fn frames_without_bound() {
    for body in [
        "push %rbp\nmov %rsp, %rbp\nsub %rdi, %rsp\nleave\nret",
        "mov %rdi, %rsp\nret",
        "pop %rsp\nret",
        "xchg %rax, %rsp\nret",
        "leave\nret",
        "push %rbp\nmov %rsp, %rbp\n1: push $0\ndec %edi\njne 1b\nleave\nret",
    ] {
        assert_breaks(&function(body), Rule::UnboundedFrame, &["(subject)"]);
    }
}

#[test]
fn the_deepest_chain_is_the_sum_of_its_frames() {
    // entry 16 + 8, middle 24 + 8, leaf 40 + 8 for its call into the kernel.
    let source = good_and(
        ".section .text.entry,\"ax\",@progbits\n.type _init2, @function\n\
         .text\n.type leaf, @function\nleaf:\nsub $40, %rsp\ncall membar_sync\nadd $40, %rsp\nret\n.size leaf, . - leaf\n\
         .type middle, @function\nmiddle:\nsub $24, %rsp\ncall leaf\nadd $24, %rsp\nret\n.size middle, . - middle\n\
         .type shallow, @function\nshallow:\nsub $32, %rsp\nadd $32, %rsp\nret\n.size shallow, . - shallow",
    )
    .replace("\tmov\t$16, %eax\n", "\tpush %rbp\n\tsub $8, %rsp\n\tcall shallow\n\tcall middle\n\tadd $8, %rsp\n\tpop %rbp\n");
    let chain = report_on(&source).summary.deepest_chain.expect("a chain");
    assert_eq!(chain.path, ["_fini", "middle", "leaf"]);
    assert_eq!(chain.bytes, 16 + 8 + 24 + 8 + 40 + 8);
    assert!(!chain.indirect_calls && !chain.recursion);
}

#[test]
fn the_deepest_chain_may_begin_where_only_a_table_leads_to() {
    let source = function("sub $40, %rsp\ncall leaf\nadd $40, %rsp\nret")
        + "\n.text\n.type leaf, @function\nleaf:\nsub $24, %rsp\nadd $24, %rsp\nret\n\
           .size leaf, . - leaf\n.data\n.p2align 3\n.quad subject\n";
    let chain = report_on(&source).summary.deepest_chain.expect("a chain");
    assert_eq!(chain.path, ["subject", "leaf"]);
    assert_eq!(chain.bytes, 40 + 8 + 24);
}

#[test]
fn recursion_and_calls_through_pointers_are_said() {
    let source = function("sub $504, %rsp\ncall *%rax\ncall subject\nadd $504, %rsp\nret")
        .replace("\tmov\t$16, %eax\n", "\tcall subject\n");
    let chain = report_on(&source).summary.deepest_chain.expect("a chain");
    assert_eq!(chain.path, ["_fini", "subject"]);
    assert!(chain.indirect_calls && chain.recursion);
}

#[test]
fn a_jump_out_of_a_function_leaves_nothing_on_the_stack() {
    let source = function("sub $40, %rsp\nadd $40, %rsp\njmp mod_info").replace(
        "\tmov\t$16, %eax\n\tret",
        "\tpush %rbp\n\tpop %rbp\n\tjmp subject",
    );
    let chain = report_on(&source).summary.deepest_chain.expect("a chain");
    assert_eq!(
        (chain.path.join(" "), chain.bytes),
        ("_fini subject".to_owned(), 40)
    );
}
