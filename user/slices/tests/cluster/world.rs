// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All that there is, and everything that may happen to it.

use crate::machine::{Broken, Machine};
use crate::setup::{Action, Begin, Fault, Setup};
use crate::store::Store;
use clinet_slices::agent::{Agent, Event, Fence, Mutant};
use clinet_slices::directory::{Entry, Transaction, View};
use clinet_slices::names::{Key, Protocol, Range};
use clinet_slices::operator;
use clinet_slices::records::{Conf, FIRST_INCARNATION, FORMAT, LeaseId, Value};
use std::sync::Arc;

/// The state of everything.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    pub setup: Arc<Setup>,
    /// The slices. What knows them by number means their places here.
    pub slices: Arc<Vec<(Key, Range)>>,
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
            slices: Arc::new(
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

    /// As the setup says that it begins.
    pub fn begun(mut self) -> World {
        let all = 0..self.machines.len();
        match self.setup.begin {
            Begin::Nothing => {}
            Begin::Members => all.clone().for_each(|n| self.join(n)),
            Begin::FirstHasAll => {
                self.join(0);
                self.happen(Action::Run(0));
                self.settle(0);
                let all_slices = u32::from(self.setup.slices);
                self.tell(0, Event::Want(Protocol::Tcp, all_slices));
                self.settle(0);
                all.clone().skip(1).for_each(|n| self.join(n));
            }
        }
        if self.setup.begin != Begin::Nothing {
            all.for_each(|n| self.happen(Action::Run(n)));
        }
        self
    }

    fn join(&mut self, n: usize) {
        self.happen(Action::Start(n));
        self.happen(Action::Run(n));
        self.happen(Action::Commit(n));
    }

    /// Until the agent has no request any more.
    fn settle(&mut self, n: usize) {
        while self.machines[n].flight.is_some() {
            self.happen(Action::Commit(n));
            self.happen(Action::Run(n));
        }
    }

    pub fn allows(&self, fault: Fault) -> bool {
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
        if self.orphan(machine).is_some() {
            actions.push(Action::CommitOrphan(n));
        }
        let [_, drain] = &*machine.keys;
        if self.store.entries.contains_key(drain) {
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

    /// What an agent may be told now: first what the directory is, so that nothing that follows rests
    /// on what it was.
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
            (self.is_behind(agent), Action::Notice(n)),
            (machine.command.is_some(), Action::Execute(n)),
            (fenced && machine.command.is_none(), Action::ModuleNotice(n)),
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

    /// In a restored directory what was once may be again.
    pub fn revisions_return(&self) -> bool {
        self.setup.kinds.contains(&Fault::Restore)
    }

    /// A request that will never be done.
    pub fn is_hopeless(&self, transaction: &Transaction) -> bool {
        !self.revisions_return() && self.store.is_hopeless(transaction)
    }

    /// A request that nobody waits for, and that may yet change something.
    pub fn orphan<'a>(&self, machine: &'a Machine) -> Option<&'a Arc<Transaction>> {
        let orphan = machine.orphan.as_ref();
        orphan.filter(|orphan| !orphan.operations.is_empty() && !self.is_hopeless(orphan))
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

    pub fn is_behind(&self, agent: &Agent) -> bool {
        let known = agent.view().entries().map(|(key, entry, _)| (key, entry));
        agent.trouble().is_none() && agent.conf().is_some() && !self.store.entries.iter().eq(known)
    }

    /// Where an agent's view differs from the directory.
    pub fn changes<'a>(
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

    pub fn store(&mut self) -> &mut Store {
        Arc::make_mut(&mut self.store)
    }
}
