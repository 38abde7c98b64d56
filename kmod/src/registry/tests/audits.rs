// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Audits, and ends that only an audit can tell apart.

use super::behaviour::fixture;
use super::*;

#[test]
fn what_two_whole_audits_did_not_see_goes() {
    let Fixture(registry) = fixture();
    for n in 0..3 {
        registry.ask(0, &tcp(n), true, 0);
    }
    registry.ask(0, &udp(1), true, 0);
    assert!(registry.install(2, &tcp(9)).is_ok());
    assert_eq!(registry.audits(&[tcp(1), tcp(2)], 1), [0]);
    // One that is seen again starts anew.
    assert_eq!(registry.audits(&[tcp(1)], 1), [1]);
    assert_eq!(verdict(&registry, &tcp(0)), Verdict::Registered);
    assert_eq!(registry.audits(&[tcp(1)], 3), [1, 0, 0]);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Repeated);
    assert_eq!(verdict(&registry, &tcp(2)), Verdict::Registered);
    assert_eq!(verdict(&registry, &udp(1)), Verdict::Repeated);
    assert_eq!(registry.audit_seen(0, &tcp(0)), Audit::Absent);
    assert_eq!(registry.audit_seen(0, &tcp(9)), Audit::OwnedBy(2));
    assert_eq!(registry.audit_seen(0, &from(99, tcp(9))), Audit::Absent);
    registry.leave(2);
    assert_eq!(registry.audit_seen(0, &tcp(9)), Audit::Absent);
    registry.share(&[]).unwrap();
    assert_eq!(registry.audit_seen(0, &tcp(1)), Audit::NotShared);
}

/// Its 5-tuple begins a new life while audits are about to give it up.
#[test]
fn what_is_registered_during_an_audit_is_taken_for_seen() {
    let Fixture(registry) = fixture();
    registry.ask(0, &tcp(1), true, 0);
    assert_eq!(registry.audits(&[], 1), [0]);
    registry.audit_begin();
    assert_eq!(connect(&registry, &tcp(1)), Verdict::Repeated);
    assert_eq!(connect(&registry, &tcp(2)), Verdict::Registered);
    let end = registry.sweep(Pass::Audit, 0, |_, _| {}).unwrap();
    assert_eq!(end.unseen, 0);
    assert_eq!(registry.audits(&[], 3), [0, 2, 0]);
    // And between two audits it is not.
    registry.ask(0, &tcp(1), true, 0);
    assert_eq!(registry.audits(&[], 3), [0, 1, 0]);
}

#[test]
fn audits_leave_what_did_not_come_through_ip() {
    let Fixture(registry) = fixture();
    registry.connect(0, &tcp(1), Direction::Outgoing, Via::Contract, 0);
    registry.connect(0, &udp(1), Direction::Outgoing, Via::Contract, 0);
    assert_eq!(registry.audits(&[], 4), [0; 4]);
    registry.sweep(Pass::Clear, 0, |_, _| {}).unwrap();
    assert_eq!(registry.query(0, &tcp(1)), (Verdict::Repeated, 1));
    assert_eq!(registry.query(0, &udp(1)), (Verdict::Repeated, 1));
}

#[test]
fn an_audit_adds_with_one_reference_and_only_what_is_not_there() {
    let Fixture(registry) = fixture();
    assert_eq!(registry.audit_add(0, &tcp(1)), Audit::Added);
    assert_eq!(registry.audit_add(0, &tcp(1)), Audit::Present);
    assert_eq!(registry.query(0, &tcp(1)), (Verdict::Repeated, 1));
    assert!(registry.install(2, &tcp(2)).is_ok());
    assert_eq!(registry.audit_add(0, &tcp(2)), Audit::OwnedBy(2));
    registry.leave(2);
    assert_eq!(registry.audit_add(0, &tcp(2)), Audit::Added);
    assert_eq!(registry.end(0, &tcp(1)), Some(true));
}

/// A peer that resets before accept() and connects again: ip tells the end of its
/// first connection once more while the second one lives.
#[test]
fn the_second_end_of_a_reset_connection_does_not_end_the_next_one() {
    let Fixture(registry) = fixture();
    let incoming = || registry.ask(0, &tcp(1), false, 0);
    assert_eq!(incoming(), Verdict::Registered);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Removed);
    assert_eq!(incoming(), Verdict::Registered);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Doubtful);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Repeated);
    // The audit sees the second connection: its own end is the next one.
    assert_eq!(registry.audits(&[tcp(1)], 1), [0]);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Removed);

    // Or it does not see any, and the entry goes.
    assert_eq!(incoming(), Verdict::Registered);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Doubtful);
    assert_eq!(registry.audits(&[], 2), [0, 1]);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Registered);
}

/// Nor if an audit registered the first one: who began that, ip's list does not say.
#[test]
fn the_second_end_of_a_seeded_connection_does_not_end_the_next_one() {
    let Fixture(registry) = fixture();
    assert_eq!(registry.audit_add(0, &tcp(1)), Audit::Added);
    assert!(!listing(&registry, 0)[0].outgoing);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Removed);
    assert_eq!(registry.ask(0, &tcp(1), false, 0), Verdict::Registered);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Doubtful);
    assert_eq!(verdict(&registry, &tcp(1)), Verdict::Repeated);
}

#[test]
fn an_incoming_one_that_is_asked_about_twice_is_doubtful() {
    let Fixture(registry) = fixture();
    registry.ask(0, &tcp(1), false, 0);
    assert_eq!(registry.ask(0, &tcp(1), false, 0), Verdict::Repeated);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Doubtful);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Removed);
    // Outgoing ones are not.
    registry.ask(0, &tcp(2), true, 0);
    registry.ask(0, &tcp(2), true, 0);
    assert_eq!(registry.disconnect(0, &tcp(2)), Ended::Kept);
    assert_eq!(registry.disconnect(0, &tcp(2)), Ended::Removed);
    registry.ask(0, &tcp(2), true, 0);
    assert_eq!(registry.disconnect(0, &tcp(2)), Ended::Removed);
}

/// The first connection was not one whose end ip tells twice, or the second one is not
/// of a peer.
#[test]
fn who_connects_to_a_peer_that_connected_or_was_connected_to_is_in_no_doubt() {
    let Fixture(registry) = fixture();
    for (n, first, second) in [(1, true, true), (2, true, false), (3, false, true)] {
        for outgoing in [first, second] {
            assert_eq!(registry.ask(0, &tcp(n), outgoing, 0), Verdict::Registered);
            let ended = registry.disconnect(0, &tcp(n));
            assert_eq!(ended, Ended::Removed, "{n}");
        }
    }
}

#[test]
fn an_audit_leaves_the_doubt_of_who_has_two_references() {
    let Fixture(registry) = fixture();
    registry.ask(0, &tcp(1), false, 0);
    registry.ask(0, &tcp(1), false, 0);
    assert_eq!(registry.audits(&[tcp(1)], 2), [0, 0]);
    assert_eq!(registry.disconnect(0, &tcp(1)), Ended::Doubtful);
}
