// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A database that is full: etcd raises an alarm, and writes nothing any more.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::etcd::Etcd;

/// How long etcd may have no leader.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(200);

/// Raises the alarm, as etcd does when its quota is used up.
pub fn fill(etcd: &Etcd) {
    // One that does not answer now is not full.
    drop(etcd.ask(
        "maintenance/alarm",
        &json!({"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "0"}),
    ));
}

/// Takes the alarm back, as an operator does after a defragmentation.
pub fn empty(etcd: &Etcd) -> anyhow::Result<()> {
    let request = json!({"action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": "0"});
    let end = Instant::now() + PATIENCE;
    loop {
        match etcd.ask("maintenance/alarm", &request) {
            Ok(_) => return Ok(()),
            // Another fault may be there at the same time.
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => thread::sleep(AGAIN),
        }
    }
}
