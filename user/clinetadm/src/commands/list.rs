// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `clinetadm list`.

use std::io::{self, Write};

use clinet_control::{Entry, Protocol};

use crate::output::{Field, Format, Rows};
use crate::{Outcome, Way, words};

/// Lists the 5-tuples that are registered.
#[derive(clap::Args)]
#[command(after_help = format!("\
{}

Fields: proto, local, lport, foreign, fport, dir, owner, stack, refs, age, and
tuple, which install, withdraw and delete take. Addresses and ports are numbers
and never looked up. Ten million entries need no more memory than ten.

Examples:
  clinetadm list
  clinetadm list proto=tcp local=192.0.2.10 lport=32768-36863
  clinetadm list 'age>600' -o local,lport,age
  clinetadm list -p -o owner | sort | uniq -c
  clinetadm list owner=2 -p -o tuple > node2", words::FILTERS))]
pub struct Arguments {
    /// Which; without any all of them
    #[arg(value_name = "FILTER")]
    filter: Vec<String>,
    #[command(flatten)]
    format: Format,
}

/// An entry, and whose it is.
pub struct Row {
    entry: Entry,
    /// This node's number.
    node: u32,
}

const FIELDS: &[Field<Row>] = &[
    Field::text("proto", |row, out| {
        write!(out, "{}", row.entry.tuple.protocol)
    }),
    Field::text("local", |row, out| {
        write!(out, "{}", row.entry.tuple.local.ip())
    }),
    Field::number("lport", |row, out| {
        write!(out, "{}", row.entry.tuple.local.port())
    }),
    Field::text("foreign", |row, out| {
        write!(out, "{}", row.entry.tuple.foreign.ip())
    }),
    Field::number("fport", |row, out| {
        write!(out, "{}", row.entry.tuple.foreign.port())
    }),
    Field::text("dir", direction),
    Field::number("owner", |row, out| write!(out, "{}", row.entry.owner)),
    Field::number("stack", |row, out| write!(out, "{}", row.entry.stack)),
    Field::number("refs", |row, out| write!(out, "{}", row.entry.references)),
    Field::number("age", |row, out| write!(out, "{}", row.entry.age)),
    Field::text("tuple", |row, out| write!(out, "{}", row.entry.tuple)),
];

const USUAL: &[&str] = &[
    "proto", "local", "lport", "foreign", "fport", "dir", "owner", "age",
];

/// Nobody knows that of UDP and of other nodes.
fn direction(row: &Row, out: &mut Vec<u8>) -> io::Result<()> {
    if row.entry.tuple.protocol == Protocol::Udp || row.entry.owner != row.node {
        return Ok(());
    }
    out.write_all(if row.entry.outgoing { b"out" } else { b"in" })
}

pub fn run(arguments: &Arguments, way: &Way) -> anyhow::Result<Outcome> {
    let filter = words::filter(&arguments.filter)?;
    let mut rows = Rows::new(&arguments.format, FIELDS, USUAL)?;
    let control = way.open()?;
    let node = control.state()?.node;
    for entry in control.list(&filter) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                // What there is so far, before the error.
                rows.flush()?;
                return Err(error.into());
            }
        };
        rows.add(&Row { entry, node })?;
    }
    rows.end()?;
    Ok(Outcome::Done)
}
