// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All that there is, and everything that may happen to it.

use crate::machine::{Broken, Flight, Machine};
use crate::store::Store;
use clinet_slices::agent::{Agent, Effect, Event, Fence, Mutant};
use clinet_slices::directory::{Entry, Header, Operation, View};
use clinet_slices::names::{Key, Protocol, Range};
use clinet_slices::records::{Conf, FIRST_INCARNATION, FORMAT, LeaseId, Record, Tenure, Value};
use clinet_slices::{Timing, operator};
use std::collections::VecDeque;
use std::sync::Arc;

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
    /// All agents are members at the beginning.
    pub warm: bool,
    /// An agent that has nothing runs as soon as there is something new for it.
    pub eager: bool,
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
    /// Following the changes was interrupted: an agent is told all keys, and did not ask for them.
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

/// The state of everything.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    pub setup: Arc<Setup>,
    pub keys: Arc<Vec<(Key, Range)>>,
    pub store: Arc<Store>,
    pub copy: Option<Arc<Store>>,
    pub machines: Vec<Arc<Machine>>,
    pub next_lease: LeaseId,
    /// Slow clocks tick now.
    pub even: bool,
    pub faults: u32,
    /// The directory was replaced by a copy, and so often it was recovered.
    pub restored: bool,
    pub recoveries: u64,
    /// A rule was broken.
    pub broken: Option<Broken>,
}

impl World {
    pub fn new(setup: &Arc<Setup>) -> World {
        let first = 32768;
        let conf = Conf {
            format: FORMAT,
            incarnation: FIRST_INCARNATION,
            cluster: 1,
            tcp: Some(Range {
                first,
                last: first + 2 * setup.slices - 1,
            }),
            udp: None,
            slice: 2,
            timing: setup.timing,
        };
        let mut store = Store::new(1);
        let found = operator::found(&View::default(), store.header, conf).unwrap();
        assert!(store.commit(&found).unwrap().done);
        let ranges = (0..conf.slices(Protocol::Tcp)).filter_map(|n| conf.nth(Protocol::Tcp, n));
        let fence = match setup.mutant {
            Some(Mutant::NoFence) => Fence::Never,
            _ => Fence::Open,
        };
        let machines = setup.machines.iter().zip(1..);
        World {
            keys: Arc::new(
                ranges
                    .map(|range| (Key::Slice(Protocol::Tcp, range.first), range))
                    .collect(),
            ),
            store: Arc::new(store),
            copy: None,
            machines: machines
                .map(|((name, fast), n)| Machine::new(name, n, *fast, setup.start, fence))
                .map(Arc::new)
                .collect(),
            next_lease: 1,
            even: false,
            faults: setup.faults,
            restored: false,
            recoveries: 0,
            broken: None,
            setup: Arc::clone(setup),
        }
    }

    /// All agents are members, and no slice has a record.
    pub fn warm(mut self) -> World {
        for n in 0..self.machines.len() {
            self.happen(Action::Start(n));
            self.happen(Action::Run(n));
            self.happen(Action::Commit(n));
        }
        for n in 0..self.machines.len() {
            self.happen(Action::Run(n));
        }
        self
    }

    fn allows(&self, fault: Fault) -> bool {
        self.faults > 0 && self.setup.kinds.contains(&fault)
    }

