// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What happens when something happens.

use crate::machine::Flight;
use crate::setup::Action;
use crate::store::Answer;
use crate::world::World;
use clinet_slices::agent::{Agent, Effect, Event, Fence};
use clinet_slices::directory::Transaction;
use clinet_slices::operator;
use std::sync::Arc;

impl World {
    /// Has something happen, and what follows from it at once.
    pub fn act(&mut self, action: Action) {
        self.happen(action);
        self.refuse();
        while let Some(n) = self.next_eager() {
            self.run(n);
            self.refuse();
        }
    }

    /// Requests that cannot be done any more are answered. When that is makes no difference to anybody
    /// else, and to the agent only together with what it is told before.
    fn refuse(&mut self) {
        if !self.setup.coarse {
            return;
        }
        for n in 0..self.machines.len() {
            let waiting = self.machines[n].flight.as_ref();
            let waiting = waiting.filter(|flight| flight.answer.is_none());
            if waiting.is_some_and(|flight| self.is_hopeless(&flight.transaction)) {
                self.commit(n);
            }
        }
    }

    /// An agent that has nothing, and something new to take in.
    fn next_eager(&self) -> Option<usize> {
        if !self.setup.eager {
            return None;
        }
        (0..self.machines.len()).find(|n| {
            let machine = &self.machines[*n];
            let idle = machine.used.is_empty();
            let agent = machine.agent.as_ref().filter(|_| idle);
            agent.is_some_and(|agent| self.news(*n, machine, agent).next().is_some())
        })
    }

    pub fn happen(&mut self, action: Action) {
        match action {
            Action::Tick => self.tick(),
            Action::Start(n) => self.start(n),
            Action::Run(n) => self.run(n),
            Action::Timer(n) => self.tell(n, Event::Timer),
            Action::Execute(n) => self.execute(n),
            Action::Answer(n) => {
                if let Some(id) = self.machine(n).reading.take() {
                    let event = Event::Snapshot(id, self.store.header, self.store.all());
                    self.tell(n, event);
                }
            }
            Action::Commit(n) => self.commit(n),
            Action::Deliver(n) => self.deliver(n),
            Action::CommitOrphan(n) => {
                if let Some(orphan) = self.machine(n).orphan.take() {
                    self.execute_in_store(n, &orphan);
                }
            }
            Action::Notice(n) => {
                let agent = self.machines[n].agent.as_ref();
                let changes = agent.map(|agent| self.changes(agent).collect());
                let event = Event::Changes(self.store.header, changes.unwrap_or_default());
                self.tell(n, event);
            }
            Action::LeaseNotice(n) => {
                let lease = self.machines[n].agent.as_ref().and_then(|a| a.lease());
                self.tell(n, Event::LeaseLost(lease.unwrap_or_default()));
            }
            Action::ModuleNotice(n) => {
                let module = self.machines[n].module.clone();
                self.tell(n, Event::Module(module));
            }
            Action::Fence(n) => {
                let timing = self.setup.timing;
                self.machine(n).close_fence(&timing);
            }
            Action::Expire(lease) => self.store().revoke(lease),
            Action::Snapshot => self.copy = Some(Arc::clone(&self.store)),
            Action::Restore(new_id) => self.restore(new_id),
            Action::Recover => self.recover(),
            Action::Undrain(n) => {
                let undrain = operator::undrain(&self.machines[n].identity.node);
                self.store().commit(&undrain);
            }
            Action::Fault(fault, n) => self.fault(fault, n),
        }
    }

    fn tick(&mut self) {
        self.even = !self.even;
        let (timing, even) = (self.setup.timing, self.even);
        for n in 0..self.machines.len() {
            if self.machines[n].fast || even {
                self.machine(n).tick(&timing);
            }
        }
    }

    fn start(&mut self, n: usize) {
        let mutant = self.setup.mutant;
        let machine = self.machine(n);
        let agent = Agent::new(machine.config(), machine.kept, machine.module.clone());
        machine.agent = Some(Arc::new(agent.with_mutant(mutant)));
        self.tell(n, Event::Timer);
    }

