// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults built in on purpose: each breaks a rule that the promise rests on, so that a check that
//! does not notice it is none.

use super::Agent;
use crate::rules::Wait;
use crate::time::Timing;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// Q is one tick short.
    ShortWait,
    /// A record is taken over as soon as its owner's session has ended.
    NoWait,
    /// The deadline is counted from the answer.
    FromReply,
    /// Nothing takes the addresses away. Not here: whoever runs the module sets its fence to none.
    NoFence,
}

impl Agent {
    /// Builds a fault in.
    pub fn with_mutant(mut self, mutant: Option<Mutant>) -> Agent {
        self.mutant = mutant;
        self
    }
}

pub(super) fn wait(mutant: Option<Mutant>) -> Wait {
    match mutant {
        Some(Mutant::ShortWait) => |timing: &Timing| timing.quarantine() - timing.tick,
        Some(Mutant::NoWait) => |_: &Timing| 0,
        _ => Timing::quarantine,
    }
}
