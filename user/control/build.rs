// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The device's structures and numbers, from the header that the driver has.

use std::env;
use std::error::Error;
use std::path::PathBuf;

use bindgen::callbacks::{DeriveInfo, ParseCallbacks};

/// Plain old data: bytes can be made of each structure and the other way
/// round. That is refused by the compiler for one that has a gap.
#[derive(Debug)]
struct PlainData;

impl ParseCallbacks for PlainData {
    fn add_derives(&self, _: &DeriveInfo<'_>) -> Vec<String> {
        ["FromBytes", "IntoBytes", "Immutable", "KnownLayout"]
            .map(|name| format!("zerocopy::{name}"))
            .to_vec()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let include = "../../include";
    for path in [include, "device.h"] {
        println!("cargo::rerun-if-changed={path}");
    }
    bindgen::Builder::default()
        .header("device.h")
        // The kernel's layouts on any machine that this is built on.
        .clang_arg("--target=x86_64-pc-solaris2.11")
        .clang_arg("-ffreestanding")
        .clang_arg(format!("-I{include}"))
        .clang_arg(format!("-I{include}/kern"))
        .allowlist_type("clinetctl_.*|clinet_entry_t|clinet_cursor_t|clinet_attach_state_t")
        .allowlist_var("CLINET_.*|CLINETCTL_.*|NO_DEADLINE")
        .constified_enum_module("clinetctl_command")
        .generate_comments(false)
        .prepend_enum_name(false)
        .layout_tests(true)
        .parse_callbacks(Box::new(PlainData))
        .generate()?
        .write_to_file(PathBuf::from(env::var("OUT_DIR")?).join("device.rs"))?;
    Ok(())
}
