// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab demo`: two nodes that share an address, and one that is steered, step by
//! step.

mod device;
mod foreign;
mod nodes;

use std::io::{self, Write};
use std::path::PathBuf;

use clinet_ip::{Node, Stats};
use serde::Serialize;

use crate::story::{Chapter, Story};
use crate::{Outcome, files, print_json, table};

const EXAMPLES: &str = "\
Examples:
  lab demo
  lab demo --json

Exit status: 0 if all went as told, 1 if something did not, 2 if there is no
module to load.";

/// Shows two nodes that share an address, step by step.
///
/// Each node is a machine of its own in this process with its own copy of the
/// released module, loaded as the kernel would load it.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The module file [default: kernel/misc/amd64/clinet beside this tool]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The folder of the foreign modules [default: foreign beside this tool]
    #[arg(long, value_name = "DIR")]
    foreign: Option<PathBuf>,
    /// The driver file [default: kernel/drv/amd64/clinetctl beside this tool]
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// clinetadm [default: clinetadm beside this tool]
    #[arg(long, value_name = "FILE")]
    clinetadm: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct NodeCounters {
    node: String,
    counters: Stats,
}

#[derive(Serialize)]
struct Output {
    passed: bool,
    chapters: Vec<Chapter>,
    counters: Vec<NodeCounters>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let module = files::module(arguments.module.as_deref())?;
    let foreign = foreign::Files::read(arguments.foreign.as_deref())?;
    let mut story = Story::new(!arguments.json);
    let cluster = nodes::tell(&mut story, &module)?;
    foreign::tell(&mut story, &module, &foreign)?;
    let device = device::Files {
        lab: std::env::current_exe()?,
        clinetadm: files::program(arguments.clinetadm.as_deref(), "clinetadm")?,
        module: arguments.module.as_deref(),
        driver: arguments.driver.as_deref(),
    };
    device::tell(&mut story, &device)?;
    let members = cluster.nodes().into_iter().filter(Node::is_member);
    let counters: Vec<NodeCounters> = members
        .map(|node| NodeCounters {
            node: node.name().to_owned(),
            counters: node.stats(),
        })
        .collect();
    let output = Output {
        passed: story.passed(),
        chapters: story.into_chapters(),
        counters,
    };
    if arguments.json {
        print_json(&output)?;
    } else {
        print_counters(&output.counters)?;
        if !output.passed {
            eprintln!("lab: something did not go as told: see the lines with UNEXPECTED");
        }
    }
    Ok(if output.passed {
        Outcome::Done
    } else {
        Outcome::FoundWrong
    })
}

fn print_counters(nodes: &[NodeCounters]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\nWhat the modules counted")?;
    let names = nodes.iter().map(|node| node.node.as_str());
    let headings: Vec<&str> = std::iter::once("").chain(names).collect();
    let mut rows = table::new(&headings, 1);
    let Some(first) = nodes.first() else {
        return Ok(());
    };
    for (index, (name, _)) in first.counters.iter().enumerate() {
        let values: Vec<u64> = nodes
            .iter()
            .filter_map(|node| node.counters.iter().nth(index))
            .map(|(_, value)| value)
            .collect();
        if values.iter().any(|value| *value > 0) {
            let mut row = vec![name.to_owned()];
            row.extend(values.iter().map(u64::to_string));
            rows.add_row(row);
        }
    }
    writeln!(out, "{}", table::text(&rows))
}
