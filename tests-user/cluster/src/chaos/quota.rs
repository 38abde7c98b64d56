// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A database that is full: etcd raises an alarm, and writes nothing any more.

use crate::etcd::Etcd;
use serde_json::json;

/// Raises the alarm, as etcd does when its quota is used up.
pub fn fill(etcd: &Etcd) {
    // One that does not answer now is not full.
    drop(etcd.ask(
        "maintenance/alarm",
        &json!({"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "0"}),
    ));
}

/// Takes the alarm back, as an operator does after a defragmentation.
pub fn empty(etcd: &mut Etcd) -> anyhow::Result<()> {
    etcd.start_all()?;
    etcd.ask(
        "maintenance/alarm",
        &json!({"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": "0"}),
    )?;
    Ok(())
}
