// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Loaded code is run, as proof that the common relocations come out right.

use std::sync::Arc;
use std::thread;

use crate::common::{address, assemble, load, load_with};
use clinet_krtld::Image;

type Function = extern "C" fn(u64) -> u64;

/// The function `name` of `image`.
///
/// # Safety
/// It must be a C function with one argument, that needs nothing of the
/// kernel, and must not be called after the image is gone.
unsafe fn function(image: &Image, name: &str) -> Function {
    let code = std::ptr::with_exposed_provenance::<()>(address(image, name) as usize);
    // SAFETY: the caller guarantees what the code is.
    unsafe { std::mem::transmute::<*const (), Function>(code) }
}

const SOURCE: &str = "
    .text
    .globl entry
    .type entry, @function
    entry:
        add counter(%rip), %rdi         # PC32
        mov %rdi, counter(%rip)
        call double@PLT                 # PLT32
        mov $table, %rdx                # 32S
        add (%rdx), %rax
        movabs $constant, %rdx          # 64
        add (%rdx), %rax
        mov pointer(%rip), %rdx         # 64 in data
        add (%rdx), %rax
        xor %ecx, %ecx
        add table(,%rcx,8), %rax        # 32S in an address
        ret
    .globl double
    double: lea (%rdi,%rdi), %rax
        ret
    .section .rodata
    constant: .quad 1000
    .data
    table: .quad 100
    counter: .quad 0
    pointer: .quad counter";

#[test]
fn loaded_code_finds_its_data() {
    let image = load(&assemble(SOURCE)).expect("loads");
    // SAFETY: entry is such a function; the image lives to the end.
    let entry = unsafe { function(&image, "entry") };
    assert_eq!(entry(5), 2 * 5 + 100 + 1000 + 5 + 100);
    // The counter kept its value.
    assert_eq!(entry(7), 2 * 12 + 100 + 1000 + 12 + 100);
}

#[test]
fn one_module_calls_another() {
    let kernel = load(&assemble(
        ".text\n.globl triple\ntriple: lea (%rdi,%rdi,2), %rax\nret",
    ))
    .expect("loads");
    let triple = address(&kernel, "triple");
    let module = load_with(
        &assemble(".text\n.globl run\nrun: call triple\ninc %rax\nret"),
        &[("triple", triple)],
    )
    .expect("loads");
    // SAFETY: run is such a function; both images live to the end.
    let run = unsafe { function(&module, "run") };
    assert_eq!(run(7), 22);
}

#[test]
fn a_probe_site_does_nothing() {
    let image = load(&assemble(
        ".text\n.globl run\nrun: mov %rdi, %rax\ncall __dtrace_probe_run\ninc %rax\nret",
    ))
    .expect("loads");
    // SAFETY: run is such a function; the image lives to the end.
    let run = unsafe { function(&image, "run") };
    assert_eq!(run(7), 8);
}

#[test]
fn a_tunable_reaches_the_code_in_every_thread() {
    let image = Arc::new(
        load(&assemble(
            ".text\n.globl run\nrun: mov setting(%rip), %rax\nadd %rdi, %rax\nret
            .data\n.globl setting\nsetting: .quad 1\n.size setting, 8",
        ))
        .expect("loads"),
    );
    image.set_tunable("setting", 40).expect("set");
    let other = Arc::clone(&image);
    let result = thread::spawn(move || {
        // SAFETY: run is such a function; this thread keeps the image.
        let run = unsafe { function(&other, "run") };
        run(2)
    });
    assert_eq!(result.join().expect("joins"), 42);
}

#[test]
fn several_copies_of_one_module_have_their_own_data() {
    let bytes = assemble(
        ".text\n.globl run\nrun: add %rdi, counter(%rip)\nmov counter(%rip), %rax\nret
        .bss\ncounter: .skip 8",
    );
    let images: Vec<Image> = (0..4).map(|_| load(&bytes).expect("loads")).collect();
    for (node, image) in (1..).zip(&images) {
        // SAFETY: run is such a function; the images live to the end.
        let run = unsafe { function(image, "run") };
        assert_eq!(run(node), node);
        assert_eq!(run(node), 2 * node);
    }
}
