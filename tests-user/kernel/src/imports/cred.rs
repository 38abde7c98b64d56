// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Who calls a driver, and what it may do.

use super::imports;
use crate::context::here;
use crate::fault::fault;
use crate::user::Cred;

const EACCES: i32 = 13;
const EPERM: i32 = 1;

fn cred(what: &str, address: u64) -> Cred {
    match here().machine.devices.cred(address) {
        Some(cred) => cred,
        None => fault!("{what}: {address:#x} is no cred_t"),
    }
}

fn allowed(has: bool, error: i32) -> i32 {
    if has { 0 } else { error }
}

imports! {
    fn crgetzoneid(address: u64) -> i32 {
        cred("crgetzoneid", address).zone
    }

    fn crgetuid(address: u64) -> u32 {
        cred("crgetuid", address).uid
    }

    fn secpolicy_net_observability(address: u64) -> i32 {
        let privileges = cred("secpolicy_net_observability", address).privileges;
        allowed(privileges.net_observability, EACCES)
    }

    fn secpolicy_ip_config(address: u64, _checkonly: i32) -> i32 {
        let privileges = cred("secpolicy_ip_config", address).privileges;
        allowed(privileges.sys_ip_config, EPERM)
    }
}
