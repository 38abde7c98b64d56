// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab chaos`: faults at random over a cluster, judged by an oracle.

use std::io::{self, Write};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use clinet_cluster::chaos::{Outcome as Found, Plan, chaos};
use clinet_cluster::{Cluster, Programs, Run, Settings};
use serde::Serialize;

use super::programs;
use crate::{Outcome, fatal, print_json, signals};

const EXAMPLES: &str = "\
Examples:
  lab chaos
  lab chaos --seconds 60 --seed 4711
  lab chaos --only kill-node,kill-agent
  lab chaos --mutant no-fence
  lab chaos --mutant no-wait --clinetd FILE
      with a FILE that was built with `cargo build -p clinetd --features mutants`

Kinds of faults: kill-agent, stop-agent, kill-node, stop-node, kill-etcd,
kill-leader, stop-etcd, stop-leader, outage, slow, cut, half-open, deaf, revoke,
clock-rate, quota, snapshot.

Exit status: 0 if no rule was broken, 1 if one was, 2 if the cluster does not
start.";

/// Lets faults happen to a cluster at random, and says whether its promise held.
///
/// Nodes, agents and members of etcd are killed and stopped, what passes between
/// them is delayed and cut, clocks are fast and slow, the directory is full or one
/// of before. From outside an oracle looks at every packet that leaves a machine.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// For how long faults begin
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u64,
    /// Between two faults, at most
    #[arg(long, value_name = "SECONDS", default_value = "2.5", value_parser = seconds)]
    pause: Duration,
    /// What all choices come from [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// How many nodes, 1 to 8
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    nodes: u8,
    /// Only faults of these kinds
    #[arg(long, value_name = "KIND,...", value_delimiter = ',')]
    only: Vec<String>,
    /// A fault of the agents that has to be found; all but no-fence need a clinetd
    /// that has them
    #[arg(long)]
    mutant: Option<Mutant>,
    #[command(flatten)]
    programs: programs::Files,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The module of no-fence does not take the addresses away; of the others the agents
/// do what they must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mutant {
    ShortWait,
    NoWait,
    FromReply,
    NoFence,
}

impl Mutant {
    /// Has it in the programs.
    fn put_into(self, programs: &mut Programs) -> anyhow::Result<()> {
        if self == Self::NoFence {
            let fence = ["--tunable".into(), "clinet_fence=2".into()];
            programs.machine.extend(fence);
            return Ok(());
        }
        let agent = programs.clinetd.display();
        let version = Command::new(&programs.clinetd).arg("--version").output();
        let version = version.with_context(|| format!("cannot start {agent}"))?;
        if !String::from_utf8_lossy(&version.stdout).contains("mutants") {
            bail!(
                "{agent} has no mutants: cargo build --release -p clinetd --features mutants, and \
                 --clinetd target/release/clinetd"
            );
        }
        let value = self.to_possible_value().context("it has a name")?;
        let name = value.get_name().to_owned();
        programs.environment.push(("CLINET_MUTANT".into(), name));
        Ok(())
    }
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    let seconds: f64 = text.parse()?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .with_context(|| format!("{text} is no time in seconds"))
}

/// T, F and L in seconds, clocks that err by a hundredth, and slices for all nodes
/// but one that boots.
fn settings() -> Settings {
    Settings {
        slice: 8192,
        rate_ppm: 10_000,
        tick: Duration::from_millis(500),
        ..Settings::default()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    seed: u64,
    faults: u64,
    kinds: std::collections::BTreeMap<&'a str, u64>,
    violations: Vec<String>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    fatal::no_module_here();
    let plan = Plan {
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        time: Duration::from_secs(arguments.seconds),
        pause: arguments.pause,
        only: arguments.only.clone(),
    };
    plan.check()?;
    let mut programs = arguments.programs.find()?;
    if let Some(mutant) = arguments.mutant {
        mutant.put_into(&mut programs)?;
    }
    signals::before_the_end(clinet_cluster::end_all)?;
    let seed = plan.seed;
    let loud = !arguments.json;
    let mut tell = |text: &str| {
        if loud {
            // Who does not read it any more does not stop it.
            drop(writeln!(io::stdout(), "{text}"));
        }
    };
    tell(&format!("seed {seed}"));
    let settings = settings();
    tell(&format!(
        "T {} s, F {} s, L {} s, clocks within {} ppm: Q {:.1} s",
        settings.grant.as_secs(),
        settings.fence.as_secs(),
        settings.packet.as_secs(),
        settings.rate_ppm,
        settings.quarantine().as_secs_f64()
    ));
    let cluster = Cluster::start(&programs, settings, arguments.nodes.into())?;
    cluster.found()?;
    let mut run = Run::start(cluster)?;
    run.wait_for_service(Duration::from_secs(60))?;
    run.start_traffic();
    let found = chaos(&mut run, &plan, &mut tell)?;
    report(arguments, seed, &run, &found)?;
    if found.violations.is_empty() && found.left.is_none() {
        return Ok(Outcome::Done);
    }
    run.cluster.keep_files();
    eprintln!(
        "lab: what its programs said is in {}",
        run.cluster.folder().display()
    );
    Ok(Outcome::FoundWrong)
}

fn report(arguments: &Arguments, seed: u64, run: &Run, found: &Found) -> anyhow::Result<()> {
    let violations = found.violations.iter().map(ToString::to_string);
    let violations: Vec<String> = violations.chain(found.left.clone()).collect();
    if arguments.json {
        let kinds = found
            .faults
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count));
        return print_json(&Report {
            seed,
            faults: found.count(),
            kinds: kinds.collect(),
            violations,
        });
    }
    let mut out = io::stdout().lock();
    let sum = |count: fn(&clinet_cluster::traffic::Outcomes) -> u64| -> u64 {
        run.traffic
            .iter()
            .map(|program| count(&program.outcomes()))
            .sum()
    };
    writeln!(
        out,
        "{} faults; {} connects, {} refused; {} violations",
        found.count(),
        sum(|outcomes| outcomes.connected),
        sum(|outcomes| outcomes.refused.values().sum()),
        violations.len()
    )?;
    if let Some(shortest) = found.waits.iter().min() {
        writeln!(
            out,
            "{} records changed hands, none after less than {:.2} s of quarantine",
            found.waits.len(),
            shortest.as_secs_f64()
        )?;
    }
    for violation in violations.iter().take(20) {
        writeln!(out, "  {violation}")?;
    }
    Ok(())
}
