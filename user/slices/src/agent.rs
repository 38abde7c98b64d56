// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The agent of one node: what it knows, and what it does next.
//!
//! Each step first takes in what happened and then looks at what is: which commands the module needs
//! (`module`), and which request to the directory is next (`requests`). There is one request at a
//! time and one command at a time, so that a step never rests on an answer that is still to come.
//!
//! A new agent finds out from the module what an earlier one left. It may be stopped for any time
//! between any two steps: transactions compare what they rest on, and deadlines are counted from the
//! clock that was read before sending.

#[cfg(feature = "mutants")]
mod essence;
mod event;
mod hear;
mod module;
#[cfg(feature = "mutants")]
mod mutant;
mod requests;

pub use event::{Command, Effect, Event, Fence, Grants, Kept, Module, Note, Step, Trouble};
#[cfg(feature = "mutants")]
pub use {essence::Essence, mutant::Mutant};

use crate::directory::{Transaction, View};
use crate::names::{Identity, Key, Name, Protocol};
use crate::records::{Conf, LeaseId};
use crate::rules::Standing;
use crate::time::{Now, Timing};
use std::collections::BTreeMap;

/// What an agent is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// The pool that it is of.
    pub pool: Name,
    /// Its version, for others to see.
    pub version: Name,
    /// Slices that it takes when it starts, by [`Protocol`]; 0: none of that protocol.
    pub start: [u32; 2],
}

/// The state of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    config: Config,
    kept: Kept,
    want: [u32; 2],
    /// The directory, as far as it is known; `complete` once all of it was read.
    view: View,
    complete: bool,
    trouble: Option<Trouble>,
    timing: Timing,
    lease: Option<LeaseId>,
    lease_asked: bool,
    /// The request that is under way.
    pending: Option<Pending>,
    last_id: u64,
    /// No request before this time of the own clock.
    retry: u64,
    /// When there may be a next request, by the own clock.
    due: Option<u64>,
    /// What the module is granted, or is about to be: until which value of its clock.
    held: BTreeMap<Key, u64>,
    /// What an earlier agent granted was taken into `held`.
    adopted: bool,
    module: Module,
    /// The last command to the module, when it was given, and whether it is done.
    told: Option<(Command, u64)>,
    told_busy: bool,
    /// When the same command may be given again that had no effect.
    tell_again: Option<u64>,
    sequence: u64,
    /// Ports and addresses were set for these grants.
    settled: Option<[Vec<crate::names::Range>; 2]>,
    /// Since the addresses were last up, nothing that was granted was lost.
    unbroken: bool,
    /// Everything goes, whatever happens meanwhile.
    giving_up: bool,
    /// Since when nothing is sent any more.
    away: Option<u64>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

/// A request that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    id: u64,
    /// The clocks before it was sent.
    sent: Now,
    /// No answer can be of an earlier revision.
    floor: u64,
    /// Nothing: all keys are read.
    request: Option<Request>,
}

/// A transaction, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    step: Step,
    /// The records that this node has if it succeeds, and T of each.
    gains: Vec<(Key, u64)>,
    transaction: Transaction,
}

