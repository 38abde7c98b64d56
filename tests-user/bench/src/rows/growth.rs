// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! How the cost grows with the number of tuples, beside the peers'.

use crate::bench::{Bench, Size, median};
use crate::cpu::Misses;
use crate::error::Result;
use crate::keys::{Keys, TCP};
use crate::marks::Measured;
use crate::module::{Load, Module};
use crate::order::Live;
use crate::peers::{self, Contender, Dash, Named, Papaya, Scc, Sharded, Sip, Table, Work};
use crate::{OTHER, OURS};

pub const ROWS: &[&str] = &["pair-1k", "growth-pair", "growth-hit"];

const SIZES: [u32; 5] = [1000, 10_000, 100_000, 1_000_000, 10_000_000];

pub fn run(bench: &mut Bench) -> Result<()> {
    let most = bench.settings.tuples;
    let grows = bench.wants("growth-pair") || bench.wants("growth-hit");
    let sizes: Vec<u32> = SIZES
        .into_iter()
        .filter(|&size| size == SIZES[0] || grows && size < most)
        .chain(Some(most).filter(|_| grows))
        .collect();
    for tuples in sizes {
        bench.progress(&format!("  at {tuples} tuples"));
        let size = at(bench, tuples, grows)?;
        bench.sizes.push(size);
    }
    report(bench);
    Ok(())
}

/// Costs at one size, of one contender after another.
fn at(bench: &mut Bench, tuples: u32, grows: bool) -> Result<Size> {
    let mut size = Size {
        tuples,
        ..Size::default()
    };
    let keys = Keys::shared(TCP, 1);
    let ours = Live::new(tuples, 0, 1);
    let others: Vec<u32> = (1..tuples).step_by(2).collect();
    let module = bench.load(Load::default())?;
    module.fill(&keys, ours.all())?;
    module.install(&keys, OTHER, &others)?;
    let mut live = ours.clone();
    size.c = time(bench, &mut size, &module, &keys, &mut live)?;
    let count = bench.settings.operations;
    size.pair_misses = counted(&module, &keys, &Work::Pairs(live.swaps(count)))?;
    if bench.wants("growth-hit") {
        size.hit_misses = counted(&module, &keys, &Work::Hits(live.present(count, tuples)))?;
    }
    drop(module);
    beside::<Dash>(bench, &mut size, &keys, &ours, &others)?;
    if grows {
        beside::<Sharded>(bench, &mut size, &keys, &ours, &others)?;
        beside::<Papaya>(bench, &mut size, &keys, &ours, &others)?;
        beside::<Scc>(bench, &mut size, &keys, &ours, &others)?;
    }
    Ok(size)
}

/// The same of a peer.
fn beside<T: Table + Named>(
    bench: &mut Bench,
    size: &mut Size,
    keys: &Keys,
    ours: &Live,
    others: &[u32],
) -> Result<()> {
    let table = T::with_hasher(Sip::default());
    peers::fill(&table, keys, ours.all())?;
    peers::fill(&table, keys, others)?;
    time(bench, size, &table, keys, &mut ours.clone()).map(drop)
}

/// Notes a contender's costs; c meanwhile.
fn time(
    bench: &mut Bench,
    size: &mut Size,
    contender: &dyn Contender,
    keys: &Keys,
    live: &mut Live,
) -> Result<f64> {
    let count = bench.settings.operations;
    let hits = bench.wants("growth-hit");
    let (mut c, mut pair, mut hit) = (vec![], vec![], vec![]);
    for _ in 0..bench.settings.rounds {
        c.push(bench.look_at_c());
        let work = Work::Pairs(live.swaps(count));
        pair.push(peers::alone(contender, keys, &work)?);
        if hits {
            let work = Work::Hits(live.present(count, size.tuples));
            hit.push(peers::alone(contender, keys, &work)?);
        }
    }
    let name = contender.name();
    size.pair.extend(median(&pair).map(|ns| (name, ns)));
    size.hit.extend(median(&hit).map(|ns| (name, ns)));
    Ok(median(&c).unwrap_or(0.0))
}

/// Misses of an operation of the cache and of the TLB, where they are counted.
fn counted(module: &Module, keys: &Keys, work: &Work) -> Result<Option<(f64, f64)>> {
    let Some(mut misses) = Misses::new() else {
        return Ok(None);
    };
    let mut result = Ok(0.0);
    let counted = misses.count(|| result = peers::alone(module, keys, work));
    result?;
    let each = |misses: u64| misses as f64 / work.len().max(1) as f64;
    Ok(counted.map(|(cache, tlb)| (each(cache), each(tlb))))
}

fn report(bench: &mut Bench) {
    let (Some(small), Some(large)) = (bench.sizes.first(), bench.sizes.last()) else {
        return;
    };
    let (small, large) = (small.clone(), large.clone());
    if let Some(ns) = small.pair(OURS) {
        let measured = Measured {
            value: ns,
            c: Some(small.c),
            dashmap: small.pair(Dash::NAME),
            ..Measured::default()
        };
        bench.measured("pair-1k", measured);
    }
    for (row, from, to, misses) in [
        (
            "growth-pair",
            small.pair(OURS),
            large.pair(OURS),
            large.pair_misses,
        ),
        (
            "growth-hit",
            small.hit(OURS),
            large.hit(OURS),
            large.hit_misses,
        ),
    ] {
        let (Some(from), Some(to)) = (from, to) else {
            continue;
        };
        let how = match misses {
            Some((cache, tlb)) => format!("counted {cache:.2} of the cache, {tlb:.2} of the TLB"),
            None => "by the chase; the machine counts none".to_owned(),
        };
        let measured = Measured {
            note: format!("{from:.0} to {to:.0} ns; {how}"),
            ..Measured::new((to - from) / large.c)
        };
        bench.measured(row, measured);
    }
}
