// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What must not have happened, judged by what was seen from outside.
//!
//! | | |
//! |---|---|
//! | I1 | no two nodes can send from one local port: `ports` |
//! | I2 | what is sent has a record of its sender: `records` |
//! | I3 | no deadline is later than T after the last renewal: `deadlines` |
//! | I4 | a record changes hands only after a quarantine of Q: `records` |
//! | I5 | after the deadline and F nothing is sent: `deadlines` |
//! | I6 | two agents never both set grants: `identities` |
//! | I7 | one node name is one machine and boot: `identities` |
//!
//! Each rule errs on the side of what is judged: where a time is known to lie in an
//! interval, the end counts that accuses nobody.

mod deadlines;
mod evidence;
mod identities;
mod ports;
mod records;

use std::fmt;

pub use evidence::{Boot, Evidence, Node, Packet, Restored, Word, packets};
pub use records::waits;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// `I1` and so on.
    pub rule: &'static str,
    /// When, by the clock of everything.
    pub at: u64,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at as f64 / 1e9;
        write!(f, "{} at {seconds:.3} s: {}", self.rule, self.what)
    }
}

/// Everything that was broken, in the order of time.
pub fn judge(evidence: &Evidence) -> Vec<Violation> {
    let mut found = ports::judge(evidence);
    found.extend(records::judge(evidence));
    found.extend(deadlines::judge(evidence));
    found.extend(identities::judge(evidence));
    found.sort_by_key(|violation| violation.at);
    found
}
