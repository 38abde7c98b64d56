// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab check`: is this file a module that a kernel can load and run?

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clinet_check::{Limits, Mapfile, Report};
use serde::Serialize;

use crate::{Outcome, files, print_json};

/// The modules of clinet, and the list of global symbols of each.
const OWN: [(&str, &str); 2] = [
    ("clinet", include_str!("../../../mapfiles/clinet.map")),
    ("clinetctl", include_str!("../../../mapfiles/clinetctl.map")),
];

const EXAMPLES: &str = "\
Examples:
  lab check build/kernel/misc/amd64/clinet
  lab check build/kernel/drv/amd64/clinetctl
  lab check build/foreign/example
  lab check --mapfile my.map --json my_module

Exit status: 0 if no rule is broken, 1 if one is, 2 if FILE cannot be judged.";

/// Checks a module file against the kernel's rules.
///
/// Each line names a rule, the section and offset, the symbol, what is wrong
/// there, and what to do. A line that begins with "note" breaks no rule: the
/// file does not tell, as with what a dependency offers, or no harm comes of
/// it. Rules that only clinet has are asked of its modules clinet and clinetctl
/// only: their mapfiles, and frames of at most 512 bytes.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The module file
    file: PathBuf,
    /// The mapfile whose symbols are the only global ones
    #[arg(long, value_name = "FILE")]
    mapfile: Option<PathBuf>,
    /// Ask clinet's own rules [default: if the name of FILE says clinet or clinetctl]
    #[arg(long, conflicts_with_all = ["mapfile", "no_mapfile"])]
    clinet: bool,
    /// Allow any global symbol
    #[arg(long, conflicts_with = "mapfile")]
    no_mapfile: bool,
    /// The largest stack frame allowed, in bytes [default: 4096, of clinet 512]
    #[arg(long, value_name = "BYTES")]
    frame: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The report as programs read it.
#[derive(Serialize)]
struct Output<'a> {
    file: &'a str,
    passed: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let file = files::read(&arguments.file)?;
    let name = arguments.file.display().to_string();
    let own = own_mapfile(&arguments.file, arguments.clinet);
    let mapfile = match &arguments.mapfile {
        Some(path) => Some(named_mapfile(path)?),
        None => match own {
            Some(text) if !arguments.no_mapfile => Some(Mapfile::parse(text)?),
            _ => None,
        },
    };
    let limits = match arguments.frame {
        Some(frame) => Limits { frame },
        None if own.is_some() => Limits::default(),
        None => Limits::ANY_MODULE,
    };
    let report = clinet_check::check(&file, &name, mapfile.as_ref(), &limits)
        .with_context(|| format!("{name} cannot be judged"))?;
    let passed = report.passed();
    if arguments.json {
        print_json(&Output {
            file: &name,
            passed,
            report: &report,
        })?;
    } else {
        io::stdout().lock().write_all(text(&report)?.as_bytes())?;
    }
    Ok(if passed {
        Outcome::Done
    } else {
        Outcome::FoundWrong
    })
}

/// The mapfile of the module of clinet that the file's name says it is; or of
/// clinet, if it is one of its modules under another name.
fn own_mapfile(file: &Path, is_clinet: bool) -> Option<&'static str> {
    let named = OWN
        .iter()
        .find(|(name, _)| file.file_stem().is_some_and(|stem| stem == *name));
    let known = named.or_else(|| OWN.first().filter(|_| is_clinet));
    known.map(|(_, mapfile)| *mapfile)
}

fn named_mapfile(path: &Path) -> anyhow::Result<Mapfile> {
    let text = String::from_utf8(files::read(path)?)
        .with_context(|| format!("{} is not text", path.display()))?;
    Mapfile::parse(&text).with_context(|| path.display().to_string())
}

fn text(report: &Report) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for finding in &report.findings {
        writeln!(text, "{finding}")?;
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
    let broken = report.broken().count();
    let notes = report.findings.len() - broken;
    let verdict = match broken {
        0 => "good: no rule is broken".to_owned(),
        1 => "bad: 1 finding".to_owned(),
        count => format!("bad: {count} findings"),
    };
    match notes {
        0 => writeln!(text, "{verdict}")?,
        1 => writeln!(text, "{verdict} (1 note)")?,
        count => writeln!(text, "{verdict} ({count} notes)")?,
    }
    Ok(text)
}
