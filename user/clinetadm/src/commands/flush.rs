// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm flush`.

use std::io::{self, IsTerminal, Write};

use anyhow::bail;
use clinet_control::{Control, Deleted, Entry, Filter, Protocol};
use serde_json::json;

use crate::{Outcome, Way, output, words};

/// Deletes the entries that fit, after showing what would go.
#[derive(clap::Args)]
#[command(after_help = format!("\
{}

TCP connections of this node may be alive, and go with --force only. On a
terminal it asks before; elsewhere it needs --yes.

Examples:
  clinetadm flush -n owner=2              what would go?
  clinetadm flush proto=udp 'age>86400'
  clinetadm flush --yes owner=2", words::FILTERS))]
pub struct Arguments {
    /// Which; without any all of them
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    /// Only show what would go
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Also TCP connections of this node
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Say what went, or would go, as JSON
    #[arg(long)]
    json: bool,
}

/// So many entries are enough to recognise what would go.
const EXAMPLES: u64 = 10;

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let filter = words::filter(&arguments.filter)?;
    let control = way.open()?;
    let asks = !arguments.yes && !arguments.dry_run;
    if asks && !io::stdin().is_terminal() {
        bail!("there is nobody to ask: clinetadm flush -n shows what would go, --yes does it");
    }
    if arguments.dry_run || asks {
        let would = control.flush(&filter, arguments.force, true)?;
        if arguments.json {
            output::json(&json!(would))?;
        } else {
            show(&control, &filter, arguments.force, &would)?;
        }
        if arguments.dry_run || would.deleted == 0 {
            return Ok(Outcome::Done);
        }
        if !confirmed()? {
            writeln!(io::stdout(), "Nothing is deleted.")?;
            return Ok(Outcome::FoundWrong);
        }
    }
    let done = control.flush(&filter, arguments.force, false)?;
    if arguments.json {
        output::json(&json!(done))?;
    } else {
        writeln!(
            io::stdout(),
            "{} entries are deleted{}.",
            done.deleted,
            kept(&done)
        )?;
    }
    Ok(Outcome::Done)
}

fn show(control: &Control, filter: &Filter, force: bool, would: &Deleted) -> anyhow::Result<()> {
    let node = control.state()?.node;
    let goes =
        |entry: &Entry| force || entry.owner != node || entry.tuple.protocol == Protocol::Udp;
    writeln!(
        io::stdout(),
        "{} entries would go{}.",
        would.deleted,
        kept(would)
    )?;
    let mut left = would.deleted.min(EXAMPLES);
    for entry in control.list(filter) {
        let entry = entry?;
        if left == 0 {
            break;
        }
        if goes(&entry) {
            writeln!(io::stdout(), "  {} (node {})", entry.tuple, entry.owner)?;
            left -= 1;
        }
    }
    if would.deleted > EXAMPLES {
        writeln!(io::stdout(), "  ...")?;
    }
    Ok(())
}

fn kept(deleted: &Deleted) -> String {
    match deleted.kept {
        0 => String::new(),
        kept => format!("; {kept} TCP connections of this node stay (--force)"),
    }
}

fn confirmed() -> io::Result<bool> {
    write!(io::stdout(), "Delete them? [y/N] ")?;
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
