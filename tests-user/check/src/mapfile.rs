// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! illumos link-editor mapfiles, version 2, as far as a kernel module needs
//! them: the scope of symbols.
//!
//! ```text
//! $mapfile_version 2
//! SYMBOL_SCOPE {
//!     global:
//!         _init;
//!         counter { TYPE = DATA; SIZE = 8 };
//!     local:
//!         *;      # everything else
//! };
//! ```

use std::iter::Peekable;
use std::vec::IntoIter;

/// A mapfile that cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mapfile line {line}: {message}")]
pub struct MapfileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to write.
    pub message: String,
}

/// The visible symbols of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapfile {
    globals: Vec<String>,
    hides_the_rest: bool,
}

impl Mapfile {
    /// Reads a version-2 mapfile that consists of `SYMBOL_SCOPE` directives
    /// with the scopes `global` and `local`. Attributes in braces are skipped.
    ///
    /// # Errors
    ///
    /// [`MapfileError`] for anything else, for a name that is listed twice,
    /// and for a file that does not end where it should.
    pub fn parse(text: &str) -> Result<Self, MapfileError> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.split('#').next().unwrap_or("").trim()))
            .filter(|(_, line)| !line.is_empty());
        match lines.next() {
            Some((_, line)) if line.split_whitespace().eq(["$mapfile_version", "2"]) => {}
            first => {
                let line = first.map_or(1, |(line, _)| line);
                return error(line, "the file must begin with \"$mapfile_version 2\"");
            }
        }
        let tokens: Vec<_> = lines.flat_map(|(line, text)| tokens(line, text)).collect();
        let mut parser = Parser {
            last_line: text.lines().count(),
            tokens: tokens.into_iter().peekable(),
            mapfile: Mapfile::default(),
        };
        while parser.tokens.peek().is_some() {
            parser.directive()?;
        }
        Ok(parser.mapfile)
    }

    /// The names listed as global, in the order of the file.
    pub fn globals(&self) -> impl Iterator<Item = &str> {
        self.globals.iter().map(String::as_str)
    }

    /// Is the name listed as global?
    pub fn contains(&self, name: &str) -> bool {
        self.globals().any(|global| global == name)
    }

    /// Does `local: *;` make everything else local?
    pub fn hides_the_rest(&self) -> bool {
        self.hides_the_rest
    }
}

fn error<T>(line: usize, message: impl Into<String>) -> Result<T, MapfileError> {
    let message = message.into();
    Err(MapfileError { line, message })
}

type Token<'a> = (usize, &'a str);

/// Words and single punctuation characters.
fn tokens(line: usize, mut text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    loop {
        text = text.trim_start();
        let Some(first) = text.chars().next() else {
            return tokens;
        };
        let end = if is_punctuation(first) {
            first.len_utf8()
        } else {
            text.find(|c: char| c.is_whitespace() || is_punctuation(c))
                .unwrap_or(text.len())
        };
        let (token, rest) = text.split_at(end);
        tokens.push((line, token));
        text = rest;
    }
}

fn is_punctuation(c: char) -> bool {
    matches!(c, '{' | '}' | ';' | ':' | '=')
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Global,
    Local,
}

struct Parser<'a> {
    tokens: Peekable<IntoIter<Token<'a>>>,
    last_line: usize,
    mapfile: Mapfile,
}

