// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the build scripts of the module and of its control device share: how C
//! is compiled for the kernel, and the checks of layouts.
//!
//! What the kernel fixes (sizes, offsets, numbers) is written once, in
//! `facts/abi.json`, and checked on both sides when they are compiled.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// The C target of the glue. `CLINET_CC_TARGET` is empty on illumos itself,
/// where the native compiler needs none.
const CC_TARGET: &str = "--target=x86_64-pc-solaris2.11";

/// Flags of kernel C code: no FPU, no red zone, addresses in the top 2 GiB, and
/// none of what clang's solaris target predefines for user programs.
/// The Makefile reads the same file.
const KERNEL_FLAGS: &str = include_str!("cflags");

/// What else than source files makes a difference.
pub fn watch_environment() {
    for variable in [
        "CLINET_AR",
        "CLINET_CC",
        "CLINET_CC_TARGET",
        "CLINET_HEADERS",
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
}

/// Where headers are found: ours, and the kernel's or our stand-in for them.
fn include_flags(glue: &str) -> Vec<String> {
    let kernel_headers = env::var("CLINET_HEADERS").unwrap_or_else(|_| "-Iinclude/kern".into());
    let mut flags = vec!["-Iinclude".into(), format!("-I{glue}")];
    flags.extend(kernel_headers.split_whitespace().map(str::to_owned));
    flags
}

fn target_flags() -> Vec<String> {
    let target = env::var("CLINET_CC_TARGET").unwrap_or_else(|_| CC_TARGET.into());
    target.split_whitespace().map(str::to_owned).collect()
}

/// The flags that C code of the kernel is compiled with, whose own headers are
/// in the folder `glue`.
pub fn flags(glue: &str) -> Vec<String> {
    let kernel = KERNEL_FLAGS.lines().map(str::to_owned);
    let mut flags = target_flags();
    flags.extend(include_flags(glue));
    flags.extend(kernel);
    flags
}

/// Compiles C files in the folder `glue` into a library that is linked in.
///
/// # Errors
///
/// What the compiler says.
pub fn compile(glue: &str, files: &[&str], out: &Path) -> Result<(), Box<dyn Error>> {
    let version = format!("\"{}\"", env::var("CARGO_PKG_VERSION")?);
    let mut build = cc::Build::new();
    build
        .compiler(env::var("CLINET_CC").unwrap_or_else(|_| "clang".into()))
        .archiver(env::var("CLINET_AR").unwrap_or_else(|_| "ar".into()))
        .no_default_flags(true)
        .define("CLINET_VERSION", version.as_str())
        .include(out);
    for file in files {
        build.file(format!("{glue}/{file}"));
    }
    for flag in flags(glue) {
        build.flag(flag);
    }
    build.try_compile("clinet_glue")?;
    Ok(())
}

/// Writes the checks of what `facts/abi.json` says about the kernel, for the
/// module (no `part`) or for a part of it: `abi.rs` and `abi_check.h`.
///
/// # Errors
///
/// What is wrong with the facts.
pub fn write_checks(part: Option<&str>, out: &Path) -> Result<(), Box<dyn Error>> {
    let facts: Value = serde_json::from_str(&fs::read_to_string("facts/abi.json")?)?;
    let abi = part.map_or(&facts, |part| &facts[part]);
    fs::write(out.join("abi.rs"), rust_checks(abi)?)?;
    fs::write(out.join("abi_check.h"), c_checks(abi)?)?;
    Ok(())
}

fn entries<'a>(abi: &'a Value, key: &str) -> Result<&'a Map<String, Value>, Box<dyn Error>> {
    let missing = || format!("facts/abi.json has no object {key:?}");
    Ok(abi
        .get(key)
        .and_then(Value::as_object)
        .ok_or_else(missing)?)
}

fn number(value: &Value, key: &str) -> Result<u64, Box<dyn Error>> {
    let missing = || format!("facts/abi.json: {key:?} is not a number");
    Ok(value.as_u64().ok_or_else(missing)?)
}

fn rust_checks(abi: &Value) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for (name, layout) in entries(abi, "types")? {
        let (size, align) = (
            number(&layout["size"], name)?,
            number(&layout["align"], name)?,
        );
        writeln!(
            text,
            "const_assert_eq!(size_of::<super::{name}>(), {size});"
        )?;
        writeln!(
            text,
            "const_assert_eq!(align_of::<super::{name}>(), {align});"
        )?;
    }
    for group in ["structs", "own"] {
        for (name, layout) in entries(abi, group)? {
            let size = number(&layout["size"], name)?;
            writeln!(
                text,
                "const_assert_eq!(size_of::<super::{name}>(), {size});"
            )?;
            for (field, offset) in entries(layout, "fields")? {
                let offset = number(offset, field)?;
                writeln!(
                    text,
                    "const_assert_eq!(core::mem::offset_of!(super::{name}, {field}), {offset});"
                )?;
            }
        }
    }
    for (name, value) in entries(abi, "constants")? {
        let value = number(value, name)?;
        writeln!(text, "const_assert_eq!(super::{name} as u64, {value});")?;
    }
    Ok(text)
}

fn c_checks(abi: &Value) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let mut check = |condition: String| {
        writeln!(
            text,
            "_Static_assert({condition}, \"differs from facts/abi.json\");"
        )
    };
    for (name, layout) in entries(abi, "types")? {
        check(format!(
            "sizeof ({name}) == {}",
            number(&layout["size"], name)?
        ))?;
    }
    for (group, prefix) in [("structs", "struct "), ("own", "")] {
        for (name, layout) in entries(abi, group)? {
            check(format!(
                "sizeof ({prefix}{name}) == {}",
                number(&layout["size"], name)?
            ))?;
            for (field, offset) in entries(layout, "fields")? {
                let offset = number(offset, field)?;
                check(format!(
                    "__builtin_offsetof({prefix}{name}, {field}) == {offset}"
                ))?;
            }
        }
    }
    for (name, value) in entries(abi, "constants")? {
        check(format!("{name} == {}", number(value, name)?))?;
    }
    Ok(text)
}
