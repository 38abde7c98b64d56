// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! A machine: its clock, its module, its agent, and what is under way between them and the
//! directory.

use crate::store::Answer;
use clinet_slices::agent::{Agent, Command, Config, Fence, Grants, Kept, Module};
use clinet_slices::directory::Transaction;
use clinet_slices::names::{Identity, Key, Name, Range, Uuid};
use clinet_slices::{Now, Timing};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A request to the directory that the agent waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Flight {
    pub id: u64,
    /// The module's clock when it was sent.
    pub sent: u64,
    pub transaction: Arc<Transaction>,
    /// Once it was executed: the answer, or that its lease has ended.
    pub answer: Option<Option<Answer>>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub identity: Identity,
    /// The keys of its node.
    pub keys: Arc<[Key; 2]>,
    /// Its clock goes at the highest rate that is allowed, or else at the lowest.
    pub fast: bool,
    pub clock: u64,
    pub agent: Option<Arc<Agent>>,
    pub kept: Kept,
    pub start: u32,
    /// A command to the module that was not carried out yet.
    pub command: Option<Command>,
    /// A reading of all keys that was not answered yet.
    pub reading: Option<u64>,
    pub flight: Option<Arc<Flight>>,
    /// A request that nobody waits for any more, and that may still arrive.
    pub orphan: Option<Arc<Transaction>>,
    pub module: Module,
    /// Slices that programs may have sockets of.
    pub used: Slices,
    /// Until when packets may be on their way that were sent from them.
    pub echo: BTreeMap<usize, u64>,
}

/// Some of the slices, of which there are no more than 32.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slices(pub u32);

impl Slices {
    pub fn has(self, slice: usize) -> bool {
        self.0 >> slice & 1 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn numbers(self) -> impl Iterator<Item = usize> {
        (0..32).filter(move |slice| self.has(*slice))
    }
}

/// What no machine may do.
pub type Broken = &'static str;

impl Machine {
    pub fn new(name: &str, machine: u128, fast: bool, start: u32, fence: Fence) -> Machine {
        let node = Name::new(name).unwrap();
        Machine {
            keys: Arc::new([Key::Node(node.clone()), Key::Drain(node.clone())]),
            identity: Identity {
                node,
                machine: Uuid(machine),
                boot: Uuid(0),
            },
            fast,
            clock: 1000,
            agent: None,
            kept: Kept::default(),
            start,
            command: None,
            reading: None,
            flight: None,
            orphan: None,
            module: Module {
                grants: no_grants(),
                fence,
                fence_time: 0,
            },
            used: Slices::default(),
            echo: BTreeMap::new(),
        }
    }

    pub fn now(&self) -> Now {
        Now {
            own: self.clock,
            module: self.clock,
        }
    }

    pub fn config(&self) -> Config {
        Config {
            identity: self.identity.clone(),
            pool: Name::new("p").unwrap(),
            version: Name::new("1").unwrap(),
            start: [self.start, 0],
        }
    }

    /// What was granted is not registered any more. The reading of the deadline itself is still in
    /// time: that is the tick by which a reading may be behind.
    pub fn lapsed(&self) -> bool {
        self.clock > self.module.grants.deadline
    }

    /// The numbers of the slices that the module is granted.
    pub fn granted(&self, slices: &[(Key, Range)]) -> impl Iterator<Item = usize> {
        let ports = &self.module.grants.ports;
        let is_granted = |(key, range): &(Key, Range)| {
            let protocol = key.protocol().map_or(0, |protocol| protocol as usize);
            let mut granted = ports[protocol].iter();
            granted.any(|granted| granted.has(range.first) && granted.has(range.last))
        };
        (0..slices.len()).filter(move |slice| is_granted(&slices[*slice]))
    }

    /// Something leaves.
    pub fn sends(&self) -> bool {
        self.module.fence != Fence::Closed && !self.used.is_empty()
    }

    /// It sends from the slice, or a packet that it sent is on its way.
    pub fn is_heard(&self, slice: usize) -> bool {
        self.sends() && self.used.has(slice)
            || self
                .echo
                .get(&slice)
                .is_some_and(|until| self.clock <= *until)
    }

