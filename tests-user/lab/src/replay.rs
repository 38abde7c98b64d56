// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! `lab replay`: real traffic, as the module would have seen it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clinet_ip::Stats;
use clinet_replay::{
    CaptureError, Counters, NamedNode, Options, ReplayError, ReplayFailure, Report, replay,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::input::Input;
use crate::module_stack::ModuleStack;
use crate::{Outcome, fatal, files, print_json, signals, table};

/// As many addresses can be shared as the module takes.
const MOST_SHARED: usize = 256;

const EXAMPLES: &str = "\
Nodes: a packet from a shared address belongs to the machine that has its
source MAC address. A destination MAC address that never sends (VRRP, HSRP,
CARP, a router's) belongs to the machine that answers for it. A packet that is
seen on both sides of a router is one packet. MAC addresses that send packets
of one TCP connection are one machine's. All this is a guess where --node does
not say it: a refusal that rests on it is marked.

Examples:
  lab replay tests-user/captures/tcp-two-nodes.pcap --shared 192.0.2.10
  lab replay day.pcapng.zst --shared 192.0.2.10,2001:db8::10 --nodes 4
  lab replay span.pcap --shared 192.0.2.10 --inner \\
      --node a=02:00:00:00:00:0a,00:00:5e:00:01:0a --node b=02:00:00:00:00:0b
  tcpdump -w - | lab replay - --shared 192.0.2.10 --json

Ctrl-C ends the reading; what was read is reported.

Exit status: 0 if the capture was replayed, refusals or not; 2 if it cannot be
read, or not to its end: then the report covers what came before.";

/// Drives the module with the traffic of a capture.
///
/// A packet from or to a shared address belongs to a node: the machine whose MAC
/// address it has, or the only one if the capture has none. Each node loads the
/// module; each connection and each datagram of a shared address is put to it
/// as a stack would, and what other nodes hold is known to it. pcap, pcapng and
/// snoop files are recognised by their contents, packed (gzip, bzip2, zstd, xz)
/// or not.
#[derive(clap::Args)]
#[command(
    after_help = EXAMPLES,
    override_usage = "lab replay <FILE> --shared <ADDR>... [OPTIONS]"
)]
pub struct Arguments {
    /// The capture; - is standard input
    file: PathBuf,
    /// The addresses that the nodes share, with blanks or commas between them
    #[arg(long, required = true, num_args = 1.., value_name = "ADDR",
          value_delimiter = ',', value_parser = shared_address)]
    shared: Vec<IpAddr>,
    /// Take the local port modulo N for the node, not the MAC address
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    nodes: Option<u32>,
    /// A node and all its MAC addresses, virtual ones as well; once for each
    #[arg(long, value_name = "NAME=MAC[,MAC...]", conflicts_with = "nodes",
          value_parser = named_node)]
    node: Vec<NamedNode>,
    /// Look into tunnels (PPPoE, MPLS, PBB, GRE, PPTP, ERSPAN, EtherIP, IP-in-IP,
    /// VXLAN, Geneve, GTP-U, L2TP, Teredo): what is inside counts, not what is
    /// around it
    #[arg(long)]
    inner: bool,
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

/// An address that nodes can share.
fn shared_address(text: &str) -> Result<IpAddr, String> {
    match text.parse::<IpAddr>() {
        Ok(addr) if addr.to_canonical().is_unspecified() => {
            Err("it is the unspecified address, which nobody can share".to_owned())
        }
        Ok(addr) => Ok(addr.to_canonical()),
        Err(_) if Path::new(text).exists() => {
            Err("it is the name of a file: the capture goes before --shared".to_owned())
        }
        Err(_) => Err("it is no IPv4 or IPv6 address".to_owned()),
    }
}

/// `NAME=MAC[,MAC...]`.
fn named_node(text: &str) -> Result<NamedNode, String> {
    let wanted = "write NAME=MAC[,MAC...], as in a=02:00:00:00:00:0a";
    let (name, macs) = text.split_once('=').ok_or(wanted)?;
    if name.is_empty() {
        return Err(wanted.to_owned());
    }
    let macs = macs
        .split(',')
        .map(|mac| mac_address(mac).ok_or_else(|| format!("{mac:?} is no MAC address; {wanted}")));
    Ok(NamedNode {
        name: name.to_owned(),
        macs: macs.collect::<Result<_, _>>()?,
    })
}

