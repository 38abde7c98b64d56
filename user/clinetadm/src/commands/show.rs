// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm show`.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::bail;
use clinet_control::{
    Error, FenceAction, Full, Incoming, Mode, Policy, SpaceState, State, Version,
};
use serde_json::json;

use crate::output::{self, Field, Format, Rows};
use crate::{Outcome, Way};

/// Shows the state and the settings of the module.
#[derive(clap::Args)]
#[command(after_help = "\
What has values under POSSIBLE is changed with `clinetadm set`.

Examples:
  clinetadm show
  clinetadm show mode deadline fence-state
  clinetadm show -p -o value tuples
  clinetadm show --json")]
pub struct Arguments {
    /// Only these
    #[arg(value_name = "PROPERTY")]
    names: Vec<String>,
    #[command(flatten)]
    format: Format,
}

struct Row {
    property: &'static str,
    value: String,
    possible: String,
}

const FIELDS: &[Field<Row>] = &[
    Field::text("property", |row, out| {
        out.write_all(row.property.as_bytes())
    }),
    Field::text("value", |row, out| out.write_all(row.value.as_bytes())),
    Field::text("possible", |row, out| {
        out.write_all(row.possible.as_bytes())
    }),
];

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let control = way.open()?;
    let state = control.state()?;
    // Who may not see the addresses may see the rest.
    let addresses = match control.addresses() {
        Ok(addresses) => Some(addresses),
        Err(Error::Refused { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let rows = rows(&state, addresses.as_deref(), control.version());
    if arguments.format.json && arguments.names.is_empty() {
        output::json(&json!({
            "version": control.version(),
            "addresses": addresses,
            "state": state,
        }))?;
        return Ok(Outcome::Done);
    }
    let mut shown = Rows::new(
        &arguments.format,
        FIELDS,
        &["property", "value", "possible"],
    )?;
    let names = &arguments.names;
    if let Some(unknown) = names
        .iter()
        .find(|name| !rows.iter().any(|row| row.property == *name))
    {
        let known: Vec<_> = rows.iter().map(|row| row.property).collect();
        bail!("there is no property {unknown:?}, but {}", known.join(", "));
    }
    for row in &rows {
        if names.is_empty() || names.iter().any(|name| row.property == name) {
            shown.add(row)?;
        }
    }
    shown.end()?;
    Ok(Outcome::Done)
}

fn rows(state: &State, addresses: Option<&[IpAddr]>, version: &Version) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |property, value: String, possible: &[&str]| {
        rows.push(Row {
            property,
            value,
            possible: possible.join(","),
        });
    };
    add("module", version.module.clone(), &[]);
    add("contract", version.contract.clone(), &[]);
    add("interface", version.interface.to_string(), &[]);
    add("attach", state.attach.to_string(), &[]);
    add("reason", state.reason.clone(), &[]);
    add("provider", state.provider.to_string(), &[]);
    add("mode", state.mode.to_string(), Mode::WORDS);
    add("addresses", shared(addresses), &["ADDRESS", "...", "all"]);
    add("node", state.node.to_string(), &[]);
    add("audits", state.audits.to_string(), &[]);
    add("tuples", state.tuples.to_string(), &[]);
    add("capacity", state.capacity.to_string(), &[]);
    add("udp-tuples", state.udp_tuples.to_string(), &[]);
    add("endpoints", state.endpoints.to_string(), &[]);
    add("local-addresses", state.addresses.to_string(), &[]);
    add("other-nodes", state.nodes.to_string(), &[]);
    add("memory", state.memory.to_string(), &[]);
    add("full", state.full.to_string(), Full::WORDS);
    add("tcp-ports", space(&state.tcp), &[]);
    add("udp-ports", space(&state.udp), &[]);
    add("deadline", deadline(state), &[]);
    add("incoming", state.incoming.to_string(), Incoming::WORDS);
    add("explicit", state.explicit.to_string(), Policy::WORDS);
    add("other-stack", state.other_stack.to_string(), Policy::WORDS);
    add("fence", state.fence_action.to_string(), FenceAction::WORDS);
    add("fence-seconds", state.fence_seconds.to_string(), &["1-60"]);
    add("fence-state", fence(state), &[]);
    rows
}

fn shared(addresses: Option<&[IpAddr]>) -> String {
    match addresses {
        None => "(not to be seen without net_observability)".into(),
        Some([]) => "all".into(),
        Some(some) => {
            let some: Vec<String> = some.iter().map(IpAddr::to_string).collect();
            some.join(",")
        }
    }
}

fn space(state: &SpaceState) -> String {
    match &state.space {
        None => String::new(),
        Some(space) => format!(
            "{} granted, of {}-{}",
            state.granted,
            space.start(),
            space.end()
        ),
    }
}

fn deadline(state: &State) -> String {
    let has_space = state.tcp.space.is_some() || state.udp.space.is_some();
    match (has_space, state.time_left()) {
        (false, _) => String::new(),
        (_, None) => "never".into(),
        (_, Some(_)) if state.lapsed => "passed".into(),
        (_, Some(left)) => format!("in {}", seconds(left)),
    }
}

/// Whoever switched the fence off is told what that means.
fn fence(state: &State) -> String {
    match state.fence_action {
        FenceAction::None => format!("{} (only new 5-tuples are kept safe)", state.fence),
        _ => state.fence.to_string(),
    }
}

/// Whole seconds are enough for people.
pub fn seconds(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}
