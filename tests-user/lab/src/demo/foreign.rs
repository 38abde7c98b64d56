// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Providers that are not ours, on a machine whose built-in one is off.

use std::path::Path;

use clinet_kernel::{Context, Kernel, Module};

use crate::files;
use crate::story::Story;

/// The files of the three modules.
pub struct Files {
    old: Vec<u8>,
    twenty: Vec<u8>,
    eleven: Vec<u8>,
}

impl Files {
    /// Reads them, from `folder` or from beside the tool.
    pub fn read(folder: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self {
            old: files::foreign(folder, "provider_old")?,
            twenty: files::foreign(folder, "provider_20")?,
            eleven: files::foreign(folder, "provider_11")?,
        })
    }
}

fn load(kernel: &Kernel, name: &str, file: &[u8]) -> Result<Module, String> {
    let result = kernel.load(name, file, &[]);
    result.map_err(|error| error.to_string())
}

fn outcome(result: Result<Module, String>) -> String {
    match result {
        Ok(_) => "loaded".to_owned(),
        Err(error) => format!("not loaded: {error}"),
    }
}

/// Tells of the three.
pub fn tell(story: &mut Story, module: &[u8], files: &Files) -> anyhow::Result<()> {
    story.chapter("Providers of others (clinet_provider = 0)");
    let kernel = Kernel::new();
    let clinet = kernel.load("misc/clinet", module, &[("clinet_provider", 0)])?;

    let old = outcome(load(&kernel, "misc/provider_old", &files.old));
    let expected = "not loaded: undefined symbol 'cl_inet_connect'";
    story.step(
        "one of the time before versions, which stores unseen",
        old,
        expected,
    );

    let twenty = load(&kernel, "misc/provider_20", &files.twenty);
    let loaded = twenty.is_ok();
    let log = kernel.log();
    let words = log
        .last()
        .map_or("nothing", |message| message.text.as_str());
    story.step(
        "one for a version that is not there",
        format!(
            "{}, and it said: {words}",
            if loaded { "loaded" } else { "not loaded" }
        ),
        "not loaded, and it said: wanted version 2.0 of the cluster contract, found 1.1",
    );

    let eleven = load(&kernel, "misc/provider_11", &files.eleven);
    let asked = ask(&clinet);
    story.step(
        "one for version 1.1, and a connect",
        format!(
            "{}, and the answer to the connect is {asked}",
            outcome(eleven)
        ),
        "loaded, and the answer to the connect is 0",
    );
    Ok(())
}

/// A TCP connect from 192.0.2.10 port 1 to 198.51.100.7 port 2.
fn ask(clinet: &Module) -> i32 {
    let (laddr, faddr) = ([192_u8, 0, 2, 10], [198_u8, 51, 100, 7]);
    let args = [
        6,
        1,
        2,
        laddr.as_ptr().expose_provenance() as u64,
        1_u64.to_be() >> 48,
        faddr.as_ptr().expose_provenance() as u64,
        2_u64.to_be() >> 48,
    ];
    let address = clinet.address("clinet_ask");
    // SAFETY: `clinet_ask` of include/clinet.h, with four bytes for each
    // address of AF_INET.
    unsafe { clinet.call(&Context::no_sleep(), address, &args) as i32 }
}
