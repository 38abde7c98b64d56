// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Machines whose audits are a while apart, and what walks find on them.

use clinet_attach_tests::{Machine, TcpInfo, state};
use clinet_module_tests::{TCP, Tuple};

/// Seconds between two audits.
pub const PERIOD: u64 = 100;

/// Attached, with audits every [`PERIOD`] seconds and two done.
pub fn attached(tunables: &[(&str, u64)]) -> Machine {
    let period = [("clinet_audit_period", PERIOD)];
    Machine::attached(&[&period, tunables].concat())
}

pub fn tuple(port: u16) -> Tuple {
    Tuple::v4(TCP, port, 80)
}

pub fn established(port: u16) -> TcpInfo {
    TcpInfo::of(&tuple(port), state::ESTABLISHED)
}

/// The number of audits so far.
pub fn audits(machine: &Machine) -> u64 {
    machine.number("attach", "audits")
}

/// Lets time pass until the next periodic audit has run.
pub fn next_audit(machine: &Machine) {
    let before = audits(machine);
    machine.seconds(PERIOD);
    assert_eq!(audits(machine), before + 1);
}
