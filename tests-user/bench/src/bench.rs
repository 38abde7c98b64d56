// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the rows share.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::chase::Chase;
use crate::error::{Error, Result};
use crate::marks::{MARKS, Mark, Measured};
use crate::module::{Load, Module};

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tuples in the large tables; even.
    pub tuples: u32,
    /// Rounds, of which the median counts.
    pub rounds: usize,
    /// Operations of one kind in a round.
    pub operations: usize,
    /// Bytes that the chase goes through.
    pub chase_bytes: usize,
    /// Tunables of the module.
    pub set: Vec<(String, u64)>,
}

/// Steps of one look at c.
const STEPS: usize = 200_000;

/// A peer, or the module, in the steady state.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Steady {
    /// Its name.
    pub name: &'static str,
    /// Bytes of a tuple.
    #[serde(rename = "bytes_per_tuple")]
    pub bytes: f64,
    /// Nanoseconds by row.
    pub ns: BTreeMap<&'static str, f64>,
}

/// Costs at one size.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Size {
    /// Tuples in the table.
    pub tuples: u32,
    /// c meanwhile.
    #[serde(rename = "c_ns")]
    pub c: f64,
    /// Nanoseconds of a pair, by contender.
    #[serde(rename = "pair_ns")]
    pub pair: BTreeMap<&'static str, f64>,
    /// The same of a hit.
    #[serde(rename = "hit_ns")]
    pub hit: BTreeMap<&'static str, f64>,
    /// Counted misses of the cache and of the TLB for a pair.
    pub pair_misses: Option<(f64, f64)>,
    /// The same for a hit.
    pub hit_misses: Option<(f64, f64)>,
}

impl Size {
    /// Nanoseconds of a contender's pair.
    #[must_use]
    pub fn pair(&self, name: &str) -> Option<f64> {
        self.pair.get(name).copied()
    }

    /// Nanoseconds of a contender's hit.
    #[must_use]
    pub fn hit(&self, name: &str) -> Option<f64> {
        self.hit.get(name).copied()
    }
}

/// A run.
#[derive(Debug)]
pub struct Bench {
    /// How much.
    pub settings: Settings,
    /// The module.
    pub file: Vec<u8>,
    wanted: BTreeSet<&'static str>,
    chase: Chase,
    /// All looks at c.
    pub c: Vec<f64>,
    /// What came out, by row.
    pub results: BTreeMap<&'static str, Result<Measured>>,
    /// The steady state of all.
    pub steady: Vec<Steady>,
    /// The growth of cost.
    pub sizes: Vec<Size>,
    /// The worst insert of the first ones, nanoseconds, by how many those are.
    pub worst: Vec<(&'static str, Vec<(u32, f64)>)>,
    /// Remarks on the run.
    pub remarks: Vec<String>,
}

impl Bench {
    /// A run over `marks` with the module in `file`, whose symbols are
    /// `symbols`: rows that need others get no number.
    ///
    /// # Errors
    /// No memory.
    pub fn new(
        settings: Settings,
        file: Vec<u8>,
        symbols: &[String],
        marks: &[&'static Mark],
    ) -> Result<Self> {
        let chase = Chase::new(settings.chase_bytes)?;
        let mut bench = Self {
            settings,
            file,
            wanted: BTreeSet::new(),
            chase,
            c: Vec::new(),
            results: BTreeMap::new(),
            steady: Vec::new(),
            sizes: Vec::new(),
            worst: Vec::new(),
            remarks: Vec::new(),
        };
        for mark in marks {
            let lacks = |name: &&&str| !symbols.iter().any(|symbol| symbol == **name);
            match mark.needs.iter().find(lacks) {
                Some(name) => {
                    let error = Error::NoFunction(name);
                    bench.results.insert(mark.name, Err(error));
                }
                None => {
                    bench.wanted.insert(mark.name);
                }
            }
        }
        Ok(bench)
    }

    /// Is the row asked for, and has it no result yet?
    #[must_use]
    pub fn wants(&self, row: &str) -> bool {
        self.wanted.contains(row) && !self.results.contains_key(row)
    }

    /// A row is measured.
    ///
    /// # Panics
    /// There is no such row.
    pub fn measured(&mut self, row: &'static str, measured: Measured) {
        assert!(MARKS.iter().any(|mark| mark.name == row), "no row {row}");
        if self.wants(row) {
            self.results.insert(row, Ok(measured));
        }
    }

    /// Loads the module for `tuples` and a few more.
    ///
    /// # Errors
    /// It does not load.
    pub fn load(&self, load: Load) -> Result<Module> {
        let tuples = self.settings.tuples;
        let load = Load {
            max_tuples: tuples + tuples / 8,
            set: [load.set, self.settings.set.clone()].concat(),
            ..load
        };
        Module::load(&self.file, &load)
    }

    /// One look at c, in nanoseconds.
    pub fn look_at_c(&mut self) -> f64 {
        let c = self.chase.run(STEPS);
        self.c.push(c);
        c
    }

    /// Says what is going on.
    pub fn progress(&self, what: &str) {
        eprintln!("clinet-bench: {what}");
    }
}

/// The median; of an even number of values the mean of the two in the middle.
/// None: there are no values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len().is_multiple_of(2) {
        return Some((sorted[sorted.len() / 2 - 1] + upper) / 2.0);
    }
    Some(upper)
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
