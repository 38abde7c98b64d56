// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! When two states are the same: if they differ only in when they are, in the numbers of revisions
//! and leases that can never matter again, or in the names of nodes.

use crate::machine::Machine;
use crate::world::{Fault, World};
use clinet_slices::agent::{Command, Essence, Grants};
use clinet_slices::directory::{Compare, Entry, Known, Operation, Transaction};
use clinet_slices::names::{Key, NodeId};
use clinet_slices::records::{FIRST_INCARNATION, LeaseId, Owner, Record, Tenure, Value};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

struct Canon<'a, H> {
    hasher: &'a mut H,
    world: &'a World,
    /// The machines in an order that does not depend on their names.
    order: Vec<usize>,
    /// All keys, in that order too.
    keys: Rc<Vec<Key>>,
    /// Leases by when they come up.
    leases: Vec<LeaseId>,
    /// Revisions may come back.
    exact: bool,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let mut order: Vec<usize> = (0..self.machines.len()).collect();
        if self.has_equals() {
            order.sort_by_cached_key(|n| self.outline(*n));
        }
        let mut canon = Canon {
            hasher,
            world: self,
            keys: Rc::new(self.keys_in(&order)),
            order: order.clone(),
            leases: Vec::new(),
            exact: self.setup.kinds.contains(&Fault::Restore),
        };
        (self.even, self.faults, self.broken).hash(canon.hasher);
        (self.restored, self.recoveries).hash(canon.hasher);
        for key in Rc::clone(&canon.keys).iter() {
            match self.store.entries.get(key) {
                Some(entry) => canon.entry(key, entry),
                None => 0.hash(canon.hasher),
            }
        }
        if canon.exact {
            self.store.header.hash(canon.hasher);
            if let Some(copy) = &self.copy {
                (&copy.entries, copy.header, &copy.leases).hash(canon.hasher);
            }
        }
        for n in order {
            canon.machine(&self.machines[n]);
        }
    }
}

impl World {
    fn keys_in(&self, order: &[usize]) -> Vec<Key> {
        let nodes = order.iter().map(|n| &self.machines[*n].identity.node);
        let drains = nodes.clone().cloned().map(Key::Drain);
        let records = self.keys.iter().map(|(key, _)| key.clone());
        let nodes = nodes.cloned().map(Key::Node);
        [Key::Conf]
            .into_iter()
            .chain(nodes)
            .chain(drains)
            .chain(records)
            .collect()
    }

    /// Machines may take each other's place.
    fn has_equals(&self) -> bool {
        let fast = self.machines.iter().filter(|m| m.fast).count();
        fast > 1 || self.machines.len() - fast > 1
    }

