// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Calling in and out: arguments, stacks, traps, direct mode.

use std::sync::OnceLock;

use crate::common::{Machine, load_plain};
use clinet_kernel::{Context, Kernel, STACK_SIZE, guard};

#[test]
fn nine_arguments_arrive_in_order() {
    let machine = Machine::new(
        "uint64_t digits(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
            uint64_t f, uint64_t g, uint64_t h, uint64_t i) {
            return ((((((((a*10+b)*10+c)*10+d)*10+e)*10+f)*10+g)*10+h)*10+i);
        }",
    );
    let digits = machine.call("digits", &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(digits, 123_456_789);
}

#[test]
fn the_stack_is_aligned_as_the_abi_wants() {
    let machine = Machine::new(
        "uint64_t misaligned(void) {
            return (((uintptr_t)__builtin_frame_address(0)) & 15);
        }",
    );
    assert_eq!(machine.call("misaligned", &[]), 0);
}

#[test]
fn depth_counts_leaf_functions_and_not_the_imports() {
    let machine = Machine::new(
        "uint64_t leaf(void) {
            volatile uint64_t buffer[128];
            for (int i = 0; i < 128; i++) buffer[i] = i;
            return (buffer[5]);
        }
        void logs(void) { cmn_err(CE_NOTE, \"%d\", 5); }",
    );
    let before = machine.kernel.max_stack_depth();
    machine.call("logs", &[]);
    let logging = machine.kernel.max_stack_depth();
    assert!(before > 0 && logging < 512, "{before} {logging}");
    machine.call("leaf", &[]);
    let depth = machine.kernel.max_stack_depth();
    assert!((1024..1200).contains(&depth), "{depth}");
}

#[test]
fn a_stack_overflow_names_the_function() {
    let machine = Machine::new(
        "uint64_t deeper(uint64_t n) {
            volatile uint64_t frame[64];
            frame[0] = n;
            if (n == 0) return (0);
            return (deeper(n + 1) + frame[0]);
        }",
    );
    let message = machine.fault("deeper", &[1]);
    assert!(
        message.contains("kernel stack overflow in test`deeper"),
        "{message}"
    );
    assert!(message.contains(&STACK_SIZE.to_string()), "{message}");
}

