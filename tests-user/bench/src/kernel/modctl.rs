// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Modules: ours installs itself.

use super::imports;

const KMOD_INFO_DONE: i32 = 1;

extern "C" fn mod_install(_linkage: *mut ()) -> i32 {
    0
}

extern "C" fn mod_info(_linkage: *mut (), _info: *mut ()) -> i32 {
    KMOD_INFO_DONE
}

imports! {
    mod_install => "mod_install",
    mod_install => "mod_remove",
    mod_info => "mod_info",
}
