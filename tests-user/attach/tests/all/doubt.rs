// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Ends that may be those of an earlier connection with the same 5-tuple.
//! `clinet-ip` plays how ip comes to tell such ones.

use crate::common::{audits, established, tuple};
use clinet_attach_tests::Machine;

/// An incoming connection, reset before accept(), and the next one from its port:
/// the end that comes then may be of either. It is audits that know.
#[test]
fn an_end_in_doubt_waits_for_audits() {
    for lives in [true, false] {
        let machine = Machine::attached(&[("clinet_audit_period", 0)]);
        for _ in 0..2 {
            assert_eq!(machine.connect_in(0, &tuple(1)), 0);
            machine.disconnect(0, &tuple(1));
        }
        assert!(machine.has(&tuple(1)));
        let found = [established(1)];
        machine.connections(if lives { &found } else { &[] });
        let before = audits(&machine);
        machine.seconds(12);
        assert_eq!(audits(&machine), before + 2);
        assert_eq!(machine.has(&tuple(1)), lives);
        machine.disconnect(0, &tuple(1));
        assert!(!machine.has(&tuple(1)), "there is no doubt any more");
    }
}

/// A peer can make any number of such ends.
#[test]
fn ends_in_doubt_ask_for_audits_every_ten_seconds() {
    let machine = Machine::attached(&[("clinet_audit_period", 0)]);
    let before = audits(&machine);
    for second in 1..=60 {
        for _ in 0..2 {
            assert_eq!(machine.connect_in(0, &tuple(second)), 0);
            machine.disconnect(0, &tuple(second));
        }
        machine.seconds(1);
    }
    let audits = audits(&machine) - before;
    assert!((10..=14).contains(&audits), "{audits} in a minute");
}
