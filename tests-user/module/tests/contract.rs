// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The contract, line by line, on the released module file. The numbers in
//! the names are those of the rules in `include/cl_inet.h` and `clinet.h`:
//! who may store what, what is asked when, and what an answer does.

use std::sync::atomic::Ordering;

use clinet_module_tests::{
    EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EBUSY, EINPROGRESS, EINVAL, INET, INET6, LastBytes,
    Loaded, PEER4, PEER6, SCTP, SHARED4, SHARED6, SLOTS, TCP, Tuple, UDP, What, c_string, ptr,
    read,
};

const TCP4: Tuple = Tuple::v4(TCP, 40000, 80);
const TCP6: Tuple = Tuple::v6(TCP, 40000, 80);
const UDP4: Tuple = Tuple::v4(UDP, 40000, 53);

// C1: the slot.

#[test]
fn c1_slots_are_eight_bytes_of_writable_exported_data() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let image = loaded.module.image().unwrap();
    for name in SLOTS {
        let symbol = loaded.module.symbol(name).unwrap();
        assert!(symbol.global, "{name}");
        assert_eq!(symbol.size, 8, "{name}");
        assert!(
            image.data().contains(&symbol.address),
            "{name} is not in data"
        );
    }
}

#[test]
fn c1_slots_are_null_until_a_provider_associates_itself() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    assert!(loaded.slots_are_null());
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(loaded.stat("no_provider"), 1);
    let _recorder = loaded.load_recorder("provider_11").unwrap();
    for name in SLOTS {
        assert_ne!(read(loaded.slot(name)), 0, "{name}");
    }
}

#[test]
fn c1_a_second_provider_is_declined_and_stores_nothing() {
    let (loaded, recorder) = Loaded::with_recorder();
    let before = SLOTS.map(|name| read(loaded.slot(name)));
    let error = loaded.load_foreign("provider_both").unwrap_err();
    assert!(error.to_string().contains("errno 16"), "{error}");
    assert_eq!(SLOTS.map(|name| read(loaded.slot(name))), before);
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(recorder.questions(), 1);
}

#[test]
fn c1_the_built_in_provider_obeys_the_same_rules() {
    let loaded = Loaded::with_builtin();
    for name in [
        "cl_inet_bind",
        "cl_inet_connect2",
        "cl_inet_disconnect",
        "cl_inet_unbind",
    ] {
        assert_ne!(read(loaded.slot(name)), 0, "{name}");
    }
    let before = SLOTS.map(|name| read(loaded.slot(name)));
    assert!(loaded.load_foreign("provider_11").is_err());
    assert_eq!(SLOTS.map(|name| read(loaded.slot(name))), before);
}

/// /etc/system can set any variable before `_init` runs, which is how a test
/// gets there before the built-in provider.
#[test]
fn c1_the_built_in_provider_never_overwrites_a_slot() {
    for taken in [
        "cl_inet_bind",
        "cl_inet_connect2",
        "cl_inet_disconnect",
        "cl_inet_unbind",
    ] {
        let loaded = Loaded::new(&[(taken, 0x1234)]);
        assert_eq!(read(loaded.slot(taken)), 0x1234, "{taken}");
        let warned = loaded.kernel.log().iter().any(|message| {
            message.text == "clinet: another provider is associated; the built-in one is not"
        });
        assert!(warned, "{taken}");
    }
}

#[test]
fn c1_companions_come_before_the_question() {
    // A companion that is taken: no question is stored either.
    for taken in ["cl_inet_bind", "cl_inet_disconnect", "cl_inet_unbind"] {
        let loaded = Loaded::new(&[(taken, 0x1234)]);
        assert_eq!(read(loaded.slot("cl_inet_connect2")), 0, "{taken}");
    }
    // The question is taken: the companions were stored before that showed.
    let loaded = Loaded::new(&[("cl_inet_connect2", 0x1234)]);
    for companion in ["cl_inet_bind", "cl_inet_disconnect", "cl_inet_unbind"] {
        assert_ne!(read(loaded.slot(companion)), 0, "{companion}");
    }
}

