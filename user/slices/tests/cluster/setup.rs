// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Clusters to look at, and what may happen to them.

use clinet_slices::Timing;
use clinet_slices::agent::Mutant;
use clinet_slices::records::LeaseId;

/// A cluster to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    pub timing: Timing,
    /// For each machine: its node's name, and whether its clock is fast.
    pub machines: Vec<(&'static str, bool)>,
    pub slices: u16,
    /// Slices that each wants.
    pub start: u32,
    pub mutant: Option<Mutant>,
    /// So many faults may happen at most, of the kinds that are allowed.
    pub faults: u32,
    pub kinds: &'static [Fault],
    /// An agent takes in all that is new for it in one go, and commands to the module are carried out
    /// at once. If not, each of these is an event of its own, and a fence may close early.
    pub coarse: bool,
    pub begin: Begin,
    /// An agent that has nothing runs as soon as there is something new for it.
    pub eager: bool,
}

/// What there is at the beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Begin {
    /// No agent runs.
    Nothing,
    /// All agents are members, and no slice has a record.
    Members,
    /// The first took all slices before the others became members.
    FirstHasAll,
}

/// What may go wrong, or what an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A lease ends although it is kept alive.
    Revoke,
    /// An agent is killed.
    Crash,
    /// A machine starts anew.
    Reboot,
    /// An agent gives up waiting for an answer; its request may arrive yet.
    Lose,
    /// A request arrives twice.
    Repeat,
    /// Following the changes is interrupted.
    Interrupt,
    /// An operator drains a node, and takes that back.
    Drain,
    /// A machine is switched off, and an operator says so.
    Off,
    /// The directory is replaced by a copy, with another id or the same, and then recovered.
    Restore,
}

/// Something that happens, to a machine by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time goes on, for all.
    Tick,
    Start(usize),
    /// The agent runs, and takes in all that is new.
    Run(usize),
    Timer(usize),
    /// The module carries a command out.
    Execute(usize),
    /// All keys are read.
    Answer(usize),
    /// A request arrives and is executed.
    Commit(usize),
    /// Its answer arrives.
    Deliver(usize),
    /// A request arrives that nobody waits for.
    CommitOrphan(usize),
    /// The agent learns what changed in the directory.
    Notice(usize),
    /// The agent learns that its lease has ended.
    LeaseNotice(usize),
    /// The agent learns what the module did by itself.
    ModuleNotice(usize),
    /// The module's fence closes before it has to.
    Fence(usize),
    /// The lease of a dead agent ends.
    Expire(LeaseId),
    Snapshot,
    Recover,
    Restore(bool),
    Undrain(usize),
    Fault(Fault, usize),
}
