// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `netstack_*`: there is no stack to walk.

use super::imports;

extern "C" fn nothing(_argument: *mut ()) {}

extern "C" fn none(_argument: *mut ()) -> *mut () {
    std::ptr::null_mut()
}

imports! {
    nothing => "netstack_next_init",
    none => "netstack_next",
    nothing => "netstack_next_fini",
    none => "netstack_find_by_stackid",
    nothing => "netstack_hold",
    nothing => "netstack_rele",
}
