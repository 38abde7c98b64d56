// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm show-stats`.

use std::io::Write;

use anyhow::bail;
use clinet_control::Stat;

use crate::output::{Field, Format, Rows};
use crate::{Outcome, Way};

/// Shows the counters since the module was loaded, as the kstats have them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  clinetadm show-stats                    all
  clinetadm show-stats --nonzero udp      those of UDP that are not 0
  clinetadm show-stats -p -o value tcp_out_owned")]
pub struct Arguments {
    /// Only counters whose name begins so
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only counters that are not 0
    #[arg(long)]
    nonzero: bool,
    #[command(flatten)]
    format: Format,
}

const FIELDS: &[Field<Stat>] = &[
    Field::text("name", |stat, out| out.write_all(stat.name.as_bytes())),
    Field::number("value", |stat, out| write!(out, "{}", stat.value)),
];

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let mut rows = Rows::new(&arguments.format, FIELDS, &["name", "value"])?;
    let stats = way.open()?.stats()?;
    let names = &arguments.names;
    let begins = |stat: &Stat, name: &str| stat.name.starts_with(name);
    for name in names {
        if !stats.iter().any(|stat| begins(stat, name)) {
            bail!("no counter has a name that begins with {name:?}: clinetadm show-stats");
        }
    }
    let wanted = |stat: &Stat| {
        (names.is_empty() || names.iter().any(|name| begins(stat, name)))
            && (!arguments.nonzero || stat.value != 0)
    };
    for stat in stats.iter().filter(|stat| wanted(stat)) {
        rows.add(stat)?;
    }
    rows.end()?;
    Ok(Outcome::Done)
}
