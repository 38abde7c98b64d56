// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm attach`, `detach`, `audit` and `sweep`.

use crate::{Outcome, Way};

/// Sets ip's hooks, so that clinet is asked about each connection.
#[derive(clap::Args)]
#[command(after_help = "\
Done already when the module is loaded, unless clinet_attach is 0 in /etc/system.

Example:
  clinetadm attach && clinetadm show attach reason")]
pub struct Attach {}

pub fn attach(way: &Way) -> anyhow::Result<Outcome> {
    way.open()?.attach()?;
    Ok(Outcome::Done)
}

/// Has ip's hooks accept everything, and forgets this node's connections.
#[derive(clap::Args)]
#[command(after_help = "\
The module stays loaded until the machine goes down. Refused while ports are
granted to this node, since other nodes would not be safe from it.

Examples:
  clinetadm detach
  clinetadm detach --force       the deadline lapses, then as above")]
pub struct Detach {
    /// Also while ports are granted: the deadline lapses first, and the shared
    /// addresses are taken away
    #[arg(long)]
    force: bool,
}

pub fn detach(arguments: &Detach, way: &Way) -> anyhow::Result<Outcome> {
    way.open()?.detach(arguments.force)?;
    Ok(Outcome::Done)
}

/// Has the registry compared with ip's TCP connections soon.
#[derive(clap::Args)]
#[command(after_help = "\
Two audits are done, one after the other. What both find in ip only is added.
What is missing in ip for long enough is removed.

Example:
  clinetadm audit; sleep 3; clinetadm show audits")]
pub struct Audit {}

pub fn audit(way: &Way) -> anyhow::Result<Outcome> {
    way.open()?.audit()?;
    Ok(Outcome::Done)
}

/// Drops entries that are too old, or whose endpoint or owner is gone, now.
#[derive(clap::Args)]
#[command(after_help = "\
The module does this by itself every ten seconds.

Example:
  clinetadm purge 2 && clinetadm sweep")]
pub struct Sweep {}

pub fn sweep(way: &Way) -> anyhow::Result<Outcome> {
    way.open()?.sweep()?;
    Ok(Outcome::Done)
}
