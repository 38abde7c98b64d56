// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ports in `/etc/system`: `clinet_port_space` and `clinet_grants`.

use std::time::Duration;

use clinet_kernel::{Kernel, ModloadError, Module};
use clinet_module_tests::{Control, EADDRINUSE, EINVAL, FLOWS, Flow, Loaded, module_file};

/// Loads the module with these strings; an empty one is not set.
fn load(kernel: &Kernel, space: &str, grants: &str) -> Result<Module, ModloadError> {
    load_with(kernel, space, grants, &[])
}

fn load_with(
    kernel: &Kernel,
    space: &str,
    grants: &str,
    more: &[(&str, u64)],
) -> Result<Module, ModloadError> {
    let mut tunables = vec![("clinet_attach", 0)];
    tunables.extend(more);
    for (name, value) in [("clinet_port_space", space), ("clinet_grants", grants)] {
        if !value.is_empty() {
            tunables.push((name, kernel.string(value)));
        }
    }
    kernel.load("misc/clinet", &module_file(), &tunables)
}

fn loaded(space: &str, grants: &str) -> Loaded {
    let kernel = Kernel::new();
    let module = load(&kernel, space, grants).expect("the module loads");
    Loaded {
        kernel,
        module,
        context: clinet_kernel::Context::no_sleep(),
    }
}

fn answer(loaded: &Loaded, flow: &Flow, port: u16) -> i32 {
    loaded.connect2(flow.outgoing, &flow.tuple(port))
}

const TCP_OUT: &Flow = &FLOWS[0];
const UDP: &Flow = &FLOWS[6];

#[test]
fn a_port_space_without_grants_refuses_everything() {
    let loaded = loaded("32768-65535", "");
    for flow in [TCP_OUT, UDP] {
        for port in [1, 443, 32768, 65535] {
            assert_eq!(answer(&loaded, flow, port), EADDRINUSE);
        }
    }
    // The network chose this node.
    assert_eq!(answer(&loaded, &FLOWS[3], 443), 0);
    assert_eq!(answer(&loaded, &FLOWS[3], 40000), EADDRINUSE);
    let state = loaded.state();
    assert_eq!((state.cst_first, state.cst_last), ([32768; 2], [65535; 2]));
    assert_eq!((state.cst_granted, state.cst_deadline), ([0; 2], 0));
    assert_eq!((state.cst_sequence, state.cst_lapsed), (1, 0));
    loaded.kernel.advance(Duration::from_secs(5));
    assert_eq!(loaded.number_of("lapses"), 0);
}

#[test]
fn static_grants_hold_from_the_start_and_for_ever() {
    let loaded = loaded(
        " tcp=32768-65535 , udp=40000-49999",
        "tcp=32768-34815,tcp=443, udp=40000-40009,53",
    );
    for _ in 0..2 {
        for port in [32768, 34815, 443, 53] {
            assert_eq!(answer(&loaded, TCP_OUT, port), 0, "{port}");
        }
        for port in [34816, 65535, 80, 40000] {
            assert_eq!(answer(&loaded, TCP_OUT, port), EADDRINUSE, "{port}");
        }
        for port in [40000, 40009, 53] {
            assert_eq!(answer(&loaded, UDP, port), 0, "{port}");
        }
        for port in [40010, 443, 32768] {
            assert_eq!(answer(&loaded, UDP, port), EADDRINUSE, "{port}");
        }
        loaded.kernel.advance(Duration::from_secs(1000));
    }
    let state = loaded.state();
    assert_eq!(state.cst_granted, [2050, 11]);
    assert_eq!(state.cst_deadline, u64::MAX);
}

#[test]
fn a_space_for_one_protocol_leaves_the_other_alone() {
    let loaded = loaded("udp=40000-49999", "");
    assert_eq!(answer(&loaded, TCP_OUT, 45000), 0);
    assert_eq!(answer(&loaded, UDP, 45000), EADDRINUSE);
}

#[test]
fn what_is_no_list_is_a_reason_not_to_load() {
    let no_ports = "is no port or range of ports, 1 to 65535";
    let second = "is a second range for a protocol";
    for (space, grants, name, position, problem) in [
        ("0-5", "", "clinet_port_space", 1, no_ports),
        ("tcp=1-5,x", "", "clinet_port_space", 9, no_ports),
        ("1-5,tcp=7-9", "", "clinet_port_space", 5, second),
        ("tcp=1-5, tcp=7-9", "", "clinet_port_space", 10, second),
        ("32768-65535", "32768-", "clinet_grants", 1, no_ports),
        ("32768-65535", "32768, udp=x", "clinet_grants", 8, no_ports),
    ] {
        let kernel = Kernel::new();
        let error = load(&kernel, space, grants).expect_err("it does not load");
        let ModloadError::Init { errno, leaks, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((errno, leaks.0.len()), (EINVAL, 0));
        let log = kernel.log();
        let expected =
            format!("clinet: not loaded: {name}: what begins at character {position} {problem}");
        assert_eq!(log.last().map(|message| &*message.text), Some(&*expected));
    }
}

#[test]
fn ports_without_the_provider_are_a_reason_not_to_load() {
    for (space, grants) in [("1-5", ""), ("", "1-5")] {
        let kernel = Kernel::new();
        let tunables = [("clinet_provider", 0)];
        let error = load_with(&kernel, space, grants, &tunables).expect_err("it does not load");
        assert!(
            matches!(error, ModloadError::Init { errno: EINVAL, .. }),
            "{error}"
        );
        let log = kernel.log();
        assert!(
            log.iter()
                .any(|m| m.text.contains("clinet_provider has to be 1")),
            "{log:?}"
        );
    }
}

/// Were the list forgotten, all addresses would be shared.
#[test]
fn without_memory_for_the_lists_the_module_does_not_load() {
    let mut refused = 0;
    for n in 1..2000 {
        let kernel = Kernel::new();
        let list = kernel.string("192.0.2.10");
        kernel.fail_nth_allocation(n);
        let tunables = [("clinet_addrs", list), ("clinet_max_tuples", 64)];
        match load_with(&kernel, "32768-65535", "40000", &tunables) {
            Ok(module) => {
                let all = kernel.kmem_allocations();
                kernel.fail_nth_allocation(0);
                let loaded = Loaded {
                    kernel,
                    module,
                    context: clinet_kernel::Context::no_sleep(),
                };
                let mut text = [0_u8; 10];
                let mut length = 10_u32;
                let args = [
                    clinet_module_tests::ptr_mut(&mut text),
                    clinet_module_tests::ptr_mut(&mut length),
                ];
                assert_eq!(loaded.control("clinet_control_addrs", &args), 0);
                assert_eq!(&text, b"192.0.2.10", "allocation {n}");
                assert_eq!(loaded.state().cst_granted, [1, 1], "allocation {n}");
                if all < n {
                    break;
                }
            }
            Err(ModloadError::Init {
                errno: 12, leaks, ..
            }) => {
                assert!(leaks.0.is_empty(), "allocation {n}: {leaks}");
                let log = kernel.log();
                let [message] = &log[..] else {
                    panic!("allocation {n}: {log:?}");
                };
                let says = message
                    .text
                    .starts_with("clinet: not loaded: no memory for ");
                assert!(says, "allocation {n}: {}", message.text);
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 3, "{refused}");
}
