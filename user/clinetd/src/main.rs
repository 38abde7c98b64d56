// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetd`: the agent of a node.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use clinetd::config::{Config, Level, Problem, Unusable, check_system};
use tokio::signal::unix::{SignalKind, signal};
use tracing::error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Something was found wrong, or the agent could not go on.
const REFUSED: u8 = 1;
/// The input is of no use.
const UNUSABLE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  clinetd --check /etc/clinet/clinetd.toml   Is there anything wrong with the file?
  clinetd                                    Run, with /etc/clinet/clinetd.toml
  svcadm enable clinetd                      Run as a service
  curl http://127.0.0.1:9464/metrics         What it says about itself

Ending clinetd changes nothing on the node; `clinetadm cluster drain NODE` gives up what it has.
Exit status: 0 ended by a signal, or nothing is wrong; 1 it could not go on, or something is
wrong with the file; 2 a file cannot be read or used.";

/// Its version; one with faults in it, for tests, says so.
const VERSION: &str = if cfg!(feature = "mutants") {
    concat!(env!("CARGO_PKG_VERSION"), " with mutants")
} else {
    env!("CARGO_PKG_VERSION")
};

/// The agent of clinet: keeps this node's port slices in etcd, and tells the module what is granted.
#[derive(Parser)]
#[command(version = VERSION, after_help = EXAMPLES)]
struct Arguments {
    /// The configuration; see clinetd.toml(5)
    #[arg(long, value_name = "FILE", default_value = "/etc/clinet/clinetd.toml")]
    config: PathBuf,

    /// Only say what is wrong with this file, and with /etc/system
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,

    /// The system(5) file to check besides; without it, /etc/system on illumos
    #[arg(long, value_name = "FILE", requires = "check")]
    system: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match &arguments.check {
        Some(file) => check(file, arguments.system.as_deref()),
        None => serve(&arguments.config),
    }
}

/// Prints all that is wrong, one line each.
fn check(file: &Path, system: Option<&Path>) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(unusable) => {
            eprintln!("{unusable}");
            return ExitCode::from(match unusable {
                Unusable::Unreadable(..) => UNUSABLE,
                Unusable::Problems(..) => REFUSED,
            });
        }
    };
    let illumos = cfg!(target_os = "illumos").then_some(Path::new("/etc/system"));
    let Some(system) = system.or(illumos) else {
        return fine(file);
    };
    let text = match std::fs::read_to_string(system) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{}: {error}", system.display());
            return ExitCode::from(UNUSABLE);
        }
    };
    let problems: Vec<Problem> = check_system(&config, &text);
    for problem in &problems {
        eprintln!("{}: {problem}", system.display());
    }
    if problems.is_empty() {
        fine(file)
    } else {
        ExitCode::from(REFUSED)
    }
}

fn fine(file: &Path) -> ExitCode {
    // A reader that is gone does not make the file worse.
    let _ = writeln!(io::stdout(), "{}: nothing is wrong", file.display());
    ExitCode::SUCCESS
}

fn serve(file: &Path) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(unusable) => {
            eprintln!("{unusable}");
            if let Unusable::Unreadable(..) = unusable {
                eprintln!("clinetd.toml(5) says what it has; --config FILE names another.");
            }
            return ExitCode::from(UNUSABLE);
        }
    };
    log(config.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let stop = stopped()?;
            clinetd::agent::run(config, stop).await
        }),
        Err(failed) => Err(failed.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            error!("{reason:#}");
            ExitCode::from(REFUSED)
        }
    }
}

fn log(level: Level) {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    // What libraries have to say about each frame of a connection is for their own authors.
    let ours = Targets::new()
        .with_target("clinetd", level)
        .with_default(level.min(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(false)
        .with_writer(io::stderr);
    tracing_subscriber::registry().with(lines).with(ours).init();
}

/// Over when somebody wants this program to end.
fn stopped() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
