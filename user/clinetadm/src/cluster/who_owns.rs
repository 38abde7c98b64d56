// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm cluster who-owns`.

use std::io::{self, Write};

use clinet_slices::names::Protocol;
use clinetd::operator::Operator;
use serde_json::json;

use super::{Part, conf, parts, port};
use crate::{Outcome, output};

/// Tells which node may send from a local port.
#[derive(clap::Args)]
#[command(after_help = "\
Of a 5-tuple only the local end counts. Exit status 1: nobody has the port.

Examples:
  clinetadm cluster who-owns 33000
  clinetadm cluster who-owns tcp/443
  clinetadm cluster who-owns tcp 192.0.2.10:33000 198.51.100.7:443")]
pub struct Arguments {
    /// A port, as 33000 or tcp/33000; or a tuple: PROTOCOL LOCAL FOREIGN
    #[arg(value_name = "PORT-OR-TUPLE", required = true, num_args = 1..=3)]
    what: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

fn wanted(what: &[String]) -> anyhow::Result<(Option<Protocol>, u16)> {
    match what {
        [protocol, local, ..] => port(&format!("{protocol}/{local}")),
        [one] => port(one),
        [] => port(""),
    }
}

pub async fn run(arguments: &Arguments, operator: &Operator) -> anyhow::Result<Outcome> {
    let (protocol, port) = wanted(&arguments.what)?;
    let (_, view) = operator.view().await?;
    let conf = conf(&view)?;
    let all = parts(&view);
    let protocols = Protocol::ALL.into_iter();
    let protocols = protocols.filter(|of| protocol.is_none_or(|wanted| wanted == *of));
    let mut answers = Vec::new();
    let mut missing = false;
    for protocol in protocols {
        let found = all
            .iter()
            .find(|part| part.protocol == protocol && part.ports.has(port));
        let owner = found.and_then(Part::owner);
        missing |= owner.is_none();
        if arguments.json {
            answers.push(json!({
                "protocol": protocol, "port": port,
                "node": owner.map(|owner| owner.node.as_str()),
                "state": found.map(Part::state),
                "first": found.map(|part| part.ports.first),
                "last": found.map(|part| part.ports.last),
            }));
            continue;
        }
        let inside = conf.space(protocol).is_some_and(|space| space.has(port));
        writeln!(io::stdout(), "{}", sentence(protocol, port, found, inside))?;
    }
    if arguments.json {
        output::json(&json!(answers))?;
    }
    Ok(match missing {
        true => Outcome::FoundWrong,
        false => Outcome::Done,
    })
}

fn sentence(protocol: Protocol, port: u16, found: Option<&Part<'_>>, inside: bool) -> String {
    let Some(part) = found else {
        return match inside {
            true => format!("{protocol} {port}: nobody's, in a slice that is free"),
            false => format!(
                "{protocol} {port}: nobody's, outside the port space and not reserved; \
                 clinetadm cluster reserve {protocol} {port} NODE"
            ),
        };
    };
    let what = format!("{} {}", part.kind(), part.ports);
    match (part.owner(), part.state()) {
        (Some(owner), "own") => format!("{protocol} {port}: node {}, {what}", owner.node),
        (Some(owner), state) => format!(
            "{protocol} {port}: was node {}'s, {what}, {state}: nobody gets it before its time",
            owner.node
        ),
        (None, _) => format!("{protocol} {port}: nobody's, {what}"),
    }
}
