// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab bench-cluster`: what a cluster costs, and how long its steps take.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clinet_cluster::bench::{self, Join, Offline, Size, Takeover, median};
use serde::Serialize;

use super::programs;
use crate::{Outcome, fatal, signals, table};

const EXAMPLES: &str = "\
Examples:
  lab bench-cluster
  lab bench-cluster --rounds 5 --sizes 3,31
  lab bench-cluster --json numbers.json

Exit status: 0 done, 1 if a connect needed the directory, 2 if the cluster does
not start.";

/// Measures clusters on this machine: takeover, joining, what etcd has to do, and
/// what an agent uses.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Rounds of takeover and of joining, 1 to 7
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    rounds: u8,
    /// Numbers of nodes, each 1 to 128
    #[arg(
        long,
        value_name = "NODES,...",
        value_delimiter = ',',
        default_value = "3,31,100",
        value_parser = clap::value_parser!(u8).range(1..=128)
    )]
    sizes: Vec<u8>,
    /// Connections that are open in all
    #[arg(long, default_value_t = 1_000_000)]
    connections: u64,
    #[command(flatten)]
    programs: programs::Files,
    /// Also write the numbers to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Numbers {
    offline: Offline,
    takeover: Takeover,
    join: Join,
    sizes: Vec<Size>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    fatal::no_module_here();
    let programs = arguments.programs.find()?;
    signals::before_the_end(clinet_cluster::end_all)?;
    let rounds = usize::from(arguments.rounds);
    let offline = bench::offline(&programs)?;
    say(&format!(
        "connects decided while etcd is stopped: {} of {}",
        offline.connected, offline.connects
    ))?;
    let takeover = bench::takeover(&programs, rounds)?;
    say(&format!(
        "from kill -9 to the grant of another node: {:.2} s (the dead node's lease {:.0} s, then Q {:.2} s)",
        median(&takeover.rounds),
        takeover.lease,
        takeover.bound
    ))?;
    let join = bench::join(&programs, rounds)?;
    say(&format!(
        "from the start of an agent to its first grant: {:.3} s, {:.1} round trips to etcd",
        median(&join.rounds),
        join.round_trips
    ))?;
    let mut sizes = Vec::new();
    for &nodes in &arguments.sizes {
        sizes.push(bench::size(&programs, nodes.into(), arguments.connections)?);
    }
    print_sizes(&sizes)?;
    let numbers = Numbers {
        offline,
        takeover,
        join,
        sizes,
    };
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&numbers)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if offline.connected == offline.connects {
        Outcome::Done
    } else {
        Outcome::FoundWrong
    })
}

fn say(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

fn print_sizes(sizes: &[Size]) -> io::Result<()> {
    let headings = [
        "nodes",
        "keys",
        "KiB",
        "writes/s idle",
        "connections",
        "writes/s",
        "log entries/s",
        "agent KiB",
        "agent CPU ‰",
    ];
    let mut rows = table::new(&headings, 0);
    for size in sizes {
        rows.add_row([
            size.nodes.to_string(),
            size.keys.to_string(),
            (size.bytes / 1024).to_string(),
            format!("{:.2}", size.writes_idle),
            size.connections.to_string(),
            format!("{:.2}", size.writes),
            format!("{:.2}", size.entries),
            size.agent_memory.to_string(),
            format!("{:.2}", size.agent_cpu),
        ]);
    }
    writeln!(io::stdout(), "{}", table::text(&rows))
}
