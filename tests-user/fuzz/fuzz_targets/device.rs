// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Any bytes, as calls of the control device: none panics the machine, and nothing
//! is left behind.

#![no_main]

use clinet_driver_tests::fuzz::{Source, run};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    run(&mut Source::Bytes(bytes), u64::MAX);
});
