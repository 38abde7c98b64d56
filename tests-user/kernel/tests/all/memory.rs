// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! kmem: accounts, guards, failures.

use crate::common::{Machine, compile_driver};
use clinet_kernel::{Context, Cred, Kernel, Leak, ModunloadError, OpenFlags, together};

const KMEM: &str = "
    uint64_t alloc(size_t n, int flags) { return ((uint64_t)kmem_alloc(n, flags)); }
    uint64_t zalloc(size_t n) { return ((uint64_t)kmem_zalloc(n, KM_NOSLEEP)); }
    void free(void *p, size_t n) { kmem_free(p, n); }
    uint64_t peek(uint32_t *p) { return (*p); }
    void poke(uint8_t *p, size_t at) { p[at] = 1; }";

#[test]
fn blocks_are_counted_poisoned_and_freed() {
    let machine = Machine::new(KMEM);
    let kernel = &machine.kernel;
    let block = machine.call("alloc", &[24, 0]);
    assert_eq!(block % 16, 8, "only 8 is guaranteed");
    assert_eq!(machine.call("peek", &[block]), 0xbadd_cafe);
    let line = machine.call("alloc", &[128, 1]);
    assert_eq!(line % 64, 0);
    let zeroed = machine.call("zalloc", &[40]);
    assert_eq!(machine.call("peek", &[zeroed + 36]), 0);
    assert_eq!(kernel.kmem_in_use(), 24 + 128 + 40);
    assert_eq!(kernel.kmem_allocations(), 3);
    for (address, size) in [(block, 24), (line, 128), (zeroed, 40)] {
        machine.call("free", &[address, size]);
        assert_eq!(machine.call("peek", &[address]), 0xdead_beef);
    }
    assert_eq!(kernel.kmem_in_use(), 0);
    assert_eq!(machine.call("alloc", &[0, 0]), 0);
    machine.call("free", &[0, 0]);
    kernel.check_memory().expect("nothing is damaged");
    kernel.unload(&machine.module).expect("nothing is left");
}

#[test]
fn misuses_of_memory_are_faults() {
    type Misuse = fn(&Machine, u64) -> u64;
    let cases: [(Misuse, &str); 6] = [
        (|m, p| m.call("free", &[p, 23]), "23 bytes at"),
        (
            |m, p| {
                m.call("free", &[p, 24]);
                m.call("free", &[p, 24])
            },
            "was freed already, by test`free",
        ),
        (
            |m, p| m.call("free", &[p + 8, 16]),
            "is inside the 24 bytes",
        ),
        (|m, _| m.call("free", &[0x1000, 16]), "was never allocated"),
        (
            |m, p| {
                m.call("poke", &[p, 24]);
                m.call("free", &[p, 24])
            },
            "at offset 24",
        ),
        (
            |m, p| {
                m.call("poke", &[p, u64::MAX]);
                m.call("free", &[p, 24])
            },
            "at offset -1",
        ),
    ];
    for (misuse, expected) in cases {
        let machine = Machine::new(KMEM);
        let block = machine.call("alloc", &[24, 0]);
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| misuse(&machine, block)));
        assert!(result.is_err(), "{expected}");
        let fault = machine.kernel.fault().expect("a fault");
        assert!(fault.message.contains(expected), "{fault}");
        assert!(fault.trace[0].contains("test`free"), "{fault}");
    }
}

#[test]
fn a_write_to_freed_memory_is_found() {
    let machine = Machine::new(KMEM);
    let block = machine.call("alloc", &[24, 0]);
    machine.call("free", &[block, 24]);
    machine.call("poke", &[block, 3]);
    let complaint = machine.kernel.check_memory().expect_err("damage");
    assert!(
        complaint.contains("24 bytes") && complaint.contains("offset 3"),
        "{complaint}"
    );
    let error = machine.kernel.unload(&machine.module).expect_err("damage");
    assert!(
        error.to_string().contains("freed memory was written to"),
        "{error}"
    );
}

#[test]
fn sleeping_for_memory_needs_a_context_that_may() {
    let refusing = [
        Context::interrupt(),
        Context::no_sleep(),
        Context::thread().holding("uf_lock"),
    ];
    for context in refusing {
        let machine = Machine::new(KMEM);
        let block = machine
            .call_in(&context, "alloc", &[16, 1])
            .expect("KM_NOSLEEP");
        machine
            .call_in(&context, "free", &[block, 16])
            .expect("no fault");
        let fault = machine.fault_in(&context, "alloc", &[16, 0]);
        assert!(fault.message.contains("KM_SLEEP"), "{fault}");
        assert_eq!(fault.context, context.to_string());
    }
}

