// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! kmem caches, and what the machine loses to its modules.

use crate::common::Machine;
use clinet_kernel::{Context, Leak, ModunloadError};

const CACHES: &str = r#"
    uint64_t create(size_t size, size_t align, int flags) {
        return ((uint64_t)kmem_cache_create("test_cache", size, align,
            NULL, NULL, NULL, NULL, NULL, flags));
    }
    uint64_t create_odd(int what) {
        return ((uint64_t)kmem_cache_create(what == 0 ? "no identifier" : "test",
            64, 0, what == 1 ? (int (*)(void *, void *, int))1 : NULL,
            what == 2 ? (void (*)(void *, void *))1 : NULL, NULL, NULL, NULL, 0));
    }
    void destroy(void *cache) { kmem_cache_destroy(cache); }
    uint64_t alloc(void *cache, int flags) { return ((uint64_t)kmem_cache_alloc(cache, flags)); }
    void free(void *cache, void *p) { kmem_cache_free(cache, p); }
    uint64_t alloc_general(size_t n) { return ((uint64_t)kmem_alloc(n, KM_NOSLEEP)); }
    void free_general(void *p, size_t n) { kmem_free(p, n); }
    uint64_t peek(uint32_t *p) { return (*p); }
    void poke(uint8_t *p, size_t at) { p[at] = 1; }"#;

const NOMAGAZINE: u64 = 0x0004_0000;
const NOSLEEP: u64 = 1;

fn machine() -> (Machine, u64) {
    let machine = Machine::new(CACHES);
    let cache = machine.call("create", &[8192, 128, NOMAGAZINE]);
    (machine, cache)
}

#[test]
fn buffers_are_aligned_counted_poisoned_and_freed() {
    let (machine, cache) = machine();
    let kernel = &machine.kernel;
    let buffer = machine.call("alloc", &[cache, NOSLEEP]);
    assert_eq!(buffer % 256, 128, "only 128 is guaranteed");
    assert_eq!(machine.call("peek", &[buffer]), 0xbadd_cafe);
    assert_eq!((kernel.kmem_in_use(), kernel.kmem_lost()), (8192, 8192));
    assert_eq!(kernel.kmem_allocations(), 1);
    machine.call("free", &[cache, buffer]);
    assert_eq!(machine.call("peek", &[buffer]), 0xdead_beef);
    assert_eq!((kernel.kmem_in_use(), kernel.kmem_lost()), (0, 0));
    machine.call("destroy", &[cache]);
    kernel.unload(&machine.module).expect("nothing is left");
}

#[test]
fn what_the_machine_loses_is_whole_slabs_and_what_magazines_keep() {
    let machine = Machine::new(CACHES);
    let kernel = &machine.kernel;
    let small = machine.call("alloc_general", &[100_000]);
    let large = machine.call("alloc_general", &[200_000]);
    assert_eq!(kernel.kmem_in_use(), 300_000);
    assert_eq!(kernel.kmem_lost(), 106_496 + 200_704);
    machine.call("free_general", &[small, 100_000]);
    machine.call("free_general", &[large, 200_000]);
    assert_eq!((kernel.kmem_in_use(), kernel.kmem_lost()), (0, 106_496));
    let keeping = machine.call("create", &[8192, 0, 0]);
    let buffer = machine.call("alloc", &[keeping, 0]);
    machine.call("free", &[keeping, buffer]);
    assert_eq!(kernel.kmem_lost(), 106_496 + 8192);
    machine.call("destroy", &[keeping]);
    assert_eq!(kernel.kmem_lost(), 106_496);
}

