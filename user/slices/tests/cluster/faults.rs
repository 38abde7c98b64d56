// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What goes wrong, and what operators do.

use crate::setup::{Action, Fault};
use crate::store::Store;
use crate::world::World;
use clinet_slices::agent::Event;
use clinet_slices::directory::{Header, View};
use clinet_slices::operator;
use std::sync::Arc;

impl World {
    pub fn restore(&mut self, new_id: bool) {
        let Some(copy) = &self.copy else { return };
        let mut store = Store::clone(copy);
        if new_id {
            store.header = Header {
                cluster: self.store.header.cluster + 1,
                ..store.header
            };
        }
        self.store = Arc::new(store);
        self.faults -= 1;
        self.restored = true;
        if !new_id {
            // Nobody can tell it from what it was: so nobody gets to see it before.
            self.recover();
        }
    }

    pub fn recover(&mut self) {
        let view = View::read(self.store.header.revision, self.store.all(), 0);
        self.recoveries += 1;
        let incarnation = 100 + self.recoveries;
        let recover = operator::recover(&view, self.store.header, incarnation, None).unwrap();
        self.store().commit(&recover);
    }

    pub fn fault(&mut self, fault: Fault, n: usize) {
        let timing = self.setup.timing;
        self.faults -= 1;
        match fault {
            Fault::Revoke => {
                let lease = self.machines[n].agent.as_ref().and_then(|a| a.lease());
                self.store().revoke(lease.unwrap_or_default());
            }
            Fault::Crash => self.machine(n).crash(),
            Fault::Reboot => self.machine(n).reboot(&timing),
            Fault::Lose => self.lose(n),
            Fault::Repeat => {
                let flight = self.machines[n].flight.as_ref();
                let transaction = flight.map(|flight| Arc::clone(&flight.transaction));
                self.commit(n);
                self.machine(n).orphan = transaction;
            }
            Fault::Interrupt => self.tell(n, Event::Interrupted),
            Fault::Drain => {
                let drain = operator::drain(&self.machines[n].identity.node);
                self.store().commit(&drain);
            }
            Fault::Off => self.switch_off(n),
            Fault::Restore => {}
        }
    }

    fn lose(&mut self, n: usize) {
        if let Some(flight) = self.machine(n).flight.take() {
            let id = flight.id;
            self.machine(n).abandon(&flight);
            if self.setup.coarse {
                self.happen(Action::Notice(n));
            }
            self.tell(n, Event::Failed(id));
        }
    }

    /// The machine is off for a while, and the operator says so; nothing of it is on its way.
    fn switch_off(&mut self, n: usize) {
        let timing = self.setup.timing;
        self.machine(n).reboot(&timing);
        self.machine(n).echo.clear();
        let node = self.machines[n].identity.node.clone();
        let view = View::read(self.store.header.revision, self.store.all(), 0);
        for transaction in operator::fenced(&view, &node).unwrap() {
            self.store().commit(&transaction);
        }
    }
}
