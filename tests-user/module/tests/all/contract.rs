// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The contract on the released module file: what an answer does, what a
//! provider gets, and what becomes of bad arguments. C1 to C3 are in
//! provider.rs, C5 in tcp.rs, C6 in udp.rs, C7 in last_destination.rs, the
//! slots in slots.rs and associate.rs.

use std::sync::atomic::Ordering;

use clinet_module_tests::{
    EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINPROGRESS, EINVAL, INET, INET6, LastBytes, Loaded,
    PEER4, PEER6, SCTP, SHARED4, SHARED6, TCP, Tuple, UDP, What, ptr, read,
};

const TCP4: Tuple = Tuple::v4(TCP, 40000, 80);
const TCP6: Tuple = Tuple::v6(TCP, 40000, 80);
const UDP4: Tuple = Tuple::v4(UDP, 40000, 53);

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

/// What belongs to another node is one 5-tuple: all that differ from it in
/// any part are free, and its other form is not.
#[test]
fn c4_every_part_of_a_tuple_counts() {
    let loaded = Loaded::with_builtin();
    let mapped = |octets: [u8; 16]| {
        let [a, b, c, d, ..] = octets;
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
    };
    let base = UDP4;
    let others = [
        Tuple {
            protocol: TCP,
            ..base
        },
        Tuple {
            laddr: PEER4,
            ..base
        },
        Tuple { lport: 1, ..base },
        Tuple {
            faddr: SHARED4,
            ..base
        },
        Tuple { fport: 1, ..base },
        Tuple {
            family: INET6,
            laddr: SHARED6,
            faddr: PEER6,
            ..base
        },
    ];
    let same = Tuple {
        family: INET6,
        laddr: mapped(base.laddr),
        faddr: mapped(base.faddr),
        ..base
    };
    assert_eq!(loaded.other_node("clinet_install", 2, &base), 0);
    for other in others {
        assert_eq!(loaded.connect2(true, &other), 0, "{other:?}");
    }
    assert_eq!(loaded.stat("registered"), others.len() as u64);
    for tuple in [base, same] {
        assert_eq!(loaded.connect2(true, &tuple), EADDRINUSE);
    }
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
    for protocol in (0..=u8::MAX).filter(|number| ![TCP, UDP].contains(number)) {
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
    assert_eq!(loaded.stat("other_protocol"), 254 * 6);
    assert_eq!(loaded.stat("bad_argument"), 0);
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

/// IPv4 in IPv6 form is IPv6 to whoever is asked.
#[test]
fn c9_a_mapped_address_is_passed_on_in_its_form() {
    let (loaded, recorder) = Loaded::with_recorder();
    let mut tuple = TCP6;
    for (addr, octet) in [(&mut tuple.laddr, 10), (&mut tuple.faddr, 7)] {
        *addr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, octet];
    }
    assert_eq!(loaded.connect2(true, &tuple), 0);
    loaded.disconnect(&tuple);
    let expected = [(What::Connect2(1), tuple), (What::Disconnect, tuple)];
    assert_eq!(recorder.take(), expected);
}

#[test]
fn c9_any_true_boolean_is_outgoing() {
    let (loaded, recorder) = Loaded::with_recorder();
    let tuple = TCP4;
    let args = [6, 7, 2, ptr(&tuple.laddr), 1, ptr(&tuple.faddr), 2];
    assert_eq!(loaded.call("clinet_ask", &args), 0);
    assert!(matches!(recorder.take()[..], [(What::Connect2(1), _)]));
}

/// Four bytes at the very end of a page: a fifth would fault.
#[test]
fn c9_no_more_bytes_are_read_than_the_family_has() {
    for family in [INET, INET6] {
        let (loaded, recorder) = Loaded::with_recorder();
        let (guard, addr) = LastBytes::new(if family == INET { 4 } else { 16 });
        let args = [17, 1, u64::from(family), addr, 1, addr, 2];
        assert_eq!(loaded.call("clinet_ask", &args), 0);
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
    assert_eq!(loaded.call("clinet_ask", &args), 0);
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
            loaded.call("clinet_ask", &args)
        };
        assert_eq!(connect2(INET, 0, faddr), EINVAL);
        assert_eq!(connect2(INET, laddr, 0), EINVAL);
        assert_eq!(connect2(INET6, 0, 0), EINVAL);
        // 10 is AF_INET6 on Linux and nothing here.
        for family in [0, 1, 10, 255, 256 + INET, 256 + INET6, u16::MAX] {
            assert_eq!(connect2(family, laddr, faddr), EAFNOSUPPORT, "{family}");
        }
    }
    assert_eq!(recorder.take(), []);
    assert_eq!(loaded.stat("bad_argument"), 3 * 10);
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
        loaded.tell("clinet_end", &[6, u64::from(family), laddr, 1, faddr, 2]);
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

/// Companions are stored first: they may be called while the question is
/// still NULL.
#[test]
fn c11_companions_are_called_without_connect2() {
    let (loaded, recorder) = Loaded::with_recorder();
    loaded.slot("cl_inet_connect2").store(0, Ordering::SeqCst);
    loaded.disconnect(&TCP4);
    loaded.tell("clinet_listen", &[6, u64::from(INET), ptr(&SHARED4), 80]);
    let calls = recorder.take();
    assert!(
        matches!(calls[..], [(What::Disconnect, _), (What::Listen, _)]),
        "{calls:?}"
    );
}

/// Listeners and UDP sockets rarely have an address: companions are told of
/// them all the same, and the end of a UDP question that had none too.
#[test]
fn c11_companions_are_told_without_a_local_address() {
    let (loaded, recorder) = Loaded::with_recorder();
    let events = [
        ("clinet_listen", What::Listen, TCP),
        ("clinet_unlisten", What::Unlisten, TCP),
        ("clinet_bind", What::Bind, UDP),
        ("clinet_unbind", What::Unbind, UDP),
    ];
    for family in [INET, INET6] {
        for (function, what, protocol) in events {
            let args = [u64::from(protocol), u64::from(family), ptr(&[0_u8; 16]), 80];
            loaded.tell(function, &args);
            assert!(matches!(recorder.take()[..], [(told, _)] if told == what));
        }
        let tuple = Tuple {
            family,
            laddr: [0; 16],
            ..UDP4
        };
        loaded.disconnect(&tuple);
        assert!(matches!(recorder.take()[..], [(What::Disconnect, _)]));
    }
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
