// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm`: shows and steers clinet.

// They panic when nobody reads standard output any more.
#![deny(clippy::print_stdout)]

mod cluster;
mod commands;
mod hint;
mod output;
mod words;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clinet_control::{Control, Error};

/// Shows and steers clinet, which keeps the 5-tuples of shared addresses unique.
#[derive(Parser)]
#[command(
    name = "clinetadm",
    version,
    after_help = "\
Examples:
  clinetadm show                          is it attached, what does it do?
  clinetadm list proto=tcp owner=2        what does node 2 own?
  clinetadm check tcp 192.0.2.10:33000 198.51.100.7:443
                                          would this connection be refused?
  clinetadm events -t refused             what is refused, as it happens
  clinetadm top                           all of it, live

Exit status: 0 done, 1 refused or found wrong, 2 unusable input."
)]
struct Arguments {
    /// The control device, or the socket of a `lab node`
    #[arg(
        long,
        global = true,
        env = "CLINET_DEVICE",
        default_value = clinet_control::DEFAULT_DEVICE,
        value_name = "PATH"
    )]
    device: PathBuf,

    #[command(subcommand)]
    command: commands::Command,
}

/// How a command ended, apart from errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// What it looked at is not as it should be, or somebody said no.
    FoundWrong,
}

/// The way to the device, which is opened when a command needs it.
struct Way {
    path: PathBuf,
}

impl Way {
    fn open(&self) -> Result<Control, Error> {
        Control::open(&self.path)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let way = Way {
        path: arguments.device,
    };
    match arguments.command.run(&way) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::FoundWrong) => ExitCode::from(1),
        // `clinetadm ... | head` is no error of ours.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clinetadm: {error:#}");
            let refusal = error.downcast_ref::<Error>();
            if let Some(hint) = refusal.and_then(hint::next) {
                eprintln!("{hint}");
            }
            let refused = refusal.and_then(Error::errno).is_some();
            ExitCode::from(if refused { 1 } else { 2 })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref().is_some_and(broken)
}
