// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm cluster`: what all nodes of a cluster share, in its directory.
//!
//! It talks to etcd and not to the device, by the file that clinetd(8) has.

mod export;
mod say;
mod slices;
mod status;
mod who_owns;

use std::io;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Subcommand;
use clinet_slices::directory::View;
use clinet_slices::names::{Key, Protocol, Range};
use clinet_slices::operator::Refused;
use clinet_slices::records::{Conf, Owner, Record, Tenure};
use clinetd::config::{self, Config};
use clinetd::directory::CallError;
use clinetd::operator::Operator;

use crate::Outcome;
use crate::words::Unusable;

/// Shows and steers what the nodes of a cluster share.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  clinetadm cluster found                 once, before the first node
  clinetadm cluster status                which nodes are there, what is wrong?
  clinetadm cluster slices                whose are which ports?
  clinetadm cluster who-owns 33000        who sends from this port?
  clinetadm cluster drain a               have node a give up all that it has
  clinetadm cluster export                port ranges for routers and firewalls

Exit status: 0 done, 1 refused or found wrong, 2 unusable input.")]
pub struct Arguments {
    /// The configuration of clinetd, for the way to etcd
    #[arg(
        long,
        global = true,
        env = "CLINETD_CONFIG",
        default_value = "/etc/clinet/clinetd.toml",
        value_name = "FILE"
    )]
    config: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Found(say::Found),
    Status(status::Arguments),
    Slices(slices::Arguments),
    WhoOwns(who_owns::Arguments),
    Reserve(say::Reserve),
    Drain(say::Drain),
    Fenced(say::Fenced),
    Recover(say::Recover),
    Export(export::Arguments),
}

pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let config = match Config::load(&arguments.config) {
        Err(error @ config::Unusable::Unreadable(..)) => {
            let hint = "It is the file of clinetd, clinetd.toml(5); --config FILE names another.";
            return Err(anyhow!("{error}\n{hint}"));
        }
        loaded => loaded?,
    };
    let operator = Operator::new(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        match &arguments.command {
            Command::Found(_) => say::found(&operator).await,
            Command::Status(arguments) => status::run(arguments, &operator).await,
            Command::Slices(arguments) => slices::run(arguments, &operator).await,
            Command::WhoOwns(arguments) => who_owns::run(arguments, &operator).await,
            Command::Reserve(arguments) => say::reserve(arguments, &operator).await,
            Command::Drain(arguments) => say::drain(arguments, &operator).await,
            Command::Fenced(arguments) => say::fenced(arguments, &operator).await,
            Command::Recover(arguments) => say::recover(arguments, &operator).await,
            Command::Export(arguments) => export::run(arguments, &operator).await,
        }
    });
    match ended {
        Err(error) if !is_input_or_output(&error) => {
            eprintln!("clinetadm: {error:#}");
            let refused = error.downcast_ref().and_then(next);
            if let Some(hint) = refused.or(error.downcast_ref().map(next_with_etcd)) {
                eprintln!("{hint}");
            }
            Ok(Outcome::FoundWrong)
        }
        ended => ended,
    }
}

/// Neither the cluster nor its directory said no.
fn is_input_or_output(error: &anyhow::Error) -> bool {
    error.is::<io::Error>() || error.is::<Unusable>()
}

/// What to type next.
fn next(refused: &Refused) -> Option<&'static str> {
    Some(match refused {
        Refused::Founded => "clinetadm cluster status shows it.",
        Refused::NoConf => {
            "For a new cluster: clinetadm cluster found. If etcd has lost its keys: \
             clinetadm cluster recover."
        }
        Refused::BadConf(_) => "[ports] and [times] in the file: clinetd --check FILE.",
        Refused::Incarnation(_) => "Is the clock of this machine right? See date(1).",
        Refused::InSpace(_) => "clinetadm cluster who-owns PORT says whose it is.",
        Refused::NotReserved(..) => "clinetadm cluster slices shows what is reserved.",
        Refused::Held(..) => "clinetadm cluster status shows the nodes.",
    })
}

/// The same where the directory cannot be read.
fn next_with_etcd(error: &CallError) -> &'static str {
    match error {
        CallError::Refused(_) => {
            "user, password_file and the certificates below [etcd] in the file: clinetd.toml(5)."
        }
        CallError::Unknown(_) => {
            "Is etcd running, and are these its addresses? endpoints below [etcd] in the file: \
             clinetd.toml(5). Nodes go on without it until their deadlines: clinetadm show-grants."
        }
    }
}

/// A slice or a reserved port.
struct Part<'a> {
    protocol: Protocol,
    ports: Range,
    reserved: bool,
    record: &'a Record,
    /// The owner's key is there, by which it renews.
    alive: bool,
}

impl Part<'_> {
    fn owner(&self) -> Option<&Owner> {
        self.record.owner()
    }

    fn state(&self) -> &'static str {
        match &self.record.tenure {
            Tenure::Own(_) if self.alive => "own",
            Tenure::Own(_) => "left-behind",
            Tenure::Quarantine(_) => "quarantine",
            Tenure::Free => "free",
        }
    }

    fn kind(&self) -> &'static str {
        if self.reserved { "reserved" } else { "slice" }
    }
}

/// All that have a record, by protocol and port.
fn parts(view: &View) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = view
        .records()
        .filter_map(|(key, record, ..)| {
            let (protocol, first, reserved) = match key {
                Key::Slice(protocol, first) => (*protocol, *first, false),
                Key::Reserve(protocol, port) => (*protocol, *port, true),
                _ => return None,
            };
            let alive = record.owner().is_some_and(|owner| lives(view, owner));
            let ports = Range {
                first,
                last: record.last,
            };
            Some(Part {
                protocol,
                ports,
                reserved,
                record,
                alive,
            })
        })
        .collect();
    parts.sort_by_key(|part| (part.protocol, part.ports));
    parts
}

fn lives(view: &View, owner: &Owner) -> bool {
    view.node(&owner.node)
        .is_some_and(|(node, _)| (node.machine, node.boot) == (owner.machine, owner.boot))
}

/// What the cluster goes by.
fn conf(view: &View) -> anyhow::Result<&Conf> {
    let (conf, _) = view.conf().ok_or(Refused::NoConf)?;
    Ok(conf)
}

/// "33000", or "tcp/33000", or a local end as "192.0.2.10:33000".
fn port(text: &str) -> anyhow::Result<(Option<Protocol>, u16)> {
    let wrong = || {
        Unusable(format!(
            "{text:?} is no port: write 33000, tcp/33000 or ADDRESS:PORT"
        ))
    };
    let (protocol, rest) = match text.split_once('/') {
        Some((protocol, rest)) => (Some(protocol.parse().map_err(Unusable)?), rest),
        None => (None, text),
    };
    let port = match rest.parse::<std::net::SocketAddr>() {
        Ok(end) => Ok(end.port()),
        Err(_) => rest.parse(),
    };
    port.map(|port| (protocol, port))
        .ok()
        .filter(|(_, port)| *port != 0)
        .ok_or_else(wrong)
        .context("who-owns")
}
