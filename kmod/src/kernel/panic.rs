// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The released module has no panic path, and the link proves it: the handler
//! calls a function that nobody defines and that no list of imports allows.

unsafe extern "C" {
    fn clinet_panic_reached() -> !;
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: never executed: a file that refers to it is not a module.
    unsafe { clinet_panic_reached() }
}
