// This Source Code Form is subject to the terms of the Mozilla Public
// License, v. 2.0. If a copy of the MPL was not distributed with this
// file, You can obtain one at https://mozilla.org/MPL/2.0/.

//! All orders of a question, a change and a clock interrupt. Bitmaps have one word
//! here.

use std::vec;
use std::vec::Vec;

use ::loom::sync::atomic::AtomicU64;
use ::loom::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use ::loom::sync::{Arc, Mutex};
use ::loom::thread;

use super::*;

struct Loom;

/// A word of loom's; the registry's tests have their own of that type.
struct LoomWord(AtomicU64);

impl Word for LoomWord {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    fn load(&self) -> u64 {
        self.0.load(Acquire)
    }

    fn store(&self, value: u64) {
        self.0.store(value, Release);
    }

    fn add(&self, value: u64) -> u64 {
        self.0.fetch_add(value, AcqRel)
    }

    fn swap(&self, value: u64) -> u64 {
        self.0.swap(value, AcqRel)
    }

    fn replace(&self, from: u64, to: u64) -> bool {
        self.0.compare_exchange(from, to, AcqRel, Acquire).is_ok()
    }
}

impl World for Loom {
    type Word = LoomWord;
    type Words = Vec<LoomWord>;
    type Lock<T: Send + 'static> = Mutex<T>;
}

const SMALL: Space = Space { first: 1, last: 63 };

fn replace(grants: &Grants<Loom>, sequence: u64, port: u16, deadline: u64) {
    let terms = Terms {
        epoch: 0,
        sequence,
        deadline,
        spaces: [SMALL; 2],
    };
    let bits = [1 << port];
    assert_eq!(grants.replace(&terms, [&bits, &bits], || 0), Ok(()));
}

fn small(port: u16, deadline: u64) -> Arc<Grants<Loom>> {
    let grants = Grants::new(vec![LoomWord::new(0), LoomWord::new(0)]);
    replace(&grants, 1, port, deadline);
    Arc::new(grants)
}

#[test]
fn no_question_pairs_an_old_port_with_a_new_deadline() {
    ::loom::model(|| {
        let grants = small(1, 0);
        let asking = grants.clone();
        let asked = thread::spawn(move || [1, 2].map(|port| asking.standing(Tcp, port)));
        replace(&grants, 2, 2, FOREVER);
        let [old, new] = asked.join().unwrap();
        assert!(
            matches!(old, Standing::Lapsed | Standing::NotGranted),
            "{old:?}"
        );
        assert!(
            matches!(new, Standing::Granted | Standing::NotGranted),
            "{new:?}"
        );
        assert_eq!(grants.standing(Tcp, 2), Standing::Granted);
    });
}

/// As a question that looks at the generation again once it is registered.
#[test]
fn no_port_is_open_in_a_generation_that_did_not_grant_it() {
    ::loom::model(|| {
        let grants = small(1, FOREVER);
        let asking = grants.clone();
        let asked = thread::spawn(move || {
            let generation = asking.generation();
            let open = [1, 2].map(|port| asking.is_open(generation, Tcp, port));
            (asking.generation() == generation).then_some(open)
        });
        replace(&grants, 2, 2, FOREVER);
        let open = asked.join().unwrap();
        assert!(open.is_none_or(|open| open != [true, true]), "{open:?}");
        let generation = grants.generation();
        assert!(grants.is_open(generation, Tcp, 2));
        assert!(!grants.is_open(generation, Tcp, 1));
    });
}

#[test]
fn what_both_grants_have_is_never_refused() {
    ::loom::model(|| {
        let grants = small(1, FOREVER);
        let asking = grants.clone();
        let asked = thread::spawn(move || asking.standing(Udp, 1));
        replace(&grants, 2, 1, FOREVER);
        assert_eq!(asked.join().unwrap(), Standing::Granted);
    });
}

/// Whoever opens the gate may have read the clock before the interrupt that would
/// shut it.
#[test]
fn the_gate_never_stays_open_after_its_time() {
    ::loom::model(|| {
        let due = 1_000_000_000;
        let grants = small(1, due + MARGIN);
        let clock = Arc::new(AtomicU64::new(0));
        let (tended, time) = (grants.clone(), clock.clone());
        let heartbeat = thread::spawn(move || tended.heartbeat(|| time.load(Acquire)));
        clock.store(due, Release);
        grants.shut_if_due(due);
        heartbeat.join().unwrap();
        assert_eq!(grants.standing(Tcp, 1), Standing::Lapsed);
    });
}

/// The interrupt of the old deadline may come while there is a new one already.
#[test]
fn a_deadline_that_moves_on_leaves_the_gate_open() {
    ::loom::model(|| {
        let due = 1_000_000_000;
        let grants = small(1, due + MARGIN);
        grants.heartbeat(|| 0);
        let shutting = grants.clone();
        let shut = thread::spawn(move || shutting.shut_if_due(due));
        assert_eq!(grants.set_deadline(0, 2, FOREVER, || due), Ok(()));
        shut.join().unwrap();
        assert_eq!(grants.standing(Tcp, 1), Standing::Granted);
    });
}
