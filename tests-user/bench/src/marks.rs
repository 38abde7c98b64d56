// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The marks: what is measured, and what it is to be.

/// One bound of a mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Nanoseconds at most.
    Ns(f64),
    /// Dependent accesses to memory at most.
    C(f64),
    /// Times dashmap's time at most.
    Dashmap(f64),
    /// Times dashmap's throughput at least.
    Throughput(f64),
    /// Bytes at most.
    Bytes(f64),
    /// Times what `clinet_memory` counts at most.
    Counted(f64),
    /// Misses at most, by the chase, that the growth of cost may be.
    Misses(f64),
}

/// A row of the table. Names do not change: commits are compared by them.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Its name.
    pub name: &'static str,
    /// What it measures.
    pub what: &'static str,
    /// All have to be kept.
    pub bounds: &'static [Bound],
    /// What the module has to have, besides the slots and `clinet_stats`.
    pub needs: &'static [&'static str],
}

const US: f64 = 1000.0;
const INSTALL: &str = "clinet_install";
const QUERY: &str = "clinet_query";
const MEMORY: &str = "clinet_memory";
const AUDIT: &str = "clinet_audit";

const fn mark(
    name: &'static str,
    what: &'static str,
    bounds: &'static [Bound],
    needs: &'static [&'static str],
) -> Mark {
    Mark {
        name,
        what,
        bounds,
        needs,
    }
}

/// All rows, in the order of the table.
pub const MARKS: &[Mark] = &[
    mark(
        "pair",
        "register + remove",
        &[Bound::C(1.1), Bound::Dashmap(0.35)],
        &[INSTALL],
    ),
    mark(
        "duplicate",
        "duplicate refused",
        &[Bound::C(0.6), Bound::Dashmap(0.4)],
        &[INSTALL],
    ),
    mark(
        "hit",
        "lookup hit",
        &[Bound::C(0.6), Bound::Dashmap(0.4)],
        &[INSTALL, QUERY],
    ),
    mark(
        "pair-2",
        "2 threads: register + remove",
        &[Bound::Throughput(3.5)],
        &[INSTALL],
    ),
    mark(
        "hit-2",
        "2 threads: lookup hit",
        &[Bound::Throughput(2.5)],
        &[INSTALL, QUERY],
    ),
    mark(
        "duplicate-2",
        "2 threads: duplicate refused",
        &[Bound::Throughput(3.5)],
        &[INSTALL],
    ),
    mark(
        "pair-1k",
        "register + remove at 1000",
        &[Bound::Ns(65.0)],
        &[INSTALL],
    ),
    mark(
        "memory",
        "bytes per tuple at N",
        &[Bound::Bytes(48.0)],
        &[INSTALL, MEMORY],
    ),
    mark(
        "memory-1m",
        "bytes per tuple at N/10",
        &[Bound::Bytes(60.0)],
        &[MEMORY],
    ),
    mark(
        "lost-1m",
        "lost by the machine at N/10",
        &[Bound::Counted(1.25)],
        &[MEMORY],
    ),
    mark(
        "lost-2m",
        "lost by the machine at N/5",
        &[Bound::Counted(1.25)],
        &[MEMORY],
    ),
    mark(
        "lost-4m",
        "lost by the machine at 2N/5",
        &[Bound::Counted(1.25)],
        &[MEMORY],
    ),
    mark(
        "lost-8m",
        "lost by the machine at 4N/5",
        &[Bound::Counted(1.25)],
        &[MEMORY],
    ),
    mark(
        "lost-after",
        "lost 60 s after all are gone",
        &[Bound::Bytes(4e6)],
        &[MEMORY],
    ),
    mark(
        "memory-idle",
        "bytes of an idle module",
        &[Bound::Bytes((1 << 20) as f64)],
        &[MEMORY],
    ),
    mark(
        "insert-growing",
        "worst insert while it grows",
        &[Bound::Ns(20.0 * US)],
        &[],
    ),
    mark(
        "insert-loaded",
        "the same beside a busy loop",
        &[Bound::Ns(20.0 * US)],
        &[],
    ),
    mark(
        "insert-one-cpu",
        "the same on one processor",
        &[Bound::Ns(20.0 * US)],
        &[],
    ),
    mark(
        "insert-preallocated",
        "worst insert, preallocated",
        &[Bound::Ns(5.0 * US)],
        &["clinet_prealloc"],
    ),
    mark(
        "sweep-old",
        "ageing sweep, 1 in 100 too old, per tuple",
        &[Bound::Ns(5.0)],
        &["clinet_udp_age"],
    ),
    mark(
        "sweep-lock",
        "longest lock hold of it",
        &[Bound::Ns(US)],
        &["clinet_udp_age"],
    ),
    mark(
        "unbind",
        "unbind of an endpoint with N/10",
        &[Bound::Ns(20.0 * US)],
        &[],
    ),
    mark(
        "bind",
        "bind of an endpoint with N/10",
        &[Bound::Ns(20.0 * US)],
        &[],
    ),
    mark(
        "purge",
        "purge of an owner with N/2",
        &[Bound::Ns(20.0 * US)],
        &[INSTALL, "clinet_purge"],
    ),
    mark(
        "not-shared",
        "local address not shared",
        &[Bound::Ns(8.0)],
        &["clinet_addrs"],
    ),
    mark(
        "not-shared-2",
        "2 threads: the same, each",
        &[Bound::Ns(8.0)],
        &["clinet_addrs"],
    ),
    mark(
        "not-shared-1000",
        "the same by the thousandth thread",
        &[Bound::Ns(8.0)],
        &["clinet_addrs"],
    ),
    mark(
        "granted",
        "what a port space adds to a question",
        &[Bound::Ns(3.0)],
        &["clinet_port_space", "clinet_grants"],
    ),
    mark(
        "udp-same",
        "UDP send to the same destination",
        &[Bound::Ns(2.0)],
        &["clinet_udp_send_begin"],
    ),
    mark(
        "stack",
        "stack of the deepest hook path",
        &[Bound::Bytes(896.0)],
        &["clinet_attach"],
    ),
    mark(
        "audit",
        "audit of N/10 live connections",
        &[Bound::Ns(5e8)],
        &[AUDIT, "clinet_attach"],
    ),
    mark(
        "audit-lock",
        "longest lock hold of it",
        &[Bound::Ns(US)],
        &[AUDIT, "clinet_attach"],
    ),
    mark(
        "growth-pair",
        "misses by which a pair grows from 1000",
        &[Bound::Misses(2.0)],
        &[INSTALL],
    ),
    mark(
        "growth-hit",
        "misses by which a hit grows from 1000",
        &[Bound::Misses(1.0)],
        &[INSTALL, QUERY],
    ),
];

