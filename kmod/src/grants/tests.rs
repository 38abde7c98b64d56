// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::vec;
use std::vec::Vec;

use super::rules::{Case, Policies, Reason, decide};
use super::*;
use crate::flow::Direction;
use crate::flow::Protocol::{Tcp, Udp};

mod loom;

/// The world of `std`.
struct Std;

impl World for Std {
    type Word = AtomicU64;
    type Words = Vec<AtomicU64>;
    type Lock<T: Send + 'static> = Mutex<T>;
}

fn grants() -> Grants<Std> {
    Grants::new((0..2 * WORDS).map(|_| AtomicU64::new(0)).collect())
}

fn bitmap(ports: &[u16]) -> Vec<u64> {
    let mut bits = vec![0; WORDS];
    for port in ports {
        bits[usize::from(port / 64)] |= 1 << (port % 64);
    }
    bits
}

const SPACE: Space = Space {
    first: 1000,
    last: 2000,
};

fn terms(sequence: u64, deadline: u64) -> Terms {
    Terms {
        epoch: 5,
        sequence,
        deadline,
        spaces: [SPACE; 2],
    }
}

/// Ports 1500 of TCP and 1600 of UDP until this time; looked after at 0.
fn granted(deadline: u64) -> Grants<Std> {
    let grants = grants();
    grants.heartbeat(|| 0);
    let ports = [bitmap(&[1500]), bitmap(&[1600])];
    let result = grants.replace(&terms(1, deadline), [&ports[0], &ports[1]], || 0);
    assert_eq!(result, Ok(()));
    grants
}

#[test]
fn without_a_port_space_nothing_is_said() {
    let grants = grants();
    for port in [0, 1, 1500, 65535] {
        assert_eq!(grants.standing(Tcp, port), Standing::NoSpace);
    }
    assert_eq!(grants.snapshot(), Snapshot::default());
}

#[test]
fn each_protocol_has_its_own_ports() {
    let grants = granted(FOREVER);
    assert_eq!(grants.standing(Tcp, 1500), Standing::Granted);
    assert_eq!(grants.standing(Udp, 1500), Standing::NotGranted);
    assert_eq!(grants.standing(Udp, 1600), Standing::Granted);
    assert_eq!(grants.standing(Tcp, 1600), Standing::NotGranted);
    for (port, standing) in [
        (0, Standing::Explicit),
        (999, Standing::Explicit),
        (1000, Standing::NotGranted),
        (2000, Standing::NotGranted),
        (2001, Standing::Explicit),
        (65535, Standing::Explicit),
    ] {
        assert_eq!(grants.standing(Tcp, port), standing, "{port}");
        assert_eq!(grants.standing(Udp, port), standing, "{port}");
    }
    let mut copied = [vec![], vec![]];
    let snapshot = grants.copy(|protocol, place, word| {
        let bits = &mut copied[index(protocol)];
        assert_eq!(bits.len(), place);
        bits.push(word);
    });
    assert_eq!(copied, [bitmap(&[1500]), bitmap(&[1600])]);
    assert_eq!(snapshot.terms, terms(1, FOREVER));
    assert_eq!((snapshot.granted, snapshot.open), ([1, 1], true));
}

#[test]
fn the_gate_is_shut_in_time() {
    let deadline = 1_000_000_000;
    let due = deadline - MARGIN;
    for (now, open) in [
        (0, true),
        (due - EARLY - 1, true),
        (due - EARLY, false),
        (due, false),
    ] {
        let grants = granted(deadline);
        grants.shut_if_due(now);
        assert_eq!(grants.snapshot().open, open, "{now}");
    }
    for (now, open) in [(due - 1, true), (due, false), (deadline, false)] {
        let grants = granted(deadline);
        grants.heartbeat(|| now);
        assert_eq!(grants.snapshot().open, open, "{now}");
        let standing = if open {
            Standing::Granted
        } else {
            Standing::Lapsed
        };
        assert_eq!(grants.standing(Tcp, 1500), standing);
        assert_eq!(grants.snapshot().has_lapsed(now), now == deadline);
    }
}

#[test]
fn whom_nobody_looks_after_has_lapsed() {
    let deadline = 100_000_000_000;
    let grants = granted(deadline);
    assert_eq!(grants.due(deadline), Some(HEARTBEAT_TIMEOUT));
    grants.shut_if_due(HEARTBEAT_TIMEOUT - EARLY - 1);
    assert!(grants.snapshot().open);
    grants.shut_if_due(HEARTBEAT_TIMEOUT);
    assert_eq!(grants.standing(Tcp, 1500), Standing::Lapsed);
    // A new deadline does not make up for that.
    assert_eq!(
        grants.set_deadline(5, 2, 2 * deadline, || HEARTBEAT_TIMEOUT),
        Ok(())
    );
    assert_eq!(grants.standing(Tcp, 1500), Standing::Lapsed);
    grants.heartbeat(|| HEARTBEAT_TIMEOUT + 1);
    assert_eq!(grants.standing(Tcp, 1500), Standing::Granted);
    // Without a deadline there is nothing to look after.
    let forever = granted(FOREVER);
    assert_eq!(forever.due(FOREVER), None);
    forever.shut_if_due(u64::MAX);
    assert!(forever.snapshot().open);
}

