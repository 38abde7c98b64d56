// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Rows of fields: a table for people, fields with colons between them for
//! scripts, or JSON.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::words::Unusable;

/// What can be shown of a row.
pub struct Field<R> {
    /// Its name in `-o` and JSON; in capitals its heading.
    pub name: &'static str,
    number: bool,
    write: Cell<R>,
}

/// Writes a field of a row; nothing if the row has none.
type Cell<R> = fn(&R, &mut Vec<u8>) -> io::Result<()>;

impl<R> Field<R> {
    /// A text.
    pub const fn text(name: &'static str, write: Cell<R>) -> Self {
        Self {
            name,
            number: false,
            write,
        }
    }

    /// A number: to the right, and without quotes in JSON.
    pub const fn number(name: &'static str, write: Cell<R>) -> Self {
        Self {
            name,
            number: true,
            write,
        }
    }
}

/// How rows are to be written.
#[derive(clap::Args)]
pub struct Format {
    /// These fields in this order, or `all`
    #[arg(short, value_name = "FIELD,...", value_delimiter = ',')]
    output: Vec<String>,
    /// For scripts: no heading, fields between colons; in a value they and
    /// backslashes have a backslash before them, unless it is the only field
    #[arg(short, requires = "output", conflicts_with = "json")]
    parsable: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// So many rows tell how wide a table is. More would not be seen at once.
const MEASURED: usize = 1000;

enum Style {
    /// Each object is an element of one list.
    Json,
    /// Each object is a line.
    JsonLines,
    Parsable,
    /// Bold headings.
    Table {
        bold: bool,
    },
}

/// Rows on their way to standard output, in constant memory.
pub struct Rows<R: 'static> {
    fields: Vec<&'static Field<R>>,
    style: Style,
    out: BufWriter<StdoutLock<'static>>,
    count: u64,
    /// What of a table waits until it is known how wide it is.
    waiting: Vec<Vec<Vec<u8>>>,
    widths: Option<Vec<usize>>,
    headed: bool,
    cell: Vec<u8>,
}

impl<R> Rows<R> {
    /// Rows with the fields that were asked for, or those named in `usual`.
    pub fn new(
        format: &Format,
        all: &'static [Field<R>],
        usual: &[&str],
    ) -> Result<Self, Unusable> {
        let names: Vec<&str> = match &format.output[..] {
            [] if format.json => all.iter().map(|field| field.name).collect(),
            [] => usual.to_vec(),
            [one] if one == "all" => all.iter().map(|field| field.name).collect(),
            given => given.iter().map(String::as_str).collect(),
        };
        let mut fields = Vec::new();
        for name in names {
            let Some(field) = all.iter().find(|field| field.name == name) else {
                let known: Vec<&str> = all.iter().map(|field| field.name).collect();
                return Err(Unusable(format!(
                    "there is no field {name:?}, but {}",
                    known.join(", ")
                )));
            };
            fields.push(field);
        }
        let style = match (format.json, format.parsable) {
            (true, _) => Style::Json,
            (_, true) => Style::Parsable,
            _ => Style::Table {
                bold: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            },
        };
        Ok(Self {
            fields,
            style,
            out: BufWriter::with_capacity(1 << 16, io::stdout().lock()),
            count: 0,
            waiting: Vec::new(),
            widths: None,
            headed: false,
            cell: Vec::new(),
        })
    }

    /// Rows that come as things happen: each JSON object is a line of its own,
    /// and a table is as wide as `widths` says.
    pub fn live(mut self, widths: fn(&str) -> usize) -> Self {
        if let Style::Json = self.style {
            self.style = Style::JsonLines;
        }
        let widths = self.fields.iter().map(|field| {
            let width = widths(field.name);
            width.max(field.name.len())
        });
        self.widths = Some(widths.collect());
        self
    }

    /// Writes a row, soon.
    pub fn add(&mut self, row: &R) -> io::Result<()> {
        self.count += 1;
        match self.style {
            Style::Parsable => self.parsable(row),
            Style::Json => {
                let before: &[u8] = if self.count == 1 { b"[\n" } else { b",\n" };
                self.out.write_all(before)?;
                self.object(row)
            }
            Style::JsonLines => {
                self.object(row)?;
                self.out.write_all(b"\n")
            }
            Style::Table { .. } => self.line(row),
        }
    }

