// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults in direct mode, which end the process: each is provoked in a child.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::common::Machine;
use clinet_kernel::Context;

const CASE: &str = "CLINET_KERNEL_DIRECT_CASE";
const SOURCE: &str = "
    static kmutex_t lock;
    void recursive(void) { mutex_enter(&lock); mutex_enter(&lock); }
    void wild(void) { *(volatile int *)0x18 = 1; }
    void sleeps(void) { (void) kmem_alloc(8, KM_SLEEP); }";

/// The child: calls the function that the environment names.
#[test]
fn child() {
    let Ok(function) = std::env::var(CASE) else {
        return;
    };
    let machine = Machine::new(SOURCE);
    // SAFETY: the functions of the module take no arguments.
    let call: extern "C" fn() = unsafe { std::mem::transmute(machine.module.address(&function)) };
    machine.kernel.enter(&Context::interrupt(), || call());
}

#[test]
fn a_fault_prints_what_and_where_and_aborts() {
    let cases = [
        ("recursive", "kernel panic: mutex_enter: recursive"),
        ("wild", "kernel panic: page fault at 0x18"),
        ("sleeps", "kernel panic: kmem_alloc with KM_SLEEP may sleep"),
    ];
    for (function, expected) in cases {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["direct::child", "--exact", "--nocapture"])
            .env(CASE, function)
            .output()
            .expect("the child runs");
        let text = String::from_utf8_lossy(&child.stderr);
        assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("context: interrupt thread"), "{text}");
        assert!(text.contains(&format!("in test`{function}")), "{text}");
    }
}
