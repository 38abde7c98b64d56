// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is around the module on a machine: the package, the manual pages and
//! the script that tries it on a VM; and what a newcomer reads and runs first.

pub mod page;

use std::collections::BTreeMap;
use std::process::Command;

use clinet_module_tests::root;

/// An action of a package manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// `set`, `file`, ...
    pub kind: String,
    /// The word that is no attribute: where the content comes from.
    pub payload: Option<String>,
    /// The attributes. A name that comes twice is an error here.
    pub attributes: BTreeMap<String, String>,
}

impl Action {
    /// Reads a line.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut words = words(line)?.into_iter();
        let kind = words.next().ok_or("no action")?;
        let mut payload = None;
        let mut attributes = BTreeMap::new();
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => {
                    if attributes
                        .insert(name.to_owned(), value.to_owned())
                        .is_some()
                    {
                        return Err(format!("{name} twice"));
                    }
                }
                None if payload.is_none() => payload = Some(word),
                None => return Err(format!("{word} is no attribute")),
            }
        }
        Ok(Self {
            kind,
            payload,
            attributes,
        })
    }

    /// An attribute.
    ///
    /// # Panics
    ///
    /// If it is not there.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        let value = self.attributes.get(name);
        value.unwrap_or_else(|| panic!("no {name}= in {self:?}"))
    }
}

/// Words between blanks; quotes hold a word together.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty()))
            }
            // The tab of a devlink stays as it is written.
            '\\' => match chars.next() {
                Some('t') => word.push_str("\\t"),
                _ => return Err("a backslash".to_owned()),
            },
            c => word.push(c),
        }
    }
    if quoted {
        return Err("a quote that does not end".to_owned());
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    Ok(words)
}

/// The actions of the package, as `pkgmogrify -D VERSION=` would print them.
///
/// # Panics
///
/// If a line is no action.
#[must_use]
pub fn manifest() -> Vec<Action> {
    manifest_of("pkg/clinet.p5m")
}

/// The actions of the package of this file.
///
/// # Panics
///
/// If a line is no action.
#[must_use]
pub fn manifest_of(path: &str) -> Vec<Action> {
    let text = read(path).replace("$(VERSION)", env!("CARGO_PKG_VERSION"));
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| Action::parse(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

/// A text file of the project.
///
/// # Panics
///
/// If it cannot be read.
#[must_use]
pub fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A command that runs in the project's top folder.
#[must_use]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The variables that C has for /etc/system: name, first value, volatile.
///
/// # Panics
///
/// If the source cannot be read.
#[must_use]
pub fn variables() -> Vec<(String, String, bool)> {
    let source = read("kmod/glue/clinet.c");
    let lines = source.lines().filter_map(|line| {
        let (is_volatile, rest) = match line.strip_prefix("volatile ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let rest = rest
            .strip_prefix("uint32_t ")
            .or(rest.strip_prefix("char *"))?;
        let (name, value) = rest.strip_suffix(';')?.split_once(" = ")?;
        Some((name.to_owned(), value.to_owned(), is_volatile))
    });
    lines.collect()
}