impl<'a> Parser<'a> {
    fn next(&mut self, wanted: &str) -> Result<Token<'a>, MapfileError> {
        match self.tokens.next() {
            Some(token) => Ok(token),
            None => error(
                self.last_line,
                format!("the file ends where {wanted} should be"),
            ),
        }
    }

    fn expect(&mut self, wanted: &str) -> Result<(), MapfileError> {
        match self.next(&format!("\"{wanted}\""))? {
            (_, token) if token == wanted => Ok(()),
            (line, token) => error(line, format!("\"{token}\" where \"{wanted}\" should be")),
        }
    }

    fn directive(&mut self) -> Result<(), MapfileError> {
        match self.next("a directive")? {
            (_, "SYMBOL_SCOPE") => {}
            (line, other) => {
                return error(
                    line,
                    format!("directive \"{other}\" is not supported: only SYMBOL_SCOPE is"),
                );
            }
        }
        self.expect("{")?;
        let mut scope = Scope::Global;
        loop {
            let (line, word) = self.next("\"}\"")?;
            if word == "}" {
                return self.expect(";");
            }
            if word.starts_with(is_punctuation) {
                return error(line, format!("\"{word}\" where a symbol should be"));
            }
            if self.tokens.next_if(|(_, token)| *token == ":").is_some() {
                scope = match word {
                    "global" => Scope::Global,
                    "local" => Scope::Local,
                    _ => {
                        return error(
                            line,
                            format!("scope \"{word}\" is not supported: use global or local"),
                        );
                    }
                };
            } else {
                self.symbol(line, word, scope)?;
            }
        }
    }

    fn symbol(&mut self, line: usize, name: &str, scope: Scope) -> Result<(), MapfileError> {
        if self.tokens.next_if(|(_, token)| *token == "{").is_some() {
            while self.next("\"}\"")?.1 != "}" {}
        }
        self.expect(";")?;
        match (scope, name) {
            (Scope::Local, "*") => self.mapfile.hides_the_rest = true,
            (Scope::Local, _) => {}
            (Scope::Global, "*") => {
                return error(line, "\"*\" can only be local: list the global symbols");
            }
            (Scope::Global, _) if self.mapfile.contains(name) => {
                return error(line, format!("{name} is listed twice"));
            }
            (Scope::Global, _) => self.mapfile.globals.push(name.to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globals(text: &str) -> Result<Vec<String>, String> {
        Mapfile::parse(text)
            .map(|mapfile| mapfile.globals().map(str::to_owned).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn reads_scopes_attributes_and_comments() {
        let text = "# a module\n\n$mapfile_version 2\nSYMBOL_SCOPE {\n global: # seen\n\
                    _init;\n _info ;\ncounter { TYPE=DATA; SIZE = 8 };\n\
                    local:\n hidden; *;\n};\nSYMBOL_SCOPE { more; };\n";
        let mapfile = Mapfile::parse(text).unwrap();
        let names: Vec<_> = mapfile.globals().collect();
        assert_eq!(names, ["_init", "_info", "counter", "more"]);
        assert!(mapfile.hides_the_rest());
        assert!(mapfile.contains("counter"));
        assert!(!mapfile.contains("hidden"));
    }

    #[test]
    fn without_a_star_the_rest_stays_visible() {
        let mapfile = Mapfile::parse("$mapfile_version 2\nSYMBOL_SCOPE { a; };").unwrap();
        assert!(!mapfile.hides_the_rest());
    }

    #[test]
    fn names_the_line_of_what_it_refuses() {
        let body = |body: &str| globals(&format!("$mapfile_version 2\n{body}")).unwrap_err();
        assert!(globals("").unwrap_err().starts_with("mapfile line 1: "));
        assert!(globals("{ global: a; };").unwrap_err().contains("line 1"));
        assert!(globals("$mapfile_version 1").unwrap_err().contains("begin"));
        assert!(body("SYMBOL_VERSION A { };").contains("line 2: directive \"SYMBOL_VERSION\""));
        assert!(body("SYMBOL_SCOPE {\nhidden: a;\n};").contains("line 3: scope \"hidden\""));
        assert!(body("SYMBOL_SCOPE {\n a;\n a;\n};").contains("line 4: a is listed twice"));
        assert!(body("SYMBOL_SCOPE { *; };").contains("only be local"));
        assert!(body("SYMBOL_SCOPE { a b; };").contains("\"b\" where \";\" should be"));
        assert!(body("SYMBOL_SCOPE { a; }").contains("ends where \";\""));
        assert!(body("SYMBOL_SCOPE { a { TYPE = DATA").contains("ends where \"}\""));
        assert!(body("SYMBOL_SCOPE { ; };").contains("where a symbol should be"));
    }
}
