// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Any bytes are refused, or mapped and relocated.
#![no_main]

use clinet_krtld::{ModuleFile, Resolve};
use libfuzzer_sys::fuzz_target;

/// The names that the corpus in `../krtld/tests/corpus` uses.
struct Kernel;

impl Resolve for Kernel {
    fn resolve(&mut self, name: &str) -> Option<u64> {
        match name {
            "memcpy" => Some(0x4000_0000),
            "cmn_err" => Some(0x4000_1000),
            _ => None,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = ModuleFile::parse(bytes) else {
        return;
    };
    let _ = file.dependencies();
    let Ok(image) = file.load(&mut Kernel) else {
        return;
    };
    for symbol in image.symbols() {
        let _ = image.set_tunable(&symbol.name, u64::MAX);
    }
});
