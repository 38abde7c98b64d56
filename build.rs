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
use std::path::{Path, PathBuf};

#[path = "kmod/compile.rs"]
mod compile;

const GLUE: &str = "kmod/glue";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let kernel = env::var("CARGO_CFG_TARGET_OS")? == "illumos";
    for path in ["include", GLUE, "kmod/cflags", "facts/abi.json"] {
        println!("cargo::rerun-if-changed={path}");
    }
    compile::watch_environment();
    compile::write_checks(None, &out)?;
    bindings(&out)?;
    if kernel {
        compile::compile(GLUE, &["clinet.c", "ip_hooks.c"], &out)?;
    }
    Ok(())
}

fn bindings(out: &Path) -> Result<(), Box<dyn Error>> {
    bindgen::Builder::default()
        .header("kmod/glue/bindings.h")
        .clang_args(compile::flags(GLUE))
        .use_core()
        .layout_tests(false)
        .generate_comments(false)
        .prepend_enum_name(false)
        .allowlist_function("clinet_.*|kmem_alloc|kmem_free|mutex_(init|destroy|enter|exit)")
        .allowlist_function("kmem_cache_(create|destroy|alloc|free)")
        .allowlist_function("random_get_pseudo_bytes|gethr(es)?time|drv_usectohz|delay")
        .allowlist_function("realtime_timeout|untimeout")
        .allowlist_function("cv_.*")
        .allowlist_function("ddi_taskq_(create|destroy|dispatch)")
        .allowlist_function("ddi_mod(open|sym|close)|kstat_(create|install|delete|named_.*)")
        .allowlist_function(
            "ldi_(ident_release|open_by_dev|close|ioctl)|ddi_name_to_major|makedevice",
        )
        .allowlist_function("netstack_(next|next_init|next_fini|find_by_stackid|rele)")
        .allowlist_type(
            "ksocket_t|lif(req|num|conf)|sockaddr_(in6?|storage)|strioctl|tcp_ioc_abort_conn_s",
        )
        .allowlist_type("clinet_.*|clinetctl_.*|cl_inet_.*_fn|boolean_t|modlinkage|modlmisc")
        .allowlist_var(
            "AF_INET6?|B_(TRUE|FALSE)|CE_(NOTE|WARN|PANIC)|CL_INET_.*|CLINET(CTL)?_.*|E[A-Z]+",
        )
        .allowlist_var(
            "IPPROTO_(TCP|UDP|SCTP)|KM_(NO)?SLEEP|KMC_NOMAGAZINE|MODREV_1|MODMAXLINKINFOLEN",
        )
        .allowlist_var("MUTEX_DEFAULT|CV_DEFAULT|TR_CLOCK_TICK|DDI_S(UCCESS|LEEP)|TASKQ_DEFAULTPRI")
        .allowlist_var("kcred|KSOCKET_SLEEP|SOCK_DGRAM|AF_UNSPEC|OTYP_CHR|F(READ|WRITE|KIOCTL)")
        .allowlist_var("IFF_(UP|NOLOCAL)|LIF(NAMSIZ|C_[A-Z_]+)|TCPS_[A-Z_]+|ALL_ZONES")
        .allowlist_var("KRTLD_MODE_FIRST|KSTAT_.*|clinet_(mode|detach|audit_now)")
        .blocklist_var("clinet_contract|clinet_control_version|clinet_version")
        .generate()?
        .write_to_file(out.join("bindings.rs"))?;
    Ok(())
}
