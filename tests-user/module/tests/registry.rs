// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! The registry in the released file: what C sees of it, memory that fails
//! while it grows, many threads, many entries.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clinet_kernel::Context;
use clinet_module_tests::{
    EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, Loaded, SCTP, SHARED4, TCP, Tuple, UDP, ptr,
    ptr_mut,
};

const ENOENT: i32 = 2;
const ENXIO: i32 = 6;
const EPROTONOSUPPORT: i32 = 120;

/// The reasons of `include/clinet.h`.
const FREE: u32 = 0;
const OURS: u32 = 1;
const OWNED: u32 = 2;
const FULL: u32 = 3;
const LATE: u32 = 4;
const NOT_SHARED: u32 = 5;
const NO_ADDRESS: u32 = 6;

/// `clinet_answer_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answer {
    reason: u32,
    owner: u32,
    references: u32,
    pad: u32,
}

/// `clinet_cursor_t`.
#[repr(C)]
#[derive(Default)]
struct Cursor {
    region: u32,
    fraction: u32,
}

/// `clinet_entry_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    laddr: [u8; 16],
    faddr: [u8; 16],
    lport: u16,
    fport: u16,
    protocol: u8,
    outgoing: u8,
    pad: u16,
    stack: u32,
    owner: u32,
    references: u32,
    age: u32,
}

fn args(tuple: &Tuple) -> [u64; 6] {
    [
        tuple.protocol.into(),
        tuple.family.into(),
        ptr(&tuple.laddr),
        tuple.lport.into(),
        ptr(&tuple.faddr),
        tuple.fport.into(),
    ]
}

fn query(loaded: &Loaded, tuple: &Tuple) -> (i32, Answer) {
    let mut answer = Answer::default();
    let [a, b, c, d, e, f] = args(tuple);
    let error = loaded.call("clinet_query", &[a, b, c, d, e, f, ptr_mut(&mut answer)]);
    (error, answer)
}

fn reason(loaded: &Loaded, tuple: &Tuple) -> (i32, u32) {
    let (error, answer) = query(loaded, tuple);
    (error, answer.reason)
}

/// All entries, so many at a time.
fn list(loaded: &Loaded, room: usize) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut cursor = Cursor::default();
    let mut entries = vec![Entry::default(); room];
    loop {
        let mut count = room as u32;
        let to = entries.as_mut_ptr().expose_provenance() as u64;
        let arguments = [ptr_mut(&mut cursor), to, ptr_mut(&mut count)];
        let error = loaded.call_in(&Context::thread(), "clinet_list", &arguments);
        all.extend_from_slice(&entries[..count as usize]);
        match error {
            0 => {}
            ENOENT => return all,
            error => panic!("clinet_list answers {error}"),
        }
    }
}

fn sweep(loaded: &Loaded) {
    let _ = loaded.call_in(&Context::thread(), "clinet_sweep", &[]);
}

fn memory(loaded: &Loaded) -> u64 {
    let address = loaded.module.address("clinet_memory");
    // SAFETY: `uint64_t clinet_memory(void)`.
    unsafe { loaded.module.call(&Context::no_sleep(), address, &[]) }
}

/// Different for each number.
fn numbered(n: u32) -> Tuple {
    let mut tuple = Tuple::v6(TCP, (n / 50_000) as u16, (n % 50_000) as u16);
    tuple.faddr[12..].copy_from_slice(&n.to_be_bytes());
    tuple
}