/// A number, and what it is compared with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Nanoseconds, bytes, times or misses, as the bounds say.
    pub value: f64,
    /// c in the same run, nanoseconds.
    pub c: Option<f64>,
    /// dashmap's value for the same.
    pub dashmap: Option<f64>,
    /// What else there is to say.
    pub note: String,
    /// Something happened that the mark does not allow, whatever the number.
    pub spoiled: bool,
}

impl Measured {
    /// A number and nothing else.
    #[must_use]
    pub fn new(value: f64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }

    /// How many times c.
    #[must_use]
    pub fn in_c(&self) -> Option<f64> {
        Some(self.value / self.c?)
    }

    /// How many times dashmap's value.
    #[must_use]
    pub fn in_dashmap(&self) -> Option<f64> {
        Some(self.value / self.dashmap?)
    }
}

impl Mark {
    /// Does the number keep all bounds? A bound that cannot be told is not
    /// kept.
    #[must_use]
    pub fn is_met(&self, measured: &Measured) -> bool {
        let at_most = |value: Option<f64>, most: f64| value.is_some_and(|value| value <= most);
        !measured.spoiled
            && self.bounds.iter().all(|bound| match *bound {
                Bound::Ns(most)
                | Bound::Bytes(most)
                | Bound::Counted(most)
                | Bound::Misses(most) => measured.value <= most,
                Bound::C(most) => at_most(measured.in_c(), most),
                Bound::Dashmap(most) => at_most(measured.in_dashmap(), most),
                Bound::Throughput(least) => at_most(measured.in_dashmap(), 1.0 / least),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(bounds: &'static [Bound], measured: &Measured) -> bool {
        mark("", "", bounds, &[]).is_met(measured)
    }

    #[test]
    fn every_bound_counts() {
        let measured = Measured {
            c: Some(100.0),
            dashmap: Some(400.0),
            ..Measured::new(200.0)
        };
        assert!(judge(&[Bound::C(2.0), Bound::Dashmap(0.5)], &measured));
        assert!(!judge(&[Bound::C(1.9), Bound::Dashmap(0.5)], &measured));
        assert!(!judge(&[Bound::C(2.0), Bound::Dashmap(0.4)], &measured));
        assert!(judge(&[Bound::Throughput(2.0)], &measured));
        assert!(!judge(&[Bound::Throughput(2.1)], &measured));
        assert!(
            !judge(&[Bound::C(2.0)], &Measured::new(1.0)),
            "c is unknown"
        );
        assert!(!judge(&[Bound::Ns(199.0)], &measured));
        let spoiled = Measured {
            spoiled: true,
            ..measured
        };
        assert!(!judge(&[Bound::Ns(200.0)], &spoiled));
    }

    #[test]
    fn names_are_unique() {
        for (index, mark) in MARKS.iter().enumerate() {
            assert!(MARKS[..index].iter().all(|other| other.name != mark.name));
        }
    }
}
