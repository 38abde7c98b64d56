// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Compiles the stack that sends datagrams as kernel modules are compiled.

use std::env;
use std::error::Error;
use std::fs;

const SOURCE: &str = "c/sender.c";
const FLAGS: &str = "../../kmod/cflags";
const HEADERS: [&str; 2] = ["../../include", "../../include/kern"];

fn main() -> Result<(), Box<dyn Error>> {
    for input in [SOURCE, FLAGS].into_iter().chain(HEADERS) {
        println!("cargo::rerun-if-changed={input}");
    }
    println!("cargo::rerun-if-env-changed=CLINET_CC");
    let mut build = cc::Build::new();
    build
        .compiler(env::var("CLINET_CC").unwrap_or_else(|_| "clang".into()))
        .no_default_flags(true)
        .flag("--target=x86_64-pc-solaris2.11")
        .includes(HEADERS)
        .file(SOURCE);
    for flag in fs::read_to_string(FLAGS)?.lines() {
        build.flag(flag);
    }
    let objects = build.try_compile_intermediates()?;
    let object = objects.first().ok_or("no object file")?;
    let object = fs::canonicalize(object)?;
    println!("cargo::rustc-env=CLINET_SENDER={}", object.display());
    Ok(())
}
