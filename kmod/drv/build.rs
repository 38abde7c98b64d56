// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Bindings from `include/`, the C glue, and the layout checks.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use bindgen::callbacks::{DeriveInfo, ParseCallbacks};

#[path = "../compile.rs"]
mod compile;

const GLUE: &str = "kmod/drv/glue";

/// The structures of the device are plain data: bytes can be made of them and
/// the other way round. The compiler refuses one that has a gap.
#[derive(Debug)]
struct PlainData;

impl ParseCallbacks for PlainData {
    fn add_derives(&self, info: &DeriveInfo<'_>) -> Vec<String> {
        let is_ours = info.name.starts_with("clinetctl_")
            || ["clinet_entry", "clinet_cursor"].contains(&info.name);
        let derives = ["FromBytes", "IntoBytes", "Immutable", "KnownLayout"];
        match is_ours {
            true => derives.map(|name| format!("zerocopy::{name}")).to_vec(),
            false => Vec::new(),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let kernel = env::var("CARGO_CFG_TARGET_OS")? == "illumos";
    // Paths are from the top, cargo's from this package.
    env::set_current_dir("../..")?;
    for path in [
        "include",
        GLUE,
        "kmod/cflags",
        "kmod/compile.rs",
        "facts/abi.json",
    ] {
        println!("cargo::rerun-if-changed=../../{path}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    compile::watch_environment();
    compile::write_checks(Some("driver"), &out)?;
    bindings(&out)?;
    if kernel {
        compile::compile(GLUE, &["clinetctl.c"], &out)?;
    }
    Ok(())
}

fn bindings(out: &Path) -> Result<(), Box<dyn Error>> {
    bindgen::Builder::default()
        .header(format!("{GLUE}/bindings.h"))
        .clang_args(compile::flags(GLUE))
        .use_core()
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .constified_enum_module("clinetctl_command")
        .allowlist_function("clinetctl_.*|clinet_(control_.*|list|set_addrs|attach_ip|audit)")
        .allowlist_function("clinet_(sweep|install|withdraw|purge|resync_.*|log)")
        .allowlist_function("kmem_zalloc|kmem_free|mutex_(init|destroy|enter|exit)")
        .allowlist_function("cv_.*|pollwakeup|pollhead_clean")
        .allowlist_function("ddi_(copyin|copyout|create_minor_node|remove_minor_node)|uiomove")
        .allowlist_function("getmajor|getminor|makedevice|crgetzoneid|secpolicy_.*")
        .allowlist_type("clinetctl_.*|clinet_(entry|cursor)_t|modldrv|modlinkage|uio|zoneid_t")
        .allowlist_type("cb_ops|dev_ops")
        .allowlist_var("CLINET(CTL)?_.*|clinet_(control_)?version|cluster_version_supported")
        .allowlist_var("E[A-Z]+|CE_(WARN|PANIC)|KM_SLEEP|MUTEX_DEFAULT|CV_DEFAULT|TR_CLOCK_TICK")
        .allowlist_var(
            "AF_INET6|IPPROTO_(TCP|UDP)|B_FALSE|DDI_.*|DEVO_REV|CB_REV|D_MP|FNDELAY|FNONBLOCK",
        )
        .allowlist_var("MODREV_1|OTYP_(CHR|LYR)|S_IFCHR|POLL(IN|RDNORM)")
        .parse_callbacks(Box::new(PlainData))
        .generate()?
        .write_to_file(out.join("bindings.rs"))?;
    Ok(())
}
