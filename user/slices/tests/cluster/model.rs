// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Every order of events of a small cluster.

use crate::world::{Action, Fault, Setup, World};
use clinet_slices::Timing;
use clinet_slices::agent::Mutant;
use stateright::{Checker, Model, Property};
use std::sync::Arc;
use std::time::Instant;

/// T 2, F 1, L 0, and clocks of which one may be twice as fast as another: Q is 8.
const TIMING: Timing = Timing {
    lifetime: 2,
    fence: 1,
    linger: 0,
    rate_ppm: 333_333,
    tick: 1,
};

struct Cluster(Arc<Setup>);

impl Model for Cluster {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.0)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.violation().is_none() {
            world.actions(actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        world.act(action);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("the promise", |_, world: &World| {
            world.violation().is_none()
        })]
    }
}

/// Looks at all states. Answers which rule did not hold, if one did not.
fn check(what: &str, setup: Setup) -> Option<&'static str> {
    let begin = Instant::now();
    let checker = Cluster(Arc::new(setup))
        .checker()
        .threads(2)
        .spawn_bfs()
        .join();
    println!(
        "{what}: {} states, {} of them different, {} steps deep, {:.1} s",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        begin.elapsed().as_secs_f64()
    );
    let path = checker.discovery("the promise")?;
    let broken = path.last_state().violation();
    for action in path.into_actions() {
        println!("    {action:?}");
    }
    println!("    {broken:?}");
    broken
}

fn setup(machines: &[(&'static str, bool)], slices: u16) -> Setup {
    Setup {
        timing: TIMING,
        machines: machines.to_vec(),
        slices,
        start: 1,
        mutant: None,
        faults: 1,
        kinds: &[Fault::Revoke, Fault::Crash, Fault::Reboot],
    }
}

const TWO: [(&str, bool); 2] = [("a", false), ("b", true)];

fn faults() -> u8 {
    std::env::var("FAULTS").map_or(1, |faults| faults.parse().unwrap())
}

#[test]
fn two_nodes_with_one_slice() {
    let setup = Setup {
        faults: faults(),
        ..setup(&TWO, 1)
    };
    assert_eq!(check("two nodes with one slice", setup), None);
}

fn mutant(mutant: Mutant) -> Option<&'static str> {
    let setup = Setup {
        mutant: Some(mutant),
        ..setup(&TWO, 1)
    };
    check(&format!("{mutant:?}"), setup)
}

#[test]
fn q_one_tick_short_is_found() {
    assert!(mutant(Mutant::ShortWait).is_some());
}

#[test]
fn a_takeover_at_the_end_of_the_lease_is_found() {
    assert!(mutant(Mutant::NoWait).is_some());
}

#[test]
fn a_deadline_counted_from_the_answer_is_found() {
    assert!(mutant(Mutant::FromReply).is_some());
}

#[test]
fn a_missing_fence_is_found() {
    assert!(mutant(Mutant::NoFence).is_some());
}
