// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The tables that are compared: the module and its peers, with the same
//! keys, values of the same size, and the same order of access.

mod dash;
mod module;
mod papaya;
mod scc;
mod sharded;

use std::hash::RandomState;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::error::{Error, Result};
use crate::keys::{Keys, Tuple};
use crate::order::{Swap, is_ours};

pub use dash::Dash;
pub use papaya::Papaya;
pub use scc::Scc;
pub use sharded::Sharded;

/// The keyed hash of the peers: SipHash-1-3 of the standard library.
pub type Sip = RandomState;

/// What a peer keeps of a tuple: 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// The owner.
    pub owner: u32,
    /// References.
    pub references: u32,
    /// Tick of the last question.
    pub tick: u64,
}

impl Value {
    /// Of a new tuple.
    #[must_use]
    pub fn of(owner: u32) -> Self {
        Self {
            owner,
            references: 1,
            tick: 0,
        }
    }
}

/// Who owns the tuple with this index.
#[must_use]
#[inline]
pub fn owner(index: u32) -> u32 {
    if is_ours(index) {
        crate::NODE
    } else {
        crate::OTHER
    }
}

/// A table as one thread uses it.
pub trait Table: Sync {
    /// Registers for `owner`; false: somebody has it.
    fn register(&self, tuple: &Tuple, owner: u32) -> bool;
    /// Removes what this node owns; false: it does not.
    fn remove(&self, tuple: &Tuple) -> bool;
    /// Is the tuple there and `owner`'s?
    fn hit(&self, tuple: &Tuple, owner: u32) -> bool;
    /// Asks for this node for what another one owns: is it refused?
    fn refused(&self, tuple: &Tuple) -> bool;
}

/// Work for one thread.
#[derive(Clone, Debug)]
pub enum Work {
    /// Remove one and register another.
    Pairs(Vec<Swap>),
    /// Look up one that is there.
    Hits(Vec<u32>),
    /// Ask for one that another node owns.
    Duplicates(Vec<u32>),
}

impl Work {
    /// How many operations it is.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Pairs(swaps) => swaps.len(),
            Self::Hits(indices) | Self::Duplicates(indices) => indices.len(),
        }
    }

    /// Is there nothing to do?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A table that can be timed.
pub trait Contender: Sync {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Does the work: how long it took, apart from preparations.
    ///
    /// # Errors
    /// An answer was wrong.
    fn run(&self, keys: &Keys, work: &Work) -> Result<Duration>;
}

/// Times each piece of work in a thread and on a processor of its own, all at
/// once: nanoseconds of an operation of each.
///
/// # Errors
/// An answer was wrong.
pub fn together(contender: &dyn Contender, keys: &Keys, work: &[Work]) -> Result<Vec<f64>> {
    let ready = Barrier::new(work.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = work
            .iter()
            .enumerate()
            .map(|(number, work)| {
                let ready = &ready;
                scope.spawn(move || {
                    cpu::pin(cpu::measuring(number));
                    ready.wait();
                    alone(contender, keys, work)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked").into()))
            })
            .collect()
    })
}

/// Nanoseconds of an operation, in this thread.
///
/// # Errors
/// An answer was wrong.
pub fn alone(contender: &dyn Contender, keys: &Keys, work: &Work) -> Result<f64> {
    let time = contender.run(keys, work)?;
    Ok(time.as_nanos() as f64 / work.len().max(1) as f64)
}

/// Operations with a wrong answer are an error.
fn check(name: &str, what: &str, wrong: u64) -> Result<()> {
    if wrong == 0 {
        return Ok(());
    }
    Err(Error::Wrong(format!("{name}: {wrong} {what}")))
}

impl<T: Table + Named> Contender for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn run(&self, keys: &Keys, work: &Work) -> Result<Duration> {
        let mut wrong = 0;
        let start = Instant::now();
        match work {
            Work::Pairs(swaps) => {
                for swap in swaps {
                    wrong += u64::from(!self.remove(&keys.get(swap.out)));
                    wrong += u64::from(!self.register(&keys.get(swap.back), crate::NODE));
                }
            }
            Work::Hits(indices) => {
                for &index in indices {
                    wrong += u64::from(!self.hit(&keys.get(index), owner(index)));
                }
            }
            Work::Duplicates(indices) => {
                for &index in indices {
                    wrong += u64::from(!self.refused(&keys.get(index)));
                }
            }
        }
        let time = start.elapsed();
        check(T::NAME, "operations had a wrong answer", wrong)?;
        Ok(time)
    }
}

/// A peer's name, and how one is made.
pub trait Named {
    /// In the report.
    const NAME: &'static str;

    /// Empty, with this hash.
    #[must_use]
    fn with_hasher(hash: Sip) -> Self;
}

/// Registers these tuples with a peer, each for its owner.
///
/// # Errors
/// One was there already.
pub fn fill<T: Table + Named>(table: &T, keys: &Keys, indices: &[u32]) -> Result<()> {
    let wrong = indices
        .iter()
        .filter(|&&index| !table.register(&keys.get(index), owner(index)))
        .count();
    check(T::NAME, "registrations failed", wrong as u64)
}
