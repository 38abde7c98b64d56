// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! Many threads in the contexts of ip.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clinet_kernel::{Context, together};
use clinet_module_tests::{EADDRINUSE, EADDRNOTAVAIL, Loaded, TCP, Tuple, UDP};

use super::*;

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
            *owner = match (*owner, loaded.call_in(context, "clinet_ask", &question)) {
                (Owner::Nobody, 0) => Owner::Ours(1),
                (Owner::Nobody, EADDRNOTAVAIL) => Owner::Nobody,
                (Owner::Ours(references), 0) => Owner::Ours(references + 1),
                (Owner::Other(_), EADDRINUSE) => *owner,
                odd => panic!("connect {n}: {odd:?}"),
            };
        }
        4..8 => {
            let _ = loaded.call_in(context, "clinet_end", &[a, b, c, d, e, f]);
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
                (Owner::Nobody, EAGAIN) => Owner::Nobody,
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
        4 => loaded.call_in(context, "clinet_end", &[a, b, c, d, e, f]),
        _ => loaded.call_in(context, "clinet_ask", &[a, 1, b, c, d, e, f]),
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
    together::scope(|threads| {
        let callers: Vec<_> = (0_u64..)
            .zip(contexts)
            .map(|(thread, context)| {
                threads.spawn(move |over| {
                    let mut numbers = Numbers(seed + thread);
                    let end = Instant::now() + time;
                    while Instant::now() < end && !over.is_set() {
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
        threads.spawn(move |over| {
            while !over.is_set() {
                sweep(loaded);
            }
        });
        threads.spawn(move |over| {
            while !over.is_set() {
                let mut seen = BTreeMap::new();
                for one in list(loaded, 64).iter().filter(|one| one.protocol == TCP) {
                    let before = seen.insert((one.faddr, one.owner), *one);
                    assert!(before.is_none(), "listed twice: {one:?}");
                }
            }
        });
        let ended: Vec<_> = callers.into_iter().map(|caller| caller.join()).collect();
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