    /// Everything so far is out.
    pub fn flush(&mut self) -> io::Result<()> {
        if matches!(self.style, Style::Table { .. }) {
            if self.widths.is_none() {
                self.measure()?;
            } else if !self.headed {
                // So that who waits for rows sees of what.
                self.heading()?;
            }
        }
        self.out.flush()
    }

    /// There are no more.
    pub fn end(mut self) -> io::Result<()> {
        if let Style::Json = self.style {
            let rest: &[u8] = if self.count == 0 { b"[]\n" } else { b"\n]\n" };
            self.out.write_all(rest)?;
        }
        self.flush()
    }

    fn parsable(&mut self, row: &R) -> io::Result<()> {
        let only = self.fields.len() == 1;
        for (number, field) in self.fields.iter().enumerate() {
            if number > 0 {
                self.out.write_all(b":")?;
            }
            (field.write)(row, &mut self.cell)?;
            if field.number || only {
                self.out.write_all(&self.cell)?;
            } else {
                for part in self
                    .cell
                    .split_inclusive(|&byte| matches!(byte, b':' | b'\\'))
                {
                    match part.split_last() {
                        Some((&last @ (b':' | b'\\'), before)) => {
                            self.out.write_all(before)?;
                            self.out.write_all(&[b'\\', last])?;
                        }
                        _ => self.out.write_all(part)?,
                    }
                }
            }
            self.cell.clear();
        }
        self.out.write_all(b"\n")
    }

    fn object(&mut self, row: &R) -> io::Result<()> {
        for (number, field) in self.fields.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            write!(self.out, "{before}\"{}\":", field.name)?;
            (field.write)(row, &mut self.cell)?;
            match &self.cell[..] {
                [] => self.out.write_all(b"null")?,
                cell if field.number => self.out.write_all(cell)?,
                cell => serde_json::to_writer(&mut self.out, &String::from_utf8_lossy(cell))?,
            }
            self.cell.clear();
        }
        self.out.write_all(b"}")
    }

    fn line(&mut self, row: &R) -> io::Result<()> {
        let mut cells = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let mut cell = Vec::new();
            (field.write)(row, &mut cell)?;
            if cell.is_empty() {
                cell.push(b'-');
            }
            cells.push(cell);
        }
        if self.widths.is_some() {
            if !self.headed {
                self.heading()?;
            }
            return self.cells(&cells);
        }
        self.waiting.push(cells);
        if self.waiting.len() == MEASURED {
            self.measure()?;
        }
        Ok(())
    }

    /// The table is as wide as what waits, from now on.
    fn measure(&mut self) -> io::Result<()> {
        let widths = self.fields.iter().enumerate().map(|(column, field)| {
            let cells = self.waiting.iter().map(|cells| width(&cells[column]));
            cells.fold(field.name.len(), usize::max)
        });
        self.widths.get_or_insert(widths.collect());
        self.heading()?;
        for cells in std::mem::take(&mut self.waiting) {
            self.cells(&cells)?;
        }
        Ok(())
    }

    fn heading(&mut self) -> io::Result<()> {
        self.headed = true;
        let names = self.fields.iter().map(|field| field.name.to_uppercase());
        let names: Vec<Vec<u8>> = names.map(String::into_bytes).collect();
        let bold = matches!(self.style, Style::Table { bold: true });
        self.out.write_all(if bold { b"\x1b[1m" } else { b"" })?;
        self.cells(&names)?;
        self.out.write_all(if bold { b"\x1b[0m" } else { b"" })
    }

    /// A line of a table, without blanks at its end.
    fn cells(&mut self, cells: &[Vec<u8>]) -> io::Result<()> {
        let last = cells.len().saturating_sub(1);
        let widths = self.widths.as_deref().unwrap_or_default();
        for (column, (cell, &wanted)) in cells.iter().zip(widths).enumerate() {
            if column > 0 {
                self.out.write_all(b"  ")?;
            }
            let blanks = " ".repeat(wanted.saturating_sub(width(cell)));
            let right = self.fields[column].number;
            if right {
                self.out.write_all(blanks.as_bytes())?;
            }
            self.out.write_all(cell)?;
            if !right && column != last {
                self.out.write_all(blanks.as_bytes())?;
            }
        }
        self.out.write_all(b"\n")
    }
}

fn width(cell: &[u8]) -> usize {
    String::from_utf8_lossy(cell).chars().count()
}

/// A value as JSON for people and programs.
pub fn json(value: &serde_json::Value) -> io::Result<()> {
    writeln!(io::stdout(), "{value:#}")
}
