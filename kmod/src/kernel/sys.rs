// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Raw types, numbers and functions, generated from `include/` and
//! `kmod/glue/glue.h`, with their layouts checked against `facts/abi.json`.

#![expect(
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    reason = "generated; the headers have the documentation"
)]
#![allow(dead_code, reason = "the host build uses fewer of them")]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// Compile-time checks of the numbers in `facts/abi.json`.
mod abi {
    use static_assertions::const_assert_eq;

    include!(concat!(env!("OUT_DIR"), "/abi.rs"));
}
