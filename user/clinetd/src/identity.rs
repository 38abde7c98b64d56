// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Which machine this is, and which boot of it.
//!
//! Both have to stay the same while the module does, and the boot has to be another one afterwards:
//! what the module had is gone then. So the boot's id comes from the kernel, and never from a file
//! that somebody might remove.

use std::path::Path;

use anyhow::{Context, bail};
use clinet_slices::names::{Identity, Uuid};

use crate::config::Config;

/// Who this node is.
///
/// # Errors
///
/// A file is missing or has no id, or the system does not say.
pub fn identity(config: &Config) -> anyhow::Result<Identity> {
    let machine = match &config.machine.id_file {
        Some(file) => read(file)?,
        None => machine(config)?,
    };
    let boot = match &config.machine.boot_file {
        Some(file) => read(file)?,
        None => boot(machine)?,
    };
    Ok(Identity {
        node: config.node.clone(),
        machine,
        boot,
    })
}

fn read(file: &Path) -> anyhow::Result<Uuid> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let line = text.lines().next().unwrap_or_default();
    match line.parse() {
        Ok(id) => Ok(id),
        Err(reason) => bail!("{}: {reason}", file.display()),
    }
}

#[cfg(not(target_os = "illumos"))]
fn machine(_: &Config) -> anyhow::Result<Uuid> {
    read(Path::new("/etc/machine-id"))
}

#[cfg(not(target_os = "illumos"))]
fn boot(_: Uuid) -> anyhow::Result<Uuid> {
    read(Path::new("/proc/sys/kernel/random/boot_id"))
}

/// illumos has no such id: it is made once, beside the state. A clone of the disk has it too, and is
/// told from this machine by the time of its boot.
#[cfg(target_os = "illumos")]
fn machine(config: &Config) -> anyhow::Result<Uuid> {
    use std::io::Read;

    let file = config.state.with_file_name("machine-id");
    if !file.exists() {
        let mut bytes = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let id = Uuid(u128::from_ne_bytes(bytes));
        crate::state::replace(&file, &format!("{id}\n"))?;
    }
    read(&file)
}

/// The second of the boot, which the kernel notes once, with the machine's id mixed in.
#[cfg(target_os = "illumos")]
fn boot(machine: Uuid) -> anyhow::Result<Uuid> {
    let name = "unix:0:system_misc:boot_time";
    let output = std::process::Command::new("/usr/bin/kstat")
        .args(["-p", name])
        .output()
        .context("/usr/bin/kstat")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = text.split_whitespace().last().unwrap_or_default();
    match value.parse::<u64>() {
        Ok(seconds) if seconds != 0 => Ok(Uuid(machine.0 ^ u128::from(seconds))),
        _ => bail!("kstat -p {name} says {:?}", text.trim()),
    }
}
