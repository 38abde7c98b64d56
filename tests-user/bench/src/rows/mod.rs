// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The measurements, by kind.

mod cheap;
mod endpoint;
mod growth;
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
        what: "worst insert while growing",
        rows: &[worst::GROWING],
        run: worst::growing,
    },
    Group {
        what: "worst insert, preallocated",
        rows: &[worst::PREALLOCATED],
        run: worst::preallocated,
    },
];

/// Measures all rows that are wanted. What goes wrong is the result of the
/// rows that are not measured by then.
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
        let result = (group.run)(bench);
        let mut error = match result {
            Ok(()) => None,
            Err(error) => {
                bench.progress(&error.to_string());
                Some(error)
            }
        };
        for row in wanted(bench) {
            let why = error
                .take()
                .unwrap_or_else(|| Error::Unusable(anyhow::anyhow!("not measured: see above")));
            bench.results.insert(row, Err(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GROUPS;
    use crate::marks::MARKS;

    #[test]
    fn every_row_is_in_one_group() {
        for mark in MARKS {
            let groups = GROUPS.iter().filter(|group| group.rows.contains(&mark.name));
            assert_eq!(groups.count(), 1, "{}", mark.name);
        }
        for group in GROUPS {
            for row in group.rows {
                assert!(MARKS.iter().any(|mark| mark.name == *row), "{row}");
            }
        }
    }
}
