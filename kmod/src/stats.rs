// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module counts, for `clinet_stats` and the kstats.
//!
//! Counters are striped, so that CPUs do not take a cache line away from each
//! other. Reading adds the stripes up, so that the numbers of one reading are
//! not of one instant.
//!
//! A thread counts in the stripe that its stack chooses. What every connection
//! counts has stripes of another kind besides, each for one page of a stack: a
//! locked addition would be the dearest instruction of a call that has nothing
//! to do. The first page that asks for such a stripe keeps it. A page of a stack
//! is used by one thread at a time, and an interrupt runs on another stack, so
//! that nobody else adds meanwhile and a plain addition loses nothing.

#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::flow::{Direction, Protocol, Reject};
use crate::kernel::errno::Errno;
use crate::kernel::{stack, sys};

/// A number of events since the module was loaded, on one stripe.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more.
    #[inline]
    pub fn bump(&self) {
        self.add(1);
    }

    /// So many more. Relaxed: counters order nothing.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// One more, where nobody else adds.
    #[inline]
    fn bump_alone(&self) {
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count.wrapping_add(1), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident $kstat:literal)*) => {
        /// The counters of one stripe, under the names they have in
        /// `include/clinet.h`.
        #[derive(Debug)]
        #[repr(align(64))]
        #[expect(missing_docs, reason = "described in include/clinet.h")]
        pub struct Counters {
            $(pub $name: Counter,)*
            /// By protocol and direction: outgoing TCP, incoming TCP, UDP.
            flows: [FlowCounters; 3],
        }

        impl Counters {
            const fn new() -> Self {
                Self {
                    $($name: Counter::new(),)*
                    flows: [const { FlowCounters::new() }; 3],
                }
            }
        }

        /// Hands each member of the C structure to `put`, by its offset; the
        /// gauges come from the registry. One by one, since the whole is more
        /// than a kernel stack should hold.
        pub fn snapshot(cs_tuples: u64, cs_capacity: u64, mut put: impl FnMut(usize, u64)) {
            use core::mem::offset_of;
            type Stats = sys::clinet_stats_t;
            $(put(offset_of!(Stats, $name), sum(|stripe| &stripe.$name));)*
            put(offset_of!(Stats, cs_tuples), cs_tuples);
            put(offset_of!(Stats, cs_capacity), cs_capacity);
            let total = |of: fn(&FlowCounters) -> &Counter| (0..3).map(|flow| flow_sum(flow, of)).sum();
            put(offset_of!(Stats, cs_registered), total(|flow| &flow.cf_registered));
            put(offset_of!(Stats, cs_repeated), total(|flow| &flow.cf_repeated));
            put(offset_of!(Stats, cs_owned_elsewhere), total(|flow| &flow.cf_owned));
            put(offset_of!(Stats, cs_unspecified), total(|flow| &flow.cf_no_address));
            let flows = [
                offset_of!(Stats, cs_tcp_out),
                offset_of!(Stats, cs_tcp_in),
                offset_of!(Stats, cs_udp),
            ];
            for (flow, start) in flows.into_iter().enumerate() {
                flow_snapshot(flow, |offset, value| put(start + offset, value));
                put(start + offset_of!(sys::clinet_flow_stats_t, cf_asked), asked(flow));
            }
        }

        /// Counters that do not depend on a flow, and the names of their kstats.
        const PLAIN: &[(&CStr, fn(&Counters) -> &Counter)] = &[
            $(($kstat, |stripe| &stripe.$name),)*
        ];
    };
}

macro_rules! flow_counters {
    ($($name:ident $out:literal $in:literal $udp:literal)*) => {
        /// Counters of one protocol and direction.
        #[derive(Debug)]
        #[expect(missing_docs, reason = "described in include/clinet.h")]
        pub struct FlowCounters {
            $(pub $name: Counter,)*
        }

        impl FlowCounters {
            const fn new() -> Self {
                Self { $($name: Counter::new(),)* }
            }
        }

        fn flow_snapshot(flow: usize, mut put: impl FnMut(usize, u64)) {
            $(put(
                core::mem::offset_of!(sys::clinet_flow_stats_t, $name),
                flow_sum(flow, |counters| &counters.$name),
            );)*
        }

        /// Counters of flows, and the names of their kstats.
        const FLOW: &[([&CStr; 3], fn(&FlowCounters) -> &Counter)] = &[
            $(([$out, $in, $udp], |flow| &flow.$name),)*
        ];
    };
}

