// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab`: loads, checks and drives the clinet kernel module on Linux.

mod check;
mod cluster;
mod demo;
mod fatal;
mod files;
mod input;
mod module_stack;
mod node;
mod replay;
mod signals;
mod story;
mod symbols;
mod table;
mod traces;

use std::any::Any;
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

/// Loads, checks and drives the clinet kernel module on Linux.
///
/// The module is the file that an illumos kernel loads, byte for byte.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  lab demo                  two nodes, one address: what is asked, and what refused
  lab check build/kernel/misc/amd64/clinet
  lab help replay           what a command does, with examples

Exit status: 0 done, 1 found wrong, 2 unusable input."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Replay(replay::Arguments),
    Check(check::Arguments),
    Symbols(symbols::Arguments),
    Traces(traces::Arguments),
    Node(node::Arguments),
    Cluster(cluster::demo::Arguments),
    Chaos(cluster::chaos::Arguments),
    BenchCluster(cluster::bench::Arguments),
}

/// How a command ended, apart from unusable input, which is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    FoundWrong,
    /// It said itself what was wrong with its input.
    Unusable,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The simulated kernel panics as a kernel does, with a message that says
    // all; where in this tool that was is of no interest.
    panic::set_hook(Box::new(|_| ()));
    fatal::prepare();
    let result = panic::catch_unwind(|| match &arguments.command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Symbols(arguments) => symbols::run(arguments),
        Command::Traces(arguments) => traces::run(arguments),
        Command::Node(arguments) => node::run(arguments),
        Command::Cluster(arguments) => cluster::demo::run(arguments),
        Command::Chaos(arguments) => cluster::chaos::run(arguments),
        Command::BenchCluster(arguments) => cluster::bench::run(arguments),
    });
    match result.unwrap_or_else(|payload| Err(stopped(&*payload))) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::FoundWrong) => ExitCode::from(1),
        Ok(Outcome::Unusable) => ExitCode::from(2),
        // `lab ... | head` is no error of ours.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What a panic said.
fn stopped(payload: &(dyn Any + Send)) -> anyhow::Error {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    anyhow::anyhow!(
        "{}\nThe module may be damaged: `lab check` it, or build it again with `make`",
        text.unwrap_or("stopped for no stated reason")
    )
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a value as JSON for programs.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}
