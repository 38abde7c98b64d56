// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab check`: is this file a module that a kernel can load and run?

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context;
use clinet_check::{Limits, Mapfile, Report};

use crate::{Outcome, files, print_json};

/// clinet's own list of global symbols.
const MAPFILE: &str = include_str!("../../../mapfiles/clinet.map");

const EXAMPLES: &str = "\
Examples:
  lab check build/kernel/misc/amd64/clinet
  lab check build/foreign/example
  lab check --mapfile my.map --json my_module

Exit status: 0 if no rule is broken, 1 if one is, 2 if FILE cannot be judged.";

/// Checks a module file against the kernel's rules.
///
/// Each line names a rule, the place and what is wrong there; after them comes
/// what to do about each rule that is broken.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The module file
    file: PathBuf,
    /// The mapfile whose symbols are the global ones [default: clinet's, unless
    /// the module depends on misc/clinet and so is another one]
    #[arg(long, value_name = "FILE")]
    mapfile: Option<PathBuf>,
    /// Allow any global symbol
    #[arg(long, conflicts_with = "mapfile")]
    no_mapfile: bool,
    /// The largest stack frame allowed, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().frame)]
    frame: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let file = files::read(&arguments.file)?;
    let name = arguments.file.display().to_string();
    let limits = Limits {
        frame: arguments.frame,
    };
    let check = |mapfile: Option<&Mapfile>| {
        clinet_check::check(&file, &name, mapfile, &limits)
            .with_context(|| format!("{name} cannot be judged"))
    };
    let mut report = check(named_mapfile(arguments)?.as_ref())?;
    if !arguments.no_mapfile && arguments.mapfile.is_none() && !is_for_clinet(&report) {
        report = check(Some(&Mapfile::parse(MAPFILE)?))?;
    }
    if arguments.json {
        print_json(&report)?;
    } else {
        io::stdout().lock().write_all(text(&report)?.as_bytes())?;
    }
    Ok(if report.passed() {
        Outcome::Done
    } else {
        Outcome::FoundWrong
    })
}

/// A module that depends on clinet is not clinet: it has globals of its own.
fn is_for_clinet(report: &Report) -> bool {
    let mut dependencies = report.summary.dependencies.iter();
    dependencies.any(|name| name == "misc/clinet" || name == "clinet")
}

fn named_mapfile(arguments: &Arguments) -> anyhow::Result<Option<Mapfile>> {
    let Some(path) = &arguments.mapfile else {
        return Ok(None);
    };
    let text = String::from_utf8(files::read(path)?)
        .with_context(|| format!("{} is not text", path.display()))?;
    let mapfile = Mapfile::parse(&text).with_context(|| path.display().to_string())?;
    Ok(Some(mapfile))
}

fn text(report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut broken = Vec::new();
    for finding in &report.findings {
        writeln!(text, "{finding}")?;
        if !broken.contains(&finding.rule) {
            broken.push(finding.rule);
        }
    }
    if !broken.is_empty() {
        writeln!(text)?;
    }
    for rule in broken {
        writeln!(text, "{rule}: {}", rule.explanation())?;
    }
    let summary = &report.summary;
    let sizes = &summary.sizes;
    writeln!(
        text,
        "{}: {} bytes of text, {} read-only, {} data, {} bss; {} functions; {} relocations",
        summary.module,
        sizes.text,
        sizes.rodata,
        sizes.data,
        sizes.bss,
        summary.functions,
        summary.relocations.values().sum::<usize>()
    )?;
    if let Some(description) = &summary.description {
        writeln!(text, "description: {description}")?;
    }
    if let Some(frame) = &summary.largest_frame {
        writeln!(
            text,
            "largest frame: {} bytes in {}",
            frame.bytes, frame.function
        )?;
    }
    if let Some(chain) = &summary.deepest_chain {
        writeln!(
            text,
            "deepest chain: {} bytes, {} calls deep",
            chain.bytes,
            chain.path.len()
        )?;
    }
    writeln!(text, "imports: {}", summary.undefined.join(" "))?;
    let verdict = match report.findings.len() {
        0 => "good: no rule is broken".to_owned(),
        1 => "bad: 1 finding".to_owned(),
        count => format!("bad: {count} findings"),
    };
    writeln!(text, "{verdict}")?;
    Ok(text)
}
