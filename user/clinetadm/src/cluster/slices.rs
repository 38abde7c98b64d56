// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm cluster slices`.

use std::io::Write;

use clinetd::operator::Operator;

use super::{conf, parts};
use crate::Outcome;
use crate::output::{Field, Format, Rows};

/// Shows whose each slice and each reserved port is.
#[derive(clap::Args)]
#[command(after_help = "\
States: own; left-behind (its owner is gone, nobody noticed yet); quarantine
(its owner is gone, and what it may still send is waited for); free (nobody's).
Slices that were never taken are not shown.

Examples:
  clinetadm cluster slices
  clinetadm cluster slices -p -o protocol,first,last,node
  clinetadm cluster slices --json")]
pub struct Arguments {
    #[command(flatten)]
    format: Format,
}

struct Row {
    protocol: &'static str,
    first: u16,
    last: u16,
    kind: &'static str,
    state: &'static str,
    node: String,
    kept_for: String,
    epoch: String,
}

const FIELDS: &[Field<Row>] = &[
    Field::text("protocol", |row, out| {
        out.write_all(row.protocol.as_bytes())
    }),
    Field::number("first", |row, out| write!(out, "{}", row.first)),
    Field::number("last", |row, out| write!(out, "{}", row.last)),
    Field::text("kind", |row, out| out.write_all(row.kind.as_bytes())),
    Field::text("state", |row, out| out.write_all(row.state.as_bytes())),
    Field::text("node", |row, out| out.write_all(row.node.as_bytes())),
    Field::text("kept-for", |row, out| {
        out.write_all(row.kept_for.as_bytes())
    }),
    Field::text("epoch", |row, out| out.write_all(row.epoch.as_bytes())),
];

pub async fn run(arguments: &Arguments, operator: &Operator) -> anyhow::Result<Outcome> {
    let (_, view) = operator.view().await?;
    conf(&view)?;
    let usual = [
        "protocol", "first", "last", "kind", "state", "node", "kept-for",
    ];
    let mut rows = Rows::new(&arguments.format, FIELDS, &usual)?;
    for part in parts(&view) {
        let owner = part.owner();
        rows.add(&Row {
            protocol: part.protocol.as_str(),
            first: part.ports.first,
            last: part.ports.last,
            kind: part.kind(),
            state: part.state(),
            node: owner
                .map(|owner| owner.node.to_string())
                .unwrap_or_default(),
            kept_for: part
                .record
                .heir
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            epoch: owner
                .map(|owner| format!("{:x}", owner.epoch))
                .unwrap_or_default(),
        })?;
    }
    rows.end()?;
    Ok(Outcome::Done)
}
