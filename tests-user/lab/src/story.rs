// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What is told: chapters of steps, each of which went as expected or not.

use std::io::{self, Write};

use serde::Serialize;

use crate::fatal;

/// One thing that was done and what came of it.
#[derive(Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// What came of it.
    pub result: String,
    /// Was that what should have come?
    pub as_expected: bool,
}

/// Steps with a subject.
#[derive(Debug, Serialize)]
pub struct Chapter {
    /// The subject.
    pub title: String,
    /// The steps.
    pub steps: Vec<Step>,
}

/// All chapters so far, printed as they are told.
pub struct Story {
    print: bool,
    chapters: Vec<Chapter>,
}

impl Story {
    /// An empty story.
    pub fn new(print: bool) -> Self {
        Self {
            print,
            chapters: Vec::new(),
        }
    }

    /// Prints a line, until nobody reads any more.
    fn tell(&mut self, line: &str) {
        self.print = self.print && writeln!(io::stdout(), "{line}").is_ok();
    }

    /// Begins a chapter.
    pub fn chapter(&mut self, title: &str) {
        let gap = if self.chapters.is_empty() { "" } else { "\n" };
        self.tell(&format!("{gap}{title}"));
        self.chapters.push(Chapter {
            title: title.to_owned(),
            steps: Vec::new(),
        });
    }

    /// Tells a step. What should come of it is compared with what did.
    pub fn step(&mut self, what: &str, result: impl Into<String>, expected: &str) {
        let result = result.into();
        let as_expected = result == expected;
        fatal::progress();
        self.tell(&format!("  {what}\n      {result}"));
        if !as_expected {
            self.tell(&format!("      UNEXPECTED: this should be: {expected}"));
        }
        if let Some(chapter) = self.chapters.last_mut() {
            chapter.steps.push(Step {
                what: what.to_owned(),
                result,
                as_expected,
            });
        }
    }

    /// Did everything go as it should?
    pub fn passed(&self) -> bool {
        let mut steps = self.chapters.iter().flat_map(|chapter| &chapter.steps);
        steps.all(|step| step.as_expected)
    }

    /// What was told.
    pub fn into_chapters(self) -> Vec<Chapter> {
        self.chapters
    }
}