#[test]
fn misuses_of_caches_are_faults() {
    type Misuse = fn(&Machine, u64, u64) -> u64;
    let cases: [(Misuse, &str); 14] = [
        (|m, _, _| m.call("create", &[64, 96, 0]), "bad alignment 96"),
        (
            |m, _, _| m.call("create", &[64, 8192, 0]),
            "bad alignment 8192",
        ),
        (|m, _, _| m.call("create", &[0, 0, 0]), "buffers of 0 bytes"),
        (
            |m, _, _| m.call("create", &[64, 0, 0x1_0000]),
            "unknown flags",
        ),
        (|m, _, _| m.call("create_odd", &[0]), "is no C identifier"),
        (|m, _, _| m.call("create_odd", &[1]), "without functions"),
        (|m, _, _| m.call("create_odd", &[2]), "without functions"),
        (
            |m, c, _| m.call("destroy", &[c]),
            "test_cache has 1 buffers that nobody freed; test`alloc",
        ),
        (|m, c, _| m.call("alloc", &[c + 8, NOSLEEP]), "is no cache"),
        (
            |m, c, p| {
                m.call("free", &[c, p]);
                m.call("free", &[c, p])
            },
            "was freed already, by test`free",
        ),
        (
            |m, c, p| m.call("free", &[c, p + 128]),
            "is inside the 8192 bytes",
        ),
        (
            |m, _, p| m.call("free_general", &[p, 8192]),
            "is of the cache test_cache",
        ),
        (
            |m, c, _| {
                let general = m.call("alloc_general", &[8192]);
                m.call("free", &[c, general])
            },
            "is of kmem_alloc",
        ),
        (
            |m, c, p| {
                m.call("poke", &[p, 8192]);
                m.call("free", &[c, p])
            },
            "at offset 8192",
        ),
    ];
    for (misuse, expected) in cases {
        let (machine, cache) = machine();
        let buffer = machine.call("alloc", &[cache, 0]);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            misuse(&machine, cache, buffer)
        }));
        assert!(result.is_err(), "{expected}");
        let fault = machine.kernel.fault().expect("a fault");
        assert!(fault.message.contains(expected), "{fault}");
    }
}

#[test]
fn a_destroyed_cache_gives_nothing() {
    let (machine, cache) = machine();
    machine.call("destroy", &[cache]);
    let message = machine.fault("alloc", &[cache, NOSLEEP]);
    assert!(message.contains("or was destroyed"), "{message}");
}

#[test]
fn only_what_does_not_sleep_may_be_called_in_a_hook() {
    let context = Context::thread().holding("uf_lock");
    let (machine, cache) = machine();
    let buffer = machine
        .call_in(&context, "alloc", &[cache, NOSLEEP])
        .expect("KM_NOSLEEP");
    machine
        .call_in(&context, "free", &[cache, buffer])
        .expect("no fault");
    for (function, expected) in [
        ("alloc", "kmem_cache_alloc with KM_SLEEP"),
        ("create", "kmem_cache_create may sleep"),
        ("destroy", "kmem_cache_destroy may sleep"),
    ] {
        let (machine, cache) = self::machine();
        let first = if function == "create" { 64 } else { cache };
        let fault = machine.fault_in(&context, function, &[first, 0, 0]);
        assert!(fault.message.contains(expected), "{fault}");
    }
}

#[test]
fn allocations_of_caches_fail_as_those_of_kmem_alloc_do() {
    let (machine, cache) = machine();
    machine.kernel.fail_nth_allocation(2);
    assert_ne!(machine.call("alloc_general", &[8]), 0);
    assert_eq!(machine.call("alloc", &[cache, NOSLEEP]), 0);
    assert_ne!(machine.call("alloc", &[cache, NOSLEEP]), 0);
    machine.kernel.fail_allocations(true);
    assert_eq!(machine.call("alloc", &[cache, NOSLEEP]), 0);
    assert_ne!(machine.call("alloc", &[cache, 0]), 0, "KM_SLEEP");
    assert_eq!(machine.kernel.kmem_in_use(), 8 + 2 * 8192);
}

#[test]
fn what_is_left_is_reported_at_unload() {
    let (machine, cache) = machine();
    machine.call("alloc", &[cache, 0]);
    let error = machine.kernel.unload(&machine.module).expect_err("leaks");
    let ModunloadError::Leaks { leaks, .. } = &error else {
        panic!("{error}");
    };
    let [Leak::Memory { size: 8192, .. }, Leak::Cache(name)] = &leaks.0[..] else {
        panic!("{error}");
    };
    assert_eq!(name, "test_cache");
    assert_eq!(machine.kernel.kmem_lost(), 0);
}

#[test]
fn a_write_to_a_freed_buffer_is_found() {
    let (machine, cache) = machine();
    let buffer = machine.call("alloc", &[cache, 0]);
    machine.call("free", &[cache, buffer]);
    machine.call("poke", &[buffer, 5000]);
    let complaint = machine.kernel.check_memory().expect_err("damage");
    assert!(complaint.contains("offset 5000"), "{complaint}");
}