    /// Programs use whatever they may.
    pub fn use_all(&mut self, slices: &[(Key, Range)]) {
        if !self.lapsed() && self.module.fence != Fence::Closed {
            self.used.0 |= self.granted(slices).fold(0, |all, slice| all | 1 << slice);
        }
    }

    /// To be called before anything that stops packets, and before the clock goes on.
    fn note_sent(&mut self, timing: &Timing) {
        if timing.linger == 0 || self.module.fence == Fence::Closed {
            return;
        }
        let until = self.clock + timing.linger;
        let used = self.used.numbers();
        self.echo.extend(used.map(|slice| (slice, until)));
    }

    pub fn close_fence(&mut self, timing: &Timing) {
        self.note_sent(timing);
        if self.module.fence == Fence::Open {
            self.module.fence = Fence::Closed;
        }
    }

    /// The fence may close: the deadline has passed.
    pub fn may_fence(&self) -> bool {
        self.lapsed() && self.module.fence == Fence::Open && !self.used.is_empty()
    }

    /// The clock goes on, and the module's thread with it: F after the deadline the fence is closed.
    pub fn tick(&mut self, timing: &Timing) {
        self.note_sent(timing);
        self.clock += 1;
        let clock = self.clock;
        self.echo.retain(|_, until| *until >= clock);
        if self.may_fence() && clock > self.module.grants.deadline + timing.fence {
            self.module.fence = Fence::Closed;
        }
    }

    /// Carries the command out, as the device would.
    pub fn execute(&mut self, slices: &[(Key, Range)], timing: &Timing) -> Option<Broken> {
        let grants = &mut self.module.grants;
        match self.command.take()? {
            Command::Grants(new) if new.sequence > grants.sequence => *grants = new,
            Command::Deadline {
                epoch,
                sequence,
                deadline,
            } if epoch == grants.epoch && sequence > grants.sequence => {
                grants.sequence = sequence;
                grants.deadline = deadline;
            }
            Command::Fence => {
                grants.deadline = 0;
                self.close_fence(timing);
            }
            Command::Unfence {
                epoch,
                sequence,
                kept,
            } if epoch == grants.epoch
                && sequence > grants.sequence
                && self.clock <= grants.deadline =>
            {
                grants.sequence = sequence;
                self.module.fence = Fence::Open;
                if !kept {
                    self.used = Slices::default();
                }
            }
            _ => {}
        }
        self.use_all(slices);
        self.check_deadline(slices)
    }

    /// The module's deadline is covered by each record that the agent knows to have.
    fn check_deadline(&self, slices: &[(Key, Range)]) -> Option<Broken> {
        let held = self.agent.as_ref()?.held();
        let late = self.granted(slices).any(|slice| {
            let until = held.get(&slices[slice].0).copied().unwrap_or(0);
            until < self.module.grants.deadline
        });
        (late && !self.lapsed()).then_some("I3: the module's deadline is beyond what was renewed")
    }

    /// The agent dies: what it sent may still arrive.
    pub fn crash(&mut self) {
        self.agent = None;
        self.command = None;
        self.reading = None;
        if let Some(flight) = self.flight.take() {
            self.abandon(&flight);
        }
    }

    pub fn abandon(&mut self, flight: &Flight) {
        if flight.answer.is_none() {
            self.orphan = Some(Arc::clone(&flight.transaction));
        }
    }

    /// The machine starts anew, with nothing but its disk.
    pub fn reboot(&mut self, timing: &Timing) {
        self.note_sent(timing);
        self.crash();
        self.identity.boot.0 += 1;
        self.module.grants = no_grants();
        if self.module.fence != Fence::Never {
            self.module.fence = Fence::Open;
        }
        self.used = Slices::default();
    }
}

fn no_grants() -> Grants {
    Grants {
        epoch: 0,
        sequence: 0,
        deadline: 0,
        space: [None, None],
        ports: [Vec::new(), Vec::new()],
    }
}