#[test]
fn a_query_says_what_a_question_would_get_and_counts_nothing() {
    let loaded = Loaded::new(&[
        ("clinet_max_tuples", 64),
        ("clinet_full_refuse", 1),
        ("clinet_node_id", 5),
    ]);
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(query(&loaded, &tuple), (0, Answer::default()));
    for _ in 0..3 {
        assert_eq!(loaded.connect2(true, &tuple), 0);
    }
    let ours = Answer {
        reason: OURS,
        owner: 5,
        references: 3,
        pad: 0,
    };
    assert_eq!(query(&loaded, &tuple), (0, ours));
    let other = Tuple::v4(UDP, 1, 2);
    assert_eq!(loaded.other_node("clinet_install", 9, &other), 0);
    let owned = Answer {
        reason: OWNED,
        owner: 9,
        references: 0,
        pad: 0,
    };
    assert_eq!(query(&loaded, &other), (EADDRINUSE, owned));
    let any = Tuple {
        laddr: [0; 16],
        ..tuple
    };
    assert_eq!(reason(&loaded, &any), (0, NO_ADDRESS));
    let mut loopback = tuple;
    loopback.laddr[..4].copy_from_slice(&[127, 0, 0, 1]);
    assert_eq!(reason(&loaded, &loopback), (0, NOT_SHARED));
    for port in 100..162 {
        assert_eq!(loaded.connect2(true, &Tuple::v4(TCP, port, 80)), 0);
    }
    assert_eq!(
        reason(&loaded, &Tuple::v4(TCP, 7, 7)),
        (EADDRNOTAVAIL, FULL)
    );
    assert_eq!(query(&loaded, &tuple), (0, ours));
    let [a, b, c, d, e, f] = args(&other);
    assert_eq!(
        loaded.call("clinet_query", &[a, b, c, d, e, f, 0]),
        EADDRINUSE
    );
    assert_eq!(loaded.stat("flow_tcp_out_asked"), 65);
    assert_eq!(
        (loaded.stat("flow_udp_asked"), loaded.stat("full_refused")),
        (0, 0)
    );
}

#[test]
fn odd_arguments_are_refused_or_ignored() {
    let loaded = Loaded::with_builtin();
    let right = args(&Tuple::v4(TCP, 1, 2));
    let with = |index: usize, value: u64| {
        let mut odd = right;
        odd[index] = value;
        odd
    };
    let cases = [
        (with(2, 0), EINVAL),
        (with(4, 0), EINVAL),
        (with(1, 10), EAFNOSUPPORT),
        (with(1, 0), EAFNOSUPPORT),
        (with(0, SCTP.into()), EPROTONOSUPPORT),
        (with(0, 255), EPROTONOSUPPORT),
    ];
    for ([a, b, c, d, e, f], error) in cases {
        let mut answer = Answer {
            reason: 77,
            ..Answer::default()
        };
        let query = [a, b, c, d, e, f, ptr_mut(&mut answer)];
        assert_eq!(loaded.call("clinet_query", &query), error);
        assert_eq!(answer.reason, 77, "an answer beside an error");
        loaded.tell("clinet_prefetch", &[a, b, c, d, e, f]);
    }
    let mut cursor = Cursor::default();
    let mut entries = [Entry::default(); 64];
    let mut count = 64_u32;
    let all = [
        ptr_mut(&mut cursor),
        ptr_mut(&mut entries),
        ptr_mut(&mut count),
    ];
    for index in 0..3 {
        let mut arguments = all;
        arguments[index] = 0;
        assert_eq!(
            loaded.call_in(&Context::thread(), "clinet_list", &arguments),
            EINVAL
        );
    }
    for few in [0, 1, 63] {
        count = few;
        assert_eq!(
            loaded.call_in(&Context::thread(), "clinet_list", &all),
            EINVAL
        );
        assert_eq!(std::mem::replace(&mut count, 64), 0);
    }
    assert_eq!(
        loaded.call_in(&Context::thread(), "clinet_list", &all),
        ENOENT
    );
    assert_eq!(count, 0);
}

#[test]
fn without_the_provider_there_is_nothing_to_look_at() {
    let loaded = Loaded::new(&[("clinet_provider", 0)]);
    let tuple = Tuple::v4(TCP, 1, 2);
    assert_eq!(query(&loaded, &tuple), (ENXIO, Answer::default()));
    loaded.tell("clinet_prefetch", &args(&tuple));
    let (mut cursor, mut entries, mut count) = (Cursor::default(), [Entry::default(); 64], 64_u32);
    let arguments = [
        ptr_mut(&mut cursor),
        ptr_mut(&mut entries),
        ptr_mut(&mut count),
    ];
    assert_eq!(
        loaded.call_in(&Context::thread(), "clinet_list", &arguments),
        ENXIO
    );
    assert_eq!((count, memory(&loaded)), (0, 0));
    sweep(&loaded);
}