#[test]
fn traps_are_faults_with_a_trace() {
    let source = "
        uint64_t load(uint64_t *p) { return (*p); }
        uint64_t outer(uint64_t *p) { return (load(p) + 1); }
        void undefined(void) { __asm__ volatile (\"ud2\"); }
        uint64_t length(const char *p) {
            extern size_t strlen(const char *);
            return (strlen(p));
        }";
    let cases = [
        ("load", "page fault at 0x10 in test`load"),
        ("length", "page fault at 0x10"),
        ("undefined", "invalid opcode in test`undefined"),
    ];
    for (function, expected) in cases {
        let machine = Machine::new(source);
        let fault = machine.fault_in(&Context::interrupt(), function, &[0x10]);
        assert!(fault.message.contains(expected), "{fault}");
        assert!(fault.trace[0].contains(function), "{fault}");
        assert_eq!(fault.context, "interrupt thread");
    }
}

#[test]
fn a_machine_that_panicked_runs_nothing_any_more() {
    let machine = Machine::new(
        "void die(void) { cmn_err(CE_PANIC, \"it is over: %d\", 7); }
        int fine(void) { return (1); }",
    );
    assert_eq!(machine.fault("die", &[]), "it is over: 7");
    assert_eq!(machine.fault("fine", &[]), "it is over: 7");
    assert_eq!(
        machine.kernel.fault().expect("a fault").message,
        "it is over: 7"
    );
}

#[test]
fn a_fault_in_one_machine_leaves_the_others_alone() {
    let source = "static uint64_t count;
        uint64_t next(void) { return (++count); }
        void die(void) { cmn_err(CE_PANIC, \"over\"); }";
    let (one, two) = (Machine::new(source), Machine::new(source));
    assert_eq!(one.call("next", &[]), 1);
    assert_eq!(one.call("next", &[]), 2);
    assert_eq!(two.call("next", &[]), 1);
    one.fault("die", &[]);
    assert_eq!(two.call("next", &[]), 2);
    assert!(two.kernel.log().is_empty() && two.kernel.fault().is_none());
}

#[test]
fn direct_mode_calls_through_pointers() {
    let machine = Machine::new(
        "static kmutex_t lock;
        static uint64_t count;
        uint64_t add(uint64_t n) {
            mutex_enter(&lock);
            count += n;
            mutex_exit(&lock);
            return (count);
        }",
    );
    let address = machine.module.address("add");
    // SAFETY: the function takes and returns a uint64_t.
    let add: extern "C" fn(u64) -> u64 = unsafe { std::mem::transmute(address) };
    let total = machine.kernel.enter(&Context::thread(), || {
        add(2);
        add(3)
    });
    assert_eq!(total, 5);
    assert_eq!(machine.call("add", &[1]), 6);
}

#[test]
fn a_call_outside_of_any_module_is_refused() {
    let kernel = Kernel::new();
    load_plain(&kernel, "misc/test", "");
    // SAFETY: the address is in no module, so nothing is called.
    let refused = unsafe { kernel.try_call(&Context::thread(), 0x1000, &[]) };
    assert!(
        refused
            .expect_err("refused")
            .message
            .contains("no loaded module")
    );
}

static NESTED: OnceLock<Kernel> = OnceLock::new();

/// A function of the host that calls a module's function with two arguments.
extern "C" fn call_back(function: u64, argument: u64) -> u64 {
    guard(|| {
        let kernel = NESTED.get().expect("the test sets it first");
        // SAFETY: the module passes a function of its own that takes one
        // argument.
        unsafe { kernel.call(&Context::no_sleep(), function, &[argument]) }
    })
}

#[test]
fn nested_calls_share_the_stack_of_their_thread() {
    let kernel = NESTED.get_or_init(Kernel::new);
    // SAFETY: what the function asks for is guaranteed by the module below.
    unsafe {
        kernel.provide_with_functions("misc/host", &[], &[("call_back", call_back as *const ())]);
    }
    let module = load_plain(
        kernel,
        "misc/test",
        "char _depends_on[] = \"misc/host\";
        extern uint64_t call_back(uint64_t (*)(uint64_t), uint64_t);
        static uint64_t nest(uint64_t n) {
            volatile uint64_t mine[32];
            for (int i = 0; i < 32; i++) mine[i] = n;
            uint64_t below = n == 0 ? 0 : call_back(nest, n - 1);
            for (int i = 0; i < 32; i++) if (mine[i] != n) return (1000);
            return (below + 1);
        }
        uint64_t start(uint64_t n) { return (nest(n)); }
        uint64_t die(uint64_t n) { cmn_err(CE_PANIC, \"deep down\"); return (n); }
        uint64_t start_dying(void) { return (call_back(die, 1)); }",
    );
    let call = |name: &str, args: &[u64]| {
        // SAFETY: the functions take no more than these arguments.
        unsafe { module.call(&Context::thread(), module.address(name), args) }
    };
    assert_eq!(call("start", &[0]), 1);
    let shallow = kernel.max_stack_depth();
    assert_eq!(call("start", &[9]), 10);
    let depth = kernel.max_stack_depth() - shallow;
    assert!((9 * 256..9 * 600).contains(&depth), "{depth}");
    let dying = std::panic::AssertUnwindSafe(|| call("start_dying", &[]));
    let payload = std::panic::catch_unwind(dying).expect_err("the fault comes out");
    let message = payload.downcast_ref::<String>().expect("a message");
    assert!(message.contains("deep down"), "{message}");
    assert!(message.contains("thread that may not sleep"), "{message}");
}
