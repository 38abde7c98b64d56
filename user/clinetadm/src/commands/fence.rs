// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm fence` and `unfence`.

use clinet_control::{Control, Error};

use crate::{Outcome, Way};

/// Takes the shared addresses away from this node, now.
#[derive(clap::Args)]
#[command(after_help = "\
The deadline lapses, connections of the shared addresses stop, and other nodes
may have the ports after their time of waiting. Waits until the addresses are
away. Needs grants without an agent, or that the agent is stopped.

Example:
  clinetadm fence && clinetadm show fence-state")]
pub struct Fence {}

/// Brings the shared addresses back.
#[derive(clap::Args)]
#[command(after_help = "\
Ports have to be granted again before: clinetadm grants set FILE.

Unless --records-kept says that no other node can have got this node's ports
meanwhile, the module ends the TCP connections of the shared addresses first.
UDP sockets it cannot end: there must be none that is bound to a port that was
lost (pfiles, netstat -un).

Examples:
  clinetadm unfence
  clinetadm unfence --records-kept     connections go on")]
pub struct Unfence {
    /// No other node can have got this node's ports meanwhile
    #[arg(long)]
    records_kept: bool,
}

pub fn fence(way: &Way) -> anyhow::Result<Outcome> {
    let control = way.open()?;
    let (epoch, sequence) = next(&control)?;
    control.fence(epoch, sequence)?;
    Ok(Outcome::Done)
}

pub fn unfence(arguments: &Unfence, way: &Way) -> anyhow::Result<Outcome> {
    let control = way.open()?;
    let (epoch, sequence) = next(&control)?;
    control.unfence(epoch, sequence, arguments.records_kept)?;
    Ok(Outcome::Done)
}

/// With the control role nobody else changes them.
fn next(control: &Control) -> Result<(u64, u64), Error> {
    control.take_control()?;
    let state = control.state()?;
    Ok((state.epoch, state.sequence.saturating_add(1)))
}