#[test]
fn c1_once_associated_no_module_unloads_and_no_slot_becomes_null() {
    for loaded in [Loaded::with_builtin(), Loaded::with_recorder().0] {
        let before = SLOTS.map(|name| read(loaded.slot(name)));
        let error = loaded.kernel.unload(&loaded.module).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("EBUSY") || error.contains("errno 16"),
            "{error}"
        );
        assert_eq!(SLOTS.map(|name| read(loaded.slot(name))), before);
    }
    let (loaded, recorder) = Loaded::with_recorder();
    let error = loaded.kernel.unload(&recorder.module).unwrap_err();
    assert!(error.to_string().contains("errno 16"), "{error}");
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(recorder.questions(), 1);
}

/// Another module's dependency would hold the module as well, so `_fini` is
/// looked at alone: any one slot is enough.
#[test]
fn c1_fini_is_busy_while_any_slot_is_set() {
    for name in SLOTS {
        let loaded = Loaded::new(&[("clinet_provider", 0)]);
        loaded.slot(name).store(0x1234, Ordering::SeqCst);
        assert_eq!(loaded.call("_fini", &[]), EBUSY, "{name}");
        loaded.slot(name).store(0, Ordering::SeqCst);
        loaded.kernel.unload(&loaded.module).unwrap();
    }
}

// C2: the version.

#[test]
fn c2_the_version_is_exported_and_is_1_1() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let symbol = loaded.module.symbol("cluster_version_supported").unwrap();
    assert!(symbol.global);
    assert_eq!(
        c_string(read(loaded.slot("cluster_version_supported"))),
        "1.1"
    );
}

#[test]
fn c2_a_provider_for_another_version_declines_and_names_both() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    assert!(loaded.load_foreign("provider_20").is_err());
    assert!(loaded.slots_are_null());
    let log = loaded.kernel.log();
    let named = log
        .iter()
        .any(|message| message.text == "wanted version 2.0 of the cluster contract, found 1.1");
    assert!(named, "{log:?}");
}

#[test]
fn c2_a_provider_of_several_versions_picks_the_one_that_is_there() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let recorder = loaded.load_recorder("provider_both").unwrap();
    assert_eq!(recorder.version(), "1.1");
    assert_eq!(loaded.connect2(true, &TCP4), 0);
    assert_eq!(recorder.questions(), 1);
}

#[test]
fn c2_clinet_contract_names_our_own_slots() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let symbol = loaded.module.symbol("clinet_contract").unwrap();
    assert!(symbol.global);
    assert_eq!(symbol.size, 64);
    let words: Vec<u64> = (0..8)
        .map(|index| {
            let word = std::ptr::with_exposed_provenance::<u64>(symbol.address as usize);
            // SAFETY: the symbol is 64 bytes of the module's data.
            unsafe { word.add(index).read() }
        })
        .collect();
    assert_eq!(words[0], 64);
    assert_eq!(c_string(words[1]), "1.1");
    let names = [
        "cl_inet_connect2",
        "cl_inet_disconnect",
        "cl_inet_listen",
        "cl_inet_unlisten",
        "cl_inet_bind",
        "cl_inet_unbind",
    ];
    assert_eq!(words[2..], names.map(|name| loaded.module.address(name)));
}

#[test]
fn c2_a_provider_that_got_the_variables_of_ip_declines() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    loaded
        .kernel
        .provide("drv/ip", &SLOTS.map(|name| (name, 0)));
    assert!(loaded.load_foreign("provider_ip_first").is_err());
    assert!(loaded.slots_are_null());
    for name in SLOTS {
        let ip = loaded.kernel.variable("drv/ip", name).unwrap();
        assert_eq!(ip.load(Ordering::SeqCst), 0, "{name}");
    }
    let log = loaded.kernel.log();
    assert!(
        log.iter()
            .any(|message| message.text == "these hooks are not clinet's"),
        "{log:?}"
    );
}

