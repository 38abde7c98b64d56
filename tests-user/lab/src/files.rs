// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Where the built files are.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clinet_check::Limits;

/// Where `make` puts the module and the driver, seen from the tool.
const MODULE: &str = "kernel/misc/amd64/clinet";
const DRIVER: &str = "kernel/drv/amd64/clinetctl";

fn beside_tool(path: &str) -> anyhow::Result<PathBuf> {
    let tool = std::env::current_exe().context("cannot find my own file")?;
    Ok(tool.with_file_name(path))
}

/// No module and no mapfile has more bytes.
const LARGEST: u64 = 64 << 20;

/// Reads a file that a command was given.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let what = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(what)?;
    file.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .with_context(what)?;
    if bytes.len() as u64 > LARGEST {
        bail!(
            "{} has more than {LARGEST} bytes: name a module file",
            path.display()
        );
    }
    Ok(bytes)
}

/// Reads the module that is to run: the file that was named, or the one beside
/// the tool.
///
/// # Errors
///
/// Also if the file breaks a rule of `lab check`: a damaged module could do
/// anything to this process.
pub fn module(named: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    checked(named, MODULE, "--module")
}

/// Reads the driver of the control device in the same way.
///
/// # Errors
///
/// As [`module`].
pub fn driver(named: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    checked(named, DRIVER, "--driver")
}

fn checked(named: Option<&Path>, usual: &str, option: &str) -> anyhow::Result<Vec<u8>> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => beside_tool(usual)?,
    };
    let bytes = match named {
        Some(path) => read(path),
        None => {
            read(&path).with_context(|| format!("build it with `make`, or name it with {option}"))
        }
    }?;
    let name = path.display();
    let report = clinet_check::check(&bytes, &name.to_string(), None, &Limits::ANY_MODULE)
        .with_context(|| format!("{name} is not run"))?;
    match report.broken().next() {
        None => Ok(bytes),
        Some(first) => bail!(
            "{name} is not run, since it is no module for a kernel; `lab check {name}` says more:\n{first}"
        ),
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

/// Finds one of our programs: where it was said to be, or beside the tool.
pub fn program(named: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => beside_tool(name)?,
    };
    if !path.is_file() {
        bail!(
            "{} is not there: build it with `make`, or name it with --{name}",
            path.display()
        );
    }
    Ok(path)
}
