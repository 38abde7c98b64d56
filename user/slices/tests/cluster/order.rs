// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The order that machines are written down in, where their names do not count.

use crate::canon::Canon;
use crate::machine::Machine;
use crate::text::Text;
use crate::world::World;
use std::hash::{Hash, Hasher};

impl Hash for World {
    /// Machines whose clocks go alike may take each other's place: of all orders that they may be put
    /// in the one counts whose bytes are the least.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let texts = self.orders().into_iter().map(|order| {
            let mut canon = Canon::new(self, order);
            canon.world();
            canon.text
        });
        if let Some(Text(bytes)) = texts.min() {
            hasher.write(&bytes);
        }
    }
}

/// What of a machine does not depend on names, and is written down. It need not tell all apart that
/// differ: it only spares trying every order.
type Outline = (bool, u32, u64, u128, bool, [bool; 5]);

impl World {
    /// The orders that the machines may be put in: by their outlines.
    fn orders(&self) -> Vec<Vec<usize>> {
        let outlines: Vec<Outline> = self.machines.iter().map(|m| self.outline(m)).collect();
        let mut order: Vec<usize> = (0..outlines.len()).collect();
        order.sort_by_key(|n| outlines[*n]);
        let alike = |pair: &[usize]| outlines[pair[0]] == outlines[pair[1]];
        if !order.windows(2).any(alike) {
            return vec![order];
        }
        let mut orders = vec![Vec::new()];
        for place in &order {
            let longer = |begin: &Vec<usize>| {
                let fits = |n: &usize| outlines[*n] == outlines[*place] && !begin.contains(n);
                let next = (0..outlines.len()).filter(fits);
                let with = |n| begin.iter().copied().chain([n]).collect();
                next.map(with).collect::<Vec<Vec<usize>>>()
            };
            orders = orders.iter().flat_map(longer).collect();
        }
        orders
    }

    fn outline(&self, machine: &Machine) -> Outline {
        let essence = machine.agent.as_ref().map(|a| a.essence(machine.now()));
        let deadline = machine.module.grants.deadline;
        (
            machine.fast,
            machine.used.0.count_ones(),
            deadline.saturating_sub(machine.clock),
            machine.identity.boot.0,
            self.orphan(machine).is_some(),
            essence.map_or([false; 5], |essence| essence.flags),
        )
    }
}
