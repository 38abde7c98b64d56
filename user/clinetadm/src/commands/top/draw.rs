// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How `top` looks.

use std::time::Duration;

use clinet_control::{Attached, FenceState, Mode, State};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, LineGauge, Paragraph, Row, Table};

use super::View;
use super::sample::{MOST, Slice, slices};

/// Answers as people read them, and as counters have them.
const ANSWERS: &[(&str, &str, bool)] = &[
    ("new", "registered", false),
    ("ours", "repeated", false),
    ("not shared", "not_shared", false),
    ("owned", "owned", true),
    ("not granted", "not_granted", true),
    ("explicit", "explicit", true),
    ("lapsed", "lapsed", true),
    ("other stack", "other_stack", true),
    ("full", "full", true),
    ("udp full", "udp_full", true),
    ("late", "late", true),
];

pub fn draw(frame: &mut Frame<'_>, view: &View) {
    let [head, middle, keys] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    heading(frame, head, view);
    let [left, right] =
        Layout::horizontal([Constraint::Length(44), Constraint::Min(30)]).areas(middle);
    rates(frame, left, view);
    let busy = view.usage.as_ref().map_or(0, |usage| usage.addresses.len());
    let height = u16::try_from(busy).unwrap_or(u16::MAX).clamp(1, 5) + 3;
    let [above, below] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0)]).areas(right);
    addresses(frame, above, view);
    grants(frame, below, view);
    frame.render_widget(Line::from(" q quit   p pause").dim(), keys);
}

fn heading(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let state = &view.now.state;
    let well = state.attach == Attached::Attached && state.mode == Mode::Enforce;
    let colour = if well { Color::Green } else { Color::Yellow };
    let bond = format!("{}, {}", state.attach, state.mode);
    let mut first = vec![" clinet ".bold(), bond.fg(colour)];
    if view.paused {
        first.push("  paused".fg(Color::Yellow));
    }
    let second = format!(
        " node {}   {} of {} tuples   {} of UDP   {:.1} MiB",
        state.node,
        state.tuples,
        state.capacity,
        state.udp_tuples,
        state.memory as f64 / f64::from(1 << 20),
    );
    let lines = vec![first.into(), Line::from(second), deadline(state)];
    frame.render_widget(Paragraph::new(lines), area);
}

fn deadline(state: &State) -> Line<'static> {
    let granted = state.tcp.granted + state.udp.granted;
    let fence = match state.fence {
        FenceState::Unfenced => "".into(),
        FenceState::Fenced | FenceState::Missed => format!("   {}", state.fence).fg(Color::Red),
        _ => format!("   {}", state.fence).fg(Color::Yellow),
    };
    let text = match state.time_left() {
        _ if state.tcp.space.is_none() && state.udp.space.is_none() => " no port space".into(),
        _ if state.lapsed => " deadline passed".fg(Color::Red),
        None => " no deadline".into(),
        Some(left) => {
            let whole = Duration::from_secs(left.as_secs());
            format!(" deadline in {}", humantime::format_duration(whole)).bold()
        }
    };
    vec![text, format!("   {granted} ports granted").into(), fence].into()
}

fn rates(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let rows = ANSWERS.iter().map(|(name, counter, refuses)| {
        let rates = view.now.rates(&view.before, counter);
        let busy = rates.iter().any(|rate| *rate > 0.0);
        let style = match (busy, refuses) {
            (false, _) => Style::new().dim(),
            (true, true) => Style::new().fg(Color::Red),
            (true, false) => Style::new(),
        };
        let cells = rates.map(|rate| format!("{rate:>9.0}"));
        let name = std::iter::once((*name).to_owned());
        Row::new(name.chain(cells)).style(style)
    });
    let widths = [12, 9, 9, 9].map(Constraint::Length);
    let heading = ["answers/s", "  tcp out", "   tcp in", "      udp"];
    let table = Table::new(rows, widths)
        .header(Row::new(heading).bold())
        .block(Block::bordered().title("questions"));
    frame.render_widget(table, area);
}

fn addresses(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let block = Block::bordered().title("busiest local addresses");
    let Some(usage) = &view.usage else {
        let text = "needs the privilege net_observability";
        frame.render_widget(Paragraph::new(text).block(block), area);
        return;
    };
    let sum: u64 = usage.addresses.values().sum();
    let block = if sum >= MOST as u64 {
        block.title(format!("of the first {MOST}"))
    } else {
        block
    };
    let rows = usage
        .busiest()
        .into_iter()
        .map(|(address, entries)| Row::new([format!("{entries:>9}"), address.to_string()]));
    let table = Table::new(rows, [Constraint::Length(9), Constraint::Min(15)])
        .header(Row::new(["  entries", "address"]).bold())
        .block(block);
    frame.render_widget(table, area);
}

fn grants(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let block = Block::bordered().title("granted ports in use");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let (Some(grants), Some(usage)) = (&view.now.grants, &view.usage) else {
        return;
    };
    for (slice, row) in slices(grants, usage).iter().zip(inner.rows()) {
        bar(frame, row, slice);
    }
}

fn bar(frame: &mut Frame<'_>, area: Rect, slice: &Slice) {
    let ratio = slice.used as f64 / slice.ports.len().max(1) as f64;
    let colour = match ratio {
        full if full >= 0.9 => Color::Red,
        half if half >= 0.5 => Color::Yellow,
        _ => Color::Green,
    };
    let label = format!(
        "{} {:>5}-{:<5} {:>3.0}%",
        slice.protocol,
        slice.ports.start(),
        slice.ports.end(),
        (ratio * 100.0).floor()
    );
    let gauge = LineGauge::default()
        .filled_symbol("█")
        .unfilled_symbol("░")
        .filled_style(Style::new().fg(colour))
        .ratio(ratio)
        .label(label);
    frame.render_widget(gauge, area);
}