    /// Tells an agent what happened, and does what it asks for.
    pub fn tell(&mut self, n: usize, event: Event) {
        self.step(n, event);
        while self.setup.coarse && self.machines[n].command.is_some() {
            self.execute(n);
        }
    }

    fn step(&mut self, n: usize, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let machine = Arc::make_mut(&mut self.machines[n]);
            let now = machine.now();
            let Some(agent) = &mut machine.agent else {
                return;
            };
            for effect in Arc::make_mut(agent).step(now, event) {
                match effect {
                    Effect::Keep(kept) => machine.kept = kept,
                    Effect::Lease => {
                        let lease = self.next_lease;
                        self.next_lease += 1;
                        Arc::make_mut(&mut self.store).leases.insert(lease);
                        next = Some(Event::Lease(lease));
                    }
                    Effect::Read(id) => machine.reading = Some(id),
                    Effect::Commit(id, transaction) => {
                        assert!(machine.flight.is_none(), "two requests at one time");
                        machine.flight = Some(Arc::new(Flight {
                            id,
                            sent: now.module,
                            transaction: Arc::new(transaction),
                            answer: None,
                        }));
                    }
                    Effect::Module(command) => {
                        assert!(machine.command.is_none(), "two commands at one time");
                        machine.command = Some(command);
                    }
                    Effect::Ephemeral(..) | Effect::Addresses(_) | Effect::Say(_) => {}
                }
            }
        }
    }

    fn execute(&mut self, n: usize) {
        let (slices, timing) = (Arc::clone(&self.slices), self.setup.timing);
        let closed = self.machines[n].module.fence == Fence::Closed;
        let machine = self.machine(n);
        let broken = machine.execute(&slices, &timing);
        let module = machine.module.clone();
        self.break_rule(broken);
        if closed && module.fence == Fence::Open && !self.restored {
            let mut used = self.machines[n].used.numbers();
            let resumed = used.all(|slice| self.has_record(n, slice));
            self.break_rule((!resumed).then_some("I5: what another node may own resumes"));
        }
        self.step(n, Event::Module(module));
    }

    /// Tells an agent all that it may be told.
    fn run(&mut self, n: usize) {
        let machine = &self.machines[n];
        let Some(agent) = &machine.agent else { return };
        let news: Vec<Action> = self.news(n, machine, agent).collect();
        for action in news {
            self.happen(action);
        }
    }

    fn execute_in_store(&mut self, n: usize, transaction: &Transaction) -> Option<Answer> {
        let before = Arc::clone(&self.store);
        let answer = if transaction.operations.is_empty() {
            before.read(transaction)
        } else {
            self.store().commit(transaction)
        };
        if answer.as_ref().is_some_and(|answer| answer.done) {
            for operation in &transaction.operations {
                let broken = self.check_change(n, &before, operation);
                self.break_rule(broken);
            }
        }
        answer
    }

    pub fn commit(&mut self, n: usize) {
        let flight = self.machines[n].flight.as_ref();
        if let Some(transaction) = flight.map(|flight| Arc::clone(&flight.transaction)) {
            let answer = self.execute_in_store(n, &transaction);
            if let Some(flight) = &mut self.machine(n).flight {
                Arc::make_mut(flight).answer = Some(answer);
            }
        }
    }

    fn deliver(&mut self, n: usize) {
        let Some(flight) = self.machine(n).flight.take() else {
            return;
        };
        let flight = Arc::unwrap_or_clone(flight);
        let before = self.machines[n].agent.as_ref().map(|a| a.held().clone());
        let event = match flight.answer.flatten() {
            Some(answer) => Event::Reply(flight.id, answer.header, answer.done, answer.entries),
            None => Event::Failed(flight.id),
        };
        self.tell(n, event);
        let (Some(before), Some(agent)) = (before, &self.machines[n].agent) else {
            return;
        };
        let most = flight.sent + self.setup.timing.lifetime;
        let late = agent
            .held()
            .iter()
            .any(|(key, until)| *until > most.max(before.get(key).copied().unwrap_or(0)));
        self.break_rule(late.then_some("I3: a deadline later than the clock at sending + T"));
    }
}