/// Six numbers of one or two hexadecimal digits, as snoop and tcpdump write.
fn mac_address(text: &str) -> Option<[u8; 6]> {
    let parts: Vec<u8> = text
        .split([':', '-'])
        .map(|part| match part.len() {
            1 | 2 => u8::from_str_radix(part, 16).ok(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut shared = arguments.shared.clone();
    shared.sort_unstable();
    shared.dedup();
    anyhow::ensure!(
        shared.len() <= MOST_SHARED,
        "{} shared addresses: the module takes {MOST_SHARED} at most",
        shared.len()
    );
    let module = files::module(arguments.module.as_deref())?;
    let mut stack = ModuleStack::new(module, arguments.max_tuples, &shared)
        .context("the module does not load; `lab check` may know why")?;
    let options = Options {
        nodes: arguments.nodes,
        named: arguments.node.clone(),
        inner: arguments.inner,
        ..Options::new(shared)
    };
    let input = Input::open(&arguments.file)?;
    signals::note_interrupts();
    let bar = progress_bar(input.size);
    let result = replay(
        bar.wrap_read(input),
        &options,
        &mut stack,
        &mut |_, packets| {
            fatal::progress();
            bar.set_message(format!("{packets} packets"));
        },
    );
    bar.finish_and_clear();
    let (report, failure) = match result {
        Ok(report) => (report, None),
        Err(failure) => (*failure.report.clone(), Some(failure)),
    };
    let interrupted = signals::is_interrupted();
    if interrupted {
        eprintln!(
            "lab: interrupted; the report covers {} packets",
            report.totals.packets
        );
    } else if let Some(failure) = &failure {
        eprintln!("lab: {}: {failure}", arguments.file.display());
        if !has_begun(failure) {
            return Ok(Outcome::Unusable);
        }
    }
    let output = Output {
        report: &report,
        undecided: stack.undecided(),
        modules: stack.stats(),
    };
    if arguments.json {
        print_json(&output)?;
    } else {
        print(&output, arguments.inner)?;
    }
    Ok(match failure {
        Some(_) if !interrupted => Outcome::Unusable,
        _ => Outcome::Done,
    })
}

/// Was there a capture at all? Then it is reported, even if no packet is whole.
fn has_begun(failure: &ReplayError) -> bool {
    match &failure.cause {
        ReplayFailure::Options(_) => false,
        ReplayFailure::Stack { .. } | ReplayFailure::End(_) => true,
        // Of a pcapng file, packets may have been counted by their link type.
        ReplayFailure::Capture(CaptureError::Link(_)) => failure.report.totals.packets > 0,
        ReplayFailure::Capture(error) => !matches!(
            error,
            CaptureError::Empty
                | CaptureError::UnknownFormat(_)
                | CaptureError::Version { .. }
                | CaptureError::CutHeader(_)
                | CaptureError::DamagedHeader(_)
        ),
    }
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

fn print(output: &Output<'_>, inner: bool) -> io::Result<()> {
    let report = output.report;
    let mut out = io::stdout().lock();
    print_packets(&mut out, report)?;
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
    rows.add_row(cells("all", &report.totals));
    writeln!(out, "\n{}", table::text(&rows))?;
    if let Some(why) = silence(report, inner) {
        writeln!(out, "\n{why}")?;
    }
    print_refusals(&mut out, report)?;
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

/// What there was to read, and what of it was not taken.
fn print_packets(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let totals = &report.totals;
    write!(
        out,
        "{} packet{}: {} without a shared address, {} undecodable",
        totals.packets,
        if totals.packets == 1 { "" } else { "s" },
        totals.not_shared,
        totals.undecodable
    )?;
    if report.routed_copies > 0 {
        write!(out, ", {} seen again on another link", report.routed_copies)?;
    }
    if report.no_node > 0 {
        write!(out, ", {} of no node", report.no_node)?;
    }
    writeln!(out)?;
    if !report.not_looked_into.is_empty() {
        writeln!(out, "Not looked into: {}", counts(&report.not_looked_into))?;
    }
    if !report.other_transports.is_empty() {
        let transports = counts(&report.other_transports);
        writeln!(out, "Nobody is asked about other transports: {transports}")?;
    }
    if !report.skipped_sections.is_empty() {
        let versions = counts(&report.skipped_sections);
        writeln!(
            out,
            "Sections of an unknown pcapng version that were skipped: {versions}"
        )?;
    }
    Ok(())
}

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name}: {count}"))
        .collect();
    counts.join(", ")
}

/// Why nothing is reported of any node, if nothing is. `inner`: tunnels were
/// looked into.
fn silence(report: &Report, inner: bool) -> Option<String> {
    let totals = &report.totals;
    let shared = totals.packets - totals.not_shared;
    if totals.packets == 0 || !report.nodes.is_empty() {
        return None;
    }
    if report.no_node > 0 {
        return Some("No packet names a node: frames to a group do not.".to_owned());
    }
    // Link types are told with their number.
    let is_tunnel = |name: &String| !name.contains("link type");
    let reason = if report.not_looked_into.keys().any(is_tunnel) && !inner {
        "what was not looked into may have some; --inner looks into tunnels"
    } else if !report.not_looked_into.is_empty() {
        "what was not looked into may have some"
    } else if shared == 0 {
        "does --shared name the right ones?"
    } else if totals.undecodable == shared {
        "what is undecodable may have been"
    } else {
        return None;
    };
    Some(format!(
        "No packet is from or to a shared address: {reason}"
    ))
}

fn print_refusals(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if report.totals.refused == 0 {
        return Ok(());
    }
    writeln!(out, "\nRefused:")?;
    let headings = [
        "packet", "protocol", "way", "local", "foreign", "errno", "owner", "asker", "nodes",
    ];
    let mut rows = table::new(&headings, headings.len());
    for refusal in &report.refusals {
        let packet = refusal.packet.to_string();
        let guessed = refusal.guessed_nodes;
        rows.add_row([
            packet.as_str(),
            &refusal.protocol,
            &refusal.direction,
            &refusal.local,
            &refusal.foreign,
            &refusal.errno_name,
            refusal.owner.as_deref().unwrap_or("unknown"),
            &refusal.asker,
            if guessed { "guessed" } else { "given" },
        ]);
    }
    writeln!(out, "{}", table::text(&rows))?;
    if report.refusals_omitted > 0 {
        writeln!(out, "and {} more", report.refusals_omitted)?;
    }
    if report.refusals.iter().any(|refusal| refusal.guessed_nodes) {
        writeln!(
            out,
            "\nThat these nodes are different machines is guessed from their MAC addresses. If they \
             are\none, or routers, say which machine has which with --node NAME=MAC[,MAC...]."
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
