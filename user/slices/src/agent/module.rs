// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What an agent has the module do.
//!
//! The module's grants are always those in `held`, with the least of their times as the deadline.
//! Ports only ever go from its grants when its fence is closed, and then all of them.

use super::{Agent, Command, Effect, Fence, Grants};
use crate::names::{Key, Protocol, Range};
use crate::records::Value;
use crate::time::Now;

impl Agent {
    /// Nothing leaves from a granted port, and nothing is granted. A module that never had a grant in
    /// this boot did not bring the addresses up.
    pub(super) fn is_away(&self) -> bool {
        self.module.grants.ports.iter().all(Vec::is_empty) && self.module.fence != Fence::Moving
    }

    /// Notes when the module has nothing any more of what is given up.
    pub(super) fn look_whether_away(&mut self, now: Now) {
        if self.giving_up && self.away.is_none() && !self.told_busy && self.is_away() {
            self.away = Some(now.own);
            self.held.clear();
        }
    }

    /// Takes over what an earlier agent granted, once the slices are known. Ports that are no slice
    /// and not reserved were lost.
    pub(super) fn adopt(&mut self, effects: &mut Vec<Effect>) {
        if self.adopted || self.conf().is_none() {
            return;
        }
        self.adopted = true;
        let deadline = self.module.grants.deadline;
        for protocol in Protocol::ALL {
            let keys = self.keys_of(protocol);
            let covered = Range::join(keys.iter().map(|(_, range)| *range).collect());
            self.held
                .extend(keys.into_iter().map(|(key, _)| (key, deadline)));
            if covered != self.module.grants.ports[protocol as usize] && !self.giving_up {
                self.give_up(effects);
            }
        }
    }

    /// The slices and reserved ports that the module's grants cover whole.
    fn keys_of(&self, protocol: Protocol) -> Vec<(Key, Range)> {
        let Some(conf) = self.conf() else {
            return Vec::new();
        };
        let granted = &self.module.grants.ports[protocol as usize];
        let covers = |range: &Range| {
            granted
                .iter()
                .any(|granted| granted.has(range.first) && granted.has(range.last))
        };
        let slices = (0..conf.slices(protocol))
            .filter_map(|n| conf.nth(protocol, n))
            .map(|range| (Key::Slice(protocol, range.first), range));
        let reserved = self.view.records().filter_map(|(key, ..)| match key {
            Key::Reserve(of, port) if *of == protocol => {
                let range = Range {
                    first: *port,
                    last: *port,
                };
                Some((key.clone(), range))
            }
            _ => None,
        });
        slices
            .chain(reserved)
            .filter(|(_, range)| covers(range))
            .collect()
    }

    /// Gives the module its next command, if it needs one.
    pub(super) fn settle_module(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.tell_again = None;
        if self.told_busy {
            return;
        }
        let command = if self.giving_up {
            self.giving_up_command()
        } else {
            self.granting_command(now)
        };
        match command {
            Some(command) => self.tell(now, command, effects),
            None => self.settle_ports(effects),
        }
    }

    /// Fence first, then no grants.
    fn giving_up_command(&mut self) -> Option<Command> {
        if self.is_away() {
            return None;
        }
        match self.module.fence {
            Fence::Open => Some(Command::Fence),
            Fence::Moving => None,
            Fence::Closed | Fence::Never => {
                let grants = Grants {
                    sequence: self.sequence + 1,
                    deadline: 0,
                    ports: Default::default(),
                    ..self.module.grants.clone()
                };
                Some(Command::Grants(grants))
            }
        }
    }

    /// The grants, then the deadline, then the addresses.
    fn granting_command(&mut self, now: Now) -> Option<Command> {
        let lease = self.standing()?.lease;
        let conf = *self.conf()?;
        let deadline = *self.held.values().min()?;
        if deadline <= now.module {
            return None;
        }
        let wanted = Grants {
            epoch: lease as u64,
            sequence: self.sequence + 1,
            deadline,
            space: Protocol::ALL.map(|protocol| conf.space(protocol)),
            ports: Protocol::ALL.map(|protocol| self.ports(protocol)),
        };
        let has = &self.module.grants;
        let same =
            (wanted.epoch, &wanted.space, &wanted.ports) == (has.epoch, &has.space, &has.ports);
        if !same {
            return Some(Command::Grants(wanted));
        }
        if deadline > has.deadline {
            return Some(Command::Deadline {
                epoch: wanted.epoch,
                sequence: wanted.sequence,
                deadline,
            });
        }
        (self.module.fence == Fence::Closed).then_some(Command::Unfence {
            epoch: wanted.epoch,
            sequence: wanted.sequence,
            kept: self.unbroken,
        })
    }

    fn ports(&self, protocol: Protocol) -> Vec<Range> {
        let ranges = self.held.keys().filter_map(|key| match key {
            Key::Slice(of, first) if *of == protocol => {
                let last = match &self.view.entry(key)?.value {
                    Value::Record(record) => record.last,
                    _ => return None,
                };
                Some(Range {
                    first: *first,
                    last,
                })
            }
            Key::Reserve(of, port) if *of == protocol => Some(Range {
                first: *port,
                last: *port,
            }),
            _ => None,
        });
        Range::join(ranges.collect())
    }

    /// The same command is not given again at once, where it had no effect.
    fn tell(&mut self, now: Now, command: Command, effects: &mut Vec<Effect>) {
        let retry = self.timing().retry();
        let again = match &self.told {
            Some((told, at)) if told.is_like(&command) => at + retry,
            _ => now.own,
        };
        if now.own < again {
            self.tell_again = Some(again);
            return;
        }
        self.sequence += 1;
        self.told = Some((command.clone(), now.own));
        self.told_busy = true;
        effects.push(Effect::Module(command));
    }

    /// Once the module has its grants: programs choose their ports from them, and the addresses come
    /// up.
    fn settle_ports(&mut self, effects: &mut Vec<Effect>) {
        let ports = &self.module.grants.ports;
        let open = matches!(self.module.fence, Fence::Open | Fence::Never);
        let none = ports.iter().all(Vec::is_empty);
        if self.giving_up || !self.adopted || none || !open {
            return;
        }
        if self.settled.as_ref() == Some(ports) {
            return;
        }
        let Some(conf) = self.conf().copied() else {
            return;
        };
        for protocol in Protocol::ALL {
            let space = conf.space(protocol);
            let in_space = |range: &&Range| space.is_some_and(|space| space.has(range.first));
            if let Some(range) = ports[protocol as usize].iter().find(in_space) {
                effects.push(Effect::Ephemeral(protocol, *range));
            }
        }
        effects.push(Effect::Addresses(true));
        self.settled = Some(ports.clone());
    }
}

impl Command {
    /// The same but for the sequence.
    fn is_like(&self, other: &Command) -> bool {
        let mut command = self.clone();
        match (&mut command, other) {
            (Command::Grants(grants), Command::Grants(other)) => {
                grants.sequence = other.sequence;
            }
            (
                Command::Unfence { sequence, .. },
                Command::Unfence {
                    sequence: other, ..
                },
            )
            | (
                Command::Deadline { sequence, .. },
                Command::Deadline {
                    sequence: other, ..
                },
            ) => {
                *sequence = *other;
            }
            _ => {}
        }
        command == *other
    }
}
