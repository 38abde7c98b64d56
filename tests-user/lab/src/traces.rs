// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab traces`: recorded hook calls of a stock kernel, against the model.

use std::io::{self, Write};
use std::path::PathBuf;

use clinet_stock::trace::{self, Difference};
use serde::Serialize;

use crate::{Outcome, print_json};

const EXAMPLES: &str = "\
Examples:
  lab traces tests-user/stock/traces
  lab traces tests-user/stock/traces/udp_send.jsonl -v
  lab traces more.jsonl --json

Exit status: 0 if nothing differs, 1 if a scenario does, 2 if a file is no
file of scenarios.";

/// Plays recorded scenarios on the model of the stock ip.
///
/// Each scenario is a list of steps with the calls of the cluster hooks that a
/// real kernel's ip made, as one JSON object in a line. The model takes the
/// same steps with recording hooks that give the same answers; the calls with
/// their arguments and order, the results of the steps and the walks must be
/// the same. Which thread called, where and when is not compared.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Files of scenarios, or folders of .jsonl files
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Name the scenarios that agree too
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of one scenario.
#[derive(Serialize)]
struct Played {
    scenario: String,
    family: String,
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Output {
    scenarios: usize,
    differ: usize,
    played: Vec<Played>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut played = Vec::new();
    for path in &arguments.paths {
        for scenario in trace::read(path)? {
            played.push(Played {
                differences: trace::play(&scenario),
                scenario: scenario.name,
                family: scenario.family,
            });
        }
    }
    let scenarios = played.len();
    let differ = played.iter().filter(|one| one.differs()).count();
    if arguments.json {
        if !arguments.verbose {
            played.retain(Played::differs);
        }
        print_json(&Output {
            scenarios,
            differ,
            played,
        })?;
    } else {
        print(&played, arguments.verbose)?;
        writeln!(
            io::stdout().lock(),
            "{scenarios} scenarios, {differ} differ"
        )?;
    }
    Ok(if differ == 0 {
        Outcome::Done
    } else {
        Outcome::FoundWrong
    })
}

impl Played {
    fn differs(&self) -> bool {
        !self.differences.is_empty()
    }
}

fn print(played: &[Played], verbose: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for one in played {
        if !one.differs() && verbose {
            writeln!(out, "{} ({}): the same", one.scenario, one.family)?;
        }
        for difference in &one.differences {
            writeln!(out, "{} ({}), {difference}", one.scenario, one.family)?;
        }
    }
    Ok(())
}
