// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What comes out: tables for people, JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::OURS;
use crate::bench::{Bench, Size, Steady, median};
use crate::error::{Error, Result};
use crate::marks::{Bound, MARKS, Mark, Measured};
use crate::peers::{Dash, Named};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// All rows have a number, whether or not it is the one that was hoped for.
    Done,
    /// The machine or the file did not allow one.
    Unusable,
    /// The module gave a wrong answer.
    Wrong,
}

/// One row, for programs.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    what: &'a str,
    goal: String,
    /// What the module has to have for it.
    needs: &'a [&'a str],
    /// met, missed, no such function, wrong, unusable
    status: &'static str,
    /// Nanoseconds, bytes, times or misses.
    value: Option<f64>,
    unit: &'static str,
    in_c: Option<f64>,
    dashmap: Option<f64>,
    in_dashmap: Option<f64>,
    note: String,
}

/// A whole run, for programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    tuples: u32,
    rounds: usize,
    operations: usize,
    c_ns: Option<f64>,
    remarks: &'a [String],
    rows: Vec<Row<'a>>,
    steady: &'a [Steady],
    sizes: &'a [Size],
    /// The worst insert of the first ones, by how many those are.
    worst_ns: BTreeMap<&'a str, &'a [(u32, f64)]>,
}

/// The marks that have a result, in their order.
fn results(bench: &Bench) -> impl Iterator<Item = (&'static Mark, &Result<Measured>)> {
    MARKS
        .iter()
        .filter_map(|mark| Some((mark, bench.results.get(mark.name)?)))
}

/// How the run ended: the worst of its rows.
#[must_use]
pub fn ending(bench: &Bench) -> Ending {
    results(bench)
        .map(|(_, result)| match result {
            Ok(_) => Ending::Done,
            Err(Error::Wrong(_)) => Ending::Wrong,
            Err(Error::NoFunction(_) | Error::Unusable(_)) => Ending::Unusable,
        })
        .max()
        .unwrap_or(Ending::Done)
}

fn status(mark: &Mark, result: &Result<Measured>) -> &'static str {
    match result {
        Ok(measured) if mark.is_met(measured) => "met",
        Ok(_) => "missed",
        Err(Error::NoFunction(_)) => "no such function",
        Err(Error::Wrong(_)) => "wrong",
        Err(Error::Unusable(_)) => "unusable",
    }
}

/// The run as JSON.
///
/// # Errors
/// A number is none.
pub fn json(bench: &Bench) -> serde_json::Result<String> {
    let row = |(mark, result): (&'static Mark, &Result<Measured>)| Row {
        name: mark.name,
        what: mark.what,
        goal: goal(mark),
        needs: mark.needs,
        status: status(mark, result),
        value: result.as_ref().ok().map(|measured| measured.value),
        unit: unit(mark),
        in_c: result.as_ref().ok().and_then(Measured::in_c),
        dashmap: result.as_ref().ok().and_then(|measured| measured.dashmap),
        in_dashmap: result.as_ref().ok().and_then(Measured::in_dashmap),
        note: note(result),
    };
    let report = Report {
        tuples: bench.settings.tuples,
        rounds: bench.settings.rounds,
        operations: bench.settings.operations,
        c_ns: median(&bench.c),
        remarks: &bench.remarks,
        rows: results(bench).map(row).collect(),
        steady: &bench.steady,
        sizes: &bench.sizes,
        worst_ns: bench
            .worst
            .iter()
            .map(|(name, curve)| (*name, &curve[..]))
            .collect(),
    };
    serde_json::to_string_pretty(&report)
}

fn note(result: &Result<Measured>) -> String {
    match result {
        Ok(measured) => measured.note.clone(),
        Err(error) => error.to_string(),
    }
}

fn unit(mark: &Mark) -> &'static str {
    match mark.bounds.first() {
        Some(Bound::Bytes(_)) => "bytes",
        Some(Bound::Counted(_)) => "times",
        Some(Bound::Misses(_)) => "misses",
        _ => "ns",
    }
}

/// The run as tables.
#[must_use]
pub fn text(bench: &Bench) -> String {
    let mut text = String::new();
    let c = median(&bench.c).map_or_else(|| "unknown".to_owned(), |c| format!("{c:.0} ns"));
    let settings = &bench.settings;
    let _ = writeln!(
        text,
        "{} IPv6 tuples, {} rounds of {} operations, medians; c = {c}\n",
        settings.tuples, settings.rounds, settings.operations
    );
    let _ = writeln!(text, "{}", of_marks(bench));
    let notes: Vec<_> = results(bench)
        .map(|(mark, result)| (mark.name, note(result)))
        .filter(|(_, note)| !note.is_empty())
        .collect();
    if !notes.is_empty() {
        let _ = writeln!(text);
        for (name, note) in notes {
            let _ = writeln!(text, "{name}: {note}");
        }
    }
    if !bench.steady.is_empty() {
        let _ = writeln!(text, "\nIn the steady state, ns\n{}", of_peers(bench));
    }
    if !bench.sizes.is_empty() {
        let _ = writeln!(text, "\nBy size, ns\n{}", of_sizes(bench));
    }
    for remark in &bench.remarks {
        let _ = writeln!(text, "\n{remark}");
    }
    text
}

