// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab traces`: recorded hook calls of a stock kernel, against the model.

use std::io::{self, Write};
use std::path::PathBuf;

use clinet_ip::trace::{self, Decisions, Difference, Scenario};
use clinet_ip::{Entry, Release};
use serde::Serialize;

use crate::{Outcome, fatal, files, print_json};

const EXAMPLES: &str = "\
Examples:
  lab traces tests-user/ip/traces
  lab traces tests-user/ip/traces/2021/udp_send.jsonl -v
  lab traces more.jsonl --release 2021 --json
  lab traces more.jsonl --module build/kernel/misc/amd64/clinet

Exit status: 0 if nothing differs, 1 if a scenario does, 2 if a file is no
file of scenarios or the module does not load.";

/// Plays recorded scenarios on the model of the stock ip.
///
/// Each scenario is a list of steps with the calls of the cluster hooks that a
/// real kernel's ip made, as one JSON object in a line. The model takes the
/// same steps with recording hooks that give the same answers; the calls with
/// their arguments and order, the results of the steps and the walks must be
/// the same. Which thread called and where is not compared; a call that is
/// marked `unordered` may come at any later place, and one of another thread
/// than the one that took the steps anywhere among its calls.
///
/// With --module the released module is attached behind the recording hooks and
/// observes: it has to answer and to count as it should, and its TCP entries
/// that are left when all connections are over are printed. There are some
/// where a scenario takes the hooks away before a connection ends.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Files of scenarios, or folders of .jsonl files
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// The kernel that the model is: 2015 or 2021. Else it is what a file says
    /// in a first line such as {"kernel": 2021}, or 2015
    #[arg(long, value_name = "YEAR")]
    release: Option<Release>,
    /// Attach this module to the model
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
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
    file: PathBuf,
    line: usize,
    /// The kernel that the model was.
    release: String,
    scenario: String,
    family: String,
    differences: Vec<Difference>,
    /// What the attached module did wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wrong: Vec<String>,
    /// The attached module's TCP entries after the last step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<Entry>,
}

#[derive(Serialize)]
struct Output {
    scenarios: usize,
    differ: usize,
    played: Vec<Played>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let named = arguments.module.as_deref();
    let module = named.map(|path| files::module(Some(path))).transpose()?;
    let mut played = Vec::new();
    for path in &arguments.paths {
        for mut scenario in trace::read(path)? {
            fatal::progress();
            scenario.release = arguments.release.unwrap_or(scenario.release);
            played.push(play(scenario, module.as_deref())?);
        }
    }
    let scenarios = played.len();
    let differ = played.iter().filter(|one| one.differs()).count();
    if arguments.json {
        if !arguments.verbose {
            played.retain(|one| one.differs() || !one.left.is_empty());
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

fn play(scenario: Scenario, module: Option<&[u8]>) -> anyhow::Result<Played> {
    let (differences, wrong, left) = match module {
        None => (trace::play(&scenario), Vec::new(), Vec::new()),
        Some(file) => {
            let attached = trace::play_attached(&scenario, file, Decisions::Observed)?;
            (attached.differences, attached.wrong, attached.left)
        }
    };
    Ok(Played {
        file: scenario.file,
        line: scenario.line,
        release: scenario.release.to_string(),
        scenario: scenario.name,
        family: scenario.family,
        differences,
        wrong,
        left,
    })
}

impl Played {
    /// Where it is recorded.
    fn place(&self) -> String {
        let Self {
            file,
            line,
            scenario,
            family,
            ..
        } = self;
        format!("{}:{line}: {scenario} ({family})", file.display())
    }

    fn differs(&self) -> bool {
        !self.differences.is_empty() || !self.wrong.is_empty()
    }
}

/// An entry as one line.
fn write_entry(entry: &Entry) -> String {
    let Entry {
        local,
        foreign,
        references,
        ..
    } = entry;
    format!("left of TCP: {local} to {foreign}, references: {references}")
}

fn print(played: &[Played], verbose: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for one in played {
        let place = one.place();
        if !one.differs() && verbose {
            writeln!(out, "{place}: the same")?;
        }
        for difference in &one.differences {
            writeln!(out, "{place}, {difference}")?;
        }
        for line in one
            .wrong
            .iter()
            .cloned()
            .chain(one.left.iter().map(write_entry))
        {
            writeln!(out, "{place}, {line}")?;
        }
    }
    Ok(())
}