#[test]
fn only_what_is_newer_counts() {
    let grants = granted(FOREVER);
    let none = bitmap(&[]);
    let replace = |terms: Terms| grants.replace(&terms, [&none, &none], || 0);
    assert_eq!(replace(terms(1, 0)), Err(Refused::Stale));
    assert_eq!(grants.set_deadline(5, 1, 0, || 0), Err(Refused::Stale));
    assert_eq!(grants.set_deadline(6, 2, 0, || 0), Err(Refused::Stale));
    assert_eq!(grants.may_unfence(5, 1, 0), Err(Refused::Stale));
    assert_eq!(grants.may_unfence(6, 2, 0), Err(Refused::Stale));
    assert_eq!(grants.snapshot().terms, terms(1, FOREVER));
    assert_eq!(grants.set_deadline(5, 2, 10, || 0), Ok(()));
    assert_eq!(grants.may_unfence(5, 3, 10), Err(Refused::Passed));
    assert_eq!(grants.snapshot().terms, terms(2, 10));
    assert_eq!(grants.may_unfence(5, 3, 9), Ok(()));
    assert_eq!(grants.snapshot().terms, terms(3, 10));
    // The epoch is whoever's the grants are.
    assert_eq!(
        replace(Terms {
            epoch: 6,
            ..terms(4, 0)
        }),
        Ok(())
    );
    assert_eq!(grants.snapshot().granted, [0; 2]);
}

#[test]
fn what_cannot_be_is_not_granted() {
    let grants = grants();
    let none = bitmap(&[]);
    let try_all = |spaces, ports: [&[u64]; 2]| {
        let terms = Terms {
            spaces,
            ..terms(1, FOREVER)
        };
        grants.replace(&terms, ports, || 0)
    };
    let space = |first, last| Space { first, last };
    for bad in [space(0, 1), space(2, 1), space(1, 0)] {
        assert_eq!(try_all([bad, SPACE], [&none; 2]), Err(Refused::Invalid));
        assert_eq!(try_all([SPACE, bad], [&none; 2]), Err(Refused::Invalid));
    }
    let zero = bitmap(&[0]);
    assert_eq!(try_all([SPACE; 2], [&zero, &none]), Err(Refused::Invalid));
    assert_eq!(try_all([SPACE; 2], [&none, &zero]), Err(Refused::Invalid));
    assert_eq!(
        try_all([SPACE; 2], [&none[1..], &none]),
        Err(Refused::Invalid)
    );
    assert_eq!(grants.snapshot(), Snapshot::default());
    assert_eq!(try_all([space(1, 65535), space(0, 0)], [&none; 2]), Ok(()));
    assert_eq!(grants.standing(Tcp, 65535), Standing::NotGranted);
    assert_eq!(grants.standing(Udp, 65535), Standing::NoSpace);
}

#[test]
fn a_fence_shuts_the_gate_and_a_lapse_is_for_good() {
    let grants = granted(FOREVER);
    grants.set_fenced(true, || 0);
    assert_eq!(grants.standing(Tcp, 1500), Standing::Lapsed);
    grants.heartbeat(|| 1);
    assert_eq!(grants.standing(Tcp, 1500), Standing::Lapsed);
    grants.set_fenced(false, || 1);
    assert_eq!(grants.standing(Tcp, 1500), Standing::Granted);
    grants.lapse(7);
    assert_eq!(grants.snapshot().terms.deadline, 7);
    assert_eq!(grants.standing(Tcp, 1500), Standing::Lapsed);
    grants.lapse(9);
    assert_eq!(grants.snapshot().terms.deadline, 7);
    assert!(grants.snapshot().is_shut());
}

#[test]
fn every_row_of_the_table() {
    use Direction::{Incoming, Outgoing};
    use Standing::{Explicit, Granted, Lapsed, NoSpace, NotGranted};
    let admitted = |reason, yes| match yes {
        true => Case::Admitted(reason),
        false => Case::Refused(reason),
    };
    let bits = 0..8_u32;
    let all = bits.map(|bits| Policies {
        incoming_refuses: bits & 1 != 0,
        explicit_admits: bits & 2 != 0,
        other_stack_admits: bits & 4 != 0,
    });
    for policies in all {
        let flows = [
            (Tcp, Outgoing),
            (Tcp, Incoming),
            (Udp, Outgoing),
            (Udp, Incoming),
        ];
        for flow in flows {
            let here = |standing| decide(standing, true, flow, policies);
            assert_eq!(here(NoSpace), Case::Registry);
            assert_eq!(here(Granted), Case::Registry);
            assert_eq!(here(Lapsed), Case::Refused(Reason::Lapsed));
            assert_eq!(here(NotGranted), Case::Refused(Reason::NotGranted));
            let explicit = match (flow, policies.incoming_refuses) {
                ((Tcp, Incoming), true) => Case::Refused(Reason::Explicit),
                ((Tcp, Incoming), false) => Case::Registry,
                _ => admitted(Reason::Explicit, policies.explicit_admits),
            };
            assert_eq!(here(Explicit), explicit);
            let there = |standing| decide(standing, false, flow, policies);
            assert_eq!(there(NoSpace), Case::Registry);
            for standing in [Granted, Lapsed, NotGranted, Explicit] {
                let other = admitted(Reason::OtherStack, policies.other_stack_admits);
                assert_eq!(there(standing), other);
            }
        }
    }
}