counters! {
    cs_tcp_out_asked c"slot_tcp_out_asked"
    cs_tcp_in_asked c"slot_tcp_in_asked"
    cs_udp_asked c"slot_udp_asked"
    cs_tcp_out_refused c"slot_tcp_out_refused"
    cs_tcp_in_refused c"slot_tcp_in_refused"
    cs_udp_refused c"slot_udp_refused"
    cs_no_provider c"slot_no_provider"
    cs_no_laddr c"slot_no_laddr"
    cs_other_protocol c"other_protocol"
    cs_bad_argument c"bad_argument"
    cs_bad_answer c"bad_answer"
    cs_ended c"slot_ended"
    cs_udp_overtaken c"slot_udp_overtaken"
    cs_full_admitted c"full_admitted"
    cs_full_refused c"full_refused"
    cs_removed c"removed"
    cs_unknown c"unknown"
    cs_conflicts c"conflicts"
    cs_binds_uncounted c"binds_uncounted"
    cs_other_family c"other_family"
    cs_aged c"aged"
    cs_dropped c"dropped"
    cs_purged c"purged"
    cs_audit_added c"audit_added"
    cs_audit_removed c"audit_removed"
    cs_audit_conflicts c"audit_conflicts"
    cs_cleared c"cleared"
}

flow_counters! {
    cf_registered c"tcp_out_registered" c"tcp_in_registered" c"udp_registered"
    cf_repeated c"tcp_out_repeated" c"tcp_in_repeated" c"udp_repeated"
    cf_owned c"tcp_out_owned" c"tcp_in_owned" c"udp_owned"
    cf_full c"tcp_out_full" c"tcp_in_full" c"udp_full"
    cf_late c"tcp_out_late" c"tcp_in_late" c"udp_late"
    cf_no_address c"tcp_out_no_address" c"tcp_in_no_address" c"udp_no_address"
    cf_observed c"tcp_out_observed" c"tcp_in_observed" c"udp_observed"
    cf_not_shared c"tcp_out_not_shared" c"tcp_in_not_shared" c"udp_not_shared"
}

/// Stripes that threads share, a power of two.
const STRIPES: usize = 16;

static SHARED: [Counters; STRIPES] = [const { Counters::new() }; STRIPES];

/// A stripe for one page of a stack.
#[derive(Debug)]
#[repr(C, align(128))]
struct Owned {
    /// The number of the page; 0: nobody's.
    page: AtomicUsize,
    counters: Counters,
}

/// Two to the power of this is the number of stripes for one page each.
const OWNED_BITS: u32 = 6;

static OWNED: [Owned; 1 << OWNED_BITS] = [const {
    Owned {
        page: AtomicUsize::new(0),
        counters: Counters::new(),
    }
}; 1 << OWNED_BITS];

/// The counters for this thread, which others may share.
#[inline]
#[must_use]
pub fn counters() -> &'static Counters {
    let [first, ..] = &SHARED;
    SHARED.get(stack::stripe(STRIPES)).unwrap_or(first)
}

/// The counters of a flow for this thread, which others may share.
#[inline]
#[must_use]
pub fn flow(protocol: Protocol, direction: Direction) -> &'static FlowCounters {
    counters().flow(protocol, direction)
}

/// One more of what is counted often.
#[inline(always)]
pub fn count(counter: impl Fn(&Counters) -> &Counter) {
    let page = stack::page();
    let owned = owned(page);
    if owned.page.load(Ordering::Relaxed) == page {
        counter(&owned.counters).bump_alone();
    } else {
        count_elsewhere(page, counter);
    }
}

/// One more of what is counted often of flows.
#[inline(always)]
pub fn count_flow(
    protocol: Protocol,
    direction: Direction,
    counter: impl Fn(&FlowCounters) -> &Counter,
) {
    count(|counters| counter(counters.flow(protocol, direction)));
}

/// The stripe that a page may have.
#[inline]
fn owned(page: usize) -> &'static Owned {
    let [first, ..] = &OWNED;
    OWNED.get(stack::spread(page, OWNED_BITS)).unwrap_or(first)
}

/// [`count`] for a page that has no stripe, for want of one or until now.
#[inline(never)]
fn count_elsewhere(page: usize, counter: impl Fn(&Counters) -> &Counter) {
    let owned = owned(page);
    let taken = owned
        .page
        .compare_exchange(0, page, Ordering::Relaxed, Ordering::Relaxed);
    match taken {
        Ok(_) => counter(&owned.counters).bump_alone(),
        Err(_) => counter(counters()).bump(),
    }
}

impl Counters {
    #[inline]
    fn flow(&self, protocol: Protocol, direction: Direction) -> &FlowCounters {
        let [tcp_out, tcp_in, udp] = &self.flows;
        match (protocol, direction) {
            (Protocol::Tcp, Direction::Outgoing) => tcp_out,
            (Protocol::Tcp, Direction::Incoming) => tcp_in,
            (Protocol::Udp, _) => udp,
        }
    }
}

