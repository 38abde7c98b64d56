// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Many threads at once, each call checked against a record of what was
//! answered before.
//!
//! A record is kept for each 5-tuple under a lock of its own, which is held
//! across the call: threads contend in the registry over different 5-tuples of the
//! same shards, endpoints and names, while others maintain, sweep and list. What
//! has to be right without such order is in `loom`.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::super::entry::TICKS;
use super::*;

const THREADS: u64 = 4;
const TUPLES: u32 = 3000;

/// Runs for some seconds, or as long as the environment says.
pub fn stress_time() -> Duration {
    let seconds = std::env::var("CLINET_STRESS_SECONDS").ok();
    Duration::from_secs(seconds.map_or(2, |seconds| seconds.parse().expect("seconds")))
}

/// A stream of numbers, the same for the same seed.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self, below: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % below
    }
}

fn seed() -> u64 {
    let seed = match std::env::var("CLINET_STRESS_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    std::println!("CLINET_STRESS_SEED={seed}");
    seed
}

/// Who owns a 5-tuple, as far as the answers say.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Owner {
    Nobody,
    Ours(u64),
    Other(Node),
}

/// A quarter is UDP, from endpoints that are never bound.
fn flow(n: u32) -> FiveTuple {
    let protocol = match n % 4 {
        3 => Protocol::Udp,
        _ => Protocol::Tcp,
    };
    from(10 + (n % 3) as u8, tuple(protocol, 80, n))
}

/// What is listed of them.
fn listed(registry: &Registry<Std>) -> Vec<TableEntry> {
    let mut all = listing(registry, 0);
    all.retain(|one| {
        [10, 11, 12]
            .map(|last| v4(last).words())
            .contains(&one.local)
    });
    all
}

/// One call for one 5-tuple, whose answer has to follow from those before.
fn one_call(registry: &Registry<Std>, owner: &mut Owner, n: u32, what: u32) {
    let tuple = flow(n);
    // A count at its end stays there.
    let end = match tuple.protocol {
        Protocol::Tcp => (1 << 14) - 1,
        Protocol::Udp => 15,
    };
    let node = 2 + what % 2;
    match what / 2 {
        0..4 => {
            let verdict = registry.ask(0, &tuple, true, 0);
            *owner = match (*owner, verdict) {
                (Owner::Nobody, Verdict::Registered) => Owner::Ours(1),
                (Owner::Nobody, Verdict::Late) => Owner::Nobody,
                (Owner::Ours(references), Verdict::Repeated) => {
                    Owner::Ours(end.min(references + 1))
                }
                (Owner::Other(node), Verdict::OwnedBy(holder)) if node == holder => *owner,
                odd => panic!("connect {n}: {odd:?}"),
            };
        }
        4..8 => {
            let ended = registry.end(0, &tuple);
            *owner = match (*owner, ended) {
                (Owner::Ours(1), Some(true)) => Owner::Nobody,
                (Owner::Ours(references), Some(false)) if references == end => *owner,
                (Owner::Ours(references @ 2..), Some(false)) => Owner::Ours(references - 1),
                (Owner::Nobody | Owner::Other(_), None) => *owner,
                odd => panic!("disconnect {n}: {odd:?}"),
            };
        }
        8 => {
            let installed = registry.install(node, &tuple);
            *owner = match (*owner, installed) {
                (Owner::Nobody, Ok(())) => Owner::Other(node),
                (Owner::Nobody, Err(NotInstalled::Late)) => Owner::Nobody,
                (Owner::Other(holder), Ok(())) if holder == node => *owner,
                (Owner::Other(holder), Err(NotInstalled::OwnedBy(who))) if holder == who => *owner,
                (Owner::Ours(_), Err(NotInstalled::OwnedBy(1))) => *owner,
                odd => panic!("install {n}: {odd:?}"),
            };
        }
        9 => {
            let withdrawn = registry.withdraw(node, &tuple);
            assert_eq!(
                withdrawn,
                Some(*owner == Owner::Other(node)),
                "withdraw {n}: {owner:?}"
            );
            if withdrawn == Some(true) {
                *owner = Owner::Nobody;
            }
        }
        _ => check(registry, *owner, n),
    }
}

fn check(registry: &Registry<Std>, owner: Owner, n: u32) {
    let (verdict, references) = registry.query(0, &flow(n));
    let right = match owner {
        Owner::Nobody => matches!(verdict, Verdict::Registered | Verdict::Late),
        Owner::Ours(held) => (verdict, references) == (Verdict::Repeated, held),
        Owner::Other(node) => verdict == Verdict::OwnedBy(node),
    };
    assert!(
        right,
        "query {n}: {verdict:?}, {references} references, not {owner:?}"
    );
}

