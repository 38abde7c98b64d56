// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Grants that are replaced while questions are asked.

use clinet_kernel::together::{self, Over};
use clinet_module_tests::{Control, EADDRINUSE, FLOWS, Grants, abi};

use super::{SECOND, ask_held_up, grants, tcp, unfenced};

/// The same while its port goes to somebody else.
#[test]
fn who_is_held_up_until_its_port_is_not_granted_registers_nothing() {
    let loaded = unfenced(&[]);
    assert_eq!(loaded.set_grants(&mut grants(&loaded, 10)), 0);
    assert_eq!(loaded.connect2(true, &tcp(40000)), 0);
    let tuples = loaded.number_of("tuples");
    let mut other = Grants::with_space(32768..=65535)
        .and(41000..=41999)
        .until(loaded.clock() + 10 * SECOND);
    other.terms.cg_sequence = 2;
    let mut other = Some(other);
    let meanwhile = || assert_eq!(loaded.set_grants(&mut other.take().expect("once")), 0);
    assert_eq!(ask_held_up(&loaded, &tcp(40001), meanwhile), EADDRINUSE);
    assert_eq!(loaded.number_of("tuples"), tuples);
}

/// Two grants that share nothing replace each other while eight threads ask: each
/// is asked about ports of both, and about one that both have.
#[test]
fn nobody_is_refused_or_let_through_while_grants_are_replaced() {
    let loaded = unfenced(&[("clinet_max_tuples", 1 << 20), ("clinet_full_refuse", 1)]);
    let both = Grants::with_space(32768..=65535).and(50000..=50000);
    let mut a = both.clone().and(40000..=40999).until(abi::NO_DEADLINE);
    assert_eq!(loaded.set_grants(&mut a), 0);
    together::scope(|threads| {
        for thread in 0..8_u16 {
            let loaded = &loaded;
            threads.spawn(move |over: &Over| {
                let flow = FLOWS[usize::from(thread)];
                let mut asked = 0_u32;
                while !over.is_set() || asked < 1000 {
                    let mut tuple = flow.tuple(50000);
                    tuple.fport = (asked as u16).to_be();
                    tuple.faddr[3] = thread as u8;
                    assert_eq!(loaded.connect2(flow.outgoing, &tuple), 0);
                    loaded.disconnect(&tuple);
                    // Never granted: neither before nor after.
                    tuple.lport = 60000_u16.to_be();
                    assert_eq!(loaded.connect2(flow.outgoing, &tuple), EADDRINUSE);
                    asked += 1;
                }
            });
        }
        for sequence in 2..500 {
            let ports = if sequence % 2 == 0 {
                41000..=41999
            } else {
                40000..=40999
            };
            let mut next = both.clone().and(ports).until(abi::NO_DEADLINE);
            next.terms.cg_sequence = sequence;
            assert_eq!(loaded.set_grants(&mut next), 0);
        }
    });
}

/// An old port with a new deadline is none: what is replaced is replaced at once.
#[test]
fn no_question_pairs_an_old_port_with_a_new_deadline() {
    let loaded = unfenced(&[("clinet_max_tuples", 1 << 20)]);
    let (old, new) = (40000..=40999, 41000..=41999);
    let mut lapsed = Grants::with_space(32768..=65535).and(old.clone());
    assert_eq!(loaded.set_grants(&mut lapsed), 0);
    together::scope(|threads| {
        for thread in 0..8_u16 {
            let loaded = &loaded;
            threads.spawn(move |over: &Over| {
                let tuple = tcp(40000 + thread);
                let mut asked = 0;
                while !over.is_set() || asked < 1000 {
                    // Granted and lapsed, or not granted.
                    assert_ne!(loaded.connect2(true, &tuple), 0);
                    asked += 1;
                }
            });
        }
        for sequence in 2..1000 {
            let mut next = Grants::with_space(32768..=65535);
            next = match sequence % 2 {
                0 => next.and(new.clone()).until(abi::NO_DEADLINE),
                _ => next.and(old.clone()).until(0),
            };
            next.terms.cg_sequence = sequence;
            assert_eq!(loaded.set_grants(&mut next), 0);
        }
    });
}