/// A table without a frame, with numbers to the right from `numbers` on.
fn table(headings: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(headings.iter().copied());
    for column in numbers..headings.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn of_marks(bench: &Bench) -> String {
    let headings = [
        "row",
        "measures",
        "goal",
        "",
        "measured",
        "in c",
        "x dashmap",
    ];
    let mut table = table(&headings, 4);
    for (mark, result) in results(bench) {
        let measured = result.as_ref().ok();
        let times = |value: Option<f64>| value.map_or_else(String::new, |x| format!("{x:.2}"));
        table.add_row([
            mark.name.to_owned(),
            mark.what.to_owned(),
            goal(mark),
            status(mark, result).to_owned(),
            measured.map_or_else(String::new, |measured| amount(measured.value, unit(mark))),
            times(measured.and_then(Measured::in_c)),
            times(measured.and_then(Measured::in_dashmap)),
        ]);
    }
    table.trim_fmt()
}

fn of_peers(bench: &Bench) -> String {
    let rows: Vec<&str> = MARKS
        .iter()
        .map(|mark| mark.name)
        .filter(|row| {
            bench
                .steady
                .iter()
                .any(|steady| steady.ns.contains_key(row))
        })
        .collect();
    let mut headings = vec!["", "bytes"];
    headings.extend(&rows);
    let mut table = table(&headings, 1);
    for steady in &bench.steady {
        let mut cells = vec![steady.name.to_owned(), format!("{:.1}", steady.bytes)];
        cells.extend(rows.iter().map(|row| number(steady.ns.get(row).copied())));
        table.add_row(cells);
    }
    table.trim_fmt()
}

fn of_sizes(bench: &Bench) -> String {
    let headings = [
        "tuples",
        "c",
        "pair",
        "misses",
        "hit",
        "misses",
        "dashmap pair",
        "dashmap hit",
    ];
    let mut table = table(&headings, 0);
    let first = bench.sizes.first().cloned().unwrap_or_default();
    let misses = |counted: Option<(f64, f64)>, from: Option<f64>, to: Option<f64>, c: f64| match (
        counted, from, to,
    ) {
        (Some((cache, tlb)), _, _) => format!("{cache:.2}, TLB {tlb:.2}"),
        (None, Some(from), Some(to)) => format!("{:.2} c", (to - from) / c),
        _ => String::new(),
    };
    for size in &bench.sizes {
        table.add_row([
            size.tuples.to_string(),
            format!("{:.0}", size.c),
            number(size.pair(OURS)),
            misses(size.pair_misses, first.pair(OURS), size.pair(OURS), size.c),
            number(size.hit(OURS)),
            misses(size.hit_misses, first.hit(OURS), size.hit(OURS), size.c),
            number(size.pair(Dash::NAME)),
            number(size.hit(Dash::NAME)),
        ]);
    }
    table.trim_fmt()
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"))
}

/// A number with its unit.
fn amount(value: f64, unit: &str) -> String {
    match unit {
        "ns" if value >= 1e6 => format!("{:.2} ms", value / 1e6),
        "ns" if value >= 10_000.0 => format!("{:.1} us", value / 1e3),
        "ns" if value < 100.0 => format!("{value:.1} ns"),
        "ns" => format!("{value:.0} ns"),
        "bytes" if value >= 10_000.0 => format!("{:.0} KiB", value / 1024.0),
        "bytes" => format!("{value:.1} B"),
        _ => format!("{value:.2}"),
    }
}

/// The bounds of a mark in words.
fn goal(mark: &Mark) -> String {
    let words = mark.bounds.iter().map(|bound| match *bound {
        Bound::Ns(ns) => format!("<= {}", amount(ns, "ns")),
        Bound::Bytes(bytes) => format!("<= {}", amount(bytes, "bytes")),
        Bound::Counted(times) => format!("<= {times} x counted"),
        Bound::C(times) => format!("<= {times} c"),
        Bound::Dashmap(times) => format!("<= {times} x dashmap"),
        Bound::Throughput(times) => format!(">= {times} x dashmap's throughput"),
        Bound::Misses(misses) => format!("<= {misses} misses"),
    });
    words.collect::<Vec<_>>().join(", ")
}