fn stripes() -> impl Iterator<Item = &'static Counters> {
    SHARED
        .iter()
        .chain(OWNED.iter().map(|owned| &owned.counters))
}

fn sum(counter: impl Fn(&Counters) -> &Counter) -> u64 {
    stripes().map(|stripe| counter(stripe).get()).sum()
}

fn flow_sum(flow: usize, counter: impl Fn(&FlowCounters) -> &Counter) -> u64 {
    let counters = stripes().filter_map(|stripe| stripe.flows.get(flow));
    counters.map(|flow| counter(flow).get()).sum()
}

/// Questions of a flow: each has one of these answers.
fn asked(flow: usize) -> u64 {
    let answers: [fn(&FlowCounters) -> &Counter; 7] = [
        |flow| &flow.cf_registered,
        |flow| &flow.cf_repeated,
        |flow| &flow.cf_owned,
        |flow| &flow.cf_full,
        |flow| &flow.cf_late,
        |flow| &flow.cf_no_address,
        |flow| &flow.cf_not_shared,
    ];
    answers
        .into_iter()
        .map(|answer| flow_sum(flow, answer))
        .sum()
}

/// A counter by its number, from 0 without a gap, for the kstats.
#[must_use]
pub fn named(number: usize) -> Option<(&'static CStr, u64)> {
    if let Some((name, counter)) = PLAIN.get(number) {
        return Some((*name, sum(counter)));
    }
    let number = number.checked_sub(PLAIN.len())?;
    let (names, counter) = FLOW.get(number / 3)?;
    let name = names.get(number % 3)?;
    Some((name, flow_sum(number % 3, counter)))
}

/// Counts a call that said nothing usable.
///
/// # Errors
///
/// The errno for it, unless it was about another protocol, which is no error.
#[cold]
pub fn rejected(reject: Reject) -> Result<(), Errno> {
    let counters = counters();
    match reject {
        Reject::Null => counters.cs_bad_argument.bump(),
        Reject::Family => {
            counters.cs_bad_argument.bump();
            counters.cs_other_family.bump();
        }
        Reject::Protocol => counters.cs_other_protocol.bump(),
    }
    reject.errno().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::vec::Vec;

    fn purged() -> u64 {
        sum(|counters| &counters.cs_purged)
    }

    /// More threads at a time than there are stripes for one page each: some
    /// share, and none of what they count is lost.
    #[test]
    fn nothing_is_lost_whoever_counts_where() {
        const THREADS: usize = 100;
        const EACH: u64 = 20_000;
        let before = purged();
        let all = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    all.wait();
                    for _ in 0..EACH {
                        count(|counters| &counters.cs_purged);
                    }
                });
            }
        });
        assert_eq!(purged() - before, THREADS as u64 * EACH);
        let own = |owned: &&Owned| owned.counters.cs_purged.get() > 0;
        assert!(OWNED.iter().filter(own).count() > 1);
        assert!(SHARED.iter().any(|counters| counters.cs_purged.get() > 0));
    }

    #[test]
    fn a_page_that_comes_second_shares() {
        let conflicts = |counters: &Counters| counters.cs_conflicts.get();
        let first = stack::page();
        count_elsewhere(first, |counters| &counters.cs_conflicts);
        let stripe = owned(first);
        let taken = stripe.page.load(Ordering::Relaxed);
        let second = (taken + 1..).find(|page| core::ptr::eq(owned(*page), stripe));
        let (own, all) = (
            conflicts(&stripe.counters),
            sum(|counters| &counters.cs_conflicts),
        );
        count_elsewhere(second.unwrap_or(taken), |counters| &counters.cs_conflicts);
        assert_eq!(conflicts(&stripe.counters), own);
        assert_eq!(sum(|counters| &counters.cs_conflicts), all + 1);
    }

    #[test]
    fn each_flow_has_its_own_counters() {
        let count = |protocol, direction| count_flow(protocol, direction, |flow| &flow.cf_full);
        let counted = || -> Vec<u64> {
            (0..3)
                .map(|flow| flow_sum(flow, |flow| &flow.cf_full))
                .collect()
        };
        let before = counted();
        count(Protocol::Tcp, Direction::Outgoing);
        count(Protocol::Tcp, Direction::Incoming);
        count(Protocol::Tcp, Direction::Incoming);
        for _ in 0..3 {
            count(Protocol::Udp, Direction::Outgoing);
        }
        let more: Vec<u64> = counted()
            .iter()
            .zip(before)
            .map(|(now, before)| now - before)
            .collect();
        assert_eq!(more, [1, 2, 3]);
    }
}