#[test]
fn a_listing_shows_each_entry_once_with_all_of_it() {
    let loaded = Loaded::new(&[("clinet_udp_age", 3200)]);
    loaded.kernel.settle();
    for n in 0..1000 {
        assert_eq!(loaded.connect2(n % 2 == 0, &numbered(n)), 0);
    }
    let flow = Tuple::v4(UDP, 53, 99);
    assert_eq!(loaded.connect2(true, &flow), 0);
    assert_eq!(
        loaded.other_node("clinet_install", 7, &Tuple::v4(TCP, 1, 2)),
        0
    );
    loaded.kernel.advance(Duration::from_secs(500));
    for room in [64, 100, 5000] {
        let all = list(&loaded, room);
        assert_eq!(all.len(), 1002);
        for n in 0..1000 {
            let tuple = numbered(n);
            let found: Vec<_> = all.iter().filter(|one| one.faddr == tuple.faddr).collect();
            let [one] = found[..] else {
                panic!("{n}: {found:?}")
            };
            let shown = (
                one.protocol,
                one.laddr,
                one.lport,
                one.fport,
                one.owner,
                one.references,
            );
            assert_eq!(shown, (TCP, tuple.laddr, tuple.lport, tuple.fport, 1, 1));
            assert_eq!(
                (u32::from(one.outgoing), one.stack, one.age),
                ((n + 1) % 2, 0, 0)
            );
        }
        let others: BTreeMap<_, _> = all
            .iter()
            .filter(|one| one.faddr[10] == 0xff)
            .map(|one| (one.owner, one))
            .collect();
        assert_eq!((others[&7].references, others[&7].protocol), (0, TCP));
        assert_eq!(
            (
                others[&1].protocol,
                others[&1].lport,
                &others[&1].laddr[12..]
            ),
            (UDP, 53, &SHARED4[..4])
        );
        assert!((400..=600).contains(&others[&1].age), "{}", others[&1].age);
    }
}

/// A machine whose table is as small as it gets.
fn small(refuse: u64) -> Loaded {
    let loaded = Loaded::new(&[("clinet_max_tuples", 1024), ("clinet_full_refuse", refuse)]);
    for _ in 0..4 {
        sweep(&loaded);
        loaded.kernel.settle();
    }
    loaded
}

const GROWN: u32 = 900;
/// More than the memory that a large table has at first takes: 20480.
const MORE: u32 = 23_000;

/// Connects so many; those that were not registered, which is said and counted.
fn grow(loaded: &Loaded, count: u32, refuse: u64) -> Vec<u32> {
    let mut late = Vec::new();
    for n in 0..count {
        if n % 10 == 0 {
            // A region that is crowded and not in need waits for the second.
            loaded.kernel.advance(Duration::from_secs(1));
        }
        let answer = loaded.connect2(true, &numbered(n));
        if query(loaded, &numbered(n)).1.reason == OURS {
            assert_eq!(answer, 0);
        } else {
            assert_eq!(answer, if refuse == 1 { EADDRNOTAVAIL } else { 0 });
            assert_eq!(reason(loaded, &numbered(n)), (answer, LATE));
            late.push(n);
        }
    }
    assert_eq!(loaded.stat("flow_tcp_out_late"), late.len() as u64);
    assert_eq!(
        loaded.stat("registered"),
        u64::from(count) - late.len() as u64
    );
    late
}

/// Everything is right once there is memory again.
fn recover(loaded: &Loaded, count: u32, late: &[u32]) {
    loaded.kernel.fail_allocations(false);
    loaded.kernel.advance(Duration::from_secs(5));
    for n in late {
        loaded.kernel.settle();
        assert_eq!(loaded.connect2(true, &numbered(*n)), 0);
        loaded.kernel.advance(Duration::from_secs(1));
    }
    assert_eq!(list(loaded, 64).len(), count as usize);
    for n in 0..count {
        let (error, answer) = query(loaded, &numbered(n));
        assert_eq!(
            (error, answer.reason, answer.references),
            (0, OURS, 1),
            "{n}"
        );
        loaded.disconnect(&numbered(n));
    }
    assert_eq!(loaded.stat("tuples"), 0);
    loaded.kernel.check_memory().unwrap();
}

#[test]
fn any_allocation_may_fail_while_the_table_grows() {
    let whole = small(0);
    let before = whole.kernel.kmem_allocations();
    assert!(grow(&whole, GROWN, 0).is_empty());
    let allocations = whole.kernel.kmem_allocations() - before;
    assert!(allocations > 16, "{allocations}");
    for nth in 1..=allocations {
        let refuse = nth % 2;
        let loaded = small(refuse);
        loaded.kernel.fail_nth_allocation(nth);
        let late = grow(&loaded, GROWN, refuse);
        recover(&loaded, GROWN, &late);
    }
}

