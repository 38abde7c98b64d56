// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The IP stacks of a machine.

use crate::common::Machine;
use clinet_kernel::{Context, Leak, ModunloadError, NetstackLayout};

const STACKS: &str = "
    extern void netstack_next_init(int *), netstack_next_fini(int *);
    extern void *netstack_next(int *), *netstack_find_by_stackid(int);
    extern void netstack_hold(void *), netstack_rele(void *);
    static int handle;
    static void *held;
    static int id_at(const char *stack, int offset) {
        return (*(const int *)(stack + offset));
    }
    /* The stack ids as decimal digits, the first one first. */
    uint64_t walk(int offset) {
        uint64_t ids = 9;
        void *stack;
        netstack_next_init(&handle);
        while ((stack = netstack_next(&handle)) != NULL) {
            ids = ids * 10 + id_at(stack, offset);
            netstack_rele(stack);
        }
        netstack_next_fini(&handle);
        return (ids);
    }
    int find(int id) { return ((held = netstack_find_by_stackid(id)) != NULL); }
    uint32_t id(void) { return (id_at(held, 248)); }
    void again(void) { netstack_hold(held); }
    void rele(void) { netstack_rele(held); }
    void begin(void) { netstack_next_init(&handle); }
    int step(void) { return ((held = netstack_next(&handle)) != NULL); }
    void end(void) { netstack_next_fini(&handle); }";

#[test]
fn a_walk_finds_every_stack() {
    let machine = Machine::new(STACKS);
    assert_eq!(machine.call("walk", &[248]), 90);
    machine.kernel.add_netstack(3);
    machine.kernel.add_netstack(5);
    assert_eq!(machine.call("walk", &[248]), 9530);
    assert_eq!(machine.kernel.netstacks(), [5, 3, 0]);
    machine.kernel.remove_netstack(3);
    assert_eq!(machine.call("walk", &[248]), 950);
    machine.kernel.set_netstack_layout(NetstackLayout::Of2021);
    assert_eq!(machine.call("walk", &[256]), 950);
    machine
        .kernel
        .unload(&machine.module)
        .expect("nothing is held");
}

#[test]
fn a_stack_that_ends_stays_while_it_is_held() {
    let machine = Machine::new(STACKS);
    machine.kernel.add_netstack(4);
    assert_eq!(machine.call("find", &[4]), 1);
    machine.call("again", &[]);
    machine.kernel.remove_netstack(4);
    assert_eq!(machine.call("walk", &[248]), 90);
    machine.call("rele", &[]);
    assert_eq!(machine.call("id", &[]), 4);
    machine.call("rele", &[]);
    assert_eq!(machine.call("id", &[]), 0xefef_efef);
    assert!(
        machine
            .fault("rele", &[])
            .contains("no netstack that is held")
    );
}

#[test]
fn a_stack_that_is_absent_is_not_found() {
    let machine = Machine::new(STACKS);
    assert_eq!(machine.call("find", &[4]), 0);
    machine.kernel.add_netstack(4);
    machine.kernel.remove_netstack(4);
    assert_eq!(machine.call("find", &[4]), 0);
}

#[test]
fn holds_and_walks_that_are_left_are_leaks() {
    let machine = Machine::new(STACKS);
    machine.call("begin", &[]);
    assert_eq!(machine.call("step", &[]), 1);
    machine.call("again", &[]);
    let error = machine.kernel.unload(&machine.module).expect_err("holds");
    let ModunloadError::Leaks { leaks, .. } = &error else {
        panic!("{error}");
    };
    let [Leak::Netstack(0), Leak::Netstack(0), walk] = &leaks.0[..] else {
        panic!("{error}");
    };
    let walk = walk.to_string();
    assert!(walk.contains("test`begin+"), "{walk}");
    assert!(walk.contains("without netstack_next_fini"), "{walk}");
}

#[test]
fn misuses_are_faults() {
    let cases: [(&[&str], &str); 4] = [
        (&["step"], "netstack_next: no netstack_next_init"),
        (&["end"], "netstack_next_fini: no netstack_next_init"),
        (&["begin", "begin"], "has not ended"),
        (&["rele"], "no netstack that is held"),
    ];
    for (calls, expected) in cases {
        let machine = Machine::new(STACKS);
        let (last, before) = calls.split_last().expect("a call");
        for call in before {
            machine.call(call, &[]);
        }
        let message = machine.fault(last, &[]);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_hook_asks_for_no_stacks() {
    for function in ["find", "begin"] {
        for context in [
            Context::interrupt(),
            Context::thread().holding("connf_lock"),
        ] {
            let machine = Machine::new(STACKS);
            let fault = machine.fault_in(&context, function, &[0]);
            assert!(fault.message.contains("may sleep"), "{fault}");
        }
    }
}
