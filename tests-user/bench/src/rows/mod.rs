// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The measurements, by kind.

mod audit;
mod cheap;
mod endpoint;
mod granted;
mod growth;
mod memory;
mod stack;
mod steady;
mod sweep;
mod worst;

use crate::bench::Bench;
use crate::error::{Error, Result};

/// Some rows and how they are measured.
struct Group {
    what: &'static str,
    rows: &'static [&'static str],
    run: fn(&mut Bench) -> Result<()>,
}

const GROUPS: &[Group] = &[
    Group {
        what: "an idle module, cheap calls",
        rows: cheap::ROWS,
        run: cheap::run,
    },
    Group {
        what: "a port space",
        rows: granted::ROWS,
        run: granted::run,
    },
    Group {
        what: "growth of cost",
        rows: growth::ROWS,
        run: growth::run,
    },
    Group {
        what: "the steady state",
        rows: steady::ROWS,
        run: steady::run,
    },
    Group {
        what: "memory while it fills, and afterwards",
        rows: memory::ROWS,
        run: memory::run,
    },
    Group {
        what: "ageing sweeps",
        rows: sweep::ROWS,
        run: sweep::run,
    },
    Group {
        what: "endpoints and owners",
        rows: endpoint::ROWS,
        run: endpoint::run,
    },
    Group {
        what: "the stack of ip's hooks",
        rows: stack::ROWS,
        run: stack::run,
    },
    Group {
        what: "audits",
        rows: audit::ROWS,
        run: audit::run,
    },
    Group {
        what: "worst insert while growing",
        rows: &[worst::GROWING],
        run: worst::growing,
    },
    Group {
        what: "worst insert beside a busy loop",
        rows: &[worst::LOADED],
        run: worst::loaded,
    },
    Group {
        what: "worst insert on one processor",
        rows: &[worst::ONE_CPU],
        run: worst::one_cpu,
    },
    Group {
        what: "worst insert, preallocated",
        rows: &[worst::PREALLOCATED],
        run: worst::preallocated,
    },
];

/// Measures all rows that are wanted.
///
/// # Panics
/// A group is done and has left a row out.
pub fn run(bench: &mut Bench) {
    for group in GROUPS {
        let wanted = |bench: &Bench| -> Vec<&'static str> {
            let rows = group.rows.iter().copied();
            rows.filter(|row| bench.wants(row)).collect()
        };
        if wanted(bench).is_empty() {
            continue;
        }
        bench.progress(group.what);
        let asked = wanted(bench);
        if let Err(error) = (group.run)(bench) {
            bench.progress(&error.to_string());
            fail(bench, &asked, error);
        }
        assert!(
            wanted(bench).is_empty(),
            "a row of {} is missing",
            group.what
        );
    }
}

/// Rows without a number get the error instead; a wrong answer takes the
/// others' numbers away, too: nobody knows what they are numbers of.
fn fail(bench: &mut Bench, rows: &[&'static str], error: Error) {
    let wrong = match &error {
        Error::Wrong(what) => Some(what.clone()),
        _ => None,
    };
    let mut error = Some(error);
    for &row in rows {
        let why = match (&wrong, bench.wants(row)) {
            (Some(what), _) => Error::Wrong(what.clone()),
            (None, true) => error
                .take()
                .unwrap_or_else(|| anyhow::anyhow!("not measured: see the row above").into()),
            (None, false) => continue,
        };
        bench.results.insert(row, Err(why));
    }
}

#[cfg(test)]
mod tests {
    use super::GROUPS;
    use crate::marks::MARKS;

    #[test]
    fn every_row_is_in_one_group() {
        for mark in MARKS {
            let groups = GROUPS
                .iter()
                .filter(|group| group.rows.contains(&mark.name));
            assert_eq!(groups.count(), 1, "{}", mark.name);
        }
        for group in GROUPS {
            for row in group.rows {
                assert!(MARKS.iter().any(|mark| mark.name == *row), "{row}");
            }
        }
    }
}