impl Agent {
    /// An agent that begins its work: with what the machine remembers, and what the module has.
    pub fn new(config: Config, kept: Kept, module: Module) -> Agent {
        Agent {
            want: config.start,
            config,
            kept,
            view: View::default(),
            complete: false,
            trouble: None,
            timing: Timing::default(),
            lease: None,
            lease_asked: false,
            pending: None,
            last_id: 0,
            retry: 0,
            due: None,
            held: BTreeMap::new(),
            adopted: false,
            // What happened before is not known: a fence that is not open may hide anything.
            unbroken: module.fence == Fence::Open,
            sequence: module.grants.sequence,
            module,
            told: None,
            told_busy: false,
            tell_again: None,
            settled: None,
            giving_up: false,
            away: None,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// Takes in what happened, and answers what is to be done. `now` is read before.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.hear(now, event, &mut effects);
        self.look(now, &mut effects);
        self.settle_module(now, &mut effects);
        self.ask(now, &mut effects);
        effects
    }

    /// When to call [`Agent::step`] at the latest, by the own clock, if nothing happens before.
    pub fn wake(&self, now: Now) -> Option<u64> {
        let at = [self.tell_again, self.due].into_iter().flatten().min();
        at.map(|at| at.max(now.own))
    }

    /// What is known of the directory.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Why it does not act.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// What has to be remembered.
    pub fn kept(&self) -> Kept {
        self.kept
    }

    /// The lease that its node key is under, if it is a member.
    pub fn member(&self) -> Option<LeaseId> {
        let (_, entry) = self.view.node(&self.config.identity.node)?;
        self.lease.filter(|lease| entry.lease == Some(*lease))
    }

    /// The lease that it has, or believes to have.
    pub fn lease(&self) -> Option<LeaseId> {
        self.lease
    }

    /// What the module last said of itself.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// What the module is granted, or is about to be: until which value of its clock.
    pub fn held(&self) -> &BTreeMap<Key, u64> {
        &self.held
    }

    /// Everything is being given up, or was, since a drain is asked for.
    pub fn giving_up(&self) -> bool {
        self.giving_up
    }

    /// T, F and L that the cluster goes by, or did when it was last heard of.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// What the cluster goes by, if it is known and believed.
    pub fn conf(&self) -> Option<&Conf> {
        if !self.complete || self.trouble.is_some() {
            return None;
        }
        self.view.conf().map(|(conf, _)| conf)
    }

    /// What this node may act by: it is a member, and believes the directory.
    fn standing(&self) -> Option<Standing<'_>> {
        self.conf()?;
        let (conf, known) = self.view.conf()?;
        Some(Standing {
            identity: &self.config.identity,
            lease: self.member()?,
            conf,
            revision: known.entry.as_ref()?.revision,
            since: known.since,
        })
    }

    /// Looks at what changed: what was granted before, what is lost, what the operator wants.
    fn look(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.adopt(effects);
        self.look_whether_away(now);
        if self.conf().is_none() {
            return;
        }
        let lost = self.lost();
        let drain = Key::Drain(self.config.identity.node.clone());
        let drain = self.view.entry(&drain).is_some();
        if lost.is_none() && !drain {
            self.stop_giving_up(effects);
            return;
        }
        if !self.giving_up {
            effects.extend(lost.map(|key| Effect::Say(Note::Lost(key))));
            self.give_up(effects);
        }
        self.look_whether_away(now);
    }

    /// Begins to give everything up. It cannot be stopped before its end.
    fn give_up(&mut self, effects: &mut Vec<Effect>) {
        self.giving_up = true;
        self.unbroken = false;
        self.settled = None;
        self.away = None;
        effects.push(Effect::Say(Note::GivingUp));
        effects.push(Effect::Addresses(false));
    }

    /// Everything was given up, and nothing speaks against beginning anew.
    fn stop_giving_up(&mut self, effects: &mut Vec<Effect>) {
        let left = self.away.is_some() && self.own_records().next().is_none();
        if self.giving_up && left {
            self.giving_up = false;
            self.away = None;
            effects.push(Effect::Say(Note::GaveUp));
        }
    }

    /// Something that is granted without a record of this node, or with one of an earlier
    /// incarnation.
    fn lost(&self) -> Option<Key> {
        let conf = self.conf()?;
        let identity = &self.config.identity;
        let good = |key: &Key| {
            self.view
                .entry(key)
                .is_some_and(|entry| match &entry.value {
                    crate::records::Value::Record(record) => {
                        record.is_of(identity) && record.incarnation == conf.incarnation
                    }
                    _ => false,
                })
        };
        let untrue = self
            .own_records()
            .find(|seen| seen.record.incarnation != conf.incarnation)
            .map(|seen| seen.key.clone());
        self.held.keys().find(|key| !good(key)).cloned().or(untrue)
    }

    /// How many slices of a protocol it wants now.
    fn wanted(&self, protocol: Protocol) -> u32 {
        self.want[protocol as usize]
    }
}
