// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When two states are the same: if the same can happen from here on. So they may differ in when
//! they are, in the numbers of revisions and leases that can never matter again, in the names of
//! nodes, and in what an agent believes that will be told otherwise before it acts on it.
//!
//! A state is written down as bytes, and two are the same if the bytes are. The tests of `same` look
//! whether they are right to be.

use crate::machine::{Flight, Machine};
use crate::store::Store;
use crate::text::Text;
use crate::world::World;
use clinet_slices::agent::{Essence, Grants, Step};
use clinet_slices::directory::{Compare, Entry, Known, Operation, Transaction};
use clinet_slices::names::{Key, NodeId};
use clinet_slices::records::{FIRST_INCARNATION, LeaseId, Owner, Record, Tenure, Value};
use std::hash::Hash;

/// Writes a state down.
pub struct Canon<'a> {
    pub text: Text,
    world: &'a World,
    /// The machines in an order that does not depend on their names.
    order: Vec<usize>,
    /// Leases by when they come up.
    leases: Vec<LeaseId>,
    /// Revisions may come back.
    exact: bool,
}

impl<'a> Canon<'a> {
    pub fn new(world: &'a World, order: Vec<usize>) -> Canon<'a> {
        Canon {
            text: Text(Vec::with_capacity(512)),
            world,
            order,
            leases: Vec::with_capacity(8),
            exact: world.revisions_return(),
        }
    }

    /// All keys that may be in the directory.
    fn keys(&self) -> impl Iterator<Item = &'a Key> + use<'a> {
        let (world, order) = (self.world, self.order.clone());
        let machine = move |n: usize| &world.machines[order[n]];
        let keys = (0..world.machines.len()).flat_map(move |n| machine(n).keys.iter());
        let slices = world.slices.iter().map(|(key, _)| key);
        [&Key::Conf].into_iter().chain(keys).chain(slices)
    }

    pub fn world(&mut self) {
        let world = self.world;
        self.text.flags(&[world.even, world.restored]);
        self.text.number(world.faults);
        self.text.number(world.recoveries);
        world.broken.hash(&mut self.text);
        self.store(&world.store);
        self.text.flags(&[world.copy.is_some()]);
        if let Some(copy) = &world.copy {
            self.store(copy);
        }
        for n in self.order.clone() {
            self.machine(&world.machines[n]);
        }
    }

    fn store(&mut self, store: &Store) {
        for key in self.keys() {
            let entry = store.entries.get(key);
            self.text.flags(&[entry.is_some()]);
            if let Some(entry) = entry {
                self.entry(key, entry);
            }
        }
        if self.exact {
            store.header.hash(&mut self.text);
        }
    }

    fn place(&mut self, is_it: impl Fn(&Machine) -> bool) {
        let is_it = |n: &usize| is_it(&self.world.machines[*n]);
        let place = self.order.iter().position(is_it);
        self.text.number(place.unwrap_or(self.order.len()));
    }

    fn node(&mut self, node: &NodeId) {
        self.place(|machine| machine.identity.node == *node);
    }

    fn lease(&mut self, lease: LeaseId) {
        let place = self.leases.iter().position(|other| *other == lease);
        self.text.number(place.unwrap_or(self.leases.len()));
        if place.is_none() {
            self.leases.push(lease);
            let copy = self.world.copy.as_ref();
            let alive = self.world.store.leases.contains(&lease);
            let saved = copy.is_some_and(|copy| copy.leases.contains(&lease));
            self.text.flags(&[alive, saved]);
        }
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::Conf => self.text.number(0u8),
            Key::Node(node) => {
                self.text.number(1u8);
                self.node(node);
            }
            Key::Drain(node) => {
                self.text.number(2u8);
                self.node(node);
            }
            other => other.hash(&mut self.text),
        }
    }

    /// A revision that is not that of the directory never will be.
    fn revision(&mut self, key: &Key, revision: u64) {
        let entry = self.world.store.entries.get(key);
        let current = entry.is_some_and(|entry| entry.revision == revision);
        self.text.flags(&[current]);
        if self.exact {
            self.text.number(revision);
        }
    }

