// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where the built files are.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// Where `make` puts the module, seen from the tool.
const MODULE: &str = "kernel/misc/amd64/clinet";

fn beside_tool(path: &str) -> anyhow::Result<PathBuf> {
    let tool = std::env::current_exe().context("cannot find my own file")?;
    Ok(tool.with_file_name(path))
}

/// Reads a file that a command was given.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads the module: the file that was named, or the one beside the tool.
pub fn module(named: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    match named {
        Some(path) => read(path),
        None => {
            read(&beside_tool(MODULE)?).context("build it with `make`, or name it with --module")
        }
    }
}

/// Reads one of the foreign modules that the demonstration loads, from the
/// folder that was named or the one beside the tool.
pub fn foreign(folder: Option<&Path>, name: &str) -> anyhow::Result<Vec<u8>> {
    match folder {
        Some(folder) => read(&folder.join(name)),
        None => read(&beside_tool("foreign")?.join(name)).context("build it with `make demo`"),
    }
}
