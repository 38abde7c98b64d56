// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! What the module counts, for `clinet_stats` and the kstats.
//!
//! Counters are striped, so that CPUs do not take a cache line away from each
//! other: a thread counts in the stripe that its stack chooses, and it is one
//! relaxed addition for whichever thread. What nearly every call comes to is
//! counted by the registry, under the lock that it takes anyway, and added here when
//! somebody reads. Reading adds the stripes up, so that the
//! numbers of one reading are not of one instant.
//!
//! One table has all of them: the name in `include/clinet.h`, the name of the
//! kstat, and what is counted. Structure, snapshot and kstats follow from it, and a
//! test holds clinet(4) against them.

#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::flow::{Direction, Protocol, Reject};
use crate::kernel::errno::Errno;
use crate::kernel::{stack, sys};

/// A number of events since the module was loaded.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// None yet.
    #[must_use]
    pub const fn zero() -> Self {
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

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a counter is called in C and in the kstat, and where it is.
struct Named<T> {
    offset: usize,
    kstat: &'static CStr,
    counter: fn(&T) -> &Counter,
}

macro_rules! counters {
    ($($name:ident $kstat:literal $line:literal)*) => {
        /// The counters of one stripe.
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct Counters {
            $(#[doc = $line] pub $name: Counter,)*
            /// Outgoing TCP, incoming TCP, UDP.
            flows: [FlowCounters; 3],
        }

        impl Counters {
            const fn new() -> Self {
                Self {
                    $($name: Counter::zero(),)*
                    flows: [const { FlowCounters::new() }; 3],
                }
            }
        }

        const COUNTERS: &[Named<Counters>] = &[$(Named {
            offset: core::mem::offset_of!(sys::clinet_stats_t, $name),
            kstat: $kstat,
            counter: |stripe| &stripe.$name,
        },)*];
    };
}

macro_rules! flow_counters {
    (
        $($name:ident $kstat:literal $line:literal)*;
        $($granted:ident $granted_kstat:literal $granted_line:literal)*
    ) => {
        /// Counters of one protocol and direction: what questions came to.
        #[derive(Debug)]
        pub struct FlowCounters {
            $(#[doc = $line] pub $name: Counter,)*
            $(#[doc = $granted_line] pub $granted: Counter,)*
        }

        impl FlowCounters {
            const fn new() -> Self {
                Self {
                    $($name: Counter::zero(),)*
                    $($granted: Counter::zero(),)*
                }
            }
        }

        /// Those of `clinet_flow_stats_t`. Each kstat's name is one of these for
        /// outgoing TCP, incoming TCP and UDP.
        const FLOW_COUNTERS: &[([&CStr; 3], Named<FlowCounters>)] =
            &[$(flow_counter!(clinet_flow_stats_t $name $kstat),)*];

        /// Those of `clinet_flow_grants_t`.
        const GRANT_COUNTERS: &[([&CStr; 3], Named<FlowCounters>)] =
            &[$(flow_counter!(clinet_flow_grants_t $granted $granted_kstat),)*];
    };
}

macro_rules! flow_counter {
    ($structure:ident $name:ident $kstat:literal) => {
        (
            [
                prefixed!("tcp_out_" $kstat),
                prefixed!("tcp_in_" $kstat),
                prefixed!("udp_" $kstat),
            ],
            Named {
                offset: core::mem::offset_of!(sys::$structure, $name),
                kstat: prefixed!("" $kstat),
                counter: |flow| &flow.$name,
            },
        )
    };
}

macro_rules! prefixed {
    ($prefix:literal $name:literal) => {
        const {
            match CStr::from_bytes_with_nul(concat!($prefix, $name, "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => c"",
            }
        }
    };
}

counters! {
    cs_tcp_out_asked c"contract_tcp_out_asked" "outgoing TCP: calls of the contract's slot"
    cs_tcp_in_asked c"contract_tcp_in_asked" "incoming TCP: calls of the contract's slot"
    cs_udp_asked c"contract_udp_asked" "UDP: calls of the contract's slot"
    cs_tcp_out_refused c"contract_tcp_out_refused" "outgoing TCP: refusals of the slot's provider"
    cs_tcp_in_refused c"contract_tcp_in_refused" "incoming TCP: refusals of the slot's provider"
    cs_udp_refused c"contract_udp_refused" "UDP: refusals of the slot's provider"
    cs_no_provider c"contract_no_provider" "calls that found the slot empty"
    cs_no_laddr c"contract_no_laddr" "TCP without a local address, which the slot is not asked about"
    cs_other_protocol c"other_protocol" "calls about neither TCP nor UDP"
    cs_bad_argument c"bad_argument" "calls with a NULL pointer or of another address family"
    cs_bad_answer c"bad_answer" "answers of a provider that would harm ip, and became EADDRNOTAVAIL"
    cs_ended c"contract_ended" "ends that the slot's provider was told"
    cs_udp_overtaken c"contract_udp_overtaken" "UDP answers that came after the endpoint had gone on"
    cs_full_admitted c"full_admitted" "no room: let through unregistered"
    cs_full_refused c"full_refused" "no room: refused"
    cs_removed c"removed" "entries whose last reference ended"
    cs_unknown c"unknown" "ends and unbinds of what was not registered"
    cs_conflicts c"conflicts" "installations of a 5-tuple that somebody else holds"
    cs_binds_uncounted c"binds_uncounted" "binds that found no room to be counted in"
    cs_other_family c"other_family" "those of bad_argument that were of another address family"
    cs_aged c"aged" "UDP entries that nobody asked about for too long"
    cs_dropped c"dropped" "entries whose endpoint, address or owner is gone"
    cs_purged c"purged" "purges of a node"
    cs_audit_added c"" "entries that an audit found in ip only"
    cs_audit_removed c"" "entries that two audits did not find in ip"
    cs_audit_conflicts c"" "connections that an audit saw and another node owns, or without room"
    cs_cleared c"cleared" "entries forgotten when ip was attached or detached, or after mode 0"
    cs_addresses_full c"addresses_full" "installations that found too many local addresses"
    cs_nodes_full c"nodes_full" "installations that found too many nodes"
    cs_install_late c"install_late" "installations that found no room at that moment"
}

flow_counters! {
    cf_registered "registered" "new entries"
    cf_repeated "repeated" "this node's already: one more reference"
    cf_owned "owned" "another node's: refused"
    cf_full "full" "no room: clinet_max_tuples is reached"
    cf_late "late" "no room at that moment: no memory, or numbers of addresses being given back"
    cf_no_address "no_address" "no local address"
    cf_not_shared "not_shared" "the local address is not shared"
    cf_observed "observed" "not refused, since the mode is observe"
    cf_udp_full "udp_full" "no room: UDP's share is reached"
    cf_addresses_full "addresses_full" "no room: too many local addresses";
    cg_lapsed "lapsed" "granted, and the deadline has passed: refused"
    cg_not_granted "not_granted" "in the port space, and not granted: refused"
    cg_explicit "explicit" "outside the port space, and not reserved: refused"
    cg_other_stack "other_stack" "shared, in another stack than the global one: refused"
    cg_explicit_admitted "explicit_admitted" "outside the port space, let through by policy"
    cg_other_stack_admitted "other_stack_admitted" "in another stack, let through by policy"
}

/// Stripes, a power of two.
const STRIPES: usize = 64;

static SHARED: [Counters; STRIPES] = [const { Counters::new() }; STRIPES];

/// The counters for this thread, which others may share.
#[inline]
#[must_use]
pub fn counters() -> &'static Counters {
    let [first, ..] = &SHARED;
    SHARED.get(stack::stripe(STRIPES)).unwrap_or(first)
}

/// The counters of outgoing TCP, incoming TCP, and UDP for this thread, which others
/// may share.
#[inline]
#[must_use]
pub fn flows() -> &'static [FlowCounters; 3] {
    &counters().flows
}

/// The one of [`flows`] for a protocol and direction.
#[inline]
#[must_use]
pub fn flow(protocol: Protocol, direction: Direction) -> &'static FlowCounters {
    let [tcp_out, tcp_in, udp] = flows();
    match (protocol, direction) {
        (Protocol::Tcp, Direction::Outgoing) => tcp_out,
        (Protocol::Tcp, Direction::Incoming) => tcp_in,
        (Protocol::Udp, _) => udp,
    }
}

/// The sum of a counter over all stripes.
#[must_use]
pub fn sum(counter: fn(&Counters) -> &Counter) -> u64 {
    SHARED.iter().map(|stripe| counter(stripe).get()).sum()
}

fn flow_sum(flow: usize, counter: fn(&FlowCounters) -> &Counter) -> u64 {
    let counters = SHARED.iter().filter_map(|stripe| stripe.flows.get(flow));
    counters.map(|flow| counter(flow).get()).sum()
}

/// Questions of a flow: each has one of the answers. What else is counted about a
/// question is none.
fn asked(flow: usize) -> u64 {
    let besides = [c"observed", c"explicit_admitted", c"other_stack_admitted"];
    let answers = FLOW_COUNTERS.iter().chain(GRANT_COUNTERS);
    let answers = answers.map(|(_, named)| named);
    let answers = answers.filter(|named| !besides.contains(&named.kstat));
    answers.map(|named| flow_sum(flow, named.counter)).sum()
}

/// Hands each member of the C structure to `put`, by its offset; the gauges come
/// from the registry. One by one, since the whole is more than a kernel stack
/// should hold.
pub fn snapshot(cs_tuples: u64, cs_capacity: u64, mut put: impl FnMut(usize, u64)) {
    macro_rules! at {
        ($member:ident) => {
            core::mem::offset_of!(sys::clinet_stats_t, $member)
        };
    }
    for named in COUNTERS {
        put(named.offset, sum(named.counter));
    }
    put(at!(cs_tuples), cs_tuples);
    put(at!(cs_capacity), cs_capacity);
    let total = |of: fn(&FlowCounters) -> &Counter| (0..3).map(|flow| flow_sum(flow, of)).sum();
    put(at!(cs_registered), total(|flow| &flow.cf_registered));
    put(at!(cs_repeated), total(|flow| &flow.cf_repeated));
    put(at!(cs_owned_elsewhere), total(|flow| &flow.cf_owned));
    put(at!(cs_unspecified), total(|flow| &flow.cf_no_address));
    let flows = [
        (at!(cs_tcp_out), at!(cs_tcp_out_grants)),
        (at!(cs_tcp_in), at!(cs_tcp_in_grants)),
        (at!(cs_udp), at!(cs_udp_grants)),
    ];
    for (flow, (start, grants)) in flows.into_iter().enumerate() {
        for (_, named) in FLOW_COUNTERS {
            put(start + named.offset, flow_sum(flow, named.counter));
        }
        for (_, named) in GRANT_COUNTERS {
            put(grants + named.offset, flow_sum(flow, named.counter));
        }
        let of_all = core::mem::offset_of!(sys::clinet_flow_stats_t, cf_asked);
        put(start + of_all, asked(flow));
    }
}

/// How many counters [`named`] has.
#[must_use]
pub fn names() -> usize {
    let counters = COUNTERS.iter().filter(|named| !named.kstat.is_empty());
    counters.count() + 3 * (FLOW_COUNTERS.len() + GRANT_COUNTERS.len())
}

/// A counter by its number, from 0 without a gap, for the kstats.
#[must_use]
pub fn named(number: usize) -> Option<(&'static CStr, u64)> {
    // Those of audits are in the kstat of attach.
    let counters = COUNTERS.iter().filter(|named| !named.kstat.is_empty());
    if let Some(named) = counters.clone().nth(number) {
        return Some((named.kstat, sum(named.counter)));
    }
    let number = number.checked_sub(counters.count())?;
    let mut flows = FLOW_COUNTERS.iter().chain(GRANT_COUNTERS);
    let (names, named) = flows.nth(number / 3)?;
    let name = names.get(number % 3)?;
    Some((name, flow_sum(number % 3, named.counter)))
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

    #[test]
    fn nothing_is_lost_whoever_counts_where() {
        const THREADS: usize = 100;
        const EACH: u64 = 20_000;
        let purged = || sum(|counters| &counters.cs_purged);
        let before = purged();
        let all = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    all.wait();
                    for _ in 0..EACH {
                        counters().cs_purged.bump();
                    }
                });
            }
        });
        assert_eq!(purged() - before, THREADS as u64 * EACH);
        let used = |stripe: &&Counters| stripe.cs_purged.get() > 0;
        assert!(SHARED.iter().filter(used).count() > STRIPES / 4);
    }

    #[test]
    fn each_flow_has_its_own_counters() {
        let count = |protocol, direction| flow(protocol, direction).cf_full.bump();
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