    fn entry(&mut self, key: &Key, entry: &Entry) {
        self.revision(key, entry.revision);
        self.text.flags(&[entry.lease.is_some()]);
        if let Some(lease) = entry.lease {
            self.lease(lease);
        }
        self.value(&entry.value);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Record(record) => self.record(record),
            Value::Conf(conf) => self.text.number(conf.incarnation),
            Value::Node(node) => {
                self.place(|machine| machine.identity.machine == node.machine);
                self.text.number(node.boot.0);
            }
            Value::There | Value::Unreadable => {}
        }
    }

    fn record(&mut self, record: &Record) {
        self.text.number(record.incarnation);
        let (tenure, owner) = match &record.tenure {
            Tenure::Own(owner) => (0u8, Some(owner)),
            Tenure::Quarantine(owner) => (1, Some(owner)),
            Tenure::Free => (2, None),
        };
        self.text.number(tenure);
        if let Some(owner) = owner {
            self.owner(owner);
        }
    }

    fn owner(&mut self, owner: &Owner) {
        self.node(&owner.node);
        self.lease(owner.epoch);
        self.text.number(owner.boot.0);
    }

    fn transaction(&mut self, transaction: &Transaction) {
        self.text.number(transaction.compares.len());
        for compare in &transaction.compares {
            self.key(compare.key());
            match compare {
                Compare::Absent(_) => self.text.number(0u8),
                Compare::Revision(key, revision) => {
                    self.text.number(1u8);
                    self.revision(key, *revision);
                }
                Compare::Lease(_, lease) => {
                    self.text.number(2u8);
                    self.lease(*lease);
                }
            }
        }
        self.text.number(transaction.operations.len());
        for operation in &transaction.operations {
            match operation {
                Operation::Put(key, value, lease) => {
                    self.key(key);
                    self.text.flags(&[true, lease.is_some()]);
                    self.value(value);
                    if let Some(lease) = lease {
                        self.lease(*lease);
                    }
                }
                Operation::Delete(key) => {
                    self.key(key);
                    self.text.flags(&[false]);
                }
            }
        }
    }

    fn machine(&mut self, machine: &Machine) {
        // A command is carried out at once where states are compared.
        assert!(machine.command.is_none(), "{:?}", machine.command);
        self.text.flags(&[machine.fast]);
        self.text.number(machine.identity.boot.0);
        self.text.number(machine.used.0);
        self.text.number(machine.echo.len());
        for (slice, until) in &machine.echo {
            self.text.number(*slice);
            self.text.number((until + 1).saturating_sub(machine.clock));
        }
        self.text.number(machine.module.fence as u8);
        // Until the fence is closed; and if nothing is sent, until the grants have lapsed.
        let past = match machine.sends() {
            true => self.world.setup.timing.fence + 1,
            false => 1,
        };
        self.grants(&machine.module.grants, machine, past);
        let orphan = self.world.orphan(machine);
        self.text
            .flags(&[orphan.is_some(), machine.agent.is_some()]);
        if let Some(orphan) = orphan {
            self.transaction(orphan);
        }
        if self.exact {
            machine.kept.hash(&mut self.text);
        }
        if let Some(agent) = &machine.agent {
            let reading = machine.reading.is_some();
            self.text.flags(&[reading, machine.flight.is_some()]);
            let essence = agent.essence(machine.now());
            let mut answered = None;
            if let Some(flight) = &machine.flight {
                answered = self.flight(flight, &essence);
            }
            self.essence(&essence, machine, answered);
        }
    }

    /// Answers the revision of the answer, if there is one.
    ///
    /// An answer is taken in after what the directory is, and so it says nothing new of any key. What
    /// is left of it is whether something was gained, and if so, what.
    fn flight(&mut self, flight: &Flight, essence: &Essence) -> Option<u64> {
        let answer = flight.answer.as_ref();
        self.text.flags(&[answer.is_some()]);
        let Some(answer) = answer else {
            self.transaction(&flight.transaction);
            self.pending(essence);
            return None;
        };
        let done = answer.as_ref().filter(|answer| answer.done);
        let gained = done.is_some() && gains(essence);
        self.text.flags(&[gained]);
        if gained {
            self.pending(essence);
            let compares = &flight.transaction.compares;
            self.text.number(compares.len());
            compares.iter().for_each(|compare| self.key(compare.key()));
        }
        let answer = answer.as_ref().filter(|_| self.exact)?;
        self.text.flags(&[answer.done]);
        self.transaction(&flight.transaction);
        for key in self.keys() {
            let answered = answer.entries.iter().find(|(other, _)| other == key);
            let entry = answered.and_then(|(_, entry)| entry.as_ref());
            self.text.flags(&[answered.is_some(), entry.is_some()]);
            if let Some(entry) = entry {
                self.entry(key, entry);
            }
        }
        answer.header.hash(&mut self.text);
        Some(answer.header.revision)
    }

    /// What the request is for, and how old it is, where that counts: what is gained lasts until T
    /// after it was sent. Once that is over it does not matter how long.
    fn pending(&mut self, essence: &Essence) {
        let Some((step, age)) = essence.pending else {
            return;
        };
        let most = self.world.setup.timing.lifetime;
        self.text
            .number(step.map_or(u8::MAX - 1, |step| step as u8));
        self.text
            .number(if gains(essence) { age.min(most) } else { 0 });
    }

    fn grants(&mut self, grants: &Grants, machine: &Machine, past: u64) {
        self.text
            .number((grants.deadline + past).saturating_sub(machine.clock));
        self.lease(grants.epoch as LeaseId);
        for ports in &grants.ports {
            self.text.number(ports.len());
            for range in ports {
                self.text.number(range.first);
                self.text.number(range.last);
            }
        }
    }

    fn essence(&mut self, essence: &Essence, machine: &Machine, answered: Option<u64>) {
        let timing = &self.world.setup.timing;
        let q = timing.quarantine() + 1;
        self.text.flags(&essence.flags);
        essence.want.iter().for_each(|want| self.text.number(*want));
        essence.trouble.hash(&mut self.text);
        self.text.number(essence.held.len());
        for (key, until) in essence.held {
            self.key(key);
            self.text.number(until.saturating_sub(machine.clock));
        }
        self.text.number(essence.retry);
        self.text
            .number(essence.away.map_or(0, |age| 1 + age.min(q)));
        let told = *essence.module == machine.module;
        self.text.flags(&[told, essence.lease.is_some()]);
        if !told {
            self.text.number(essence.module.fence as u8);
            self.grants(&essence.module.grants, machine, 0);
        }
        if let Some(lease) = essence.lease {
            self.lease(lease);
        }
        let mut behind = false;
        for key in self.keys() {
            behind |= self.known(key, essence.view.known(key), machine.clock, q);
            if let Some(known) = essence.view.known(key).filter(|_| self.exact) {
                self.text.number(known.at);
                self.text.flags(&[
                    answered.is_some_and(|at| known.at > at),
                    known.entry.is_some(),
                ]);
                if let Some(entry) = &known.entry {
                    self.entry(key, entry);
                }
            }
        }
        // Something new is as good as a timer.
        let due = essence.due.filter(|_| self.exact || !behind);
        self.text.number(due.map_or(0, |left| 1 + left));
    }

    /// Answers whether what is known of a key is not what it is. Then the agent is told before
    /// anything else, and forgets what it was.
    fn known(&mut self, key: &Key, known: Option<&Known>, clock: u64, q: u64) -> bool {
        let entry = self.world.store.entries.get(key);
        let current = known.and_then(|known| known.entry.as_ref()) == entry;
        let known = known.filter(|_| current);
        self.text.flags(&[current, known.is_some()]);
        if let Some(known) = known.filter(|known| age_matters(key, known)) {
            self.text.number((clock - known.since).min(q));
        }
        !current
    }
}

/// If it is done, the agent has something.
fn gains(essence: &Essence) -> bool {
    let step = essence.pending.and_then(|(step, _)| step);
    let gaining = [Step::Take, Step::TakeOver, Step::Renew, Step::Retake];
    step.is_some_and(|step| gaining.contains(&step))
}

/// Only what is waited for.
fn age_matters(key: &Key, known: &Known) -> bool {
    match known.entry.as_ref().map(|entry| &entry.value) {
        Some(Value::Conf(conf)) => conf.incarnation != FIRST_INCARNATION,
        Some(Value::Record(record)) => !matches!(record.tenure, Tenure::Own(_)),
        Some(_) => false,
        None => key.is_record(),
    }
}
