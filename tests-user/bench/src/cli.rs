// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The program.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;

use crate::bench::{Bench, Settings};
use crate::marks::{MARKS, Mark};
use crate::report::{self, Ending};
use crate::{chart, cpu, module, rows};

/// Measures the registry inside the released module beside its peers.
///
/// Each row is a mark of the project: its goal, what was measured, and met or
/// missed. c is the cost of one dependent access to memory, measured in the
/// same run. The peers have the same keys, values of the same size and the
/// standard library's keyed hash; everybody's large blocks are on 2 MiB pages.
#[derive(Debug, Parser)]
#[command(
    name = "clinet-bench",
    version,
    args_override_self = true,
    after_help = "Examples:
  clinet-bench                            everything, at ten million tuples
  clinet-bench --quick                    is everything there? (seconds)
  clinet-bench --rows pair                the rows whose names have `pair` in them
  clinet-bench --rows sweep --set clinet_scope=0
  clinet-bench --json now.json --module build/kernel/misc/amd64/clinet
The same through make: make bench BENCH='--rows pair --rounds 3'

Exit status: 0 all rows have a number (met or missed), 1 the module gave a
wrong answer, 2 a row could not be measured, or the input is unusable."
)]
struct Arguments {
    /// How many tuples the large tables hold [default: 10000000; quick: 100000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(2000..=14_000_000))]
    tuples: Option<u32>,

    /// Of how many rounds the median counts [default: 7; quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,

    /// How many operations a round has [default: 1000000; quick: 20000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1000..=100_000_000))]
    operations: Option<u32>,

    /// Only rows with this in their name
    #[arg(long, value_name = "PATTERN")]
    rows: Option<String>,

    /// Writes all numbers to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draws latency over the number of tuples into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Fewer and smaller: shows that all works, not how fast it is
    #[arg(long)]
    quick: bool,

    /// The module [default: what `make module` built]
    #[arg(long, value_name = "FILE", env = "CLINET_MODULE")]
    module: Option<PathBuf>,

    /// Sets a tunable of the module, as /etc/system does; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting, action = clap::ArgAction::Append)]
    set: Vec<(String, u64)>,

    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
}

fn setting(text: &str) -> Result<(String, u64), String> {
    let (name, value) = text.split_once('=').ok_or("want NAME=VALUE")?;
    let value = value
        .strip_prefix("0x")
        .map_or_else(|| value.parse(), |hex| u64::from_str_radix(hex, 16));
    let value = value.map_err(|error| format!("the value is no number: {error}"))?;
    Ok((name.to_owned(), value))
}

impl Arguments {
    fn settings(&self) -> Settings {
        let or_quick = |value: Option<u32>, full, quick| {
            value.unwrap_or(if self.quick { quick } else { full })
        };
        Settings {
            // Half of them is another node's.
            tuples: or_quick(self.tuples, 10_000_000, 100_000).next_multiple_of(2),
            rounds: or_quick(self.rounds.map(u32::from), 7, 2) as usize,
            operations: or_quick(self.operations, 1_000_000, 20_000) as usize,
            chase_bytes: if self.quick { 64 << 20 } else { 1 << 30 },
            set: self.set.clone(),
        }
    }

    fn marks(&self) -> anyhow::Result<Vec<&'static Mark>> {
        let pattern = self.rows.as_deref().unwrap_or_default();
        let marks: Vec<_> = MARKS
            .iter()
            .filter(|mark| mark.name.contains(pattern))
            .collect();
        if marks.is_empty() {
            let names: Vec<_> = MARKS.iter().map(|mark| mark.name).collect();
            bail!(
                "no row has '{pattern}' in its name; there are: {}",
                names.join(", ")
            );
        }
        Ok(marks)
    }

    fn module(&self) -> PathBuf {
        let built = "../../build/kernel/misc/amd64/clinet";
        let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join(built);
        self.module.clone().unwrap_or_else(built)
    }
}

/// Parses the arguments of the process and does what they say.
#[must_use]
pub fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Wrong) => ExitCode::from(1),
        Ok(Ending::Unusable) => ExitCode::from(2),
        Err(error) => {
            eprintln!("clinet-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<Ending> {
    let marks = arguments.marks()?;
    let path = arguments.module();
    let file =
        fs::read(&path).with_context(|| format!("{}; `make module` builds it", path.display()))?;
    let symbols = module::check_file(&file).with_context(|| path.display().to_string())?;
    cpu::pin(cpu::measuring(0));
    let mut bench = Bench::new(arguments.settings(), file, &symbols, &marks)?;
    if cpu::allowed().len() < 2 {
        let remark = "one processor: rows with two threads and the module's tasks share it";
        bench.remarks.push(remark.to_owned());
    }
    rows::run(&mut bench);
    if let Some(path) = &arguments.json {
        let json = report::json(&bench)? + "\n";
        fs::write(path, json).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &arguments.svg {
        match chart::svg(&bench)? {
            Some(svg) => {
                fs::write(path, svg).with_context(|| path.display().to_string())?;
            }
            None => bench
                .remarks
                .push("no chart: it needs the rows growth-pair and insert-growing".to_owned()),
        }
    }
    // `clinet-bench | head` is no error of ours.
    let _ = std::io::stdout().write_all(report::text(&bench).as_bytes());
    Ok(report::ending(&bench))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn settings_are_numbers() {
        assert_eq!(setting("a=12"), Ok(("a".to_owned(), 12)));
        assert_eq!(setting("a=0x1f"), Ok(("a".to_owned(), 31)));
        assert!(setting("a").is_err());
        assert!(setting("a=b").is_err());
    }
}