    /// All that may happen now.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        for n in 0..self.machines.len() {
            self.machine_actions(n, actions);
        }
        for lease in &self.store.leases {
            let agents = self.machines.iter().filter_map(|m| m.agent.as_ref());
            let used = agents.into_iter().any(|a| a.lease() == Some(*lease));
            let attached = self.store.entries.values().any(|e| e.lease == Some(*lease));
            if !used && attached {
                actions.push(Action::Expire(*lease));
            }
        }
        if self.setup.kinds.contains(&Fault::Restore) {
            self.restore_actions(actions);
        }
    }

    fn machine_actions(&self, n: usize, actions: &mut Vec<Action>) {
        let machine = &self.machines[n];
        let mut fault = |fault| {
            if self.allows(fault) {
                actions.push(Action::Fault(fault, n));
            }
        };
        fault(Fault::Reboot);
        fault(Fault::Off);
        fault(Fault::Drain);
        match &machine.agent {
            None => actions.push(Action::Start(n)),
            Some(agent) => self.agent_actions(n, machine, agent, actions),
        }
        if !self.setup.coarse && machine.may_fence() {
            actions.push(Action::Fence(n));
        }
        if let Some(orphan) = &machine.orphan
            && !self.is_hopeless(orphan)
        {
            actions.push(Action::CommitOrphan(n));
        }
        let drain = Key::Drain(machine.identity.node.clone());
        if self.store.entries.contains_key(&drain) {
            actions.push(Action::Undrain(n));
        }
    }

    fn agent_actions(&self, n: usize, machine: &Machine, agent: &Agent, actions: &mut Vec<Action>) {
        let mut fault = |fault, possible: bool| {
            if possible && self.allows(fault) {
                actions.push(Action::Fault(fault, n));
            }
        };
        let lease = agent.lease();
        let alive = lease.is_some_and(|lease| self.store.leases.contains(&lease));
        fault(Fault::Crash, true);
        fault(Fault::Revoke, alive);
        fault(Fault::Interrupt, true);
        fault(Fault::Lose, machine.flight.is_some());
        if let Some(flight) = machine.flight.as_ref().filter(|f| f.answer.is_none()) {
            fault(Fault::Repeat, !flight.transaction.operations.is_empty());
            actions.push(Action::Commit(n));
        }
        let mut news = self.news(n, machine, agent);
        if !self.setup.coarse {
            actions.extend(news);
        } else if news.next().is_some() {
            actions.push(Action::Run(n));
        }
    }

    /// What an agent may be told now.
    pub fn news(
        &self,
        n: usize,
        machine: &Machine,
        agent: &Agent,
    ) -> impl Iterator<Item = Action> + use<> {
        let lease = agent.lease();
        let alive = lease.is_some_and(|lease| self.store.leases.contains(&lease));
        let fenced = agent.module().fence != machine.module.fence;
        let answered = machine.flight.as_ref().is_some_and(|f| f.answer.is_some());
        let now = machine.now();
        let news = [
            (machine.command.is_some(), Action::Execute(n)),
            (fenced && machine.command.is_none(), Action::ModuleNotice(n)),
            (self.is_behind(agent), Action::Notice(n)),
            (lease.is_some() && !alive, Action::LeaseNotice(n)),
            (answered, Action::Deliver(n)),
            (machine.reading.is_some(), Action::Answer(n)),
            (
                agent.wake(now).is_some_and(|at| at <= now.own),
                Action::Timer(n),
            ),
        ];
        news.into_iter()
            .filter_map(|(is_new, action)| is_new.then_some(action))
    }

    /// Tells an agent all that it may be told, in an order in which nothing that is sent rests on
    /// what is old already.
    fn run(&mut self, n: usize) {
        let machine = &self.machines[n];
        let Some(agent) = &machine.agent else { return };
        let news: Vec<Action> = self.news(n, machine, agent).collect();
        for action in news {
            self.happen(action);
        }
    }

    fn restore_actions(&self, actions: &mut Vec<Action>) {
        match &self.copy {
            None => actions.push(Action::Snapshot),
            Some(copy) if self.allows(Fault::Restore) => {
                actions.push(Action::Restore(true));
                if **copy != *self.store {
                    actions.push(Action::Restore(false));
                }
            }
            Some(_) => {}
        }
        if self.needs_recovery() {
            actions.push(Action::Recover);
        }
    }

    /// A request that will never be done. In a restored directory what was once may be again.
    pub fn is_hopeless(&self, transaction: &clinet_slices::directory::Transaction) -> bool {
        let restored = self.setup.kinds.contains(&Fault::Restore);
        !restored && self.store.is_hopeless(transaction)
    }

    /// The directory is a copy that no agent believes.
    pub fn needs_recovery(&self) -> bool {
        self.conf().cluster != self.store.header.cluster
    }

    pub fn conf(&self) -> Conf {
        match self.store.entries.get(&Key::Conf) {
            Some(Entry {
                value: Value::Conf(conf),
                ..
            }) => *conf,
            other => panic!("no conf: {other:?}"),
        }
    }

    fn is_behind(&self, agent: &Agent) -> bool {
        agent.trouble().is_none() && agent.conf().is_some() && self.changes(agent).next().is_some()
    }

    /// Where an agent's view differs from the directory.
    fn changes<'a>(
        &'a self,
        agent: &'a Agent,
    ) -> impl Iterator<Item = (Key, u64, Option<Entry>)> + 'a {
        let put = self.store.entries.iter().filter_map(move |(key, entry)| {
            let known = agent.view().entry(key);
            (known != Some(entry)).then(|| (key.clone(), entry.revision, Some(entry.clone())))
        });
        let gone = agent.view().entries().filter_map(move |(key, ..)| {
            let gone = !self.store.entries.contains_key(key);
            gone.then(|| (key.clone(), self.store.header.revision, None))
        });
        put.chain(gone)
    }

    pub fn machine(&mut self, n: usize) -> &mut Machine {
        Arc::make_mut(&mut self.machines[n])
    }

    fn store(&mut self) -> &mut Store {
        Arc::make_mut(&mut self.store)
    }

    /// Has something happen, and what follows from it at once.
    pub fn act(&mut self, action: Action) {
        self.happen(action);
        while let Some(n) = self.next_eager() {
            self.run(n);
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

    fn happen(&mut self, action: Action) {
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
        machine.agent = Some(agent.with_mutant(mutant));
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
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let machine = Arc::make_mut(&mut self.machines[n]);
            let now = machine.now();
            let Some(agent) = &mut machine.agent else {
                return;
            };
            for effect in agent.step(now, event) {
                match effect {
                    Effect::Keep(kept) => machine.kept = kept,
                    Effect::Lease => {
                        let lease = self.next_lease;
                        self.next_lease += 1;
                        Arc::make_mut(&mut self.store).leases.insert(lease);
                        events.push_back(Event::Lease(lease));
                    }
                    Effect::Read(id) => machine.reading = Some(id),
                    Effect::Commit(id, transaction) => {
                        assert!(machine.flight.is_none(), "two requests at one time");
                        machine.flight = Some(Flight {
                            id,
                            sent: now.module,
                            transaction,
                            answer: None,
                        });
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
        let (keys, timing) = (Arc::clone(&self.keys), self.setup.timing);
        let closed = self.machines[n].module.fence == Fence::Closed;
        let machine = self.machine(n);
        let broken = machine.execute(&keys, &timing);
        let module = machine.module.clone();
        self.break_rule(broken);
        if closed && module.fence == Fence::Open && !self.restored {
            let used = self.machines[n].used.iter();
            let resumed = used.into_iter().all(|key| self.has_record(n, key));
            self.break_rule((!resumed).then_some("I5: what another node may own resumes"));
        }
        self.step(n, Event::Module(module));
    }

    fn break_rule(&mut self, broken: Option<Broken>) {
        self.broken = self.broken.or(broken);
    }

    /// The directory says that the slice is this machine's.
    fn has_record(&self, n: usize, key: &Key) -> bool {
        record(&self.store, key).is_some_and(|record| record.is_of(&self.machines[n].identity))
    }

    fn execute_in_store(
        &mut self,
        n: usize,
        transaction: &clinet_slices::directory::Transaction,
    ) -> Option<crate::store::Answer> {
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

    /// I4: a record changes hands only through quarantine, or by leaving.
    fn check_change(&self, n: usize, before: &Store, operation: &Operation) -> Option<Broken> {
        let (key, new) = match operation {
            Operation::Put(key, Value::Record(record), _) => (key, record.owner()),
            Operation::Delete(key) => (key, None),
            Operation::Put(..) => return None,
        };
        let old = record(before, key)?;
        let same = |a: &clinet_slices::records::Owner, b: &clinet_slices::records::Owner| {
            (&a.node, a.machine, a.boot) == (&b.node, b.machine, b.boot)
        };
        match (&old.tenure, new) {
            (Tenure::Own(owner), Some(new)) if !same(owner, new) => {
                Some("I4: a record changed hands without a quarantine")
            }
            (Tenure::Own(owner) | Tenure::Quarantine(owner), None) => {
                let machine = &self.machines[n];
                let sends = machine.is_heard(key);
                let left = owner.machine == machine.identity.machine && !sends;
                (!left && !self.restored).then_some("I4: a record went that was in use")
            }
            _ => None,
        }
    }

    fn commit(&mut self, n: usize) {
        let flight = self.machines[n].flight.as_ref();
        if let Some(transaction) = flight.map(|flight| flight.transaction.clone()) {
            let answer = self.execute_in_store(n, &transaction);
            if let Some(flight) = &mut self.machine(n).flight {
                flight.answer = Some(answer);
            }
        }
    }

    fn deliver(&mut self, n: usize) {
        let Some(flight) = self.machine(n).flight.take() else {
            return;
        };
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

    fn restore(&mut self, new_id: bool) {
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

    fn recover(&mut self) {
        let view = View::read(self.store.header.revision, self.store.all(), 0);
        self.recoveries += 1;
        let incarnation = 100 + self.recoveries;
        let recover = operator::recover(&view, self.store.header, incarnation, None).unwrap();
        self.store().commit(&recover);
    }

    fn fault(&mut self, fault: Fault, n: usize) {
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
                let transaction = flight.map(|flight| flight.transaction.clone());
                self.commit(n);
                self.machine(n).orphan = transaction;
            }
            Fault::Interrupt => {
                let event = Event::Snapshot(0, self.store.header, self.store.all());
                self.tell(n, event);
            }
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
            self.machine(n).abandon(flight);
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

    /// Which rule does not hold.
    pub fn violation(&self) -> Option<Broken> {
        if self.broken.is_some() {
            return self.broken;
        }
        for (key, _) in self.keys.iter() {
            let heard = self.machines.iter().filter(|machine| machine.is_heard(key));
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
        let mut granted = machine.granted(&self.keys);
        let truthful = !self.restored;
        if truthful && !machine.lapsed() && !granted.all(|key| self.has_record(n, key)) {
            return Some("I2: what is registered has no record");
        }
        let late = machine.clock > machine.module.grants.deadline + self.setup.timing.fence;
        if late && self.keys.iter().any(|(key, _)| machine.sends(key)) {
            return Some("I5: something is sent after the deadline + F");
        }
        None
    }
}

fn record<'a>(store: &'a Store, key: &Key) -> Option<&'a Record> {
    match &store.entries.get(key)?.value {
        Value::Record(record) => Some(record),
        _ => None,
    }
}
