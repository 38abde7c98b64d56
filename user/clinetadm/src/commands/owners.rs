// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm install`, `withdraw`, `purge` and `resync`: what other nodes own.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clinet_control::{Control, Error, Tuple};

use crate::{Outcome, Way, words};

const TUPLES: &str = "\
A 5-tuple is PROTOCOL LOCAL FOREIGN, as `list -p -o tuple` writes it. In a file
there is one on each line; empty lines and what follows a # are left out.
";

#[derive(clap::Args)]
struct Tuples {
    /// A 5-tuple: protocol, local end, foreign end
    #[arg(value_names = ["PROTOCOL", "LOCAL", "FOREIGN"], num_args = 3,
        required_unless_present = "file", conflicts_with = "file")]
    tuple: Vec<String>,
    /// Read 5-tuples from this file; -: standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Records that another node owns 5-tuples.
#[derive(clap::Args)]
#[command(after_help = format!("\
{TUPLES}
What this node or a third one holds is refused; what came before it is done.

Examples:
  clinetadm install 2 tcp 192.0.2.10:33000 198.51.100.7:443
  clinetadm install 2 -f node2"))]
pub struct Install {
    /// The node that owns them
    owner: u32,
    #[command(flatten)]
    tuples: Tuples,
}

/// Takes back that another node owns 5-tuples.
#[derive(clap::Args)]
#[command(after_help = format!("\
{TUPLES}
Examples:
  clinetadm withdraw 2 tcp 192.0.2.10:33000 198.51.100.7:443
  clinetadm list owner=2 lport=33000 -p -o tuple | clinetadm withdraw 2 -f -"))]
pub struct Withdraw {
    /// The node that owned them
    owner: u32,
    #[command(flatten)]
    tuples: Tuples,
}

/// Drops all that another node owns: it left the cluster.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  clinetadm list owner=2 && clinetadm purge 2")]
pub struct Purge {
    /// The node
    owner: u32,
}

/// Replaces all that another node owns by what is named.
#[derive(clap::Args)]
#[command(after_help = format!("\
{TUPLES}
What is named again stays all the time. If something cannot be installed,
nothing goes.

Example:
  ssh node2 clinetadm list owner=2 -p -o tuple | clinetadm resync 2 -f -"))]
pub struct Resync {
    /// The node
    owner: u32,
    #[command(flatten)]
    tuples: Tuples,
}

pub fn install(arguments: &Install, way: &Way) -> anyhow::Result<Outcome> {
    let control = of_another(arguments.owner, way)?;
    install_all(&control, arguments.owner, &arguments.tuples)
}

pub fn withdraw(arguments: &Withdraw, way: &Way) -> anyhow::Result<Outcome> {
    let control = of_another(arguments.owner, way)?;
    arguments
        .tuples
        .each_part(|part| control.withdraw(arguments.owner, part))?;
    Ok(Outcome::Done)
}

pub fn purge(arguments: &Purge, way: &Way) -> anyhow::Result<Outcome> {
    of_another(arguments.owner, way)?.purge(arguments.owner)?;
    Ok(Outcome::Done)
}

pub fn resync(arguments: &Resync, way: &Way) -> anyhow::Result<Outcome> {
    let control = of_another(arguments.owner, way)?;
    control.resync_begin(arguments.owner)?;
    install_all(&control, arguments.owner, &arguments.tuples)?;
    control.resync_end(arguments.owner)?;
    Ok(Outcome::Done)
}

/// The device, for what another node owns.
fn of_another(owner: u32, way: &Way) -> anyhow::Result<Control> {
    if owner == 0 {
        bail!("0 is no node: nodes have numbers from 1 on");
    }
    let control = way.open()?;
    if control.state()?.node == owner {
        bail!(
            "{owner} is this node, whose connections register themselves; \
             clinetadm flush owner={owner} deletes what it has"
        );
    }
    Ok(control)
}

fn install_all(control: &Control, owner: u32, tuples: &Tuples) -> anyhow::Result<Outcome> {
    tuples.each_part(|part| control.install(owner, part))?;
    Ok(Outcome::Done)
}

/// So many are read before they are handed on.
const PART: usize = 4096;

impl Tuples {
    /// Hands all tuples on, some at a time, until one cannot be done.
    fn each_part(&self, mut run: impl FnMut(&[Tuple]) -> Result<(), Error>) -> anyhow::Result<()> {
        let mut part = Vec::new();
        let mut run = |part: &mut Vec<(Tuple, String)>| {
            let tuples: Vec<Tuple> = part.iter().map(|(tuple, _)| *tuple).collect();
            let result = run(&tuples);
            let place = match &result {
                Err(Error::Stopped { done, .. }) => part.get(*done),
                _ => None,
            };
            let place = place.map(|(tuple, place)| format!("{place}{tuple}"));
            part.clear();
            match place {
                Some(place) => result.context(place),
                None => Ok(result?),
            }
        };
        let Some(path) = &self.file else {
            let tuple = words::tuple(&self.tuple.join(" "))?;
            return run(&mut vec![(tuple, String::new())]);
        };
        let name = path.display();
        for (number, line) in (1..).zip(open(path)?.lines()) {
            let line = line.with_context(|| format!("cannot read {name}"))?;
            let text = line.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let tuple = words::tuple(text).with_context(|| format!("{name}, line {number}"))?;
            part.push((tuple, format!("{name}, line {number}: ")));
            if part.len() == PART {
                run(&mut part)?;
            }
        }
        run(&mut part)
    }
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}
