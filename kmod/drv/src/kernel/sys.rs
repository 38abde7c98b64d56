// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Raw types, numbers and functions, generated from `include/` and
//! `kmod/drv/glue`, with the kernel's layouts checked against `facts/abi.json`.

#![expect(
    missing_docs,
    non_camel_case_types,
    reason = "generated; the headers have the documentation"
)]
#![allow(dead_code, reason = "no structure of the kernel is used whole")]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// Compile-time checks of the numbers in `facts/abi.json`.
mod abi {
    use static_assertions::const_assert_eq;

    include!(concat!(env!("OUT_DIR"), "/abi.rs"));
}