#[test]
fn all_allocations_may_fail_for_a_while() {
    for refuse in [0, 1] {
        let loaded = Loaded::new(&[("clinet_max_tuples", 65536), ("clinet_full_refuse", refuse)]);
        loaded.kernel.settle();
        let idle = memory(&loaded);
        loaded.kernel.fail_allocations(true);
        let late = grow(&loaded, MORE, refuse);
        assert!((1000..8000).contains(&late.len()), "{} late", late.len());
        assert_eq!(memory(&loaded), idle);
        loaded.kernel.advance(Duration::from_secs(3));
        recover(&loaded, MORE, &late);
    }
}

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |value| value.parse().expect("a number"))
}

/// So many that all regions grow; a million and more with `CLINET_TUPLES`.
#[test]
fn all_memory_is_given_back_after_many_entries() {
    let tuples = number_from("CLINET_TUPLES", 50_000) as u32;
    let loaded = Loaded::new(&[("clinet_max_tuples", 1 << 21)]);
    loaded.kernel.settle();
    let (idle, all) = (memory(&loaded), loaded.kernel.kmem_in_use());
    assert!(idle <= 1 << 20, "{idle} bytes");
    for n in 0..tuples {
        assert_eq!(loaded.connect2(true, &numbered(n)), 0);
        if n % 1000 == 0 {
            loaded.kernel.settle();
        }
    }
    assert_eq!(loaded.stat("tuples"), u64::from(tuples));
    let each = memory(&loaded) / u64::from(tuples);
    // A few entries in each region leave more room.
    let most = if tuples >= 1_000_000 { 48 } else { 200 };
    assert!((24..=most).contains(&each), "{each} bytes each");
    assert_eq!(list(&loaded, 4096).len(), tuples as usize);
    for n in 0..tuples {
        loaded.disconnect(&numbered(n));
    }
    assert_eq!((loaded.stat("tuples"), loaded.stat("unknown")), (0, 0));
    for _ in 0..10 {
        sweep(&loaded);
    }
    assert_eq!((memory(&loaded), loaded.kernel.kmem_in_use()), (idle, all));
}

/// Who owns a 5-tuple, as far as the answers say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owner {
    Nobody,
    Ours(u32),
    Other(u32),
}

struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % below
    }
}

fn check(loaded: &Loaded, owner: Owner, n: u32) {
    let (_, answer) = query(loaded, &numbered(n));
    let right = match owner {
        Owner::Nobody => [FREE, LATE].contains(&answer.reason),
        Owner::Ours(references) => (answer.reason, answer.references) == (OURS, references),
        Owner::Other(node) => (answer.reason, answer.owner) == (OWNED, node),
    };
    assert!(right, "{n}: {answer:?}, not {owner:?}");
}

/// One call for a 5-tuple whose record is locked.
fn checked_call(loaded: &Loaded, context: &Context, owner: &mut Owner, n: u32, what: u32) {
    let tuple = numbered(n);
    let node = 2 + what % 2;
    let [a, b, c, d, e, f] = args(&tuple);
    match what / 2 {
        0..4 => {
            let question = [a, what.into(), b, c, d, e, f];
            *owner = match (
                *owner,
                loaded.call_in(context, "clinet_connect2", &question),
            ) {
                (Owner::Nobody, 0) => Owner::Ours(1),
                (Owner::Nobody, EADDRNOTAVAIL) => Owner::Nobody,
                (Owner::Ours(references), 0) => Owner::Ours(references + 1),
                (Owner::Other(_), EADDRINUSE) => *owner,
                odd => panic!("connect {n}: {odd:?}"),
            };
        }
        4..8 => {
            let _ = loaded.call_in(context, "clinet_disconnect", &[a, b, c, d, e, f]);
            *owner = match *owner {
                Owner::Ours(1) => Owner::Nobody,
                Owner::Ours(references) => Owner::Ours(references - 1),
                other => other,
            };
        }
        8 => {
            let installed =
                loaded.call_in(context, "clinet_install", &[node.into(), a, b, c, d, e, f]);
            *owner = match (*owner, installed) {
                (Owner::Nobody, 0) => Owner::Other(node),
                (Owner::Nobody, 28) => Owner::Nobody,
                (Owner::Other(holder), 0) if holder == node => *owner,
                (Owner::Other(holder), EADDRINUSE) if holder != node => *owner,
                (Owner::Ours(_), EADDRINUSE) => *owner,
                odd => panic!("install {n}: {odd:?}"),
            };
        }
        9 => {
            let withdrawn =
                loaded.call_in(context, "clinet_withdraw", &[node.into(), a, b, c, d, e, f]);
            let owned = *owner == Owner::Other(node);
            assert_eq!(
                withdrawn,
                if owned { 0 } else { ENOENT },
                "withdraw {n}: {owner:?}"
            );
            if owned {
                *owner = Owner::Nobody;
            }
        }
        _ => check(loaded, *owner, n),
    }
}

