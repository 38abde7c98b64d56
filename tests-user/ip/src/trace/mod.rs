// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Recorded scenarios of ip's hook calls: files of them, playing them on the
//! model, and what differs.

mod attached;
mod background;
mod compare;
mod format;
mod play;
mod steps;

pub use attached::{Decisions, PlayedAttached, play_attached};
pub use format::{Scenario, TraceError, read};
pub use play::play;

use std::fmt;

/// One thing that differs between a scenario and the model.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The number of the step, from 1.
    pub step: usize,
    /// Its kind and socket.
    pub what: String,
    /// What the scenario has.
    pub expected: String,
    /// What the model did.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {} ({}):", self.step, self.what)?;
        writeln!(f, "  expected {}", self.expected)?;
        write!(f, "  got      {}", self.got)
    }
}
