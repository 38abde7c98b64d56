// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Faults at random over a running cluster, and what the oracle says of them.

mod fault;
mod quota;
mod snapshot;

use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::oracle::{Violation, judge, waits};
use crate::run::Run;
use fault::{Active, Kind};

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(50);
/// Faults that are there at once, at most.
const MOST_AT_ONCE: usize = 3;
/// Between two judgements.
const JUDGE: Duration = Duration::from_secs(15);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all choices come from.
    pub seed: u64,
    /// Faults begin for so long.
    pub time: Duration,
    /// Between two faults, at most.
    pub pause: Duration,
    /// Only faults of these kinds, by name; all if there is none.
    pub only: Vec<String>,
}

impl Plan {
    /// Are there such faults?
    ///
    /// # Errors
    ///
    /// Which there are.
    pub fn check(&self) -> anyhow::Result<()> {
        Kind::named(&self.only).map(drop)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many faults there were of each kind.
    pub faults: Vec<(String, u64)>,
    /// For how long records were in quarantine at most when they changed hands.
    pub waits: Vec<Duration>,
    /// What the oracle found.
    pub violations: Vec<Violation>,
    /// What is not as it was before the faults, long after the last one.
    pub left: Option<String>,
}

impl Outcome {
    /// How many faults there were.
    pub fn count(&self) -> u64 {
        self.faults.iter().map(|(_, count)| count).sum()
    }
}

/// Lets faults happen, and judges. Each one is told to `tell` when it begins.
///
/// # Errors
///
/// The machinery itself failed: a program does not start.
pub fn chaos(run: &mut Run, plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Outcome> {
    let mut rng = Rng::with_seed(plan.seed);
    let kinds = Kind::named(&plan.only)?;
    let mut outcome = Outcome::default();
    let mut counts = vec![0; kinds.len()];
    let mut active: Vec<Active> = Vec::new();
    let (begin, mut judged) = (Instant::now(), Instant::now());
    let mut next = Instant::now();
    while begin.elapsed() < plan.time && outcome.violations.is_empty() {
        thread::sleep(LOOK);
        end_what_is_due(run, &mut active)?;
        if Instant::now() >= next && active.len() < MOST_AT_ONCE {
            let chosen = rng.usize(..kinds.len());
            if let Some(fault) = kinds[chosen].begin(run, &active, &mut rng)? {
                tell(&format!("{:7.1} s  {fault}", begin.elapsed().as_secs_f64()));
                counts[chosen] += 1;
                active.push(fault);
            }
            next = Instant::now() + plan.pause.mul_f64(rng.f64());
        }
        if judged.elapsed() > JUDGE {
            outcome.violations = judge(&run.evidence()?);
            judged = Instant::now();
        }
    }
    for fault in active {
        fault.end(run)?;
    }
    outcome.faults = kinds
        .iter()
        .map(|kind| kind.name().to_owned())
        .zip(counts)
        .collect();
    if outcome.violations.is_empty() {
        // The slices of who was last killed wait for Q, and leases end before.
        let patience = run.cluster.settings.quarantine() * 3 + Duration::from_secs(20);
        outcome.left = run
            .wait_for_service(patience)
            .err()
            .map(|error| error.to_string());
        outcome.violations = judge(&run.evidence()?);
    }
    outcome.waits = waits(&run.evidence()?);
    Ok(outcome)
}

fn end_what_is_due(run: &mut Run, active: &mut Vec<Active>) -> anyhow::Result<()> {
    let now = Instant::now();
    while let Some(index) = active.iter().position(|fault| fault.until() <= now) {
        active.remove(index).end(run)?;
    }
    Ok(())
}