    /// What of a machine does not depend on names: to put machines in order.
    fn outline(&self, n: usize) -> u64 {
        let machine = &self.machines[n];
        let mut hasher = DefaultHasher::new();
        let mine = |key: &Key, entry: &Entry| match (key, &entry.value) {
            (Key::Node(node), _) => *node == machine.identity.node,
            (_, Value::Record(record)) => record.is_of(&machine.identity),
            _ => false,
        };
        let own = self.store.entries.iter().map(|(k, e)| mine(k, e));
        let mut own: Vec<bool> = own.collect();
        own.sort_unstable();
        (machine.fast, machine.used.len(), machine.module.fence, own).hash(&mut hasher);
        let deadline = machine.module.grants.deadline.saturating_sub(machine.clock);
        (deadline, machine.identity.boot, machine.orphan.is_some()).hash(&mut hasher);
        if let Some(agent) = &machine.agent {
            let essence = agent.essence(machine.now());
            let held: Vec<u64> = essence.held.iter().map(|(_, left)| *left).collect();
            (essence.flags, held, essence.pending, essence.away).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl<H: Hasher> Canon<'_, H> {
    fn node(&mut self, node: &NodeId) {
        let by_name = |n: &usize| self.world.machines[*n].identity.node == *node;
        self.order.iter().position(by_name).hash(self.hasher);
    }

    fn lease(&mut self, lease: LeaseId) {
        let place = self.leases.iter().position(|other| *other == lease);
        if place.is_none() {
            self.leases.push(lease);
            self.world.store.leases.contains(&lease).hash(self.hasher);
        }
        place.unwrap_or(self.leases.len()).hash(self.hasher);
    }

    fn key(&mut self, key: &Key) {
        match key {
            Key::Node(node) => self.node(node),
            Key::Drain(node) => self.node(node),
            other => other.hash(self.hasher),
        }
        std::mem::discriminant(key).hash(self.hasher);
    }

    /// A revision that is not that of the directory never will be.
    fn revision(&mut self, key: &Key, revision: u64) {
        let now = self
            .world
            .store
            .entries
            .get(key)
            .map(|entry| entry.revision);
        (now == Some(revision)).hash(self.hasher);
        if self.exact {
            revision.hash(self.hasher);
        }
    }

    fn entry(&mut self, key: &Key, entry: &Entry) {
        self.revision(key, entry.revision);
        if let Some(lease) = entry.lease {
            self.lease(lease);
        }
        self.value(&entry.value);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Record(record) => self.record(record),
            Value::Conf(conf) => conf.incarnation.hash(self.hasher),
            Value::Node(node) => {
                let by_machine =
                    |n: &usize| self.world.machines[*n].identity.machine == node.machine;
                let place = self.order.iter().position(by_machine);
                (place, node.boot).hash(self.hasher);
            }
            Value::There | Value::Unreadable => {}
        }
    }

    fn record(&mut self, record: &Record) {
        record.incarnation.hash(self.hasher);
        std::mem::discriminant(&record.tenure).hash(self.hasher);
        if let Some(owner) = record.owner() {
            self.owner(owner);
        }
    }

    fn owner(&mut self, owner: &Owner) {
        self.node(&owner.node);
        self.lease(owner.epoch);
        owner.boot.hash(self.hasher);
    }

    fn transaction(&mut self, transaction: &Transaction) {
        for compare in &transaction.compares {
            self.key(compare.key());
            std::mem::discriminant(compare).hash(self.hasher);
            match compare {
                Compare::Absent(_) => {}
                Compare::Revision(key, revision) => self.revision(key, *revision),
                Compare::Lease(_, lease) => self.lease(*lease),
            }
        }
        for operation in &transaction.operations {
            match operation {
                Operation::Put(key, value, lease) => {
                    self.key(key);
                    self.value(value);
                    if let Some(lease) = lease {
                        self.lease(*lease);
                    }
                }
                Operation::Delete(key) => self.key(key),
            }
        }
    }

    fn machine(&mut self, machine: &Machine) {
        let past = self.world.setup.timing.fence + 1;
        let rest = |at: u64| (at + past).saturating_sub(machine.clock);
        (machine.fast, machine.identity.boot, &machine.used).hash(self.hasher);
        let echo = machine.echo.iter().map(|(key, at)| (key, rest(*at)));
        echo.for_each(|echo| echo.hash(self.hasher));
        machine.module.fence.hash(self.hasher);
        self.grants(&machine.module.grants, machine);
        match &machine.command {
            None => 0.hash(self.hasher),
            Some(Command::Grants(grants)) => self.grants(grants, machine),
            Some(Command::Deadline {
                epoch, deadline, ..
            }) => {
                self.lease(*epoch as LeaseId);
                rest(*deadline).hash(self.hasher);
            }
            Some(Command::Fence) => 1.hash(self.hasher),
            Some(Command::Unfence { epoch, kept, .. }) => {
                self.lease(*epoch as LeaseId);
                kept.hash(self.hasher);
            }
        }
        if let Some(orphan) = &machine.orphan
            && !self.world.is_hopeless(orphan)
        {
            self.transaction(orphan);
        }
        if self.exact {
            machine.kept.hash(self.hasher);
        }
        let Some(agent) = &machine.agent else {
            return;
        };
        machine.reading.is_some().hash(self.hasher);
        let mut answered = None;
        if let Some(flight) = &machine.flight {
            self.transaction(&flight.transaction);
            flight.answer.is_some().hash(self.hasher);
            if let Some(Some(answer)) = &flight.answer {
                answered = Some(answer.header.revision);
                answer.done.hash(self.hasher);
                for key in Rc::clone(&self.keys).iter() {
                    let answered = answer.entries.iter().find(|(other, _)| other == key);
                    match answered {
                        None => 0.hash(self.hasher),
                        Some((_, None)) => 1.hash(self.hasher),
                        Some((_, Some(entry))) => self.entry(key, entry),
                    }
                }
                for operation in &flight.transaction.operations {
                    if let Operation::Put(key, ..) = operation {
                        self.revision(key, answer.header.revision);
                    }
                }
            }
        }
        self.essence(&agent.essence(machine.now()), machine, answered);
    }

    fn grants(&mut self, grants: &Grants, machine: &Machine) {
        let past = self.world.setup.timing.fence + 1;
        let rest = (grants.deadline + past).saturating_sub(machine.clock);
        (&grants.ports, rest).hash(self.hasher);
        self.lease(grants.epoch as LeaseId);
    }

    fn essence(&mut self, essence: &Essence, machine: &Machine, answered: Option<u64>) {
        let timing = &self.world.setup.timing;
        let (q, t) = (timing.quarantine() + 1, timing.lifetime + 1);
        let pending = essence.pending.map(|(step, age)| (step, age.min(t)));
        let away = essence.away.map(|age| age.min(q));
        (essence.flags, essence.trouble, &essence.held).hash(self.hasher);
        (pending, essence.retry, essence.due, away).hash(self.hasher);
        essence.module.fence.hash(self.hasher);
        self.grants(&essence.module.grants, machine);
        match essence.lease {
            Some(lease) => self.lease(lease),
            None => 0.hash(self.hasher),
        }
        for key in Rc::clone(&self.keys).iter() {
            let Some(known) = essence.view.known(key) else {
                0.hash(self.hasher);
                continue;
            };
            answered.is_some_and(|at| known.at > at).hash(self.hasher);
            if self.age_matters(key, known) {
                (machine.clock - known.since).min(q).hash(self.hasher);
            }
            if self.exact {
                known.at.hash(self.hasher);
            }
            match &known.entry {
                Some(entry) => self.entry(key, entry),
                None => 1.hash(self.hasher),
            }
        }
    }

    /// Only what is waited for.
    fn age_matters(&self, key: &Key, known: &Known) -> bool {
        match known.entry.as_ref().map(|entry| &entry.value) {
            Some(Value::Conf(conf)) => conf.incarnation != FIRST_INCARNATION,
            Some(Value::Record(record)) => !matches!(record.tenure, Tenure::Own(_)),
            Some(_) => false,
            None => key.is_record(),
        }
    }
}
