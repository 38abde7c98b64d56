// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Compiles the variadic functions, which stable Rust cannot define.

fn main() {
    println!("cargo::rerun-if-changed=src/imports/variadic.c");
    cc::Build::new()
        .file("src/imports/variadic.c")
        .flag("-std=c11")
        .warnings(true)
        .compile("clinet_kernel_variadic");
}