/// Beside them: endpoints, and a node that is purged.
fn noise(loaded: &Loaded, context: &Context, n: u32) {
    let tuple = Tuple::v4(UDP, (n % 5) as u16, n as u16);
    let [a, b, c, d, e, f] = args(&tuple);
    let _ = match n % 8 {
        0 => loaded.call_in(context, "clinet_bind", &[a, b, c, d]),
        1 => loaded.call_in(context, "clinet_unbind", &[a, b, c, d]),
        2 => loaded.call_in(context, "clinet_install", &[9, a, b, c, d, e, f]),
        3 => loaded.call_in(context, "clinet_purge", &[9]),
        4 => loaded.call_in(context, "clinet_prefetch", &[a, b, c, d, e, f]),
        5 => loaded.call_in(context, "clinet_disconnect", &[a, b, c, d, e, f]),
        _ => loaded.call_in(context, "clinet_connect2", &[a, 1, b, c, d, e, f]),
    };
}

/// Six threads call in the contexts of ip, one sweeps and one lists.
#[test]
fn eight_threads_see_one_registry() {
    let time = Duration::from_secs(number_from("CLINET_STRESS_SECONDS", 3));
    let seed = number_from(
        "CLINET_STRESS_SEED",
        std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 >> 8,
    );
    println!("CLINET_STRESS_SEED={seed}");
    let contexts = [
        Context::interrupt(),
        Context::no_sleep(),
        Context::thread().holding("uf_lock"),
        Context::thread().holding("connf_lock"),
        Context::interrupt().holding("conn_lock"),
        Context::thread(),
    ];
    let loaded = &Loaded::new(&[("clinet_max_tuples", 8192), ("clinet_full_refuse", 1)]);
    let owners: &Vec<_> = &(0..4000).map(|_| Mutex::new(Owner::Nobody)).collect();
    let over = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0_u64..)
            .zip(contexts)
            .map(|(thread, context)| {
                scope.spawn(move || {
                    let mut numbers = Numbers(seed + thread);
                    let end = Instant::now() + time;
                    while Instant::now() < end {
                        let few = 4000 >> numbers.next(6);
                        for _ in 0..100 {
                            let n = numbers.next(few);
                            let mut owner = owners[n as usize].lock().unwrap();
                            checked_call(loaded, &context, &mut owner, n, numbers.next(22));
                        }
                        noise(loaded, &context, numbers.next(1000));
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                sweep(loaded);
            }
        });
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                let mut seen = BTreeMap::new();
                for one in list(loaded, 64).iter().filter(|one| one.protocol == TCP) {
                    let before = seen.insert((one.faddr, one.owner), *one);
                    assert!(before.is_none(), "listed twice: {one:?}");
                }
            }
        });
        let ended: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
        over.store(true, Ordering::SeqCst);
        assert!(ended.iter().all(Result::is_ok), "seed {seed}");
    });
    let mut held = 0;
    for (n, owner) in owners.iter().enumerate() {
        let owner = *owner.lock().unwrap();
        check(loaded, owner, n as u32);
        held += usize::from(owner != Owner::Nobody);
    }
    assert_eq!(
        list(loaded, 64)
            .iter()
            .filter(|one| one.protocol == TCP)
            .count(),
        held
    );
    loaded.kernel.check_memory().unwrap();
    assert!(loaded.kernel.fault().is_none());
}
