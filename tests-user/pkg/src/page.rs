// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A page of the documentation, and what in it can be compared with the
//! project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clinet_module_tests::root;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::read;

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// What the fence says: `console`, `c`, `rust`, or nothing.
    pub language: String,
    /// The lines between the fences.
    pub text: String,
}

/// A command of a `console` block.
#[derive(Debug, PartialEq, Eq)]
pub struct Command {
    /// As it is typed.
    pub line: String,
    /// What is shown below it; `...` stands for any lines.
    pub shown: Vec<String>,
    /// Its prompt is `#`: only illumos can do it.
    pub is_for_illumos: bool,
}

/// A page.
#[derive(Debug, Default)]
pub struct Page {
    /// Below the project's top folder.
    pub path: PathBuf,
    /// Its lines.
    pub lines: usize,
    /// Its fenced blocks, in order.
    pub blocks: Vec<Block>,
    /// Code within text.
    pub spans: Vec<String>,
    /// Where links and pictures lead.
    pub links: Vec<String>,
    /// What a link can name after `#`, as forges make it of headings.
    pub anchors: BTreeSet<String>,
    /// The cells of its tables' rows, without headings.
    pub rows: Vec<Vec<String>>,
}

impl Page {
    /// Reads a page.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let text = read(path.to_str().expect("a plain name"));
        let mut page = Self {
            path: path.to_owned(),
            lines: text.lines().count(),
            ..Self::default()
        };
        // The text of the heading, block or cell that has begun.
        let mut open = String::new();
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    open.clear();
                    page.blocks.push(Block {
                        language: match kind {
                            CodeBlockKind::Fenced(language) => language.into_string(),
                            CodeBlockKind::Indented => String::new(),
                        },
                        text: String::new(),
                    });
                }
                Event::Start(Tag::Heading { .. } | Tag::TableCell) => open.clear(),
                Event::Start(Tag::TableRow) => page.rows.push(Vec::new()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::End(TagEnd::CodeBlock) => {
                    let block = page.blocks.last_mut().expect("it has begun");
                    block.text = std::mem::take(&mut open);
                }
                Event::End(TagEnd::Heading(_)) => {
                    page.anchors.insert(anchor(&open));
                }
                Event::End(TagEnd::TableCell) => {
                    if let Some(row) = page.rows.last_mut() {
                        row.push(std::mem::take(&mut open));
                    }
                }
                Event::Code(code) => {
                    open += &code;
                    page.spans.push(code.into_string());
                }
                Event::Text(text) => open += &text,
                _ => {}
            }
        }
        page
    }

    /// The commands of its `console` blocks.
    ///
    /// # Panics
    ///
    /// If a block does not begin with a prompt.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        for block in self.blocks.iter().filter(|b| b.language == "console") {
            assert!(block.text.starts_with(['$', '#']), "{block:?}");
            for line in block.text.lines() {
                let command = |line: &str, is_for_illumos| Command {
                    line: line.to_owned(),
                    shown: Vec::new(),
                    is_for_illumos,
                };
                if let Some(line) = line.strip_prefix("$ ") {
                    commands.push(command(line, false));
                } else if let Some(line) = line.strip_prefix("# ") {
                    commands.push(command(line, true));
                } else {
                    let last = commands.last_mut().expect("begins with a prompt");
                    last.shown.push(line.to_owned());
                }
            }
        }
        commands
    }
}

/// What forges make of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// All pages: README, CONTRIBUTING and the book.
///
/// # Panics
///
/// If there is no book.
#[must_use]
pub fn pages() -> Vec<Page> {
    let docs = std::fs::read_dir(root().join("docs")).expect("the book");
    let docs = docs.map(|entry| Path::new("docs").join(entry.expect("a file").file_name()));
    let mut paths: Vec<PathBuf> = docs
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    paths.sort();
    paths.extend(["README.md", "CONTRIBUTING.md"].map(PathBuf::from));
    paths.iter().map(|path| Page::read(path)).collect()
}

/// Is this what is shown, where `...` stands for any lines?
#[must_use]
pub fn is_shown(shown: &[String], output: &[&str]) -> bool {
    match shown.split_first() {
        None => output.is_empty(),
        Some((line, rest)) if line == "..." => {
            (0..=output.len()).any(|from| is_shown(rest, &output[from..]))
        }
        Some((line, rest)) => output
            .split_first()
            .is_some_and(|(first, others)| first.trim_end() == line && is_shown(rest, others)),
    }
}
