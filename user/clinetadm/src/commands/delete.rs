// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm delete`.

use crate::words::TupleArguments;
use crate::{Outcome, Way};

/// Deletes one entry, whoever owns it.
#[derive(clap::Args)]
#[command(after_help = "\
A TCP connection of this node may be alive, and another node could then take its
5-tuple: it goes with --force only.

Examples:
  clinetadm delete udp 192.0.2.10:5000 198.51.100.7:53
  clinetadm delete --force tcp 192.0.2.10:33000 198.51.100.7:443")]
pub struct Arguments {
    #[command(flatten)]
    tuple: TupleArguments,
    /// The IP stack
    #[arg(long, default_value_t = 0)]
    stack: u32,
    /// Also a TCP connection of this node
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let tuple = arguments.tuple.tuple()?;
    way.open()?
        .delete(tuple, arguments.stack, arguments.force)?;
    Ok(Outcome::Done)
}
