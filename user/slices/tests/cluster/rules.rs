// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The rules that hold whatever happens.

use crate::machine::{Broken, Machine};
use crate::store::Store;
use crate::world::World;
use clinet_slices::directory::Operation;
use clinet_slices::names::Key;
use clinet_slices::records::{Owner, Record, Tenure, Value};

impl World {
    /// Which rule does not hold.
    pub fn violation(&self) -> Option<Broken> {
        if self.broken.is_some() {
            return self.broken;
        }
        for slice in 0..self.slices.len() {
            let heard = self.machines.iter().filter(|m| m.is_heard(slice));
            if heard.count() > 1 {
                return Some("I1: two nodes send from one port");
            }
        }
        for (n, machine) in self.machines.iter().enumerate() {
            if let Some(broken) = self.machine_violation(n, machine) {
                return Some(broken);
            }
        }
        None
    }

    fn machine_violation(&self, n: usize, machine: &Machine) -> Option<Broken> {
        let mut granted = machine.granted(&self.slices);
        let truthful = !self.restored;
        if truthful && !machine.lapsed() && !granted.all(|slice| self.has_record(n, slice)) {
            return Some("I2: what is registered has no record");
        }
        let late = machine.clock > machine.module.grants.deadline + self.setup.timing.fence;
        if late && machine.sends() {
            return Some("I5: something is sent after the deadline + F");
        }
        None
    }

    /// I4: a record changes hands only through quarantine, or by leaving.
    pub fn check_change(&self, n: usize, before: &Store, operation: &Operation) -> Option<Broken> {
        let (key, new) = match operation {
            Operation::Put(key, Value::Record(record), _) => (key, record.owner()),
            Operation::Delete(key) => (key, None),
            Operation::Put(..) => return None,
        };
        let old = record(before, key)?;
        let same =
            |a: &Owner, b: &Owner| (&a.node, a.machine, a.boot) == (&b.node, b.machine, b.boot);
        match (&old.tenure, new) {
            (Tenure::Own(owner), Some(new)) if !same(owner, new) => {
                Some("I4: a record changed hands without a quarantine")
            }
            (Tenure::Own(owner) | Tenure::Quarantine(owner), None) => {
                let machine = &self.machines[n];
                let slice = self.slices.iter().position(|(slice, _)| slice == key);
                let heard = slice.is_some_and(|slice| machine.is_heard(slice));
                let left = owner.machine == machine.identity.machine && !heard;
                (!left && !self.restored).then_some("I4: a record went that was in use")
            }
            _ => None,
        }
    }

    pub fn break_rule(&mut self, broken: Option<Broken>) {
        self.broken = self.broken.or(broken);
    }

    /// The directory says that the slice is this machine's.
    pub fn has_record(&self, n: usize, slice: usize) -> bool {
        record(&self.store, &self.slices[slice].0)
            .is_some_and(|record| record.is_of(&self.machines[n].identity))
    }
}

fn record<'a>(store: &'a Store, key: &Key) -> Option<&'a Record> {
    match &store.entries.get(key)?.value {
        Value::Record(record) => Some(record),
        _ => None,
    }
}