/// Noise beside the checked calls, on the same shards and tables of names:
/// endpoints, a node that is purged, and an address that is shared at times.
fn noise(registry: &Registry<Std>, numbers: &mut Numbers) {
    let n = numbers.next(300);
    let noisy = from(20 + (n % 4) as u8, tuple(Protocol::Udp, n as u16 % 7, n));
    let tick = (48 + n as u8 % 24) % TICKS;
    match numbers.next(10) {
        0..3 => drop(registry.ask(0, &noisy, true, tick)),
        3 => drop(registry.end(0, &noisy)),
        4 => drop(registry.bind(0, &noisy.endpoint(), Via::Ip, tick)),
        5 => drop(registry.unbind(0, &noisy.endpoint(), Via::Ip)),
        6 => drop(registry.install(9, &noisy)),
        7 => drop(registry.withdraw(9, &noisy)),
        8 => drop(registry.query(0, &noisy)),
        _ => {
            registry.leave(9);
            let last = 20 + (n % 4) as u8;
            let list = [10, 11, 12, last].map(|last| v4(last).words());
            if n.is_multiple_of(50) {
                registry.share(&list).unwrap();
            } else if n % 50 == 1 {
                registry.share_all();
            }
        }
    }
}

/// What the module's task does, and somebody who lists.
fn task(registry: &Registry<Std>, numbers: &mut Numbers) {
    registry.maintain();
    // Some of the noise is too old then, and nothing else is.
    let tick = numbers.next(1 + u32::from(SETTINGS.age)) as u8;
    match numbers.next(4) {
        0 => drop(registry.sweep(Pass::Dead, tick, |_, _| {}).unwrap()),
        1 => drop(registry.sweep(Pass::Age, tick, |_, _| {}).unwrap()),
        2 => {
            let mut seen = std::collections::BTreeSet::new();
            for one in listed(registry) {
                assert!(
                    seen.insert((one.local, one.foreign, one.owner)),
                    "listed twice: {one:?}"
                );
            }
        }
        _ => std::thread::yield_now(),
    }
}

#[test]
fn no_tuple_has_two_owners_and_no_reference_is_lost() {
    let (seed, time) = (seed(), stress_time());
    for shards in [1, 8] {
        let registry = &Fixture::new(SETTINGS, shards).0;
        let owners: &Vec<_> = &(0..TUPLES).map(|_| Mutex::new(Owner::Nobody)).collect();
        let over = &AtomicBool::new(false);
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    scope.spawn(move || {
                        let mut numbers = Numbers(seed + thread);
                        let end = Instant::now() + time / 2;
                        while Instant::now() < end {
                            // Few at times and many at times: it grows and shrinks.
                            let few = TUPLES >> numbers.next(6);
                            for _ in 0..200 {
                                let n = numbers.next(few);
                                let mut owner = owners[n as usize].lock().unwrap();
                                one_call(registry, &mut owner, n, numbers.next(22));
                            }
                            noise(registry, &mut numbers);
                        }
                    })
                })
                .collect();
            scope.spawn(move || {
                let mut numbers = Numbers(seed + 100);
                while !over.load(SeqCst) {
                    task(registry, &mut numbers);
                }
            });
            scope.spawn(move || {
                let mut numbers = Numbers(seed + 200);
                while !over.load(SeqCst) {
                    noise(registry, &mut numbers);
                }
            });
            let ended: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
            over.store(true, SeqCst);
            assert!(ended.iter().all(Result::is_ok), "seed {seed}");
        });
        for (n, owner) in owners.iter().enumerate() {
            check(registry, *owner.lock().unwrap(), n as u32);
        }
        let held = owners
            .iter()
            .filter(|owner| *owner.lock().unwrap() != Owner::Nobody)
            .count();
        assert_eq!(listed(registry).len(), held);
        invariants::check(registry);
        // Nothing is left of the rest, once it is gone.
        registry
            .share(&[10, 11, 12].map(|last| v4(last).words()))
            .unwrap();
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
        assert_eq!(registry.len(), held);
        registry.share(&[]).unwrap();
        registry.sweep(Pass::Dead, 0, |_, _| {}).unwrap();
        registry.collect();
        assert_eq!(
            (registry.len(), registry.endpoints(), registry.addresses()),
            (0, 0, 0)
        );
        invariants::check(registry);
    }
}

/// All threads want the same 5-tuple at once: one is the first.
#[test]
fn of_many_at_once_one_registers() {
    let registry = &Fixture::new(SETTINGS, 1).0;
    for round in 0..200 {
        let barrier = &std::sync::Barrier::new(THREADS as usize);
        let verdicts: Vec<_> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..THREADS as Node)
                .map(|thread| {
                    scope.spawn(move || {
                        barrier.wait();
                        match thread {
                            0 | 1 => registry.ask(0, &tcp(round), true, 0),
                            node => match registry.install(node, &tcp(round)) {
                                Ok(_) => Verdict::Registered,
                                Err(NotInstalled::OwnedBy(owner)) => Verdict::OwnedBy(owner),
                                Err(odd) => panic!("{odd:?}"),
                            },
                        }
                    })
                })
                .collect();
            callers
                .into_iter()
                .map(|caller| caller.join().unwrap())
                .collect()
        });
        let first = verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Registered)
            .count();
        assert_eq!(first, 1, "{verdicts:?}");
        registry.maintain();
    }
    invariants::check(registry);
}
