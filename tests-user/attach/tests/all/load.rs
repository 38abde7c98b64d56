// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What fails at load: the module is not there, has said why and leaves
//! nothing; or it does its work.

use clinet_kernel::{Kernel, Level, ModunloadError};
use clinet_module_tests::module_file;

const TUNABLES: [(&str, u64); 2] = [("clinet_attach", 0), ("clinet_max_tuples", 256)];

/// The one message of a load that fails with `errno`.
fn refused(kernel: &Kernel, errno: i32, tunables: &[(&str, u64)]) -> String {
    let error = kernel
        .load("misc/clinet", &module_file(), tunables)
        .expect_err("it does not load");
    let expected = format!("_init of misc/clinet returned errno {errno}");
    assert_eq!(error.to_string(), expected);
    assert_eq!(kernel.kmem_in_use(), 0);
    let [message] = &kernel.log()[..] else {
        panic!("{:?}", kernel.log());
    };
    assert!(
        message.text.starts_with("clinet: not loaded: "),
        "{}",
        message.text
    );
    assert_eq!(message.level, Level::Warning);
    message.text.clone()
}

#[test]
fn any_allocation_may_fail() {
    for provider in [0, 1] {
        let tunables = [&TUNABLES[..], &[("clinet_provider", provider)]].concat();
        let counted = Kernel::new();
        let module = counted.load("misc/clinet", &module_file(), &tunables);
        assert!(module.is_ok());
        let allocations = counted.kmem_allocations();
        for nth in 1..=allocations + 1 {
            let kernel = Kernel::new();
            kernel.fail_nth_allocation(nth);
            match kernel.load("misc/clinet", &module_file(), &tunables) {
                Ok(module) => {
                    // What it can do without is said if it stays away.
                    for message in kernel.log() {
                        assert!(message.text.contains("kstats"), "{}", message.text);
                    }
                    if provider == 0 {
                        kernel.unload(&module).expect("it goes");
                        assert_eq!(kernel.kmem_in_use(), 0);
                    }
                }
                Err(_) => {
                    let kernel = Kernel::new();
                    kernel.fail_nth_allocation(nth);
                    let message = refused(&kernel, 12, &tunables);
                    assert!(message.contains(" bytes"), "{message}");
                }
            }
        }
    }
}

/// With the bytes that it had when there were no more.
#[test]
fn a_table_that_is_too_large_for_the_machine_is_refused_with_its_size() {
    const TUPLES: u64 = 1 << 16;
    let tunables = [
        ("clinet_attach", 0),
        ("clinet_max_tuples", TUPLES),
        ("clinet_prealloc", 1),
    ];
    let counted = Kernel::new();
    let module = counted.load("misc/clinet", &module_file(), &tunables);
    assert!(module.is_ok());
    let (allocations, all) = (counted.kmem_allocations(), counted.kmem_in_use());
    let kernel = Kernel::new();
    kernel.fail_nth_allocation(allocations * 3 / 4);
    let message = refused(&kernel, 12, &tunables);
    let numbers = message.split(' ').filter_map(|word| word.parse().ok());
    let bytes: usize = numbers.max().expect("a number");
    assert!((all / 2..all).contains(&bytes), "{message}: of {all}");
    assert!(message.contains(&TUPLES.to_string()), "{message}");
    assert!(message.contains("clinet_prealloc"), "{message}");
}

#[test]
fn without_a_thread_or_a_linkage_the_module_is_not_loaded() {
    for (function, errno, says) in [
        ("ddi_taskq_create", 12, "thread"),
        ("mod_install", 11, "mod_install() failed"),
    ] {
        let kernel = Kernel::new();
        kernel.fail_next(function);
        let message = refused(&kernel, errno, &TUNABLES);
        assert!(message.contains(says), "{message}");
    }
}

/// A misc module's linkage always goes; if it did not, nothing would be taken down.
#[test]
fn a_linkage_that_stays_keeps_the_module() {
    let kernel = Kernel::new();
    let tunables = [&TUNABLES[..], &[("clinet_provider", 0)]].concat();
    let module = kernel.load("misc/clinet", &module_file(), &tunables);
    let module = module.expect("it loads");
    let memory = kernel.kmem_in_use();
    kernel.fail_next("mod_remove");
    let refused = kernel.unload(&module);
    assert!(
        matches!(&refused, Err(ModunloadError::Refused { errno: 16, .. })),
        "{refused:?}"
    );
    assert_eq!(kernel.kmem_in_use(), memory);
    kernel.unload(&module).expect("it goes");
}
