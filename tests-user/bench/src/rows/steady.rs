// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Full tables in the steady state: the module and its peers in turns.

use std::collections::BTreeMap;

use crate::api::Stat;
use crate::bench::{Bench, Steady, median};
use crate::error::{Error, Result};
use crate::keys::{Keys, TCP};
use crate::marks::Measured;
use crate::module::{Load, Module};
use crate::order::Live;
use crate::peers::{self, Contender, Dash, Named, Papaya, Scc, Sharded, Sip, Table, Work};
use crate::{OTHER, alloc};

pub const ROWS: &[&str] = &[
    "pair",
    "duplicate",
    "hit",
    "pair-2",
    "hit-2",
    "duplicate-2",
    "memory",
];

/// What a peer may take for a tuple while it is built, at most.
const BYTES_OF_A_PEER: u64 = 220;

/// The rows with peers, and how many threads they have.
const OPERATIONS: &[(&str, usize)] = &[
    ("pair", 1),
    ("duplicate", 1),
    ("hit", 1),
    ("pair-2", 2),
    ("duplicate-2", 2),
    ("hit-2", 2),
];

type Samples = BTreeMap<(&'static str, &'static str), Vec<f64>>;

struct Run<'a> {
    bench: &'a mut Bench,
    keys: Keys,
    module: Module,
    /// This node's tuples, a part for each thread.
    live: [Live; 2],
    samples: Samples,
    /// Looks at c between these rounds.
    c: Vec<f64>,
}

pub fn run(bench: &mut Bench) -> Result<()> {
    let tuples = bench.settings.tuples;
    let module = bench.load(Load::default())?;
    let mut run = Run {
        keys: Keys::shared(TCP, 0),
        module,
        live: [Live::new(tuples, 0, 2), Live::new(tuples, 1, 2)],
        samples: Samples::new(),
        c: Vec::new(),
        bench,
    };
    run.fill()?;
    run.memory()?;
    if OPERATIONS.iter().any(|(row, _)| run.bench.wants(row)) {
        run.peers()?;
    }
    run.empty()
}

/// Indices of the tuples of another node.
fn of_others(tuples: u32) -> Vec<u32> {
    (1..tuples).step_by(2).collect()
}

