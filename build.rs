// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bindings from `include/`, the C glue, and the layout checks.
//!
//! Everything that Rust and C share is written once, in the headers. What the
//! kernel fixes (sizes, offsets, numbers) is written once, in
//! `facts/abi.json`, and checked on both sides when they are compiled.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// The C target of the glue. `CLINET_CC_TARGET` is empty on illumos itself,
/// where the native compiler needs none.
const CC_TARGET: &str = "--target=x86_64-pc-solaris2.11";

/// Flags of kernel C code: no FPU, no red zone, addresses in the top 2 GiB, and
/// none of what clang's solaris target predefines for user programs.
/// The Makefile reads the same file.
const KERNEL_FLAGS: &str = include_str!("kmod/cflags");

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let kernel = env::var("CARGO_CFG_TARGET_OS")? == "illumos";
    for path in ["include", "kmod/glue", "facts/abi.json"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for variable in [
        "CLINET_AR",
        "CLINET_CC",
        "CLINET_CC_TARGET",
        "CLINET_HEADERS",
    ] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let abi: Value = serde_json::from_str(&fs::read_to_string("facts/abi.json")?)?;
    fs::write(out.join("abi.rs"), rust_checks(&abi)?)?;
    fs::write(out.join("abi_check.h"), c_checks(&abi)?)?;
    bindings(&out)?;
    if kernel {
        glue(&out)?;
    }
    Ok(())
}

/// Where headers are found: ours, and the kernel's or our stand-in for them.
fn include_flags() -> Vec<String> {
    let kernel_headers = env::var("CLINET_HEADERS").unwrap_or_else(|_| "-Iinclude/kern".into());
    let mut flags = vec!["-Iinclude".into(), "-Ikmod/glue".into()];
    flags.extend(kernel_headers.split_whitespace().map(str::to_owned));
    flags
}

fn target_flags() -> Vec<String> {
    let target = env::var("CLINET_CC_TARGET").unwrap_or_else(|_| CC_TARGET.into());
    target.split_whitespace().map(str::to_owned).collect()
}

fn bindings(out: &Path) -> Result<(), Box<dyn Error>> {
    bindgen::Builder::default()
        .header("kmod/glue/bindings.h")
        .clang_args(target_flags())
        .clang_args(KERNEL_FLAGS.lines())
        .clang_args(include_flags())
        .use_core()
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .allowlist_function("clinet_.*|kmem_alloc|kmem_free|mutex_(init|destroy|enter|exit)")
        .allowlist_function("kmem_cache_(create|destroy|alloc|free)")
        .allowlist_function("random_get_pseudo_bytes|gethr(es)?time|drv_usectohz|delay")
        .allowlist_function("realtime_timeout|untimeout")
        .allowlist_function("cv_(init|destroy|signal|reltimedwait)")
        .allowlist_function("ddi_taskq_(create|destroy|dispatch)")
        .allowlist_function("ddi_mod(open|sym|close)|kstat_(create|install|delete|named_.*)")
        .allowlist_function("netstack_(next|next_init|next_fini|find_by_stackid|rele)")
        .allowlist_type("clinet_.*|clinetctl_.*|cl_inet_.*_fn|boolean_t|modlinkage|modlmisc")
        .allowlist_var(
            "AF_INET6?|B_(TRUE|FALSE)|CE_(NOTE|WARN|PANIC)|CL_INET_.*|CLINET(CTL)?_.*|E[A-Z]+",
        )
        .allowlist_var(
            "IPPROTO_(TCP|UDP|SCTP)|KM_(NO)?SLEEP|KMC_NOMAGAZINE|MODREV_1|MODMAXLINKINFOLEN",
        )
        .allowlist_var("MUTEX_DEFAULT|CV_DEFAULT|TR_CLOCK_TICK|DDI_S(UCCESS|LEEP)|TASKQ_DEFAULTPRI")
        .allowlist_var("KRTLD_MODE_FIRST|KSTAT_.*|clinet_(mode|detach|audit_now)")
        .blocklist_var("clinet_contract|clinet_control_version|clinet_version")
        .generate()?
        .write_to_file(out.join("bindings.rs"))?;
    Ok(())
}

fn glue(out: &Path) -> Result<(), Box<dyn Error>> {
    let version = format!("\"{}\"", env::var("CARGO_PKG_VERSION")?);
    let mut build = cc::Build::new();
    build
        .compiler(env::var("CLINET_CC").unwrap_or_else(|_| "clang".into()))
        .archiver(env::var("CLINET_AR").unwrap_or_else(|_| "ar".into()))
        .no_default_flags(true)
        .define("CLINET_VERSION", version.as_str())
        .include(out)
        .file("kmod/glue/clinet.c")
        .file("kmod/glue/ip_hooks.c");
    for flag in target_flags().iter().chain(&include_flags()) {
        build.flag(flag);
    }
    for flag in KERNEL_FLAGS.lines() {
        build.flag(flag);
    }
    build.try_compile("clinet_glue")?;
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
