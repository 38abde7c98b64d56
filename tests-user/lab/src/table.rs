// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Tables for people: no frame, right-aligned numbers.

use comfy_table::{CellAlignment, Table, presets};

/// A table with these headings. Columns from `numbers` on hold numbers.
pub fn new(headings: &[&str], numbers: usize) -> Table {
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

/// The table as text without blanks at the ends of its lines.
pub fn text(table: &Table) -> String {
    table.trim_fmt()
}