impl Run<'_> {
    fn tuples(&self) -> u32 {
        self.bench.settings.tuples
    }

    fn ours(&self) -> Vec<u32> {
        self.live.iter().flat_map(Live::all).copied().collect()
    }

    fn fill(&mut self) -> Result<()> {
        self.bench.progress("  filling the module");
        let late = self.module.fill(&self.keys, &self.ours())?;
        if late > 0 {
            let remark = format!("{late} registrations of the fill were asked again: memory late");
            self.bench.remarks.push(remark);
        }
        self.module
            .install(&self.keys, OTHER, &of_others(self.tuples()))?;
        self.all_there()
    }

    /// Are there as many tuples as were put in?
    fn all_there(&self) -> Result<()> {
        let counted = self.module.caller().stat(Stat::Tuples)?;
        if counted == u64::from(self.tuples()) {
            return Ok(());
        }
        Err(Error::Wrong(format!(
            "{} tuples were put in, {counted} are counted",
            self.tuples()
        )))
    }

    fn memory(&mut self) -> Result<()> {
        if !self.bench.wants("memory") {
            return Ok(());
        }
        let measured = super::memory::per_tuple(&self.module, self.tuples())?;
        self.bench.measured("memory", measured);
        Ok(())
    }

    /// Rounds with all peers at once or, where memory is short, with one
    /// after another.
    fn peers(&mut self) -> Result<()> {
        type Build = fn(&Run<'_>) -> Result<(Box<dyn Contender>, f64)>;
        let all: [Build; 4] = [
            build::<Dash>,
            build::<Sharded>,
            build::<Papaya>,
            build::<Scc>,
        ];
        let need = all.len() as u64 * BYTES_OF_A_PEER * u64::from(self.tuples());
        let at_once = if available().is_none_or(|bytes| bytes > need) {
            all.len()
        } else {
            let remark = "memory is short: the peers were measured one after another";
            self.bench.remarks.push(remark.to_owned());
            1
        };
        let bytes = self.module.bytes() as f64 / f64::from(self.tuples());
        let mut memory = vec![(self.module.name(), bytes)];
        for some in all.chunks(at_once) {
            let mut peers = Vec::new();
            for build in some {
                let (peer, bytes) = build(self)?;
                memory.push((peer.name(), bytes));
                peers.push(peer);
            }
            self.rounds(&peers)?;
        }
        self.report(&memory);
        Ok(())
    }

    fn rounds(&mut self, peers: &[Box<dyn Contender>]) -> Result<()> {
        for round in 0..self.bench.settings.rounds {
            let of = self.bench.settings.rounds;
            self.bench
                .progress(&format!("  round {} of {of}", round + 1));
            for &(row, threads) in OPERATIONS {
                if self.bench.wants(row) {
                    let c = self.bench.look_at_c();
                    self.c.push(c);
                    self.operation(row, threads, round, peers)?;
                }
            }
        }
        Ok(())
    }

    fn operation(
        &mut self,
        row: &'static str,
        threads: usize,
        round: usize,
        peers: &[Box<dyn Contender>],
    ) -> Result<()> {
        let work = self.work(row, threads);
        let before = self.counters()?;
        let module: &dyn Contender = &self.module;
        let mut all: Vec<&dyn Contender> = vec![module];
        all.extend(peers.iter().map(AsRef::as_ref));
        // Nobody always comes first.
        let first = round % all.len();
        all.rotate_left(first);
        for contender in all {
            let ns = time(contender, &self.keys, &work)?;
            let samples = self.samples.entry((row, contender.name()));
            samples.or_default().push(ns);
        }
        let swaps = matches!(work.first(), Some(Work::Pairs(_)));
        let done: usize = work.iter().map(Work::len).sum();
        self.compare(before, if swaps { done as u64 } else { 0 })
    }

    /// A piece of work for each thread.
    fn work(&mut self, row: &str, threads: usize) -> Vec<Work> {
        let each = self.bench.settings.operations / self.live.len();
        let tuples = self.tuples();
        let mut parts: Vec<Work> = self
            .live
            .iter_mut()
            .map(|live| match row {
                "pair" | "pair-2" => Work::Pairs(live.swaps(each)),
                "hit" | "hit-2" => Work::Hits(live.present(each, tuples)),
                _ => Work::Duplicates(live.foreign_ones(each, tuples)),
            })
            .collect();
        if threads == 1 {
            parts = joined(parts);
        }
        parts
    }

    /// Registered, removed, and let through or refused for want of room.
    fn counters(&self) -> Result<[u64; 4]> {
        let caller = self.module.caller();
        Ok([
            caller.stat(Stat::Registered)?,
            caller.stat(Stat::Removed)?,
            caller.stat(Stat::FullAdmitted)?,
            caller.stat(Stat::FullRefused)?,
        ])
    }

    /// Every removal found its tuple, and every registration was one.
    fn compare(&self, before: [u64; 4], pairs: u64) -> Result<()> {
        let after = self.counters()?;
        let delta: Vec<u64> = after
            .iter()
            .zip(before)
            .map(|(after, before)| after.wrapping_sub(before))
            .collect();
        if delta == [pairs, pairs, 0, 0] {
            return Ok(());
        }
        Err(Error::Wrong(format!(
            "of {pairs} pairs {} were registered and {} removed; {} and {} found no room",
            delta[0], delta[1], delta[2], delta[3]
        )))
    }

    fn report(&mut self, memory: &[(&'static str, f64)]) {
        let c = median(&self.c);
        for &(name, bytes) in memory {
            let rows = OPERATIONS.iter();
            let ns = rows.filter_map(|(row, _)| Some((*row, self.ns(row, name)?)));
            let ns = ns.collect();
            self.bench.steady.push(Steady { name, bytes, ns });
        }
        for &(row, threads) in OPERATIONS {
            if let Some(ns) = self.ns(row, self.module.name()) {
                let measured = Measured {
                    value: ns,
                    c: c.filter(|_| threads == 1),
                    dashmap: self.ns(row, Dash::NAME),
                    ..Measured::default()
                };
                self.bench.measured(row, measured);
            }
        }
    }

    fn ns(&self, row: &'static str, name: &'static str) -> Option<f64> {
        median(self.samples.get(&(row, name))?)
    }

    /// Takes all of this node's tuples out: each has to be there.
    fn empty(&mut self) -> Result<()> {
        self.bench.progress("  emptying the module");
        let ours = self.ours();
        let caller = self.module.caller();
        let before = caller.stat(Stat::Removed)?;
        let disconnect = caller.disconnect()?;
        for &index in &ours {
            disconnect(&self.keys.get(index));
        }
        let removed = caller.stat(Stat::Removed)?.wrapping_sub(before);
        if removed == ours.len() as u64 {
            return Ok(());
        }
        let all = ours.len();
        Err(Error::Wrong(format!(
            "at the end {removed} of {all} tuples were there"
        )))
    }
}

/// Nanoseconds of an operation; with several threads, of one of each.
fn time(contender: &dyn Contender, keys: &Keys, work: &[Work]) -> Result<f64> {
    if let [work] = work {
        return peers::alone(contender, keys, work);
    }
    let each = peers::together(contender, keys, work)?;
    let per_ns: f64 = each.iter().map(|ns| 1.0 / ns).sum();
    Ok(each.len() as f64 / per_ns)
}

/// One piece of work of several of a kind.
fn joined(parts: Vec<Work>) -> Vec<Work> {
    let joined = parts.into_iter().reduce(|all, part| match (all, part) {
        (Work::Pairs(mut all), Work::Pairs(part)) => {
            all.extend(part);
            Work::Pairs(all)
        }
        (Work::Hits(mut all), Work::Hits(part)) => {
            all.extend(part);
            Work::Hits(all)
        }
        (Work::Duplicates(mut all), Work::Duplicates(part)) => {
            all.extend(part);
            Work::Duplicates(all)
        }
        (all, _) => all,
    });
    joined.into_iter().collect()
}

/// A peer with the tuples that the module has, and the bytes of one.
fn build<T: Table + Named + 'static>(run: &Run<'_>) -> Result<(Box<dyn Contender>, f64)> {
    run.bench.progress(&format!("  filling {}", T::NAME));
    let before = alloc::net_bytes();
    let table = T::with_hasher(Sip::default());
    peers::fill(&table, &run.keys, &run.ours())?;
    peers::fill(&table, &run.keys, &of_others(run.tuples()))?;
    let bytes = alloc::net_bytes().saturating_sub(before);
    Ok((Box::new(table), bytes as f64 / f64::from(run.tuples())))
}

/// Bytes of memory that the system could give.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