// C3: the name that is gone.

#[test]
fn c3_cl_inet_connect_is_neither_defined_nor_referenced() {
    let file = clinet_module_tests::module_file();
    let names = clinet_module_tests::symbol_names(&file);
    assert!(names.iter().any(|name| name == "cl_inet_connect2"));
    assert!(!names.iter().any(|name| name == "cl_inet_connect"));
}

#[test]
fn c3_a_provider_built_for_it_does_not_load() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let error = loaded.load_foreign("provider_old").unwrap_err().to_string();
    assert!(error.contains("undefined symbol"), "{error}");
    assert!(error.contains("cl_inet_connect"), "{error}");
    assert!(!error.contains("cl_inet_connect2"), "{error}");
    assert!(loaded.slots_are_null());
}

// C4: the answer.

#[test]
fn c4_zero_means_accepted_and_registered() {
    let loaded = Loaded::with_builtin();
    for tuple in [TCP4, TCP6, UDP4] {
        assert_eq!(loaded.connect2(true, &tuple), 0);
    }
    assert_eq!(loaded.stat("registered"), 3);
    assert_eq!(loaded.stat("tuples"), 3);
    // Registered means that nobody else can have it.
    assert_eq!(loaded.other_node("clinet_install", 2, &TCP4), EADDRINUSE);
}

#[test]
fn c4_a_tuple_of_another_node_is_refused_with_a_positive_errno() {
    let loaded = Loaded::with_builtin();
    assert_eq!(loaded.other_node("clinet_install", 2, &TCP4), 0);
    assert_eq!(loaded.connect2(true, &TCP4), EADDRINUSE);
    assert_eq!(loaded.connect2(false, &TCP4), EADDRINUSE);
    assert_eq!(loaded.stat("owned_elsewhere"), 2);
    assert_eq!(loaded.other_node("clinet_withdraw", 2, &TCP4), 0);
    assert_eq!(loaded.connect2(true, &TCP4), 0);
}

#[test]
fn c4_a_positive_errno_of_a_provider_passes_unchanged() {
    let (loaded, recorder) = Loaded::with_recorder();
    for errno in [1, 13, EADDRINUSE, EADDRNOTAVAIL, 149, 151, 1000, i32::MAX] {
        recorder.answer(errno);
        assert_eq!(loaded.connect2(true, &TCP4), errno);
    }
    assert_eq!(loaded.stat("bad_answer"), 0);
}

#[test]
fn c4_an_answer_that_harms_the_stack_becomes_eaddrnotavail() {
    let (loaded, recorder) = Loaded::with_recorder();
    for answer in [-1, -8, -125, i32::MIN, EINPROGRESS] {
        recorder.answer(answer);
        assert_eq!(loaded.connect2(true, &TCP4), EADDRNOTAVAIL, "{answer}");
    }
    assert_eq!(loaded.stat("bad_answer"), 5);
    assert_eq!(loaded.stat("tcp_out_refused"), 5);
}

// C5 to C7 are in tcp.rs and udp.rs.

// C8: other protocols.

#[test]
fn c8_other_protocols_never_reach_a_hook() {
    let (loaded, recorder) = Loaded::with_recorder();
    recorder.answer(EADDRINUSE);
    for protocol in [0, 1, SCTP, 255] {
        let tuple = Tuple { protocol, ..TCP4 };
        assert_eq!(loaded.connect2(true, &tuple), 0);
        loaded.disconnect(&tuple);
        for function in [
            "clinet_listen",
            "clinet_unlisten",
            "clinet_bind",
            "clinet_unbind",
        ] {
            loaded.tell(
                function,
                &[u64::from(protocol), u64::from(INET), ptr(&SHARED4), 80],
            );
        }
    }
    assert_eq!(recorder.take(), []);
    assert_eq!(loaded.stat("other_protocol"), 4 * 6);
}

