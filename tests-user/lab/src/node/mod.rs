// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab node`: one simulated machine whose control device is a Unix socket.

mod busy;
mod clock;
mod file;
mod machine;
mod peers;
mod programs;
mod register;
mod sent;
mod server;

use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clinet_ip::Release;

use crate::signals::Ending;
use crate::{Outcome, files};
use clock::Ticking;
use machine::{Machine, Setup, Value};
use server::Server;

const EXAMPLES: &str = "\
Examples:
  lab node --socket /tmp/a.sock &
  lab node --socket /tmp/a.sock --busy 20 &
  lab node --socket /tmp/a.sock --addr 192.0.2.10 --tunable clinet_port_space=32768-65535
  clinetadm --device /tmp/a.sock show

Programs reach the control device by the socket as they reach /dev/clinet on
illumos: `clinetadm --device PATH`. Only this user and root can. The machine ends
with SIGTERM or Ctrl-C, and its socket with it.

Exit status: 0 if it was ended, 1 if the machine panicked, 2 if it cannot start.";

/// Runs one simulated machine, and serves its control device on a Unix socket.
///
/// The machine loads both released files, module and driver, on a model of
/// illumos's TCP/IP. Its clock follows this host's. Whatever address its
/// programs connect to, a host answers.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where to listen; a socket that nobody serves any more is replaced
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// A shared address of the machine; the first of a family is the source of
    /// what chooses none [default: 192.0.2.10 and 2001:db8::10]
    #[arg(long, value_name = "ADDRESS")]
    addr: Vec<IpAddr>,
    /// The addresses are down at first, as on a node that waits for its agent
    #[arg(long)]
    down: bool,
    /// Programs of the machine open so many connections a second
    #[arg(long, value_name = "RATE", value_parser = rate)]
    busy: Option<f64>,
    /// The module file [default: kernel/misc/amd64/clinet beside this tool]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// The driver file [default: kernel/drv/amd64/clinetctl beside this tool]
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// The kernel whose TCP/IP it has: 2015 or 2021
    #[arg(long, value_name = "YEAR", default_value = "2021")]
    release: Release,
    /// A tunable of the module as in /etc/system, a number or a text
    #[arg(long, value_name = "NAME=VALUE", value_parser = tunable)]
    tunable: Vec<(String, Value)>,
    /// Also note each packet that leaves in a file: time, protocol, both ends
    #[arg(long, value_name = "FILE")]
    sent: Option<PathBuf>,
    /// The machine's clock is faster than this host's by so many millionths
    #[arg(
        long,
        value_name = "PPM",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    clock_rate: i32,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if (0.01..=1000.0).contains(&rate) {
        Ok(rate)
    } else {
        Err("connections a second, from 0.01 to 1000".to_owned())
    }
}

/// What is in double quotes or no number is a text.
fn tunable(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("it is NAME=VALUE")?;
    let number = match value.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => value.parse().ok(),
    };
    let value = number.map_or_else(
        || Value::Text(value.trim_matches('"').to_owned()),
        Value::Number,
    );
    Ok((name.to_owned(), value))
}

/// Shared addresses of a machine that is given none.
const ADDRESSES: [&str; 2] = ["192.0.2.10", "2001:db8::10"];

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    // Before any thread is, since threads inherit it.
    let ending = Ending::wait_for_later()?;
    let addresses = if arguments.addr.is_empty() {
        let parsed: Result<_, _> = ADDRESSES.iter().map(|text| text.parse()).collect();
        parsed?
    } else {
        arguments.addr.clone()
    };
    let sent = arguments.sent.as_deref().map(noted_in).transpose()?;
    let machine = Machine::boot(Setup {
        sent,
        module: files::module(arguments.module.as_deref())?,
        driver: files::driver(arguments.driver.as_deref())?,
        release: arguments.release,
        addresses: addresses.clone(),
        down: arguments.down,
        tunables: arguments.tunable.clone(),
        clock_ppm: arguments.clock_rate,
    })?;
    let machine = Arc::new(machine);
    let server = Server::listen(&arguments.socket)?;
    server.serve(&machine)?;
    let _ticking = Ticking::start(machine.clock().clone());
    if let Some(rate) = arguments.busy {
        busy::start(machine.clone(), addresses, rate);
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "lab: {} at {}; end it with Ctrl-C",
        machine.linkinfo(),
        arguments.socket.display()
    )?;
    out.flush()?;
    serve_until(&ending, &machine)
}

/// The file to whose end what leaves is written.
fn noted_in(path: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// Waits for a signal or a panic of the machine.
fn serve_until(ending: &Ending, machine: &Machine) -> anyhow::Result<Outcome> {
    const LOOK: Duration = Duration::from_millis(100);
    while !ending.came_within(LOOK)? {
        if let Some(panic) = machine.panicked() {
            eprintln!("lab: the machine panicked: {panic}");
            return Ok(Outcome::FoundWrong);
        }
    }
    Ok(Outcome::Done)
}