#[test]
fn the_nth_allocation_fails_and_sleepers_never() {
    let machine = Machine::new(KMEM);
    machine.kernel.fail_nth_allocation(2);
    assert_ne!(machine.call("alloc", &[8, 1]), 0);
    assert_ne!(machine.call("alloc", &[8, 0]), 0);
    assert_eq!(machine.call("alloc", &[8, 1]), 0);
    assert_ne!(machine.call("alloc", &[8, 1]), 0);
    machine.kernel.fail_allocations(true);
    assert_eq!(machine.call("zalloc", &[8]), 0);
    assert_ne!(machine.call("alloc", &[8, 0]), 0);
    machine.kernel.fail_allocations(false);
    assert_ne!(machine.call("zalloc", &[8]), 0);
    assert_eq!(machine.call("alloc", &[1 << 40, 1]), 0);
    assert!(
        machine
            .fault("alloc", &[1 << 40, 0])
            .contains("wait for ever")
    );
}

#[test]
fn what_is_not_freed_is_reported_at_unload() {
    let machine = Machine::new(KMEM);
    machine.call("alloc", &[100, 0]);
    let address = machine.module.address("alloc");
    let error = machine.kernel.unload(&machine.module).expect_err("a leak");
    let ModunloadError::Leaks { leaks, .. } = &error else {
        panic!("{error}");
    };
    let [
        Leak::Memory {
            size: 100,
            allocated_by,
        },
    ] = &leaks.0[..]
    else {
        panic!("{error}");
    };
    assert!(allocated_by.starts_with("test`alloc+"), "{allocated_by}");
    assert!(machine.module.image().is_none());
    // SAFETY: the module is gone, so nothing is called.
    let gone = unsafe {
        machine
            .module
            .try_call(&Context::thread(), address, &[8, 0])
    };
    assert!(gone.expect_err("gone").message.contains("no loaded module"));
}

#[test]
fn accounts_are_of_one_machine() {
    let (one, two) = (Machine::new(KMEM), Machine::new(KMEM));
    let block = one.call("alloc", &[24, 0]);
    assert_eq!(
        (one.kernel.kmem_in_use(), two.kernel.kmem_in_use()),
        (24, 0)
    );
    assert!(two.fault("free", &[block, 24]).contains("never allocated"));
    one.call("free", &[block, 24]);
}

/// What the kernel, or another thread, still reaches.
#[test]
fn memory_that_somebody_waits_on_is_not_freed() {
    let source = "
        extern void cv_wait(kcondvar_t *, kmutex_t *);
        static struct { kmutex_t lock; kcondvar_t cv; long more[4]; } *block;
        static kmutex_t lock;
        static int waiting;
        void make(void) { block = kmem_zalloc(sizeof (*block), KM_SLEEP); }
        void drop(void) { kmem_free(block, sizeof (*block)); }
        void drop_held(void) { mutex_enter(&block->lock); drop(); }
        void wait(void) {
            mutex_enter(&lock);
            waiting = 1;
            cv_wait(&block->cv, &lock);
            mutex_exit(&lock);
        }
        int is_waiting(void) {
            mutex_enter(&lock);
            int is = waiting;
            mutex_exit(&lock);
            return (is);
        }";
    let machine = Machine::new(source);
    machine.call("make", &[]);
    let message = machine.fault("drop_held", &[]);
    assert!(message.contains("that this thread holds"), "{message}");
    let machine = Machine::new(source);
    machine.call("make", &[]);
    together::scope(|threads| {
        threads.spawn(|_| machine.fault("wait", &[]));
        while machine.call("is_waiting", &[]) == 0 {
            std::thread::yield_now();
        }
        let message = machine.fault("drop", &[]);
        let expected = "a condition variable that threads wait for";
        assert!(message.contains(expected), "{message}");
    });
}

#[test]
fn a_pollhead_that_somebody_waits_on_is_not_freed() {
    let source = "
        #define CHPOLL polls
        static pollhead_t *pollhead;
        static int polls(uint64_t dev, short events, int any, short *revents, pollhead_t **php) {
            if (pollhead == NULL)
                pollhead = kmem_zalloc(sizeof (*pollhead), KM_NOSLEEP);
            *revents = 0;
            *php = pollhead;
            return (0);
        }
        void drop(void) { kmem_free(pollhead, sizeof (*pollhead)); }";
    let kernel = Kernel::new();
    let driver = kernel.load_driver("drv/test", &compile_driver(source), &[]);
    let driver = driver.unwrap_or_else(|error| panic!("{error}"));
    let file = driver
        .open(Cred::root(), OpenFlags::READ)
        .expect("it opens");
    let set = file.add_to_poll_set(1).expect("it is polled");
    let drop_it = driver.module().address("drop");
    // SAFETY: a function without arguments.
    let freed = unsafe { driver.module().try_call(&Context::thread(), drop_it, &[]) };
    let message = freed.expect_err("a fault").message;
    assert!(message.contains("that somebody waits on"), "{message}");
    drop(set);
}
