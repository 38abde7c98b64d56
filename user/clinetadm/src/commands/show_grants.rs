// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm show-grants`.

use std::io::{self, Write};
use std::ops::RangeInclusive;

use clinet_control::{GrantsState, Protocol, Space};
use serde_json::json;

use super::grants;
use crate::output::{self, Field, Format, Rows};
use crate::{Outcome, Way};

/// Shows which local ports are granted to this node, and until when.
#[derive(clap::Args)]
#[command(after_help = "\
USE tells ports of the port space (space), those of it that are granted to this
node (granted), and granted ones outside of it (reserved). After the deadline
nothing is granted: --file has it in comments.

Examples:
  clinetadm show-grants
  clinetadm show-grants -p -o proto,first,last
  clinetadm show-grants --file > grants     what `grants set` reads")]
pub struct Arguments {
    /// As `clinetadm grants set` reads it
    #[arg(long, conflicts_with_all = ["json", "output"])]
    file: bool,
    #[command(flatten)]
    format: Format,
}

struct Row {
    protocol: Protocol,
    what: &'static str,
    ports: RangeInclusive<u16>,
}

const FIELDS: &[Field<Row>] = &[
    Field::text("proto", |row, out| write!(out, "{}", row.protocol)),
    Field::text("use", |row, out| out.write_all(row.what.as_bytes())),
    Field::number("first", |row, out| write!(out, "{}", row.ports.start())),
    Field::number("last", |row, out| write!(out, "{}", row.ports.end())),
    Field::number("ports", |row, out| write!(out, "{}", row.ports.len())),
];

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let state = way.open()?.grants()?;
    if arguments.file {
        write!(io::stdout(), "{}", grants::file(&state))?;
    } else if arguments.format.json {
        json(&state)?;
    } else {
        let usual: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
        let mut rows = Rows::new(&arguments.format, FIELDS, &usual)?;
        for row in all(&state) {
            rows.add(&row)?;
        }
        rows.end()?;
    }
    Ok(Outcome::Done)
}

fn all(state: &GrantsState) -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in Protocol::ALL {
        let space = state.grants.space(protocol);
        let mut add = |what, ports| {
            rows.push(Row {
                protocol,
                what,
                ports,
            });
        };
        if let Some(ports) = &space.ports {
            add("space", ports.clone());
        }
        for (what, ports) in parts(space) {
            add(what, ports);
        }
    }
    rows
}

/// What is granted, within the port space and outside of it.
pub fn parts(space: &Space) -> Vec<(&'static str, RangeInclusive<u16>)> {
    let Some(ports) = &space.ports else {
        let reserved = |range| ("reserved", range);
        return space.granted.ranges().into_iter().map(reserved).collect();
    };
    let (first, last) = (*ports.start(), *ports.end());
    let mut parts = Vec::new();
    for range in space.granted.ranges() {
        let (from, to) = (*range.start(), *range.end());
        if let Some(before) = first.checked_sub(1) {
            parts.push(("reserved", from..=to.min(before)));
        }
        parts.push(("granted", from.max(first)..=to.min(last)));
        if let Some(behind) = last.checked_add(1) {
            parts.push(("reserved", from.max(behind)..=to));
        }
    }
    parts.retain(|(_, ports)| !ports.is_empty());
    parts
}

fn json(state: &GrantsState) -> io::Result<()> {
    let grants = &state.grants;
    let space = |space: &Space| {
        let ranges = |wanted: &str| -> Vec<_> {
            let parts = parts(space).into_iter().filter(|(what, _)| *what == wanted);
            parts
                .map(|(_, ports)| json!({"first": ports.start(), "last": ports.end()}))
                .collect()
        };
        json!({
            "space": space.ports.as_ref().map(|ports| {
                json!({"first": ports.start(), "last": ports.end()})
            }),
            "granted": ranges("granted"),
            "reserved": ranges("reserved"),
        })
    };
    output::json(&json!({
        "epoch": grants.epoch,
        "sequence": grants.sequence,
        "deadline": grants.deadline,
        "now": state.now,
        "lapsed": state.lapsed,
        "fence": state.fence,
        "tcp": space(&grants.tcp),
        "udp": space(&grants.udp),
    }))
}
