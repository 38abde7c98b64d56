// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab symbols`: what a module file defines and what it imports.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clinet_check::kernel_symbols;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use serde::Serialize;

use crate::{Outcome, files, print_json, table};

const EXAMPLES: &str = "\
Examples:
  lab symbols build/kernel/misc/amd64/clinet
  lab symbols --undefined --json build/kernel/misc/amd64/clinet";

/// Lists the symbols of a module file.
///
/// An undefined one comes with the module that provides it, if that is unix,
/// genunix or ip; krtld looks in the stated dependencies, then in unix and
/// genunix.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The module file
    file: PathBuf,
    /// Only what it imports
    #[arg(long)]
    undefined: bool,
    /// Local symbols too
    #[arg(long, conflicts_with = "undefined")]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    name: String,
    binding: &'static str,
    kind: &'static str,
    /// The section, or the kernel module that an undefined one comes from.
    place: String,
    size: u64,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let bytes = files::read(&arguments.file)?;
    let file = object::File::parse(&*bytes)
        .with_context(|| format!("{} is no object file", arguments.file.display()))?;
    let mut rows: Vec<Row> = file
        .symbols()
        .filter(|symbol| symbol.name().is_ok_and(|name| !name.is_empty()))
        .filter(|symbol| arguments.all || symbol.is_global() || symbol.is_undefined())
        .filter(|symbol| !arguments.undefined || symbol.is_undefined())
        .map(|symbol| row(&file, &symbol))
        .collect();
    rows.sort_by(|a, b| (a.binding, &a.name).cmp(&(b.binding, &b.name)));
    if arguments.json {
        print_json(&rows)?;
        return Ok(Outcome::Done);
    }
    let mut table = table::new(&["name", "binding", "kind", "place", "size"], 4);
    for row in rows {
        table.add_row([
            row.name,
            row.binding.to_owned(),
            row.kind.to_owned(),
            row.place,
            row.size.to_string(),
        ]);
    }
    writeln!(io::stdout().lock(), "{}", table::text(&table))?;
    Ok(Outcome::Done)
}

fn row(file: &object::File<'_>, symbol: &object::Symbol<'_, '_>) -> Row {
    let name = symbol.name().unwrap_or_default();
    let place = if symbol.is_undefined() {
        provider(name)
    } else {
        let section = symbol.section_index();
        let section = section.and_then(|index| file.section_by_index(index).ok());
        section
            .and_then(|section| section.name().ok().map(str::to_owned))
            .unwrap_or_default()
    };
    Row {
        binding: match (symbol.is_undefined(), symbol.is_weak(), symbol.is_global()) {
            (true, true, _) => "undefined weak",
            (true, false, _) => "undefined",
            (false, true, _) => "weak",
            (false, false, true) => "global",
            (false, false, false) => "local",
        },
        kind: match symbol.kind() {
            SymbolKind::Text => "function",
            SymbolKind::Data => "object",
            SymbolKind::Section => "section",
            SymbolKind::File => "file",
            SymbolKind::Tls => "thread-local",
            _ => "none",
        },
        place,
        size: symbol.size(),
        name: name.to_owned(),
    }
}

fn provider(name: &str) -> String {
    if name.starts_with("__dtrace_probe_") {
        return "a probe".to_owned();
    }
    match kernel_symbols::find(name) {
        Some(symbol) => symbol.module.to_owned(),
        None => "not in unix, genunix or ip".to_owned(),
    }
}
