// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm cluster export`.

use std::io::Write;

use clinetd::operator::Operator;

use super::{conf, parts};
use crate::Outcome;
use crate::output::{Field, Format, Rows};

/// Writes which node gets which destination ports, for routers and firewalls.
#[derive(clap::Args)]
#[command(after_help = "\
One line for each range: what comes for a shared address and a port of it has to
reach that node. Ranges of one node that touch are one. What is in quarantine
belongs to nobody and is left out.

Examples:
  clinetadm cluster export
  clinetadm cluster export --json
  clinetadm cluster export -p -o protocol,first,last,node |
      while IFS=: read protocol first last node; do
          echo \"$protocol $first-$last to $node\"
      done")]
pub struct Arguments {
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, PartialEq)]
struct Row {
    protocol: &'static str,
    first: u16,
    last: u16,
    node: String,
}

const FIELDS: &[Field<Row>] = &[
    Field::text("protocol", |row, out| {
        out.write_all(row.protocol.as_bytes())
    }),
    Field::number("first", |row, out| write!(out, "{}", row.first)),
    Field::number("last", |row, out| write!(out, "{}", row.last)),
    Field::text("node", |row, out| out.write_all(row.node.as_bytes())),
];

pub async fn run(arguments: &Arguments, operator: &Operator) -> anyhow::Result<Outcome> {
    let (_, view) = operator.view().await?;
    conf(&view)?;
    let mut joined: Vec<Row> = Vec::new();
    for part in parts(&view) {
        let Some(owner) = part.owner().filter(|_| part.state() == "own") else {
            continue;
        };
        let row = Row {
            protocol: part.protocol.as_str(),
            first: part.ports.first,
            last: part.ports.last,
            node: owner.node.to_string(),
        };
        match joined.last_mut() {
            Some(before) if touch(before, &row) => before.last = row.last,
            _ => joined.push(row),
        }
    }
    let mut rows = Rows::new(
        &arguments.format,
        FIELDS,
        &["protocol", "first", "last", "node"],
    )?;
    for row in &joined {
        rows.add(row)?;
    }
    rows.end()?;
    Ok(Outcome::Done)
}

fn touch(before: &Row, after: &Row) -> bool {
    (before.protocol, &before.node) == (after.protocol, &after.node)
        && before.last.checked_add(1) == Some(after.first)
}
