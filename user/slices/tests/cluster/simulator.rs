// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Random events in a larger cluster, of all kinds, each by itself: and after the faults end, all is
//! well again. The seed is printed, and decides everything.

use crate::setup::{Action, Begin, Fault, Setup};
use crate::world::World;
use clinet_slices::Timing;
use clinet_slices::agent::{Fence, Mutant};
use fastrand::Rng;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;

/// T 12, F 2, L 3, and clocks of which one may be twice as fast as another: Q is 36.
const TIMING: Timing = Timing {
    lifetime: 12,
    fence: 2,
    linger: 3,
    rate_ppm: 333_333,
    tick: 1,
};

const MACHINES: [(&str, bool); 5] = [
    ("alpha", true),
    ("beta", false),
    ("gamma", true),
    ("delta", false),
    ("epsilon", true),
];

const KINDS: &[Fault] = &[
    Fault::Revoke,
    Fault::Crash,
    Fault::Reboot,
    Fault::Lose,
    Fault::Repeat,
    Fault::Interrupt,
    Fault::Drain,
    Fault::Off,
    Fault::Restore,
];

fn setup(mutant: Option<Mutant>) -> Arc<Setup> {
    Arc::new(Setup {
        timing: TIMING,
        machines: MACHINES.to_vec(),
        slices: 16,
        start: 2,
        mutant,
        faults: u32::MAX,
        kinds: KINDS,
        coarse: false,
        begin: Begin::Nothing,
        eager: false,
    })
}

/// One cluster, from its beginning to the end of its faults.
struct Episode {
    world: World,
    rng: Rng,
    /// Of a thousand events so many are faults, and so many are time going on.
    faults: u32,
    ticks: u32,
    /// This machine's agent is stopped.
    stopped: Option<usize>,
    actions: Vec<Action>,
    /// What happened last.
    trace: VecDeque<Action>,
}

impl Episode {
    fn new(setup: &Arc<Setup>, seed: u64) -> Episode {
        let mut rng = Rng::with_seed(seed);
        Episode {
            world: World::new(setup),
            faults: [2, 10, 50, 200][rng.usize(..4)],
            ticks: [50, 200, 400][rng.usize(..3)],
            rng,
            stopped: None,
            actions: Vec::new(),
            trace: VecDeque::new(),
        }
    }

    fn act(&mut self, action: Action) {
        if self.trace.len() == 60 {
            self.trace.pop_front();
        }
        self.trace.push_back(action);
        self.world.act(action);
    }

    /// One event. Answers whether it was a fault.
    fn event(&mut self) -> bool {
        if self.rng.u32(..200) == 0 {
            self.stopped = Some(self.rng.usize(..2 * MACHINES.len()));
        }
        self.actions.clear();
        self.world.actions(&mut self.actions);
        let stopped = self.stopped;
        let is_fault = |action: &Action| {
            matches!(
                action,
                Action::Fault(..) | Action::Restore(_) | Action::Expire(_)
            )
        };
        let dice = self.rng.u32(..1000);
        let fault = dice < self.faults;
        if !fault && dice < self.faults + self.ticks {
            self.act(Action::Tick);
            return false;
        }
        self.actions
            .retain(|action| is_fault(action) == fault && runs(action) != stopped);
        if let Some(action) = self.rng.choice(&self.actions).copied() {
            self.act(action);
            return fault;
        }
        self.act(Action::Tick);
        false
    }

    /// No more faults: within some Q each node has what it wants.
    fn calm(&mut self) {
        self.world.faults = 0;
        if self.world.needs_recovery() {
            self.act(Action::Recover);
        }
        for n in 0..MACHINES.len() {
            self.act(Action::Undrain(n));
        }
        let q = TIMING.quarantine();
        for _ in 0..20 * q {
            self.settle();
            self.check();
            if (0..MACHINES.len()).all(|n| self.is_well(n)) {
                return;
            }
            self.act(Action::Tick);
        }
        panic!(
            "I8: no slice long after the faults ended: {:#?}",
            self.world.machines
        );
    }

    /// All that may happen without time going on, but no faults.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.actions.clear();
            self.world.actions(&mut self.actions);
            let time = |action: &Action| {
                matches!(action, Action::Tick | Action::Fence(_) | Action::Snapshot)
            };
            self.actions.retain(|action| !time(action));
            if self.actions.is_empty() {
                return;
            }
            let action = self.actions[self.rng.usize(..self.actions.len())];
            self.act(action);
        }
    }

    /// It has slices, neighbours of each other, and may use them.
    fn is_well(&self, n: usize) -> bool {
        let machine = &self.world.machines[n];
        let granted: Vec<u16> = machine
            .granted(&self.world.slices)
            .map(|slice| self.world.slices[slice].1.first)
            .collect();
        let neighbours = granted.windows(2).all(|pair| pair[1] - pair[0] == 2);
        assert!(neighbours, "slices that are no neighbours: {granted:?}");
        !granted.is_empty() && !machine.lapsed() && machine.module.fence == Fence::Open
    }

    fn check(&self) {
        if let Some(broken) = self.world.violation() {
            panic!("{broken}, after {:?}: {:#?}", self.trace, self.world);
        }
    }
}

/// The machine whose agent runs then.
fn runs(action: &Action) -> Option<usize> {
    match action {
        Action::Start(n)
        | Action::Timer(n)
        | Action::Execute(n)
        | Action::Answer(n)
        | Action::Deliver(n)
        | Action::Notice(n)
        | Action::LeaseNotice(n)
        | Action::ModuleNotice(n) => Some(*n),
        // None of the machines, and not the same as nobody being stopped.
        _ => Some(usize::MAX),
    }
}

fn seed() -> u64 {
    let seed = std::env::var("CLINET_SEED").ok();
    seed.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("a seed"))
}

#[test]
fn a_hundred_thousand_faults() {
    let seed = seed();
    // Not captured: the seed is wanted even if the test is killed.
    let line = format!("CLINET_SEED={seed}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    let setup = setup(None);
    let (mut faults, mut episodes, mut events) = (0, 0, 0u64);
    while faults < 100_000 {
        let mut episode = Episode::new(&setup, seed.wrapping_add(episodes));
        for _ in 0..3000 {
            faults += u32::from(episode.event());
            episode.check();
            events += 1;
        }
        episode.calm();
        episodes += 1;
    }
    println!("{faults} faults among {events} events in {episodes} clusters");
}

/// What chance finds, too: the same check with a fault built in.
#[test]
fn faults_that_are_built_in_are_found_by_chance() {
    for mutant in [Mutant::NoWait, Mutant::FromReply, Mutant::NoFence] {
        let setup = setup(Some(mutant));
        let found = (0..200).any(|seed| {
            let mut episode = Episode::new(&setup, seed);
            (0..3000).any(|_| {
                episode.event();
                episode.world.violation().is_some()
            })
        });
        assert!(found, "{mutant:?}");
    }
}
