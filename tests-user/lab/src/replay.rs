// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab replay`: real traffic, as the module would have seen it.

use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clinet_ip::Stats;
use clinet_replay::{CaptureError, Counters, Options, ReplayFailure, Report, replay};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::module_stack::ModuleStack;
use crate::{Outcome, fatal, files, print_json, table};

const EXAMPLES: &str = "\
Examples:
  lab replay tests-user/captures/tcp-two-nodes.pcap --shared 192.0.2.10
  lab replay day.pcapng --shared 192.0.2.10 2001:db8::10 --nodes 4
  tcpdump -w - | lab replay - --shared 192.0.2.10 --json

Exit status: 0 if the capture was replayed, refusals or not; 2 if it cannot be
read, or not to its end: then the report covers what came before.";

/// Drives the module with the traffic of a capture.
///
/// A packet from or to a shared address belongs to a node: the one whose MAC
/// address it has, or the only one if the capture has none. Each node loads the
/// module; each connection and each datagram of a shared address is put to it
/// as a stack would, and what other nodes hold is known to it. pcap, pcapng and
/// snoop files are recognised by their contents.
#[derive(clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "lab replay <FILE> --shared <ADDR>... [OPTIONS]"
)]
pub struct Arguments {
    /// The capture; - is standard input
    file: PathBuf,
    /// The addresses that the nodes share
    #[arg(long, required = true, num_args = 1.., value_name = "ADDR")]
    shared: Vec<IpAddr>,
    /// Take the local port modulo N for the node, not the MAC address
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    nodes: Option<u32>,
    /// Room for 5-tuples in each node's module
    #[arg(long, value_name = "COUNT", default_value_t = 262_144,
          value_parser = clap::value_parser!(u32).range(64..=1 << 24))]
    max_tuples: u32,
    /// The module file [default: kernel/misc/amd64/clinet beside this tool]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The report and what the modules counted.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    report: &'a Report,
    undecided: u64,
    modules: Vec<Stats>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let module = files::module(arguments.module.as_deref())?;
    let mut stack = ModuleStack::new(module, arguments.max_tuples)
        .context("the module does not load; `lab check` may know why")?;
    let options = Options {
        nodes: arguments.nodes,
        ..Options::new(arguments.shared.clone())
    };
    let (reader, size) = open(&arguments.file)?;
    let bar = progress_bar(size);
    let result = replay(reader, &options, &mut stack, &mut |bytes, packets| {
        fatal::progress();
        bar.set_position(bytes);
        bar.set_message(format!("{packets} packets"));
    });
    bar.finish_and_clear();
    let (report, failure) = match result {
        Ok(report) => (report, None),
        Err(failure) => (*failure.report.clone(), Some(failure)),
    };
    let output = Output {
        report: &report,
        undecided: stack.undecided(),
        modules: stack.stats(),
    };
    if let Some(failure) = &failure {
        eprintln!("lab: {}: {failure}", arguments.file.display());
        if !has_begun(&failure.cause) {
            return Ok(Outcome::Unusable);
        }
    }
    if arguments.json {
        print_json(&output)?;
    } else {
        print(&output)?;
    }
    Ok(match failure {
        Some(_) => Outcome::Unusable,
        None => Outcome::Done,
    })
}

/// Was there a capture at all? Then it is reported, even if no packet is whole.
fn has_begun(failure: &ReplayFailure) -> bool {
    match failure {
        ReplayFailure::Options(_) => false,
        ReplayFailure::Stack { .. } => true,
        ReplayFailure::Capture(error) => !matches!(
            error,
            CaptureError::Empty
                | CaptureError::UnknownFormat(_)
                | CaptureError::Version { .. }
                | CaptureError::CutHeader(_)
                | CaptureError::DamagedHeader(_)
                | CaptureError::Link(_)
        ),
    }
}

/// The capture and its size in bytes, 0 if nobody knows.
fn open(path: &Path) -> anyhow::Result<(Box<dyn io::Read>, u64)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), 0));
    }
    let context = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(context)?;
    let metadata = file.metadata().with_context(context)?;
    anyhow::ensure!(!metadata.is_dir(), "{} is a folder", path.display());
    Ok((Box::new(file), metadata.len()))
}

/// Shown only on a terminal, and only if the work takes a while.
fn progress_bar(size: u64) -> ProgressBar {
    if size < 16 << 20 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {msg} {eta} left",
    );
    let bar = ProgressBar::new(size);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn print(output: &Output<'_>) -> io::Result<()> {
    let report = output.report;
    let mut out = io::stdout().lock();
    let totals = &report.totals;
    writeln!(
        out,
        "{} packets: {} without a shared address, {} undecodable",
        totals.packets, totals.not_shared, totals.undecodable
    )?;
    writeln!(out)?;
    let headings = [
        "node",
        "packets",
        "tcp out",
        "tcp in",
        "mid-stream",
        "left open",
        "udp sends",
        "udp asked",
        "not asked",
        "refused",
    ];
    let mut rows = table::new(&headings, 1);
    for node in &report.nodes {
        rows.add_row(cells(&node.node, &node.counters));
    }
    rows.add_row(cells("all", totals));
    writeln!(out, "{}", table::text(&rows))?;
    if totals.packets > 0 && report.nodes.is_empty() {
        writeln!(
            out,
            "\nNo packet is from or to a shared address: does --shared name the right ones?"
        )?;
    }
    if totals.refused > 0 {
        writeln!(out, "\nRefused:")?;
        let headings = [
            "packet", "protocol", "way", "local", "foreign", "errno", "owner", "asker",
        ];
        let mut rows = table::new(&headings, headings.len());
        for refusal in &report.refusals {
            let owner = refusal.owner.as_deref().unwrap_or("unknown");
            rows.add_row([
                &refusal.packet.to_string(),
                &refusal.protocol,
                &refusal.direction,
                &refusal.local,
                &refusal.foreign,
                &refusal.errno_name,
                owner,
                &refusal.asker,
            ]);
        }
        writeln!(out, "{}", table::text(&rows))?;
    }
    if report.refusals_omitted > 0 {
        writeln!(out, "and {} more", report.refusals_omitted)?;
    }
    if output.undecided > 0 {
        writeln!(
            out,
            "\n{} questions found a full table and were let through: try again with a larger \
             --max-tuples",
            output.undecided
        )?;
    }
    Ok(())
}

fn cells(name: &str, counters: &Counters) -> Vec<String> {
    let share = counters.udp_skipped_share();
    let mut cells = vec![name.to_owned()];
    let numbers = [
        counters.packets,
        counters.tcp_out,
        counters.tcp_in,
        counters.tcp_midstream,
        counters.tcp_open,
        counters.udp_sends,
        counters.udp_asked,
    ];
    cells.extend(numbers.iter().map(u64::to_string));
    cells.push(share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0)));
    cells.push(counters.refused.to_string());
    cells
}
