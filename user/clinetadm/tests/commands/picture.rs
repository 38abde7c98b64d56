// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The picture of `top` in the documentation.

use std::fmt::Write;

use vt100::{Color, Screen};

use crate::terminal::{COLUMNS, ROWS, Terminal};
use crate::{Setup, tuple};

/// A letter's size in the picture.
const WIDTH: u32 = 9;
const HEIGHT: u32 = 19;

/// A busy node with two slices, one of them nearly full.
fn busy(setup: &Setup) {
    setup.node.module(|module| {
        let state = &mut module.state;
        state.cst_node = 3;
        state.cst_memory = 5_400_000;
        state.cst_udp_tuples = 440;
        state.cst_first = [32768; 2];
        state.cst_last = [65535; 2];
        state.cst_deadline = state.cst_now + 287_000_000_000;
        for granted in &mut module.granted {
            granted.extend([40960..=45055]);
        }
        let mut add = |protocol: &str, local: &str, ports: std::ops::Range<u16>| {
            for port in ports {
                module.add(
                    3,
                    tuple(&format!("{protocol} {local}:{port} 198.51.100.7:443")),
                );
            }
        };
        add("tcp", "192.0.2.10", 40960..42890);
        add("tcp", "192.0.2.11", 43008..43760);
        add("udp", "192.0.2.10", 40960..41400);
        for port in 43008..43300 {
            module.add(
                3,
                tuple(&format!("tcp [2001:db8::10]:{port} [2001:db8::1]:443")),
            );
        }
    });
}

/// A second of such a node.
fn second(setup: &Setup) {
    let more = [
        ("tcp_out_registered", 1840),
        ("tcp_out_repeated", 12),
        ("tcp_out_not_granted", 3),
        ("tcp_in_registered", 310),
        ("udp_registered", 520),
        ("udp_repeated", 75),
        ("udp_explicit", 9),
    ];
    setup.node.module(|module| {
        module.state.cst_now += 1_000_000_000;
        module.state.cst_deadline += 1_000_000_000;
        for (name, count) in more {
            *module.stats.entry(name.into()).or_default() += count;
        }
    });
}

#[test]
#[ignore = "writes docs/top.svg"]
fn the_picture_of_top() {
    let setup = Setup::new();
    busy(&setup);
    let mut terminal = Terminal::start(&setup, "top");
    terminal.until(&["1840", "         9│"], || second(&setup));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/top.svg");
    std::fs::write(path, svg(terminal.screen())).expect("docs is there");
    terminal.key("q");
    assert!(terminal.ends_well());
}

/// The screen as a picture, a text for each run of letters of one look.
fn svg(screen: &Screen) -> String {
    let (width, height) = (u32::from(COLUMNS) * WIDTH, u32::from(ROWS) * HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"15\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#1d1f21\"/>\n",
        width + 2 * WIDTH,
        height + HEIGHT
    );
    for row in 0..ROWS {
        let mut column = 0;
        while column < COLUMNS {
            let look = look(screen, row, column);
            let first = column;
            let mut text = String::new();
            while column < COLUMNS && self::look(screen, row, column) == look {
                let letter = screen.cell(row, column).map_or(" ", |cell| cell.contents());
                text.push_str(if letter.is_empty() { " " } else { letter });
                column += 1;
            }
            if text.trim().is_empty() {
                continue;
            }
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            let (x, y) = (
                u32::from(first) * WIDTH + WIDTH,
                u32::from(row + 1) * HEIGHT,
            );
            let length = u32::from(column - first) * WIDTH;
            // A String takes everything.
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\" xml:space=\"preserve\" {look}>{text}</text>"
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Colour and weight of a letter.
fn look(screen: &Screen, row: u16, column: u16) -> String {
    let Some(cell) = screen.cell(row, column) else {
        return String::new();
    };
    let colour = match cell.fgcolor() {
        Color::Idx(1) => "#e06c75",
        Color::Idx(2) => "#98c379",
        Color::Idx(3) => "#e5c07b",
        _ if cell.dim() => "#7f8489",
        _ => "#d8dee9",
    };
    let weight = if cell.bold() {
        " font-weight=\"bold\""
    } else {
        ""
    };
    format!("fill=\"{colour}\"{weight}")
}