#[test]
fn c8_the_built_in_provider_ignores_other_protocols_too() {
    let loaded = Loaded::with_builtin();
    let connect2 = read(loaded.slot("cl_inet_connect2"));
    let args = [
        u64::from(SCTP),
        1,
        u64::from(INET),
        ptr(&SHARED4),
        1,
        ptr(&PEER4),
        2,
    ];
    // SAFETY: the function of the contract with arguments of the contract.
    let answer = unsafe { loaded.module.call(&loaded.context, connect2, &args) };
    assert_eq!(answer as i32, 0);
    assert_eq!(loaded.stat("tuples"), 0);
    assert_eq!(loaded.stat("other_protocol"), 1);
}

// C9: byte order and lifetime.

#[test]
fn c9_a_provider_gets_family_bytes_and_ports_as_the_stack_has_them() {
    let (loaded, recorder) = Loaded::with_recorder();
    let tuples = [
        Tuple::v4(TCP, 0x1234_u16.to_be(), 0x0050_u16.to_be()),
        Tuple::v6(UDP, 0xabcd_u16.to_be(), 0x0035_u16.to_be()),
    ];
    for tuple in tuples {
        for outgoing in [true, false] {
            assert_eq!(loaded.connect2(outgoing, &tuple), 0);
            loaded.disconnect(&tuple);
            let asked = What::Connect2(u32::from(outgoing));
            assert_eq!(recorder.take(), [(asked, tuple), (What::Disconnect, tuple)]);
        }
    }
}

#[test]
fn c9_any_true_boolean_is_outgoing() {
    let (loaded, recorder) = Loaded::with_recorder();
    let tuple = TCP4;
    let args = [6, 7, 2, ptr(&tuple.laddr), 1, ptr(&tuple.faddr), 2];
    assert_eq!(loaded.call("clinet_connect2", &args), 0);
    assert!(matches!(recorder.take()[..], [(What::Connect2(1), _)]));
}

/// Four bytes at the very end of a page: a fifth would fault.
#[test]
fn c9_no_more_bytes_are_read_than_the_family_has() {
    for family in [INET, INET6] {
        let (loaded, recorder) = Loaded::with_recorder();
        let (guard, addr) = LastBytes::new(if family == INET { 4 } else { 16 });
        let args = [17, 1, u64::from(family), addr, 1, addr, 2];
        assert_eq!(loaded.call("clinet_connect2", &args), 0);
        assert_eq!(recorder.questions(), 1);
        drop(guard);
    }
}

#[test]
fn c9_unaligned_addresses_are_read() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut bytes = [0_u8; 40];
    bytes[1..17].copy_from_slice(&SHARED6);
    bytes[19..35].copy_from_slice(&PEER6);
    let args = [6, 1, 26, ptr(&bytes) + 1, 1, ptr(&bytes) + 19, 2];
    assert_eq!(loaded.call("clinet_connect2", &args), 0);
    assert_eq!(recorder.take(), [(What::Connect2(1), Tuple::v6(TCP, 1, 2))]);
}

// C10: bad arguments, and one load.

#[test]
fn c10_null_is_einval_and_a_family_eafnosupport() {
    let (loaded, recorder) = Loaded::with_recorder();
    let [laddr, faddr] = [ptr(&SHARED4), ptr(&PEER4)];
    for protocol in [TCP, UDP, SCTP] {
        let connect2 = |family: u16, laddr, faddr| {
            let args = [
                u64::from(protocol),
                1,
                u64::from(family),
                laddr,
                1,
                faddr,
                2,
            ];
            loaded.call("clinet_connect2", &args)
        };
        assert_eq!(connect2(INET, 0, faddr), EINVAL);
        assert_eq!(connect2(INET, laddr, 0), EINVAL);
        assert_eq!(connect2(INET6, 0, 0), EINVAL);
        // 10 is AF_INET6 on Linux and nothing here.
        for family in [0, 1, 10, 255, u16::MAX] {
            assert_eq!(connect2(family, laddr, faddr), EAFNOSUPPORT, "{family}");
        }
    }
    assert_eq!(recorder.take(), []);
    assert_eq!(loaded.stat("bad_argument"), 3 * 8);
}

