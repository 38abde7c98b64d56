// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Whether states that are taken for the same are: the same can happen, and leads to states that are
//! the same again. Without that a checker would see less than there is.

use crate::model::{self, ALL, DEATHS, EVEN, THREE, TWO};
use crate::setup::{Fault, Setup};
use crate::world::World;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

fn id(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// All states that may be next.
fn next(world: &World) -> Vec<World> {
    let mut actions = Vec::new();
    if world.violation().is_none() {
        world.actions(&mut actions);
    }
    let after = |action| {
        let mut world = world.clone();
        world.act(action);
        world
    };
    actions.into_iter().map(after).collect()
}

/// What may happen from here on, one step far.
fn future(world: &World) -> u64 {
    let mut ids: Vec<u64> = next(world).iter().map(id).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut hasher = DefaultHasher::new();
    (world.violation(), ids).hash(&mut hasher);
    hasher.finish()
}

/// Looks at one state of each kind, and at all that may be next to it: whether they have the future
/// of those of their kind.
fn compare(setup: Setup) {
    let begin = World::new(&Arc::new(setup)).begun();
    let mut futures = HashMap::from([(id(&begin), future(&begin))]);
    let mut rest = vec![begin];
    let mut again = 0;
    while let Some(world) = rest.pop() {
        for next in next(&world) {
            let here = future(&next);
            match futures.entry(id(&next)) {
                Entry::Vacant(place) => {
                    place.insert(here);
                    rest.push(next);
                }
                Entry::Occupied(there) => {
                    again += 1;
                    assert_eq!(*there.get(), here, "not like one before: {next:#?}");
                }
            }
        }
    }
    println!(
        "{} kinds of states, {again} of them met again",
        futures.len()
    );
}

#[test]
fn two_nodes_with_one_slice_and_an_operator() {
    compare(model::setup(&TWO, 1, ALL));
}

#[test]
fn two_nodes_with_two_slices() {
    compare(Setup {
        timing: EVEN,
        ..model::setup(&THREE[..2], 2, DEATHS)
    });
}

#[test]
fn three_nodes_with_one_slice() {
    compare(Setup {
        timing: EVEN,
        ..model::setup(&THREE, 1, DEATHS)
    });
}

#[test]
fn a_directory_that_is_restored() {
    compare(Setup {
        timing: EVEN,
        ..model::setup(&THREE[..2], 1, &[Fault::Restore])
    });
}
