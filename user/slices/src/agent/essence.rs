// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What of an agent's state decides what it does, for those who compare states that differ only in
//! when they are.

use super::{Agent, Kept, Module, Step, Trouble};
use crate::directory::View;
use crate::names::Key;
use crate::records::LeaseId;
use crate::time::Now;
use std::collections::BTreeMap;

/// An agent at one moment: durations instead of times, and nothing that only tells requests and
/// commands apart.
#[derive(Clone, Debug)]
pub struct Essence<'a> {
    /// The lease, if it has one.
    pub lease: Option<LeaseId>,
    /// All keys were read; what was granted before was taken over; the module has a command to do;
    /// nothing was lost; everything goes.
    pub flags: [bool; 5],
    /// How many slices it wants, by [`Protocol`](crate::names::Protocol).
    pub want: [u32; 2],
    /// Why it does not act.
    pub trouble: Option<Trouble>,
    /// What is known of the directory. Its times are of the own clock.
    pub view: &'a View,
    /// What is granted, and until which value of the module's clock.
    pub held: &'a BTreeMap<Key, u64>,
    /// The request that is under way, and how long it has been.
    pub pending: Option<(Option<Step>, u64)>,
    /// No request for so long.
    pub retry: u64,
    /// The next request may be made after so long.
    pub due: Option<u64>,
    /// Nothing is sent any more since so long.
    pub away: Option<u64>,
    /// What the module is believed to have.
    pub module: &'a Module,
    /// What has to be remembered.
    pub kept: Kept,
}

impl Agent {
    /// What decides what this agent does from `now` on.
    pub fn essence(&self, now: Now) -> Essence<'_> {
        Essence {
            lease: self.lease,
            flags: [
                self.complete,
                self.adopted,
                self.told_busy,
                self.unbroken,
                self.giving_up,
            ],
            want: self.want,
            trouble: self.trouble,
            view: &self.view,
            held: &self.held,
            pending: self.pending.as_ref().map(|pending| {
                let step = pending.request.as_ref().map(|request| request.step);
                (step, now.module - pending.sent.module)
            }),
            retry: self.retry.saturating_sub(now.own),
            due: self.due.map(|at| at.saturating_sub(now.own)),
            away: self.away.map(|since| now.own - since),
            module: &self.module,
            kept: self.kept,
        }
    }
}