#[test]
fn c10_calls_without_a_result_count_and_ignore() {
    let (loaded, recorder) = Loaded::with_recorder();
    let addr = ptr(&SHARED4);
    for function in [
        "clinet_listen",
        "clinet_unlisten",
        "clinet_bind",
        "clinet_unbind",
    ] {
        loaded.tell(function, &[6, u64::from(INET), 0, 80]);
        loaded.tell(function, &[6, 10, addr, 80]);
    }
    for (laddr, faddr, family) in [(0, addr, INET), (addr, 0, INET), (addr, addr, 10)] {
        loaded.tell(
            "clinet_disconnect",
            &[6, u64::from(family), laddr, 1, faddr, 2],
        );
    }
    assert_eq!(recorder.take(), []);
    assert_eq!(loaded.stat("bad_argument"), 4 * 2 + 3);
}

/// A provider may be called by a stack that goes straight to the slot.
#[test]
fn c10_the_built_in_provider_checks_what_it_is_called_with() {
    let loaded = Loaded::with_builtin();
    let [laddr, faddr] = [ptr(&SHARED4), ptr(&PEER4)];
    let call = |slot: &str, args: &[u64]| {
        let function = read(loaded.slot(slot));
        // SAFETY: NULL and odd families are what the contract lets pass.
        unsafe { loaded.module.call(&loaded.context, function, args) as i32 }
    };
    assert_eq!(call("cl_inet_connect2", &[6, 1, 2, 0, 1, faddr, 2]), EINVAL);
    assert_eq!(call("cl_inet_connect2", &[6, 1, 2, laddr, 1, 0, 2]), EINVAL);
    assert_eq!(
        call("cl_inet_connect2", &[6, 1, 10, laddr, 1, faddr, 2]),
        EAFNOSUPPORT
    );
    call("cl_inet_disconnect", &[6, 2, 0, 1, faddr, 2]);
    call("cl_inet_bind", &[17, 2, 0, 1]);
    call("cl_inet_unbind", &[17, 10, laddr, 1]);
    assert_eq!(loaded.stat("bad_argument"), 6);
    assert_eq!(loaded.stat("tuples"), 0);
}

// C11: the companions.

#[test]
fn c11_companions_get_the_arguments_of_their_form() {
    let (loaded, recorder) = Loaded::with_recorder();
    let events = [
        ("clinet_listen", What::Listen),
        ("clinet_unlisten", What::Unlisten),
        ("clinet_bind", What::Bind),
        ("clinet_unbind", What::Unbind),
    ];
    for (function, what) in events {
        for (protocol, family, addr) in [(TCP, INET, SHARED4), (UDP, INET6, SHARED6)] {
            let args = [u64::from(protocol), u64::from(family), ptr(&addr), 0x1234];
            loaded.tell(function, &args);
            let expected = Tuple {
                protocol,
                family,
                laddr: addr,
                lport: 0x1234,
                faddr: [0; 16],
                fport: 0,
            };
            assert_eq!(recorder.take(), [(what, expected)]);
        }
    }
    loaded.disconnect(&TCP6);
    assert_eq!(recorder.take(), [(What::Disconnect, TCP6)]);
}

#[test]
fn c11_a_companion_that_is_null_is_not_called() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    for function in [
        "clinet_listen",
        "clinet_unlisten",
        "clinet_bind",
        "clinet_unbind",
    ] {
        loaded.tell(function, &[6, u64::from(INET), ptr(&SHARED4), 80]);
    }
    loaded.disconnect(&TCP4);
    assert_eq!(loaded.stat("ended"), 0);
    assert_eq!(loaded.stat("bad_argument"), 0);
}
